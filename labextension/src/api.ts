import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { ServerClock } from './clock';
import {
  type IFinding,
  type IKernelEntry,
  type IStatus,
  type ITask,
  readFindings,
  readKernel,
  readKernels,
  readStatus,
  readTasks
} from './wire';

/** What the lease of a kernel can be asked to do. */
export type LeaseAction =
  | { readonly action: 'renew' | 'revoke' }
  | { readonly action: 'new'; readonly tenant?: string; readonly project?: string };

/** The server extension's REST API. */
export interface IQsecApi {
  status(): Promise<IStatus>;
  kernels(): Promise<readonly IKernelEntry[]>;
  tasks(limit: number): Promise<readonly ITask[]>;
  findings(limit: number): Promise<readonly IFinding[]>;
  lease(kernelId: string, action: LeaseAction): Promise<IKernelEntry>;
  keepAlive(kernelId: string): Promise<IKernelEntry>;
  cancelTask(taskId: string): Promise<void>;
}

/** A refused call. The message is written for people, with the remedy when the server names one. */
export class QsecApiError extends Error {
  override readonly name = 'QsecApiError';

  constructor(
    message: string,
    readonly status: number,
    /** Where to log in, when that is what is missing. */
    readonly loginUrl: string = ''
  ) {
    super(message);
  }
}

/** Calls the REST API with the connection settings of the application. */
export class QsecApi implements IQsecApi {
  constructor(
    private readonly _settings: ServerConnection.ISettings,
    private readonly _clock: ServerClock
  ) {}

  async status(): Promise<IStatus> {
    return readStatus(await this._request('GET', ['status']));
  }

  async kernels(): Promise<readonly IKernelEntry[]> {
    return readKernels(await this._request('GET', ['kernels']));
  }

  async tasks(limit: number): Promise<readonly ITask[]> {
    return readTasks(await this._request('GET', ['tasks'], { limit }));
  }

  async findings(limit: number): Promise<readonly IFinding[]> {
    return readFindings(await this._request('GET', ['findings'], { limit }));
  }

  async lease(kernelId: string, action: LeaseAction): Promise<IKernelEntry> {
    return readKernel(await this._request('POST', ['kernels', kernelId, 'lease'], {}, action));
  }

  async keepAlive(kernelId: string): Promise<IKernelEntry> {
    return readKernel(await this._request('POST', ['kernels', kernelId, 'keepalive'], {}, {}));
  }

  async cancelTask(taskId: string): Promise<void> {
    await this._request('POST', ['tasks', taskId, 'cancel'], {}, {});
  }

  private async _request(
    method: 'GET' | 'POST',
    path: readonly string[],
    query: Readonly<Record<string, number>> = {},
    body?: unknown
  ): Promise<unknown> {
    const parts = path.map(part => encodeURIComponent(part));
    const search = Object.keys(query).length > 0 ? URLExt.objectToQueryString(query) : '';
    const url = URLExt.join(this._settings.baseUrl, 'jupyter-qsec', ...parts) + search;
    const init: RequestInit = body === undefined ? { method } : { method, body: JSON.stringify(body) };
    const sentAt = Date.now();
    const response = await ServerConnection.makeRequest(url, init, this._settings);
    this._clock.observe(response.headers.get('Date'), sentAt);
    const answer = parsed(await response.text());
    if (!response.ok) {
      throw new QsecApiError(refusal(answer, response), response.status, loginUrl(answer));
    }
    return answer;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // A proxy's error page or an empty body; the status code tells the rest.
    return null;
  }
}

/** One sentence from problem details (RFC 9457) or from Jupyter Server's own error shape. */
function refusal(answer: unknown, response: Response): string {
  const fields = (typeof answer === 'object' && answer !== null ? answer : {}) as Record<string, unknown>;
  const said = ['detail', 'message', 'title'].map(name => fields[name]).find(isText);
  const what = said ?? `${response.status} ${response.statusText}`.trim();
  const remedy = fields['remedy'];
  return isText(remedy) && !what.includes(remedy) ? `${what} ${remedy}` : what;
}

/** The page to log in at that an answer names; only addresses that a browser opens as pages. */
function loginUrl(answer: unknown): string {
  const named = (answer as { login_url?: unknown } | null)?.login_url;
  if (!isText(named) || !URL.canParse(named, window.location.href)) {
    return '';
  }
  const url = new URL(named, window.location.href);
  return ['http:', 'https:'].includes(url.protocol) ? url.href : '';
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== '';
}
