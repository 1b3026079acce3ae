import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';
import { CommandIDs } from '../commandids';
import { clockTime, duration, integer, type ITimeline, money, timeline } from '../format';
import { isGatewayAway } from '../gateway';
import { hasEnded, type ITask } from '../wire';
import { Chip, CommandButton, Empty, Section, type Tone, useNow, usePanel } from './common';

const TONES: Readonly<Record<string, Tone>> = {
  CREATED: 'quiet',
  QUEUED: 'quiet',
  RUNNING: 'busy',
  COMPLETED: 'good',
  FAILED: 'bad',
  CANCELLING: 'warn',
  CANCELLED: 'quiet'
};

/** The quantum tasks of the user, newest first. */
export function TasksSection(): ReactElement {
  const { clock, model, trans } = usePanel();
  const { tasks } = model.snapshot;
  const away = isGatewayAway(model.snapshot) && tasks.problem !== '';
  const open = tasks.data.filter(task => !hasEnded(task)).length;
  const summary = open > 0 ? trans.__('%1 under way', open) : tasks.data.length > 0 ? String(tasks.data.length) : '';
  return (
    <Section
      title={trans.__('Tasks')}
      summary={summary}
      stale={tasks.problem !== '' && !(away && tasks.readAt === null)}
    >
      {away && (
        <Empty>
          {tasks.readAt === null
            ? trans.__('The tasks come back as soon as the gateway runs.')
            : trans.__(
                'As of %1; news of the tasks comes back with the gateway.',
                clockTime(tasks.readAt, clock.now())
              )}
        </Empty>
      )}
      {away && tasks.data.length === 0 ? null : tasks.data.length === 0 ? (
        <Empty>
          {tasks.readAt === null
            ? trans.__('Reading the tasks…')
            : trans.__(
                'No quantum tasks yet. Run a circuit with the Braket SDK, and it appears here with its state, cost and times.'
              )}
        </Empty>
      ) : (
        <ul className="jp-qsec-list">
          {tasks.data.map(task => (
            <li key={task.id}>
              <Task task={task} own={task.leaseId !== '' && task.leaseId === model.kernel?.lease?.id} />
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function Task(props: { task: ITask; own: boolean }): ReactElement {
  const { trans } = usePanel();
  const { task } = props;
  return (
    <details className="jp-qsec-task" data-task-id={task.id} data-state={task.state}>
      <summary>
        <span className="jp-qsec-taskHead">
          <Chip tone={TONES[task.state] ?? 'quiet'}>{stateWord(trans, task.state)}</Chip>
          <span className="jp-qsec-taskDevice">{task.deviceName}</span>
          <span className="jp-qsec-taskCost">{costText(trans, task)}</span>
        </span>
        <span className="jp-qsec-taskLine">
          <span>{trans._n('%1 shot', '%2 shots', task.shots, integer(task.shots))}</span>
          <TaskTimes task={task} />
        </span>
      </summary>
      {task.waiting.length > 0 && (
        <ul className="jp-qsec-reasons">
          {task.waiting.map(reason => (
            <li key={reason.code}>{reason.text || reason.code}</li>
          ))}
        </ul>
      )}
      {task.failureReason && <p className="jp-qsec-problem">{task.failureReason}</p>}
      <TaskDetails task={task} own={props.own} />
    </details>
  );
}

function costText(trans: TranslationBundle, task: ITask): string {
  return task.costUsd ? money(task.costUsd) : task.estimateUsd ? trans.__('≈ %1', money(task.estimateUsd)) : '';
}

function TaskTimes(props: { task: ITask }): ReactElement | null {
  const ended = hasEnded(props.task);
  return ended ? <TimesAt task={props.task} now={props.task.endedAt ?? 0} /> : <RunningTimes task={props.task} />;
}

/** Ticks only while the task does. */
function RunningTimes(props: { task: ITask }): ReactElement | null {
  const { clock } = usePanel();
  return <TimesAt task={props.task} now={useNow(clock)} />;
}

function TimesAt(props: { task: ITask; now: number }): ReactElement | null {
  const { trans } = usePanel();
  const { task } = props;
  const times = timeline(task, props.now);
  if (!times) {
    return null;
  }
  return (
    <>
      <span className="jp-qsec-taskDuration">
        {task.startedAt === null && !hasEnded(task)
          ? trans.__('waiting %1', duration(times.waitedMs))
          : duration(times.waitedMs + times.ranMs)}
      </span>
      <Bar times={times} />
    </>
  );
}

function Bar(props: { times: ITimeline }): ReactElement {
  const { trans } = usePanel();
  const { waited, ran, waitedMs, ranMs } = props.times;
  const sentence = trans.__('%1 waiting, %2 running', duration(waitedMs), duration(ranMs));
  return (
    <span className="jp-qsec-bar" role="img" aria-label={sentence} title={sentence}>
      <span className="jp-qsec-barWaited" style={{ flexGrow: waited }} />
      <span className="jp-qsec-barRan" style={{ flexGrow: ran }} />
    </span>
  );
}

function TaskDetails(props: { task: ITask; own: boolean }): ReactElement {
  const { clock, model, trans } = usePanel();
  const { task } = props;
  const now = clock.now();
  const time = (value: number | null) => (value === null ? '' : clockTime(value, now));
  const facts: readonly (readonly [string, string])[] = [
    [trans.__('Work'), [task.tenant, task.project].filter(Boolean).join(' / ')],
    [trans.__('Session'), props.own ? trans.__('this notebook’s lease') : ''],
    [trans.__('Qubits'), task.qubits > 0 ? integer(task.qubits) : ''],
    [trans.__('Estimate'), money(task.estimateUsd)],
    [trans.__('Cost'), money(task.costUsd)],
    [trans.__('Created'), time(task.createdAt)],
    [trans.__('Started'), time(task.startedAt)],
    [trans.__('Ended'), time(task.endedAt)],
    [trans.__('Execution'), task.durationMs === null ? '' : duration(task.durationMs)],
    [trans.__('Task'), task.arn],
    [trans.__('Result'), task.outputUri]
  ];
  return (
    <div className="jp-qsec-taskDetails">
      <dl className="jp-qsec-facts">
        {facts
          .filter(([, value]) => value !== '')
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd className={/^(arn|s3):/.test(value) ? 'jp-qsec-long' : undefined}>{value}</dd>
            </div>
          ))}
      </dl>
      {!hasEnded(task) && (
        <CommandButton
          command={CommandIDs.cancelTask}
          args={{ taskId: task.id }}
          label={trans.__('Cancel task')}
          disabled={model.pending(task.id) || task.state === 'CANCELLING'}
          kind="warn"
        />
      )}
    </div>
  );
}

function stateWord(trans: TranslationBundle, state: string): string {
  const words: Readonly<Record<string, string>> = {
    CREATED: trans.__('created'),
    QUEUED: trans.__('queued'),
    RUNNING: trans.__('running'),
    COMPLETED: trans.__('completed'),
    FAILED: trans.__('failed'),
    CANCELLING: trans.__('cancelling'),
    CANCELLED: trans.__('cancelled')
  };
  return words[state] ?? state.toLowerCase();
}
