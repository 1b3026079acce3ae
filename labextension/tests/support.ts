import type { TranslationBundle } from '@jupyterlab/translation';
import type { IQsecApi, LeaseAction } from '../src/api';
import {
  type IFinding,
  type IKernelEntry,
  type IStatus,
  type ITask,
  readFindings,
  readKernel,
  readStatus,
  readTasks
} from '../src/wire';

/** A fixed time, in milliseconds since the epoch. */
export const NOON = Date.parse('2030-05-04T12:00:00Z');

/** The time `seconds` after noon, as the server writes it. */
export function after(seconds: number): string {
  return new Date(NOON + seconds * 1000).toISOString();
}

/** A kernel's entry as the server answers it, with some fields changed. */
export function kernelAnswer(id = 'k1', changes: object = {}): Record<string, unknown> {
  return {
    kernel_id: id,
    name: 'python3',
    path: 'work/bell.ipynb',
    lease: leaseAnswer(),
    lease_problem: '',
    confinement: { state: 'confined', reasons: [] },
    session: { execution_state: 'idle', idle_deadline: after(1800), absolute_deadline: after(36_000), warned: false },
    ...changes
  };
}

/** A lease as the server answers it, with some fields changed. */
export function leaseAnswer(changes: object = {}): Record<string, unknown> {
  return {
    id: 'lease1',
    tenant: 'sandbox',
    project: 'default',
    state: 'active',
    expires_at: after(245),
    max_expires_at: after(40_000),
    ttl_seconds: 300,
    revoked_at: null,
    revoked_because: '',
    ...changes
  };
}

/** A task as the server answers it, with some fields changed. */
export function taskAnswer(changes: object = {}): Record<string, unknown> {
  return {
    id: 't1',
    arn: 'arn:aws:braket:us-east-1:000000000101:quantum-task/t1',
    tenant: 'sandbox',
    project: 'default',
    lease_id: 'lease1',
    state: 'COMPLETED',
    device_name: 'SV1',
    shots: 1000,
    qubits: 2,
    created_at: after(-10),
    started_at: after(-9),
    ended_at: after(-7),
    estimate_usd: '0.00375',
    cost_usd: null,
    duration_ms: 1900,
    failure_reason: '',
    waiting: [],
    output_s3_uri: 's3://bucket/t1',
    ...changes
  };
}

/** A server that answers what the test put in, and fails where the test says so. */
export class FakeApi implements IQsecApi {
  kernelEntries: IKernelEntry[] = [readKernel(kernelAnswer())];
  taskList: readonly ITask[] = readTasks({ tasks: [taskAnswer()] });
  findingList: readonly IFinding[] = readFindings({ findings: [] });
  gateway: { state: string; reason: string } = { state: 'running', reason: '' };
  failing: Partial<Record<'status' | 'kernels' | 'tasks' | 'findings' | 'action', string>> = {};
  readonly calls: string[] = [];
  /** When set, reading the kernels waits for it and answers what was there when the read began. */
  gate: Promise<void> | null = null;

  status(): Promise<IStatus> {
    return this._answer('status', readStatus({ version: '1', gateway: this.gateway, tenants: [] }));
  }

  async kernels(): Promise<readonly IKernelEntry[]> {
    const entries = [...this.kernelEntries];
    await this.gate;
    return this._answer('kernels', entries);
  }

  tasks(limit: number): Promise<readonly ITask[]> {
    return this._answer('tasks', this.taskList.slice(0, limit));
  }

  findings(limit: number): Promise<readonly IFinding[]> {
    return this._answer('findings', this.findingList.slice(0, limit));
  }

  lease(kernelId: string, action: LeaseAction): Promise<IKernelEntry> {
    this.calls.push(`${action.action} ${kernelId}`);
    const state = action.action === 'revoke' ? 'revoked' : 'active';
    return this._act(kernelId, { lease: leaseAnswer({ state }) });
  }

  keepAlive(kernelId: string): Promise<IKernelEntry> {
    this.calls.push(`keepalive ${kernelId}`);
    return this._act(kernelId, {});
  }

  async cancelTask(taskId: string): Promise<void> {
    this.calls.push(`cancel ${taskId}`);
    await this._answer('action', undefined);
  }

  private async _act(kernelId: string, changes: object): Promise<IKernelEntry> {
    const entry = readKernel(kernelAnswer(kernelId, changes));
    await this._answer('action', undefined);
    this.kernelEntries = [...this.kernelEntries.filter(other => other.kernelId !== kernelId), entry];
    return entry;
  }

  private _answer<T>(call: keyof FakeApi['failing'], answer: T): Promise<T> {
    const problem = this.failing[call];
    return problem === undefined ? Promise.resolve(answer) : Promise.reject(new Error(problem));
  }
}

/** English, with the arguments put in. */
export const trans = {
  __: (sentence: string, ...values: unknown[]) => fill(sentence, values),
  _n: (one: string, many: string, count: number, ...values: unknown[]) =>
    fill(count === 1 ? one : many, [count, ...values])
} as unknown as TranslationBundle;

function fill(sentence: string, values: readonly unknown[]): string {
  return sentence.replace(/%(\d)/g, (_, index: string) => String(values[Number(index) - 1]));
}
