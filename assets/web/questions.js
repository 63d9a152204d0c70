// @ts-check
/* Questions to the server, and how many of them are under way. */

const ANSWER_PATIENCE = 20_000; // milliseconds

/** Questions whose answers come back by their numbers, in whatever order. */
export class Questions {
  #number = 0;
  /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void}>} */
  #waiting = new Map();
  #send;
  #patience;

  /**
   * @param {(question: object) => void} send  sends a question; its `number` is among its keys
   * @param {number} [patience]  milliseconds
   */
  constructor(send, patience = ANSWER_PATIENCE) {
    this.#send = send;
    this.#patience = patience;
  }

  /**
   * The answer to a question. Fails with a sentence if none comes, or there is none.
   *
   * @param {object} question
   * @returns {Promise<any>}
   */
  ask(question) {
    this.#number += 1;
    const number = this.#number;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(number);
        reject(new Error("No answer came from the server."));
      }, this.#patience);
      const end = () => clearTimeout(timer);
      this.#waiting.set(number, {
        resolve: answer => { end(); resolve(answer); },
        reject: error => { end(); reject(error); },
      });
      this.#send({ ...question, number });
    });
  }

  /**
   * Hands an answer to whoever asked.
   *
   * @param {{number?: number, problem?: string}|null} answer
   */
  take(answer) {
    const asked = this.#waiting.get(answer?.number ?? 0);
    if (!asked || !answer) return;
    this.#waiting.delete(answer.number ?? 0);
    if (answer.problem) asked.reject(new Error(answer.problem));
    else asked.resolve(answer);
  }
}

/**
 * What is wanted may change faster than it comes: one request is under way at a time, and what is
 * wanted when it ends comes next. What was wanted in between is never asked for.
 *
 * @template T
 */
export class Newest {
  /** @type {T|null} */
  #wanted = null;
  #busy = false;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  #get;
  #pause;

  /**
   * @param {(wanted: T) => Promise<void>} get  does not fail
   * @param {number} pause  milliseconds for which something must be wanted before it is got
   */
  constructor(get, pause) {
    this.#get = get;
    this.#pause = pause;
  }

  /** @param {T|null} wanted  null: nothing is wanted any more */
  want(wanted) {
    this.#wanted = wanted;
    clearTimeout(this.#timer);
    if (wanted !== null && !this.#busy) {
      this.#timer = setTimeout(() => this.#next(), this.#pause);
    }
  }

  async #next() {
    while (this.#wanted !== null) {
      const wanted = this.#wanted;
      this.#wanted = null;
      this.#busy = true;
      await this.#get(wanted);
      this.#busy = false;
    }
  }
}
