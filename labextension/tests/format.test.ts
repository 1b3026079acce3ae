import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  announcedStep,
  ANNOUNCED,
  baseName,
  clockMinute,
  clockTime,
  countdown,
  duration,
  money,
  nextDeadline,
  staleness,
  timeline
} from '../src/format';

test('a countdown shows the started second and ends at zero', () => {
  assert.equal(countdown(252_000), '4:12');
  assert.equal(countdown(251_001), '4:12');
  assert.equal(countdown(1), '0:01');
  assert.equal(countdown(0), '0:00');
  assert.equal(countdown(-5000), '0:00');
  assert.equal(countdown(3_725_000), '1:02:05');
});

test('durations carry two or three significant digits', () => {
  const expected: readonly [number, string][] = [
    [0, '0 ms'],
    [349.6, '350 ms'],
    [1400, '1.4 s'],
    [9949, '9.9 s'],
    [9960, '10 s'],
    [59_400, '59 s'],
    [59_600, '1 min 0 s'],
    [125_000, '2 min 5 s'],
    [3_599_700, '1 h 0 min'],
    [11_400_000, '3 h 10 min']
  ];
  for (const [value, text] of expected) {
    assert.equal(duration(value), text);
  }
});

test('money keeps the digits it came with and never rounds up a small amount to nothing', () => {
  assert.equal(money('0.00375'), '$0.00375');
  assert.equal(money('12'), '$12.00');
  assert.equal(money('0.30'), '$0.30');
  assert.equal(money('1234567.5'), '$1,234,567.50');
  assert.equal(money('0.0000004'), '< $0.000001');
  assert.equal(money('9007199254740993.01'), '$9,007,199,254,740,993.01');
  assert.equal(money(''), '');
  assert.equal(money('free'), '');
});

test('a time of another day says which day', () => {
  const noon = new Date(2030, 4, 4, 12, 0, 0).getTime();
  assert.equal(clockTime(noon, noon, 'en-GB'), '12:00:00');
  assert.match(clockTime(noon - 86_400_000, noon, 'en-GB'), /3 May/);
  assert.equal(clockMinute(noon + 11 * 3_600_000, noon, 'en-GB'), '23:00');
  assert.match(clockMinute(noon + 13 * 3_600_000, noon, 'en-GB'), /5 May.*01:00/);
  assert.match(clockMinute(noon + 30 * 3_600_000, noon, 'en-GB'), /5 May/);
});

test('a countdown is spoken once per step and not every second', () => {
  const spoken: number[] = [];
  let before: number | null = null;
  for (let left = 700_000; left >= 0; left -= 1000) {
    const step = announcedStep(before, left);
    if (step !== null) {
      spoken.push(step);
    }
    before = left;
  }
  assert.deepEqual(spoken, [...ANNOUNCED]);
});

test('a countdown that begins late is spoken at once, with its nearest step', () => {
  assert.equal(announcedStep(null, 45_000), 60_000);
  assert.equal(announcedStep(45_000, 44_000), null);
});

test('the earlier deadline ends the session', () => {
  assert.deepEqual(nextDeadline(5, 9), { at: 5, reason: 'idle' });
  assert.deepEqual(nextDeadline(9, 5), { at: 5, reason: 'absolute' });
  assert.deepEqual(nextDeadline(null, 5), { at: 5, reason: 'absolute' });
  assert.equal(nextDeadline(null, null), null);
});

test('a timeline divides the time of a task into waiting and running', () => {
  const shares = timeline({ createdAt: 0, startedAt: 1000, endedAt: 4000 }, 99_999);
  assert.deepEqual(shares, { waited: 0.25, ran: 0.75, waitedMs: 1000, ranMs: 3000 });
  assert.equal(timeline({ createdAt: 0, startedAt: null, endedAt: null }, 500)?.waited, 1);
  assert.equal(timeline({ createdAt: null, startedAt: null, endedAt: null }, 500), null);
});

test('a timeline stays within bounds when the clocks disagree', () => {
  const shares = timeline({ createdAt: 1000, startedAt: 900, endedAt: null }, 500);
  assert.deepEqual(shares, { waited: 0, ran: 1, waitedMs: 0, ranMs: 0 });
});

test('equal reasons for failed reads are said once, with the oldest state', () => {
  assert.equal(staleness([{ problem: '', readAt: 3 }]), null);
  const failed = [
    { problem: 'Away.', readAt: 7 },
    { problem: 'Away.', readAt: 5 },
    { problem: '', readAt: 1 }
  ];
  assert.deepEqual(staleness(failed), { problem: 'Away.', since: 5 });
  assert.deepEqual(staleness([{ problem: 'Away.', readAt: null }]), { problem: 'Away.', since: null });
});

test('the last part of a path is its name', () => {
  assert.equal(baseName('a/b/c.ipynb'), 'c.ipynb');
  assert.equal(baseName('c.ipynb'), 'c.ipynb');
});
