import type { IDisposable } from '@lumino/disposable';
import { type IPoll, Poll } from '@lumino/polling';
import { type ISignal, Signal } from '@lumino/signaling';
import type { IQsecApi, LeaseAction } from './api';
import type { IFocus, IQsecModel, IReading, ISnapshot } from './tokens';
import { hasEnded, type IHint, type IKernelEntry } from './wire';

/** Rows that the panel asks for. */
const TASK_LIMIT = 50;
const FINDING_LIMIT = 100;
const LONGEST_BACKOFF_MS = 30_000;
/** After so long without anything under way, reads are `QUIET_FACTOR` times rarer: many people leave their tab open. */
const QUIET_AFTER_MS = 30_000;
const QUIET_FACTOR = 5;

/**
 * Reads the state over REST, again and again and at once after a hint. A failed read never discards what was read
 * before: it is marked with the reason and the time of the last success.
 */
export class QsecModel implements IQsecModel, IDisposable {
  constructor(options: IModelOptions) {
    this._api = options.api;
    this._now = options.now ?? Date.now;
    this._interval = options.interval;
    this._busyAt = this._now();
    this._poll = new Poll({
      name: 'jupyter_qsec:model',
      auto: false,
      factory: async () => {
        await this.refresh();
        if (this._failed) {
          // The poll waits longer and longer after failures; the readings already carry the reason.
          throw new Error('Reading the state failed.');
        }
      },
      frequency: frequencyOf(options.interval),
      standby: options.standby ?? 'when-hidden'
    });
  }

  get snapshot(): ISnapshot {
    return this._snapshot;
  }

  get focus(): IFocus | null {
    return this._focus;
  }

  get kernel(): IKernelEntry | null {
    const id = this._focus?.kernelId;
    return this._snapshot.kernels.data.find(entry => entry.kernelId === id) ?? null;
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get warned(): ISignal<this, IKernelEntry> {
    return this._warned;
  }

  get ended(): ISignal<this, IHint> {
    return this._ended;
  }

  get relayEnded(): ISignal<this, IHint> {
    return this._relayEnded;
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  dispose(): void {
    this._poll.dispose();
    Signal.clearData(this);
  }

  /** Begin to read. */
  start(): Promise<void> {
    return this._poll.start();
  }

  /** Milliseconds between two reads at present. */
  get interval(): number {
    return this._poll.frequency.interval;
  }

  /** Milliseconds between two reads while something is under way. */
  set interval(interval: number) {
    this._interval = interval;
    this._pace();
  }

  /** Something happens that the server has not told of yet: read often for a while, and at once after a quiet time. */
  wake(): void {
    const wasQuiet = this.interval !== this._interval;
    this._busyAt = this._now();
    if (wasQuiet && !this.isDisposed) {
      this._pace();
      void this.refresh();
    }
  }

  pending(id: string): boolean {
    return this._pending.has(id);
  }

  /** Show another notebook's kernel. */
  follow(focus: IFocus | null): void {
    if (focus?.kernelId === this._focus?.kernelId && focus?.path === this._focus?.path) {
      return;
    }
    this._focus = focus;
    this._changed.emit();
    if (focus && !this.kernel) {
      void this.refresh();
    }
  }

  /** Take an event of the server as a reason to read at once. */
  async onHint(hint: IHint): Promise<void> {
    this._busyAt = this._now();
    await this.refresh();
    if (this.isDisposed) {
      return;
    }
    if (hint.schema === 'kernel' && hint.kind === 'relay-ended') {
      this._relayEnded.emit(hint);
    }
    if (hint.schema !== 'session' || hint.kind !== 'ended') {
      return;
    }
    // Any client can send events: believe the end of a session only when the state agrees.
    const entry = this._snapshot.kernels.data.find(kernel => kernel.kernelId === hint.kernelId);
    if (!entry || entry.lease?.state !== 'active') {
      this._ended.emit(hint);
    }
  }

  /** Read everything now. Calls during a read share one further read, which begins after they asked. */
  refresh(): Promise<void> {
    if (this.isDisposed) {
      return Promise.resolve();
    }
    if (this._reading) {
      this._readingNext ??= this._reading.then(() => {
        this._readingNext = null;
        return this.refresh();
      });
      return this._readingNext;
    }
    this._reading = this._readAll().finally(() => {
      this._reading = null;
    });
    return this._reading;
  }

  async changeLease(kernelId: string, action: LeaseAction): Promise<void> {
    await this._act(kernelId, async () => {
      this._replace(await this._api.lease(kernelId, action));
    });
  }

  async keepAlive(kernelId: string): Promise<void> {
    await this._act(kernelId, async () => {
      this._replace(await this._api.keepAlive(kernelId));
    });
  }

  async cancelTask(taskId: string): Promise<void> {
    await this._act(taskId, () => this._api.cancelTask(taskId));
  }

  private async _readAll(): Promise<void> {
    const read = await Promise.all([
      this._read('status', () => this._api.status()),
      this._read('kernels', () => this._api.kernels()),
      this._read('tasks', () => this._api.tasks(TASK_LIMIT)),
      this._read('findings', () => this._api.findings(FINDING_LIMIT))
    ]);
    this._failed = read.includes(false);
    if (this._isBusy()) {
      this._busyAt = this._now();
    }
    this._pace();
    if (!this._failed && this._poll.state.phase === 'rejected' && !this.isDisposed) {
      // A retry by hand worked: leave the long waits of the backoff.
      void this._poll.schedule({ interval: this._poll.frequency.interval, phase: 'reconnected' });
    }
  }

  private async _read<K extends keyof ISnapshot>(key: K, fetch: () => Promise<ISnapshot[K]['data']>): Promise<boolean> {
    const generation = this._generation;
    let data: ISnapshot[K]['data'];
    try {
      data = await fetch();
    } catch (reason) {
      this._set(key, { ...this._snapshot[key], problem: messageOf(reason) });
      return false;
    }
    if (key === 'kernels' && generation !== this._generation) {
      // An action was answered while this read was under way: its answer is newer.
      return true;
    }
    this._set(key, { data, readAt: this._now(), problem: '' } as ISnapshot[K]);
    return true;
  }

  private _isBusy(): boolean {
    const { kernels, tasks } = this._snapshot;
    return (
      this._pending.size > 0 ||
      tasks.data.some(task => !hasEnded(task)) ||
      kernels.data.some(({ session }) => session.warned || session.executionState === 'busy')
    );
  }

  private _pace(): void {
    const quiet = this._now() - this._busyAt > QUIET_AFTER_MS;
    const interval = quiet ? this._interval * QUIET_FACTOR : this._interval;
    if (!this.isDisposed && interval !== this.interval) {
      this._poll.frequency = frequencyOf(interval);
    }
  }

  private async _act(id: string, action: () => Promise<void>): Promise<void> {
    this._pending.add(id);
    this._busyAt = this._now();
    this._changed.emit();
    try {
      await action();
    } finally {
      this._pending.delete(id);
      this._changed.emit();
      void this.refresh();
    }
  }

  private _replace(entry: IKernelEntry): void {
    this._generation += 1;
    const others = this._snapshot.kernels.data.filter(kernel => kernel.kernelId !== entry.kernelId);
    this._set('kernels', { ...this._snapshot.kernels, data: [...others, entry] });
  }

  private _set<K extends keyof ISnapshot>(key: K, reading: ISnapshot[K]): void {
    if (this.isDisposed) {
      return;
    }
    this._snapshot = { ...this._snapshot, [key]: reading };
    if (key === 'kernels') {
      this._noticeWarnings();
    }
    this._changed.emit();
  }

  private _noticeWarnings(): void {
    const warned = this._snapshot.kernels.data.filter(entry => entry.session.warned);
    const before = this._warnedKernels;
    this._warnedKernels = new Set(warned.map(entry => entry.kernelId));
    for (const entry of warned) {
      if (!before.has(entry.kernelId)) {
        this._warned.emit(entry);
      }
    }
  }

  private readonly _api: IQsecApi;
  private readonly _now: () => number;
  private readonly _poll: Poll<void, void, 'reconnected'>;
  private readonly _pending = new Set<string>();
  private readonly _changed = new Signal<this, void>(this);
  private readonly _warned = new Signal<this, IKernelEntry>(this);
  private readonly _ended = new Signal<this, IHint>(this);
  private readonly _relayEnded = new Signal<this, IHint>(this);
  private _snapshot: ISnapshot = {
    status: unread(null),
    kernels: unread([]),
    tasks: unread([]),
    findings: unread([])
  };
  private _interval: number;
  /** When something was last seen to be under way. */
  private _busyAt: number;
  private _focus: IFocus | null = null;
  private _failed = false;
  private _generation = 0;
  private _reading: Promise<void> | null = null;
  private _readingNext: Promise<void> | null = null;
  private _warnedKernels: ReadonlySet<string> = new Set();
}

/** How to make a model. */
export interface IModelOptions {
  readonly api: IQsecApi;
  /** Milliseconds between two reads while all is well. */
  readonly interval: number;
  /** The browser's clock. */
  readonly now?: () => number;
  readonly standby?: Poll.Standby;
}

function frequencyOf(interval: number): IPoll.Frequency {
  return { backoff: true, interval, max: Math.max(LONGEST_BACKOFF_MS, interval) };
}

function unread<T>(data: T): IReading<T> {
  return { data, readAt: null, problem: '' };
}

/** What went wrong, for people. */
export function messageOf(reason: unknown): string {
  return reason instanceof Error && reason.message ? reason.message : String(reason);
}
