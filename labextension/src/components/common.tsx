import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { createContext, type ReactElement, type ReactNode, useContext, useEffect, useState } from 'react';
import type { ServerClock } from '../clock';
import { clockTime, staleness } from '../format';
import { isGatewayAway } from '../gateway';
import type { IQsecModel } from '../tokens';
import type { IFinding } from '../wire';

/** What the parts of the panel need from the application. */
export interface IPanelContext {
  readonly model: IQsecModel;
  readonly commands: CommandRegistry;
  readonly clock: ServerClock;
  readonly trans: TranslationBundle;
  readonly reveal: (finding: IFinding) => Promise<void>;
}

const PanelContext = createContext<IPanelContext | null>(null);

export const PanelProvider = PanelContext.Provider;

/** The application's services inside the panel. */
export function usePanel(): IPanelContext {
  const context = useContext(PanelContext);
  if (!context) {
    throw new Error('This component belongs inside the panel.');
  }
  return context;
}

/** The server's time, anew every `interval` milliseconds while the component is shown. */
export function useNow(clock: ServerClock, interval = 1000): number {
  const [now, setNow] = useState(() => clock.now());
  useEffect(() => {
    const timer = setInterval(() => {
      setNow(clock.now());
    }, interval);
    return () => {
      clearInterval(timer);
    };
  }, [clock, interval]);
  // The state lags behind by up to one interval after a render for another reason.
  return Math.max(now, clock.now());
}

/** A part of the panel that folds away, with a native disclosure. */
export function Section(props: {
  title: string;
  summary?: ReactNode;
  stale: boolean;
  children: ReactNode;
}): ReactElement {
  const { trans } = usePanel();
  return (
    <details className="jp-qsec-section" open>
      <summary>
        <h2>{props.title}</h2>
        <span className="jp-qsec-summary">{props.summary}</span>
        {props.stale && <Chip tone="warn">{trans.__('stale')}</Chip>}
      </summary>
      <div className="jp-qsec-sectionBody">{props.children}</div>
    </details>
  );
}

export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'quiet';

/** A small word with a colour that carries no meaning alone. */
export function Chip(props: { tone: Tone; children: ReactNode; title?: string }): ReactElement {
  return (
    <span className={`jp-qsec-chip jp-mod-${props.tone}`} title={props.title}>
      {props.children}
    </span>
  );
}

/** A button that runs a command of ours. */
export function CommandButton(props: {
  command: string;
  args?: ReadonlyPartialJSONObject;
  label: string;
  name?: string;
  disabled?: boolean;
  kind?: 'accent' | 'warn';
}): ReactElement {
  const { commands } = usePanel();
  return (
    <button
      type="button"
      className={`jp-qsec-button${props.kind ? ` jp-mod-${props.kind}` : ''}`}
      disabled={props.disabled === true || !commands.isEnabled(props.command, props.args)}
      title={commands.caption(props.command, props.args)}
      aria-label={props.name}
      onClick={() => void commands.execute(props.command, props.args)}
    >
      {props.label}
    </button>
  );
}

/** Why the latest reads failed, since when the shown state is old, and a way to try again. */
export function StaleNote(): ReactElement | null {
  const { clock, model, trans } = usePanel();
  const { status, kernels, tasks, findings } = model.snapshot;
  // While the gateway is away its own note says why, and the tasks say that they wait for it.
  const told = isGatewayAway(model.snapshot) ? [status, kernels, findings] : [status, kernels, tasks, findings];
  const stale = staleness(told);
  if (!stale) {
    return null;
  }
  const { problem, since } = stale;
  return (
    <div className="jp-qsec-note jp-mod-warn jp-qsec-stale" role="status">
      <p>
        {since === null
          ? trans.__('Could not be read: %1', problem)
          : trans.__('Stale since %1: %2', clockTime(since, clock.now()), problem)}
      </p>
      <button type="button" className="jp-qsec-button" onClick={() => void model.refresh()}>
        {trans.__('Retry')}
      </button>
    </div>
  );
}

/** What stands where nothing is to be shown yet. */
export function Empty(props: { children: ReactNode }): ReactElement {
  return <p className="jp-qsec-empty">{props.children}</p>;
}
