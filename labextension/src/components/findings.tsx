import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';
import { baseName, clockTime } from '../format';
import { isGatewayAway } from '../gateway';
import { groupFindings } from '../grouping';
import type { IFinding } from '../wire';
import { Chip, Empty, Section, type Tone, usePanel } from './common';

/** The secrets that were found, never the secrets themselves. */
export function FindingsSection(): ReactElement {
  const { model, trans } = usePanel();
  const { findings } = model.snapshot;
  const { focus } = model;
  const groups = groupFindings(findings.data, focus?.path ?? null);
  return (
    <Section
      title={trans.__('Findings')}
      summary={groups.length > 0 ? String(groups.length) : ''}
      stale={findings.problem !== ''}
    >
      {isGatewayAway(model.snapshot) && model.snapshot.status.data?.gateway.state !== 'starting' && (
        <Empty>
          {trans.__('What is found without the gateway is shown here; the record of the findings comes back with it.')}
        </Empty>
      )}
      {groups.length === 0 ? (
        <Empty>
          {findings.readAt === null
            ? trans.__('Reading the findings…')
            : trans.__('No secrets were found. Cells and their output are checked before anyone sees them.')}
        </Empty>
      ) : (
        <ul className="jp-qsec-list">
          {groups.map(({ finding, times }) => (
            <li key={finding.id}>
              <Finding finding={finding} times={times} here={finding.path === focus?.path} />
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function Finding(props: { finding: IFinding; times: number; here: boolean }): ReactElement {
  const { clock, reveal, trans } = usePanel();
  const { finding } = props;
  const where = whereText(trans, finding);
  return (
    <div className="jp-qsec-finding" data-finding-id={finding.id} data-kind={finding.kind}>
      <p className="jp-qsec-findingHead">
        <span className="jp-qsec-kind">{finding.kind}</span>
        <Chip tone={ACTION_TONES[finding.action] ?? 'quiet'}>
          {actionWord(trans, finding.action)}
          {props.times > 1 && ` ×${props.times}`}
        </Chip>
      </p>
      <p className="jp-qsec-findingWhere">
        {!props.here && finding.path && (
          <span className="jp-qsec-path" title={finding.path}>
            {baseName(finding.path)}
          </span>
        )}
        <span>{where}</span>
        {finding.foundAt !== null && <time>{clockTime(finding.foundAt, clock.now())}</time>}
      </p>
      <p className="jp-qsec-findingFoot">
        <code>{finding.preview}</code>
        {(finding.cellId || finding.cell) && (
          <button
            type="button"
            className="jp-qsec-button"
            aria-label={trans.__('Jump to it: %1, %2', finding.kind, where)}
            onClick={() => void reveal(finding)}
          >
            {trans.__('Jump to it')}
          </button>
        )}
      </p>
    </div>
  );
}

const ACTION_TONES: Readonly<Record<string, Tone>> = {
  redacted: 'good',
  blocked: 'bad',
  refused: 'bad',
  warned: 'warn',
  reported: 'warn'
};

function actionWord(trans: TranslationBundle, action: string): string {
  const words: Readonly<Record<string, string>> = {
    redacted: trans.__('redacted'),
    blocked: trans.__('blocked'),
    refused: trans.__('refused'),
    warned: trans.__('warned'),
    reported: trans.__('reported')
  };
  return words[action] ?? action;
}

function whereText(trans: TranslationBundle, finding: IFinding): string {
  const place = finding.place || trans.__('somewhere');
  const where = finding.cell ? trans.__('cell %1, %2', finding.cell, place) : place;
  return finding.line > 0 ? trans.__('%1, line %2', where, finding.line) : where;
}
