/**
 * The server's clock as far as the browser can know it. Countdowns compare the server's deadlines with this clock, so a
 * laptop whose own clock is minutes off still counts down correctly.
 */
export class ServerClock {
  constructor(private readonly _local: () => number = Date.now) {}

  /** Milliseconds since the epoch at the server. */
  now(): number {
    return this._local() + this._offset;
  }

  /**
   * Learn from an answer's `Date` header, which has a resolution of one second.
   *
   * @param date - The header, null when the answer has none.
   * @param sentAt - When the request left, on the browser's clock.
   */
  observe(date: string | null, sentAt: number): void {
    const seconds = date === null ? Number.NaN : Date.parse(date);
    const receivedAt = this._local();
    if (Number.isNaN(seconds) || receivedAt - sentAt > SLOWEST_USEFUL_MS) {
      return;
    }
    const offset = seconds + HALF_RESOLUTION_MS - (sentAt + receivedAt) / 2;
    // Within the header's own uncertainty the two clocks agree; following it would make countdowns jitter.
    if (Math.abs(offset - this._offset) > UNCERTAINTY_MS) {
      this._offset = Math.abs(offset) > UNCERTAINTY_MS ? offset : 0;
    }
  }

  private _offset = 0;
}

const HALF_RESOLUTION_MS = 500;
const UNCERTAINTY_MS = 1500;
const SLOWEST_USEFUL_MS = 2000;
