// @ts-check
/* How often a camera is looked at: two frames are under way at most, one on its way while the
   network has the other, and the newest is sent next. Pure, so that tests need no browser. */

export const LEAST_PAUSE = 90; // ms between two frames: no more than eleven a second
export const GIVEN_UP = 3000; // ms after which an answer is no longer waited for
export const MOST_UNDER_WAY = 2;
const REMEMBERED = 30; // answers that the figures are of

export class Pace {
  #number = 0;
  #sentAt = -Infinity;
  /** When each frame was sent that is under way, by its number. @type {Map<number, number>} */
  #waiting = new Map();
  /** When each answer came, and how long after its frame was taken. @type {[number, number][]} */
  #answers = [];

  /**
   * Whether a frame may be sent now.
   *
   * @param {number} now  ms
   */
  isFree(now) {
    for (const [number, sentAt] of this.#waiting) {
      if (now - sentAt >= GIVEN_UP) this.#waiting.delete(number);
    }
    return now - this.#sentAt >= LEAST_PAUSE && this.#waiting.size < MOST_UNDER_WAY;
  }

  /**
   * Counts a frame that is sent; returns its number.
   *
   * @param {number} now
   */
  send(now) {
    this.#sentAt = now;
    this.#waiting.set(++this.#number, now);
    return this.#number;
  }

  /**
   * Counts an answer; returns whether it is that to a frame under way. Earlier frames are not
   * waited for any more.
   *
   * @param {number} number
   * @param {number} now
   */
  answer(number, now) {
    const sentAt = this.#waiting.get(number);
    if (sentAt === undefined) return false;
    for (const earlier of this.#waiting.keys()) {
      if (earlier <= number) this.#waiting.delete(earlier);
    }
    this.#answers.push([now, now - sentAt]);
    if (this.#answers.length > REMEMBERED) this.#answers.shift();
    return true;
  }

  /** How many were answered in all that are remembered, frames a second, and the median ms. */
  get figures() {
    const count = this.#answers.length;
    if (count < 2) return { count, rate: 0, latency: count ? this.#answers[0][1] : 0 };
    const took = this.#answers[count - 1][0] - this.#answers[0][0];
    const sorted = this.#answers.map(([, latency]) => latency).sort((a, b) => a - b);
    return {
      count,
      rate: took ? (count - 1) / took * 1000 : 0,
      latency: sorted[Math.floor(count / 2)],
    };
  }
}
