import type { TranslationBundle } from '@jupyterlab/translation';
import { type ReactElement, type ReactNode, useRef } from 'react';
import { CommandIDs } from '../commandids';
import { announcedStep, baseName, clockMinute, countdown, duration, nextDeadline } from '../format';
import { isGatewayAway } from '../gateway';
import type { GatewayState, IKernelEntry, ILease, IStatus, OnSave } from '../wire';
import { Chip, CommandButton, Empty, Section, type Tone, useNow, usePanel } from './common';

/** The lease and the session of the notebook in front. */
export function SessionSection(): ReactElement {
  const { model, trans } = usePanel();
  const { status, kernels } = model.snapshot;
  const { focus, kernel } = model;
  return (
    <Section title={trans.__('Session')} summary={focus ? baseName(focus.path) : ''} stale={kernels.problem !== ''}>
      {status.data && <GatewayNote status={status.data} />}
      {kernel ? (
        <>
          <SessionWarning kernel={kernel} />
          <LeaseCard kernel={kernel} />
          <Facts kernel={kernel} status={status.data} />
        </>
      ) : (
        <Empty>{withoutKernel(trans, focus !== null, focus?.kernelId !== '', kernels.readAt !== null)}</Empty>
      )}
    </Section>
  );
}

function withoutKernel(trans: TranslationBundle, hasFocus: boolean, hasKernel: boolean, isRead: boolean): string {
  if (!hasFocus) {
    return trans.__('Open a notebook: its kernel gets a lease instead of credentials, and this panel shows it.');
  }
  if (!hasKernel) {
    return trans.__('This notebook has no kernel. Start one, and it gets a lease of its own.');
  }
  return isRead
    ? trans.__('This kernel is not known to Quantum security. It may just be starting, or run elsewhere.')
    : trans.__('Reading the state…');
}

function GatewayNote(props: { status: IStatus }): ReactElement | null {
  const { trans } = usePanel();
  const { state, reason } = props.status.gateway;
  if (state === 'running') {
    return null;
  }
  const text: Record<Exclude<GatewayState, 'running'>, string> = {
    starting: trans.__('The gateway is starting.'),
    failed: trans.__('The gateway has failed. Kernels run without a lease until it is back.'),
    stopped: trans.__('The gateway is stopped. Kernels run without a lease.')
  };
  return (
    <div className={`jp-qsec-note jp-mod-${state === 'starting' ? 'busy' : 'bad'}`}>
      <p>
        {text[state]} {reason}
      </p>
    </div>
  );
}

/** Says that the session is about to end, aloud only at a few steps of the countdown. */
function SessionWarning(props: { kernel: IKernelEntry }): ReactElement {
  const { clock, trans } = usePanel();
  const now = useNow(clock);
  const { session, kernelId } = props.kernel;
  const deadline = session.warned ? nextDeadline(session.idleDeadline, session.absoluteDeadline) : null;
  const left = deadline ? deadline.at - now : null;
  const spoken = useSpoken(left, step => trans.__('This session ends in %1.', duration(step)));
  return (
    <>
      <p className="jp-qsec-spoken" aria-live="assertive">
        {spoken}
      </p>
      {deadline && left !== null && (
        <div className="jp-qsec-note jp-mod-alert">
          <p>
            <strong>{trans.__('This session ends in %1', countdown(left))}</strong>
            <br />
            {deadline.reason === 'idle'
              ? trans.__('It is idle. Its lease will be revoked and its kernel stopped; the notebook is saved.')
              : trans.__('It reaches the longest time a session may last. The notebook is saved.')}
          </p>
          {deadline.reason === 'idle' && (
            <CommandButton
              command={CommandIDs.keepSession}
              args={{ kernelId }}
              label={trans.__('Keep working')}
              kind="accent"
            />
          )}
        </div>
      )}
    </>
  );
}

/** The sentence for the step that the countdown passed last; empty without a countdown. */
function useSpoken(left: number | null, sentence: (step: number) => string): string {
  const before = useRef<number | null>(null);
  const spoken = useRef('');
  const step = left === null ? null : announcedStep(before.current, left);
  if (step !== null) {
    spoken.current = sentence(step);
  }
  if (left === null) {
    spoken.current = '';
  }
  before.current = left;
  return spoken.current;
}

function LeaseCard(props: { kernel: IKernelEntry }): ReactElement {
  const { model, trans } = usePanel();
  const { kernelId, lease, leaseProblem } = props.kernel;
  const busy = model.pending(kernelId);
  const away = isGatewayAway(model.snapshot);
  // The gateway's own note says why it is away; the lease's trouble is then the same.
  const problem = away ? '' : leaseProblem;
  const args = { kernelId };
  return (
    <div className="jp-qsec-card">
      {lease ? (
        <LeaseLine lease={lease} />
      ) : (
        <p className="jp-qsec-leaseMissing">
          <Chip tone="bad">{trans.__('no lease')}</Chip>{' '}
          {away
            ? trans.__('It comes with the gateway; until then every call to a device is refused.')
            : problem || trans.__('This kernel holds no lease, so every call to a device is refused.')}
        </p>
      )}
      {lease && lease.state !== 'revoked' && problem && <p className="jp-qsec-problem">{problem}</p>}
      <div className="jp-qsec-buttons">
        <CommandButton command={CommandIDs.renewLease} args={args} label={trans.__('Renew')} disabled={busy} />
        <CommandButton
          command={CommandIDs.revokeLease}
          args={args}
          label={trans.__('Revoke')}
          disabled={busy}
          kind="warn"
        />
        <CommandButton
          command={CommandIDs.newLease}
          args={args}
          label={trans.__('New lease')}
          disabled={busy}
          {...(away || lease?.state === 'active' ? {} : { kind: 'accent' as const })}
        />
      </div>
    </div>
  );
}

function LeaseLine(props: { lease: ILease }): ReactElement {
  const { clock, trans } = usePanel();
  const now = useNow(clock);
  const { lease } = props;
  const active = lease.state === 'active';
  const left = active && lease.expiresAt !== null ? Math.max(0, lease.expiresAt - now) : 0;
  const share = lease.ttlSeconds > 0 ? Math.min(1, left / (lease.ttlSeconds * 1000)) : 0;
  return (
    <div className="jp-qsec-lease" data-state={lease.state}>
      <Ring share={share} />
      <div className="jp-qsec-leaseText">
        <p className="jp-qsec-leaseName" title={trans.__('Lease %1', lease.id)}>
          {lease.tenant} <span aria-hidden="true">/</span> {lease.project}
        </p>
        <p className="jp-qsec-leaseState">
          <Chip tone={active ? 'good' : 'bad'}>{leaseWord(trans, lease)}</Chip>
          {active && <time className="jp-qsec-countdown">{countdown(left)}</time>}
        </p>
        {!active && <p className="jp-qsec-leaseEnded">{ended(trans, lease, now)}</p>}
      </div>
    </div>
  );
}

function leaseWord(trans: TranslationBundle, lease: ILease): string {
  return { active: trans.__('active'), revoked: trans.__('revoked'), expired: trans.__('expired') }[lease.state];
}

function ended(trans: TranslationBundle, lease: ILease, now: number): string {
  const at = lease.state === 'revoked' ? lease.revokedAt : lease.expiresAt;
  const when = at === null ? '' : clockMinute(at, now);
  if (lease.state === 'revoked') {
    return lease.revokedBecause ? trans.__('Revoked %1: %2', when, lease.revokedBecause) : trans.__('Revoked %1', when);
  }
  return trans.__('Expired %1', when);
}

/** A slim ring that empties; the number beside it says the same. */
function Ring(props: { share: number }): ReactElement {
  const radius = 14;
  const length = 2 * Math.PI * radius;
  return (
    <svg className="jp-qsec-ring" viewBox="0 0 34 34" aria-hidden="true">
      <circle className="jp-qsec-ringTrack" cx="17" cy="17" r={radius} />
      <circle
        className="jp-qsec-ringLeft"
        cx="17"
        cy="17"
        r={radius}
        strokeDasharray={length}
        strokeDashoffset={length * (1 - props.share)}
      />
    </svg>
  );
}

function Facts(props: { kernel: IKernelEntry; status: IStatus | null }): ReactElement {
  const { clock, trans } = usePanel();
  const now = useNow(clock);
  const { kernel, status } = props;
  const { lease, session } = kernel;
  return (
    <dl className="jp-qsec-facts">
      {lease?.state === 'active' && lease.maxExpiresAt !== null && (
        <Fact name={trans.__('Lease')}>
          {trans.__('renews by itself until %1', clockMinute(lease.maxExpiresAt, now))}
        </Fact>
      )}
      <Fact name={trans.__('Kernel')}>
        <Chip tone={kernel.confined ? 'good' : 'warn'}>
          {kernel.confined ? trans.__('confined') : trans.__('unconfined')}
        </Chip>{' '}
        {kernel.name}
        {kernel.confinementReasons.length > 0 && (
          <ul className="jp-qsec-reasons">
            {kernel.confinementReasons.map(reason => (
              <li key={reason}>{reason}</li>
            ))}
          </ul>
        )}
      </Fact>
      {status && (
        <Fact name={trans.__('Gateway')}>
          <Chip tone={GATEWAY_TONES[status.gateway.state]}>{gatewayWord(trans, status.gateway.state)}</Chip>
        </Fact>
      )}
      {status?.gateway.keystore && (
        <Fact name={trans.__('Key store')}>
          <Unfolding text={status.gateway.keystore} />
        </Fact>
      )}
      {status?.onSave && <Fact name={trans.__('On save')}>{onSaveSentence(trans, status.onSave)}</Fact>}
      {session.idleDeadline !== null && (
        <Fact name={trans.__('If idle')}>{trans.__('ends in %1', countdown(session.idleDeadline - now))}</Fact>
      )}
      {session.absoluteDeadline !== null && (
        <Fact name={trans.__('At most')}>{trans.__('until %1', clockMinute(session.absoluteDeadline, now))}</Fact>
      )}
    </dl>
  );
}

const GATEWAY_TONES: Record<GatewayState, Tone> = {
  starting: 'busy',
  running: 'good',
  failed: 'bad',
  stopped: 'quiet'
};

function gatewayWord(trans: TranslationBundle, state: GatewayState): string {
  return {
    starting: trans.__('starting'),
    running: trans.__('running'),
    failed: trans.__('failed'),
    stopped: trans.__('stopped')
  }[state];
}

function onSaveSentence(trans: TranslationBundle, onSave: OnSave): string {
  return {
    redact: trans.__('secrets are redacted'),
    refuse: trans.__('refused while secrets are inside'),
    warn: trans.__('secrets are reported only')
  }[onSave];
}

/** One line of a text that may be long; opening it shows the rest. */
function Unfolding(props: { text: string }): ReactElement {
  return (
    <details className="jp-qsec-unfolding">
      <summary>{props.text}</summary>
    </details>
  );
}

function Fact(props: { name: string; children: ReactNode }): ReactElement {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}
