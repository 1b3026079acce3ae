import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServerClock } from '../src/clock';
import {
  MalformedAnswerError,
  readFindings,
  readHint,
  readKernel,
  readKernels,
  readStatus,
  readTasks
} from '../src/wire';
import { after, kernelAnswer, leaseAnswer, NOON, taskAnswer } from './support';

test('a kernel entry carries its lease with times in milliseconds', () => {
  const entry = readKernel(kernelAnswer());
  assert.equal(entry.lease?.expiresAt, NOON + 245_000);
  assert.equal(entry.lease.state, 'active');
  assert.equal(entry.session.idleDeadline, NOON + 1_800_000);
  assert.equal(entry.confined, true);
});

test('anything but the word "confined" counts as unconfined', () => {
  for (const confinement of [undefined, null, {}, { state: 'Confined' }, { state: 'unconfined' }, 'confined']) {
    assert.equal(readKernel(kernelAnswer('k1', { confinement })).confined, false);
  }
});

test('an unknown lease state never counts as active', () => {
  assert.equal(readKernel(kernelAnswer('k1', { lease: leaseAnswer({ state: 'ACTIVE!' }) })).lease?.state, 'expired');
});

test('missing fields take neutral values', () => {
  const entry = readKernel({ kernel_id: 'k' });
  assert.equal(entry.lease, null);
  assert.equal(entry.session.warned, false);
  assert.equal(entry.session.idleDeadline, null);
  const status = readStatus({ gateway: {} });
  assert.equal(status.gateway.state, 'failed');
  assert.equal(status.onSave, null);
});

test('an answer of the wrong shape is an error of its own', () => {
  for (const answer of [null, 'text', 7, []]) {
    assert.throws(() => readKernels(answer), MalformedAnswerError);
    assert.throws(() => readTasks(answer), MalformedAnswerError);
  }
  assert.throws(() => readTasks({ tasks: ['text'] }), MalformedAnswerError);
});

test('tasks keep their money as text', () => {
  const [task] = readTasks({ tasks: [taskAnswer({ estimate_usd: '0.30', cost_usd: null })] });
  assert.equal(task?.estimateUsd, '0.30');
  assert.equal(task.costUsd, '');
});

test('findings accept cells as numbers and as text', () => {
  const [one, two] = readFindings({
    findings: [
      { id: 1, cell: 3 },
      { id: '2', cell: '3' }
    ]
  });
  assert.equal(one?.cell, '3');
  assert.equal(two?.cell, '3');
});

test('only events of our schemas are hints', () => {
  const hint = readHint({
    schema_id: 'https://schema.jupyter-qsec.org/session/v1',
    kind: 'warned',
    kernel_id: 'k1',
    path: 'a.ipynb',
    reason: 'idle',
    deadline: after(60)
  });
  assert.deepEqual(hint, { schema: 'session', kind: 'warned', kernelId: 'k1', path: 'a.ipynb', reason: 'idle' });
  assert.equal(readHint({ schema_id: 'https://events.jupyter.org/jupyter_server/kernel_actions/v1' }), null);
  assert.equal(readHint('text'), null);
});

test('the server’s clock is followed when it differs by more than the header can tell', () => {
  let local = NOON;
  const clock = new ServerClock(() => local);
  clock.observe(new Date(NOON).toUTCString(), local);
  assert.equal(clock.now(), NOON);
  clock.observe(new Date(NOON + 90_000).toUTCString(), local);
  assert.equal(clock.now(), NOON + 90_500);
  local += 10_000;
  clock.observe(new Date(NOON + 100_000).toUTCString(), local);
  assert.equal(clock.now(), NOON + 100_500);
});

test('a slow or missing answer does not move the clock', () => {
  const clock = new ServerClock(() => NOON);
  clock.observe(new Date(NOON + 90_000).toUTCString(), NOON - 5000);
  clock.observe(null, NOON);
  clock.observe('yesterday', NOON);
  assert.equal(clock.now(), NOON);
});
