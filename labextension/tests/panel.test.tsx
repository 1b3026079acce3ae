import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandRegistry } from '@lumino/commands';
import { renderToStaticMarkup } from 'react-dom/server';
import { ServerClock } from '../src/clock';
import { PanelProvider, StaleNote } from '../src/components/common';
import { FindingsSection } from '../src/components/findings';
import { SessionSection } from '../src/components/session';
import { TasksSection } from '../src/components/tasks';
import { QsecModel } from '../src/model';
import { readFindings, readKernel, readTasks } from '../src/wire';
import { after, FakeApi, kernelAnswer, leaseAnswer, NOON, taskAnswer, trans } from './support';

/** The panel's markup over an API, at noon, with the kernel `k1` in focus unless told otherwise. */
async function markup(api: FakeApi, focus: { kernelId: string; path: string } | null = FOCUS): Promise<string> {
  const model = new QsecModel({ api, interval: 1000, now: () => NOON });
  model.follow(focus);
  await model.refresh();
  const commands = { isEnabled: () => true, caption: () => '' } as unknown as CommandRegistry;
  const clock = new ServerClock(() => NOON);
  const html = renderToStaticMarkup(
    <PanelProvider value={{ model, commands, clock, trans, reveal: () => Promise.resolve() }}>
      <StaleNote />
      <SessionSection />
      <TasksSection />
      <FindingsSection />
    </PanelProvider>
  );
  model.dispose();
  return html;
}

const FOCUS = { kernelId: 'k1', path: 'work/bell.ipynb' };

test('an active lease shows tenant, project and the time that is left', async () => {
  const html = await markup(new FakeApi());
  assert.match(html, /sandbox/);
  assert.match(html, /<time[^>]*>4:05<\/time>/);
  assert.match(html, />confined</);
  assert.doesNotMatch(html, /unconfined/);
});

test('a revoked lease says why and offers a new one', async () => {
  const api = new FakeApi();
  const lease = leaseAnswer({ state: 'revoked', revoked_at: after(-60), revoked_because: 'by ada' });
  api.kernelEntries = [readKernel(kernelAnswer('k1', { lease }))];
  const html = await markup(api);
  assert.match(html, /by ada/);
  assert.match(html, /New lease/);
  assert.doesNotMatch(html, /4:05/);
});

test('a kernel without a lease says what the matter is', async () => {
  const api = new FakeApi();
  api.kernelEntries = [readKernel(kernelAnswer('k1', { lease: null, lease_problem: 'No gateway answers.' }))];
  assert.match(await markup(api), /no lease.*No gateway answers\./s);
});

test('an unconfined kernel names each reason', async () => {
  const api = new FakeApi();
  const confinement = { state: 'unconfined', reasons: ['Landlock is missing.', 'The keyring answers.'] };
  api.kernelEntries = [readKernel(kernelAnswer('k1', { confinement }))];
  const html = await markup(api);
  assert.match(html, />unconfined</);
  assert.match(html, /<li>Landlock is missing\.<\/li><li>The keyring answers\.<\/li>/);
});

test('a warned session shows a banner and speaks a step of the countdown, not each second', async () => {
  const api = new FakeApi();
  const session = { execution_state: 'idle', idle_deadline: after(95), absolute_deadline: after(9000), warned: true };
  api.kernelEntries = [readKernel(kernelAnswer('k1', { session }))];
  const html = await markup(api);
  assert.match(html, /This session ends in 1:35/);
  assert.match(html, /aria-live="assertive">This session ends in 2 min 0 s\.</);
  assert.match(html, /Keep working/);
});

test('a session at its absolute limit cannot be kept by working', async () => {
  const api = new FakeApi();
  const session = { execution_state: 'idle', idle_deadline: after(900), absolute_deadline: after(60), warned: true };
  api.kernelEntries = [readKernel(kernelAnswer('k1', { session }))];
  const html = await markup(api);
  assert.match(html, /This session ends in 1:00/);
  assert.doesNotMatch(html, /Keep working/);
});

test('a task shows its state, shots, cost, why it waits, and can be cancelled until it ended', async () => {
  const api = new FakeApi();
  const waiting = [{ code: 'tenant-concurrency', text: 'sandbox runs 4 of 4 tasks' }];
  const open = { state: 'QUEUED', started_at: null, ended_at: null, waiting };
  api.taskList = readTasks({ tasks: [taskAnswer(open)] });
  const html = await markup(api);
  assert.match(html, /queued/);
  assert.match(html, /1,000 shots/);
  assert.match(html, /≈ \$0\.00375/);
  assert.match(html, /sandbox runs 4 of 4 tasks/);
  assert.match(html, /Cancel task/);
  api.taskList = readTasks({ tasks: [taskAnswer({ cost_usd: '0.0045' })] });
  const ended = await markup(api);
  assert.match(ended, /completed/);
  assert.match(ended, /\$0\.0045/);
  assert.match(ended, /aria-label="1\.0 s waiting, 2\.0 s running"/);
  assert.doesNotMatch(ended, /Cancel task/);
});

test('findings of the notebook in front come first, with a way to their cell', async () => {
  const api = new FakeApi();
  const finding = { found_at: after(-5), place: 'output', line: 2, kind: 'jwt', preview: 'eyJ…', action: 'redacted' };
  api.findingList = readFindings({
    findings: [
      { id: 'a', path: 'elsewhere.ipynb', cell_id: 'c1', ...finding },
      { id: 'b', path: 'work/bell.ipynb', cell_id: 'c2', ...finding }
    ]
  });
  const html = await markup(api);
  assert.ok(html.indexOf('data-finding-id="b"') < html.indexOf('data-finding-id="a"'));
  assert.match(html, /aria-label="Jump to it: jwt, output, line 2"/);
});

test('the same secret met again with each save is one entry, the newest', async () => {
  const api = new FakeApi();
  const finding = { path: 'work/bell.ipynb', cell_id: 'c1', place: 'source', line: 1, kind: 'jwt', action: 'redacted' };
  api.findingList = readFindings({
    findings: [
      { id: 'new', fingerprint: 'f1', cell: '3', ...finding },
      { id: 'old', fingerprint: 'f1', cell: '2', ...finding },
      { id: 'other', fingerprint: 'f2', cell: '2', ...finding }
    ]
  });
  const html = await markup(api);
  assert.match(html, /data-finding-id="new".*×2.*data-finding-id="other"/s);
  assert.doesNotMatch(html, /data-finding-id="old"/);
});

test('what the server says is text, never markup', async () => {
  const api = new FakeApi();
  const kind = '<img src=x onerror=alert(1)>';
  api.findingList = readFindings({ findings: [{ id: 'a', path: kind, kind, preview: kind, place: kind, cell: '0' }] });
  api.taskList = readTasks({ tasks: [taskAnswer({ failure_reason: kind, device_name: kind })] });
  assert.doesNotMatch(await markup(api), /<img/);
});

test('state that could not be read again is marked, not dropped', async () => {
  const api = new FakeApi();
  api.failing = { kernels: 'The server is away.' };
  const html = await markup(api);
  assert.match(html, /Could not be read: The server is away\./);
  assert.match(html, /stale/);
  assert.match(html, /Retry/);
  assert.match(html, /SV1/);
});

test('the trouble of a gateway that is away is told once, and nothing offers what needs it', async () => {
  const api = new FakeApi();
  const reason = 'The state directory is open to others.';
  api.gateway = { state: 'failed', reason };
  api.failing = { tasks: reason };
  api.kernelEntries = [readKernel(kernelAnswer('k1', { lease: null, lease_problem: reason }))];
  const html = await markup(api);
  assert.equal(html.split(reason).length, 2);
  assert.doesNotMatch(html, /Could not be read|Reading the tasks|stale|jp-mod-accent/);
  assert.match(html, /no lease.*It comes with the gateway/s);
  assert.match(html, /The tasks come back as soon as the gateway runs\./);
  assert.match(html, /the record of the findings comes back with it\./);
});

test('what else fails while the gateway is away is still told', async () => {
  const api = new FakeApi();
  api.gateway = { state: 'failed', reason: 'Broken.' };
  api.failing = { tasks: 'Broken.', kernels: 'The server is away.' };
  assert.match(await markup(api), /Could not be read: The server is away\./);
});

test('without a notebook the panel explains itself', async () => {
  assert.match(await markup(new FakeApi(), null), /Open a notebook/);
  assert.match(await markup(new FakeApi(), { kernelId: '', path: 'a.ipynb' }), /has no kernel/);
});
