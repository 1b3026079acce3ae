/**
 * Numbers as people read them. Units are symbols and do not change with the language; sentences are built by the caller
 * with its translator.
 */

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** Time that is left, as `4:05` or `1:02:05`; never negative. A started second counts, so 0:00 means over. */
export function countdown(milliseconds: number): string {
  const total = Math.max(0, Math.ceil(milliseconds / SECOND));
  const seconds = String(total % 60).padStart(2, '0');
  const minutes = Math.floor(total / 60) % 60;
  const hours = Math.floor(total / 3600);
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${seconds}` : `${minutes}:${seconds}`;
}

/** How long something took, with two or three significant digits: `350 ms`, `1.4 s`, `2 min 5 s`, `3 h 10 min`. */
export function duration(milliseconds: number): string {
  const value = Math.max(0, milliseconds);
  if (value < SECOND) {
    return `${Math.round(value)} ms`;
  }
  if (value < 10 * SECOND - 50) {
    return `${(value / SECOND).toFixed(1)} s`;
  }
  if (Math.round(value / SECOND) < 60) {
    return `${Math.round(value / SECOND)} s`;
  }
  if (Math.round(value / SECOND) < 3600) {
    const seconds = Math.round(value / SECOND);
    return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  }
  const minutes = Math.round(value / MINUTE);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/**
 * US dollars from the decimal string of the API: at least two digits after the point and all that matter up to six.
 * Digits are never added up or rounded in binary; empty when there is no amount.
 */
export function money(decimal: string): string {
  const match = /^(-?)0*(\d+)(?:\.(\d+))?$/.exec(decimal.trim());
  if (!match) {
    return '';
  }
  const [, sign = '', whole = '0', fraction = ''] = match;
  if (/^0{6}/.test(fraction) && /[1-9]/.test(fraction) && /^0*$/.test(whole)) {
    return `< ${sign}$0.000001`;
  }
  const digits = fraction.slice(0, 6).replace(/0+$/, '').padEnd(2, '0');
  return `${sign}$${whole.replace(/\B(?=(\d{3})+$)/g, ',')}.${digits}`;
}

/** A whole number with its thousands apart. */
export function integer(value: number, locale?: string): string {
  return new Intl.NumberFormat(locale).format(value);
}

/** The time of day to the second, with the date instead of the seconds when it is another day than `now`. */
export function clockTime(time: number, now: number, locale?: string): string {
  const style: Intl.DateTimeFormatOptions = isSameDay(time, now)
    ? { ...TO_THE_MINUTE, second: '2-digit' }
    : { ...THE_DAY, ...TO_THE_MINUTE };
  return new Intl.DateTimeFormat(locale, style).format(time);
}

/** The time of day to the minute, with the date when it is another day than `now`. */
export function clockMinute(time: number, now: number, locale?: string): string {
  const style = isSameDay(time, now) ? TO_THE_MINUTE : { ...THE_DAY, ...TO_THE_MINUTE };
  return new Intl.DateTimeFormat(locale, style).format(time);
}

function isSameDay(one: number, other: number): boolean {
  return new Date(one).toDateString() === new Date(other).toDateString();
}

const THE_DAY: Intl.DateTimeFormatOptions = { month: 'short', day: 'numeric' };
const TO_THE_MINUTE: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };

/** The last part of a path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Steps at which a countdown is spoken, in milliseconds, longest first. */
export const ANNOUNCED: readonly number[] = [10 * MINUTE, 5 * MINUTE, 2 * MINUTE, MINUTE, 30 * SECOND, 10 * SECOND];

/** The step that a countdown has just passed, null when it passed none: what a screen reader should hear now. */
export function announcedStep(before: number | null, now: number): number | null {
  const passed = ANNOUNCED.filter(step => now <= step && (before === null || before > step));
  return passed.length > 0 ? Math.min(...passed) : null;
}

/** The distinct reasons for failed reads as one text, and the time of the oldest state that is still shown. */
export function staleness(
  readings: readonly { readonly problem: string; readonly readAt: number | null }[]
): { readonly problem: string; readonly since: number | null } | null {
  const failed = readings.filter(reading => reading.problem !== '');
  if (failed.length === 0) {
    return null;
  }
  const times = failed.map(reading => reading.readAt).filter(time => time !== null);
  return {
    problem: [...new Set(failed.map(reading => reading.problem))].join(' '),
    since: times.length > 0 ? Math.min(...times) : null
  };
}

/** The deadline that ends a session first. */
export function nextDeadline(
  idle: number | null,
  absolute: number | null
): { readonly at: number; readonly reason: 'idle' | 'absolute' } | null {
  if (idle !== null && (absolute === null || idle <= absolute)) {
    return { at: idle, reason: 'idle' };
  }
  return absolute === null ? null : { at: absolute, reason: 'absolute' };
}

/** How a task spent its time so far, as shares of the whole that add up to 1. */
export interface ITimeline {
  readonly waited: number;
  readonly ran: number;
  readonly waitedMs: number;
  readonly ranMs: number;
}

/** Waiting and running time of a task; null before it exists in time. */
export function timeline(
  task: {
    readonly createdAt: number | null;
    readonly startedAt: number | null;
    readonly endedAt: number | null;
  },
  now: number
): ITimeline | null {
  if (task.createdAt === null) {
    return null;
  }
  const end = Math.max(task.endedAt ?? now, task.createdAt);
  const start = Math.min(Math.max(task.startedAt ?? end, task.createdAt), end);
  const waitedMs = start - task.createdAt;
  const ranMs = end - start;
  const total = waitedMs + ranMs;
  const waited = total === 0 ? (task.startedAt === null ? 1 : 0) : waitedMs / total;
  return { waited, ran: 1 - waited, waitedMs, ranMs };
}
