// @ts-check
/* The pictures that a projector walks through: those that were added, else the examples. */

import { around } from "./walk.js";

const ANSWERED_BY = 15000; // ms after which another picture is no longer waited for

export class PictureWalk {
  #at = -1; // the place of the picture asked for last; -1: none was
  #timer = 0;
  #wait;

  /** @param {(waiting: boolean) => void} wait  called as waiting begins and ends */
  constructor(wait) {
    this.#wait = wait;
  }

  /**
   * Asks for the picture so many places further, around the end.
   *
   * @param {number} step
   */
  turn(step) {
    const all = pictures();
    if (!all.length) return;
    const at = this.#at >= 0 ? this.#at : placeOfPicture(all);
    this.#at = at < 0 ? 0 : around(at, step, all.length);
    this.#wait(true);
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.rest(), ANSWERED_BY);
    all[this.#at].click();
  }

  /** Waits no longer. */
  rest() {
    clearTimeout(this.#timer);
    this.#wait(false);
  }

  /** Begins the next time with the picture that is chosen then. */
  leave() {
    this.rest();
    this.#at = -1;
  }
}

/** What is pressed for another picture. */
function pictures() {
  const find = (/** @type {string} */ css) =>
    /** @type {HTMLElement[]} */ ([...document.querySelectorAll(css)]);
  const added = find("#strip .cv-pick");
  return added.length > 1 ? added : find("#examples button");
}

/** @param {HTMLElement[]} all */
function placeOfPicture(all) {
  const name = new URLSearchParams(location.search).get("example");
  return all.findIndex(one => one.getAttribute("aria-pressed") === "true"
    || (name !== null && one.dataset.label === name));
}
