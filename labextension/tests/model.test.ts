import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QsecModel } from '../src/model';
import { readKernel, readTasks } from '../src/wire';
import { FakeApi, kernelAnswer, leaseAnswer, NOON, taskAnswer } from './support';

/** A model that reads only when told to, focused on the kernel `k1`. */
function modelOver(api: FakeApi): QsecModel {
  const model = new QsecModel({ api, interval: 1000, now: () => NOON, standby: 'never' });
  model.follow({ kernelId: 'k1', path: 'work/bell.ipynb' });
  return model;
}

const SESSION_ENDED = { schema: 'session', kind: 'ended', kernelId: 'k1', path: 'work/bell.ipynb', reason: 'idle' };

test('after a read the model knows the lease of the kernel in focus', async () => {
  const model = modelOver(new FakeApi());
  await model.refresh();
  assert.equal(model.kernel?.lease?.tenant, 'sandbox');
  assert.equal(model.snapshot.kernels.readAt, NOON);
  model.follow({ kernelId: 'other', path: 'x.ipynb' });
  assert.equal(model.kernel, null);
  model.dispose();
});

test('a failed read keeps what was known and says why', async () => {
  const api = new FakeApi();
  const model = modelOver(api);
  await model.refresh();
  api.failing = { tasks: 'The gateway does not answer.' };
  api.taskList = [];
  await model.refresh();
  const { tasks, kernels } = model.snapshot;
  assert.equal(tasks.problem, 'The gateway does not answer.');
  assert.equal(tasks.data.length, 1);
  assert.equal(tasks.readAt, NOON);
  assert.equal(kernels.problem, '');
  api.failing = {};
  await model.refresh();
  assert.equal(model.snapshot.tasks.problem, '');
  assert.equal(model.snapshot.tasks.data.length, 0);
  model.dispose();
});

test('an action shows as pending, then its answer shows at once', async () => {
  const api = new FakeApi();
  const model = modelOver(api);
  await model.refresh();
  const revoked = model.changeLease('k1', { action: 'revoke' });
  assert.equal(model.pending('k1'), true);
  await revoked;
  assert.equal(model.pending('k1'), false);
  assert.equal(model.kernel?.lease?.state, 'revoked');
  assert.deepEqual(api.calls, ['revoke k1']);
  model.dispose();
});

test('a read that began before an action never brings the old lease back', async () => {
  const api = new FakeApi();
  const model = modelOver(api);
  await model.refresh();
  let open: () => void = () => undefined;
  api.gate = new Promise(resolve => {
    open = resolve;
  });
  const slow = model.refresh();
  await model.changeLease('k1', { action: 'revoke' });
  assert.equal(model.kernel?.lease?.state, 'revoked');
  api.gate = null;
  open();
  await slow;
  assert.equal(model.kernel.lease.state, 'revoked');
  model.dispose();
});

test('a refused action reaches the caller and is no longer pending', async () => {
  const api = new FakeApi();
  api.failing = { action: 'The lease is revoked already.' };
  const model = modelOver(api);
  await assert.rejects(model.changeLease('k1', { action: 'renew' }), /revoked already/);
  assert.equal(model.pending('k1'), false);
  model.dispose();
});

test('when nothing is under way reads are rarer, until something is again', async () => {
  const api = new FakeApi();
  let now = NOON;
  const model = new QsecModel({ api, interval: 1000, now: () => now, standby: 'never' });
  const running = api.taskList;
  api.taskList = readTasks({ tasks: [taskAnswer({ state: 'COMPLETED' })] });
  await model.refresh();
  assert.equal(model.interval, 1000);
  now += 30_001;
  await model.refresh();
  assert.equal(model.interval, 5000);
  model.interval = 2000;
  assert.equal(model.interval, 10_000);

  let reads = 0;
  const kernels = api.kernels.bind(api);
  api.kernels = () => {
    reads += 1;
    return kernels();
  };
  model.wake();
  assert.equal(model.interval, 2000);
  await model.refresh();
  assert.ok(reads >= 1, 'what woke it is looked at at once');
  now += 30_001;
  api.taskList = running.map(task => ({ ...task, state: 'RUNNING' }));
  await model.refresh();
  assert.equal(model.interval, 2000, 'a task that runs is followed');
  now += 30_001;
  api.taskList = [];
  await model.refresh();
  await model.refresh();
  assert.equal(model.interval, 10_000);
  await model.changeLease('k1', { action: 'renew' });
  await model.refresh();
  assert.equal(model.interval, 2000, 'so is what somebody does');
  model.dispose();
});

test('calls during a read share one further read', async () => {
  const api = new FakeApi();
  const model = modelOver(api);
  await model.refresh();
  let reads = 0;
  const kernels = api.kernels.bind(api);
  api.kernels = () => {
    reads += 1;
    return kernels();
  };
  await Promise.all([model.refresh(), model.refresh(), model.refresh(), model.refresh()]);
  assert.equal(reads, 2);
  model.dispose();
});

test('a warning is signalled once, and again only after the session was resumed', async () => {
  const api = new FakeApi();
  const model = modelOver(api);
  const warned: string[] = [];
  model.warned.connect((_, kernel) => {
    warned.push(kernel.kernelId);
  });
  const session = { execution_state: 'idle', idle_deadline: null, absolute_deadline: null };
  const entry = (isWarned: boolean) => readKernel(kernelAnswer('k1', { session: { ...session, warned: isWarned } }));
  for (const isWarned of [true, true, false, true]) {
    api.kernelEntries = [entry(isWarned)];
    await model.refresh();
  }
  assert.deepEqual(warned, ['k1', 'k1']);
  model.dispose();
});

test('the end of a relay is told, and of nothing else', async () => {
  const model = modelOver(new FakeApi());
  const told: string[] = [];
  model.relayEnded.connect((_, hint) => {
    told.push(hint.path);
  });
  const hint = { schema: 'kernel', kind: 'relay-ended', kernelId: 'k1', path: 'work/bell.ipynb', reason: '' };
  await model.onHint({ ...hint, kind: 'other' });
  await model.onHint({ ...hint, schema: 'finding' });
  assert.deepEqual(told, []);
  await model.onHint(hint);
  assert.deepEqual(told, ['work/bell.ipynb']);
  model.dispose();
});

test('the end of a session is believed only when the server’s state agrees', async () => {
  const api = new FakeApi();
  const model = modelOver(api);
  let ended = 0;
  model.ended.connect(() => {
    ended += 1;
  });
  await model.onHint(SESSION_ENDED);
  assert.equal(ended, 0, 'a forged event about a living session is ignored');
  api.kernelEntries = [];
  await model.onHint(SESSION_ENDED);
  assert.equal(ended, 1);
  api.kernelEntries = [readKernel(kernelAnswer('k1', { lease: leaseAnswer({ state: 'revoked' }) }))];
  await model.onHint(SESSION_ENDED);
  assert.equal(ended, 2);
  model.dispose();
});

test('polling goes on after failures and recovers', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const api = new FakeApi();
  api.failing = { status: 'Away.' };
  const model = modelOver(api);
  await model.start();
  const settle = async () => {
    for (let turn = 0; turn < 50; turn += 1) {
      await Promise.resolve();
    }
  };
  await settle();
  t.mock.timers.tick(10);
  await settle();
  assert.equal(model.snapshot.status.problem, 'Away.');
  api.failing = {};
  t.mock.timers.tick(40_000);
  await settle();
  assert.equal(model.snapshot.status.problem, '');
  model.dispose();
});

test('a disposed model neither reads nor signals', async () => {
  const api = new FakeApi();
  const model = modelOver(api);
  await model.refresh();
  let changes = 0;
  model.changed.connect(() => {
    changes += 1;
  });
  model.dispose();
  await model.refresh();
  assert.equal(changes, 0);
});
