import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';
import type { ServerClock } from './clock';
import { CommandIDs } from './commandids';
import { useNow } from './components/common';
import { countdown } from './format';
import { countFindings } from './grouping';
import { qsecIcon } from './icons';
import type { IQsecModel } from './tokens';

interface IStatusContext {
  readonly model: IQsecModel;
  readonly commands: CommandRegistry;
  readonly clock: ServerClock;
  readonly trans: TranslationBundle;
}

/** The lease of the notebook in front and the number of its findings, in the status bar. */
export class QsecStatusItem extends ReactWidget {
  constructor(private readonly _context: IStatusContext) {
    super();
    this.addClass('jp-qsec-status');
  }

  protected override render(): ReactElement {
    const { model } = this._context;
    return (
      <UseSignal signal={model.changed} initialSender={model}>
        {() => <StatusItem {...this._context} />}
      </UseSignal>
    );
  }
}

function StatusItem(props: IStatusContext): ReactElement {
  const { clock, commands, model, trans } = props;
  const now = useNow(clock);
  const found = model.focus ? countFindings(model.snapshot.findings.data, model.focus.path) : 0;
  return (
    <button
      type="button"
      title={commands.caption(CommandIDs.openPanel)}
      onClick={() => void commands.execute(CommandIDs.openPanel)}
    >
      <qsecIcon.react tag="span" width="14px" height="14px" />
      <span>{leaseText(model, now, trans)}</span>
      {found > 0 && <span className="jp-qsec-statusFound">{trans._n('%1 finding', '%1 findings', found, found)}</span>}
    </button>
  );
}

function leaseText(model: IQsecModel, now: number, trans: TranslationBundle): string {
  const { kernel } = model;
  if (model.snapshot.kernels.problem) {
    return trans.__('state unknown');
  }
  if (!kernel) {
    return trans.__('no session');
  }
  switch (kernel.lease?.state) {
    case 'active':
      return trans.__('lease %1', countdown((kernel.lease.expiresAt ?? now) - now));
    case 'revoked':
      return trans.__('lease revoked');
    case 'expired':
      return trans.__('lease expired');
    case undefined:
      return trans.__('no lease');
  }
}
