/**
 * What the server extension answers, narrowed once where it enters. Unknown fields are ignored and missing ones take
 * a neutral value, so that a newer or older server never breaks the panel. Times are milliseconds since the epoch,
 * money stays the decimal string it came as.
 */

/** A lease as the gateway describes it. */
export interface ILease {
  readonly id: string;
  readonly tenant: string;
  readonly project: string;
  readonly state: 'active' | 'revoked' | 'expired';
  readonly expiresAt: number | null;
  readonly maxExpiresAt: number | null;
  readonly ttlSeconds: number;
  readonly revokedAt: number | null;
  readonly revokedBecause: string;
}

/** How long the session may still last. */
export interface ISessionLimits {
  readonly executionState: string;
  readonly idleDeadline: number | null;
  readonly absoluteDeadline: number | null;
  readonly warned: boolean;
}

/** A running kernel with its lease. */
export interface IKernelEntry {
  readonly kernelId: string;
  readonly name: string;
  readonly path: string;
  readonly lease: ILease | null;
  readonly leaseProblem: string;
  readonly confined: boolean;
  readonly confinementReasons: readonly string[];
  readonly session: ISessionLimits;
}

/** A tenant the user may work for. */
export interface ITenant {
  readonly id: string;
  readonly name: string;
  readonly projects: readonly { readonly id: string; readonly name: string }[];
}

export type GatewayState = 'starting' | 'running' | 'failed' | 'stopped';
export type OnSave = 'redact' | 'refuse' | 'warn';

/** The state of the whole installation. */
export interface IStatus {
  readonly version: string;
  readonly gateway: {
    readonly state: GatewayState;
    readonly reason: string;
    readonly keystore: string;
  };
  readonly principal: string;
  readonly tenants: readonly ITenant[];
  readonly onSave: OnSave | null;
}

/** A quantum task. */
export interface ITask {
  readonly id: string;
  readonly arn: string;
  readonly tenant: string;
  readonly project: string;
  readonly leaseId: string;
  readonly state: string;
  readonly deviceName: string;
  readonly shots: number;
  readonly qubits: number;
  readonly createdAt: number | null;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly estimateUsd: string;
  readonly costUsd: string;
  readonly durationMs: number | null;
  readonly failureReason: string;
  readonly waiting: readonly { readonly code: string; readonly text: string }[];
  readonly outputUri: string;
}

/** A secret that was found, never the secret itself. */
export interface IFinding {
  readonly id: string;
  readonly foundAt: number | null;
  readonly kernelId: string;
  readonly path: string;
  readonly cell: string;
  readonly cellId: string;
  readonly place: string;
  readonly line: number;
  readonly kind: string;
  readonly preview: string;
  /** Equal for equal secrets of one installation. */
  readonly fingerprint: string;
  readonly action: string;
}

/** Whether nothing more will happen to the task. */
export function hasEnded(task: ITask): boolean {
  return task.state === 'COMPLETED' || task.state === 'FAILED' || task.state === 'CANCELLED';
}

/** A hint from the server's event stream: something changed, read it over REST. */
export interface IHint {
  readonly schema: string;
  readonly kind: string;
  readonly kernelId: string;
  readonly path: string;
  readonly reason: string;
}

/** The answer has no usable shape. */
export class MalformedAnswerError extends Error {
  override readonly name = 'MalformedAnswerError';
}

const EVENT_PREFIX = 'https://schema.jupyter-qsec.org/';

type Fields = Readonly<Record<string, unknown>>;

/** The status of the installation from `GET /jupyter-qsec/status`. */
export function readStatus(answer: unknown): IStatus {
  const fields = record(answer);
  const gateway = record(fields['gateway']);
  const principal = maybeRecord(fields['principal']);
  return {
    version: text(fields['version']),
    gateway: {
      state: oneOf(gateway['state'], ['starting', 'running', 'failed', 'stopped'], 'failed'),
      reason: text(gateway['reason']),
      keystore: text(gateway['keystore'])
    },
    principal: principal ? text(principal['name']) || text(principal['id']) : '',
    tenants: list(fields['tenants']).map(readTenant),
    onSave: readOnSave(fields['on_save'])
  };
}

/** The kernels from `GET /jupyter-qsec/kernels`. */
export function readKernels(answer: unknown): readonly IKernelEntry[] {
  return list(record(answer)['kernels']).map(readKernel);
}

/** One kernel's entry, as the lease and keepalive calls answer it. */
export function readKernel(answer: unknown): IKernelEntry {
  const fields = record(answer);
  const confinement = maybeRecord(fields['confinement']) ?? {};
  const session = maybeRecord(fields['session']) ?? {};
  const lease = maybeRecord(fields['lease']);
  return {
    kernelId: text(fields['kernel_id']),
    name: text(fields['name']),
    path: text(fields['path']),
    lease: lease ? readLease(lease) : null,
    leaseProblem: text(fields['lease_problem']),
    // Anything but the exact word counts as unconfined.
    confined: confinement['state'] === 'confined',
    confinementReasons: list(confinement['reasons']).map(text),
    session: {
      executionState: text(session['execution_state']),
      idleDeadline: time(session['idle_deadline']),
      absoluteDeadline: time(session['absolute_deadline']),
      warned: session['warned'] === true
    }
  };
}

/** The tasks from `GET /jupyter-qsec/tasks`, newest first. */
export function readTasks(answer: unknown): readonly ITask[] {
  return list(record(answer)['tasks']).map(readTask);
}

/** The findings from `GET /jupyter-qsec/findings`, newest first. */
export function readFindings(answer: unknown): readonly IFinding[] {
  return list(record(answer)['findings']).map(entry => {
    const fields = record(entry);
    return {
      id: text(fields['id']),
      foundAt: time(fields['found_at']),
      kernelId: text(fields['kernel_id']),
      path: text(fields['path']),
      cell: text(fields['cell']),
      cellId: text(fields['cell_id']),
      place: text(fields['place']),
      line: count(fields['line']),
      kind: text(fields['kind']),
      preview: text(fields['preview']),
      fingerprint: text(fields['fingerprint']),
      action: text(fields['action'])
    };
  });
}

/** The hint in an event of ours, null for everybody else's events. */
export function readHint(emission: unknown): IHint | null {
  const fields = maybeRecord(emission);
  const id = fields ? text(fields['schema_id']) : '';
  if (!fields || !id.startsWith(EVENT_PREFIX)) {
    return null;
  }
  return {
    schema: id.slice(EVENT_PREFIX.length).split('/')[0] ?? '',
    kind: text(fields['kind']),
    kernelId: text(fields['kernel_id']),
    path: text(fields['path']),
    reason: text(fields['reason'])
  };
}

function readOnSave(value: unknown): OnSave | null {
  return value === undefined ? null : oneOf<OnSave>(value, ['redact', 'refuse', 'warn'], 'warn');
}

function readTenant(answer: unknown): ITenant {
  const fields = record(answer);
  return {
    id: text(fields['id']),
    name: text(fields['name']) || text(fields['id']),
    projects: list(fields['projects']).map(entry => {
      const project = record(entry);
      return { id: text(project['id']), name: text(project['name']) || text(project['id']) };
    })
  };
}

function readLease(fields: Fields): ILease {
  return {
    id: text(fields['id']),
    tenant: text(fields['tenant']),
    project: text(fields['project']),
    state: oneOf(fields['state'], ['active', 'revoked', 'expired'], 'expired'),
    expiresAt: time(fields['expires_at']),
    maxExpiresAt: time(fields['max_expires_at']),
    ttlSeconds: count(fields['ttl_seconds']),
    revokedAt: time(fields['revoked_at']),
    revokedBecause: text(fields['revoked_because'])
  };
}

function readTask(answer: unknown): ITask {
  const fields = record(answer);
  return {
    id: text(fields['id']),
    arn: text(fields['arn']),
    tenant: text(fields['tenant']),
    project: text(fields['project']),
    leaseId: text(fields['lease_id']),
    state: text(fields['state']),
    deviceName: text(fields['device_name']) || text(fields['device_arn']),
    shots: count(fields['shots']),
    qubits: count(fields['qubits']),
    createdAt: time(fields['created_at']),
    startedAt: time(fields['started_at']),
    endedAt: time(fields['ended_at']),
    estimateUsd: text(fields['estimate_usd']),
    costUsd: text(fields['cost_usd']),
    durationMs: typeof fields['duration_ms'] === 'number' ? fields['duration_ms'] : null,
    failureReason: text(fields['failure_reason']),
    waiting: list(fields['waiting']).map(entry => {
      const reason = record(entry);
      return { code: text(reason['code']), text: text(reason['text']) };
    }),
    outputUri: text(fields['output_s3_uri'])
  };
}

function record(value: unknown): Fields {
  const fields = maybeRecord(value);
  if (!fields) {
    throw new MalformedAnswerError('The server answered something that is not an object.');
  }
  return fields;
}

function maybeRecord(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

function count(value: unknown): number {
  const parsed = typeof value === 'string' ? Number(value) : value;
  return typeof parsed === 'number' && Number.isFinite(parsed) ? parsed : 0;
}

function time(value: unknown): number | null {
  const parsed = typeof value === 'string' && value !== '' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(parsed) ? null : parsed;
}

function oneOf<T extends string>(value: unknown, allowed: readonly T[], otherwise: T): T {
  return allowed.find(item => item === value) ?? otherwise;
}
