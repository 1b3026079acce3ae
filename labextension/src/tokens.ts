import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';
import type { LeaseAction } from './api';
import type { IFinding, IHint, IKernelEntry, IStatus, ITask } from './wire';

/** Something read from the server: the last good answer stays, whatever happens after it. */
export interface IReading<T> {
  readonly data: T;
  /** When `data` was read, on the browser's clock; null before the first answer. */
  readonly readAt: number | null;
  /** Why the latest attempt failed, empty when it succeeded. */
  readonly problem: string;
}

/** Everything the panel shows. */
export interface ISnapshot {
  readonly status: IReading<IStatus | null>;
  readonly kernels: IReading<readonly IKernelEntry[]>;
  readonly tasks: IReading<readonly ITask[]>;
  readonly findings: IReading<readonly IFinding[]>;
}

/** The notebook in front, and its kernel. */
export interface IFocus {
  readonly kernelId: string;
  readonly path: string;
}

/** The state behind the panel, the status bar and the commands. */
export interface IQsecModel {
  readonly snapshot: ISnapshot;
  /** The notebook in front, null when there is none. */
  readonly focus: IFocus | null;
  /** The entry of the kernel in focus, null while the server does not list it. */
  readonly kernel: IKernelEntry | null;
  /** Emitted after each change of the above, and of what is pending. */
  readonly changed: ISignal<IQsecModel, void>;
  /** Emitted once when a session begins to be warned. */
  readonly warned: ISignal<IQsecModel, IKernelEntry>;
  /** Emitted when a session was ended by its limits. */
  readonly ended: ISignal<IQsecModel, IHint>;
  /** Emitted when the relay of a kernel ended by itself, and the kernel with it. */
  readonly relayEnded: ISignal<IQsecModel, IHint>;
  /** Whether an action on this kernel or task is under way. */
  pending(id: string): boolean;
  follow(focus: IFocus | null): void;
  /** Something happens that the server has not told of yet: read often for a while. */
  wake(): void;
  refresh(): Promise<void>;
  changeLease(kernelId: string, action: LeaseAction): Promise<void>;
  keepAlive(kernelId: string): Promise<void>;
  cancelTask(taskId: string): Promise<void>;
}

/** The token of the model: other extensions can read leases, tasks and findings, and act on them. */
export const IQsecModel = new Token<IQsecModel>(
  'jupyter_qsec:IQsecModel',
  'Leases, quantum tasks and findings of the running kernels, kept up to date.'
);
