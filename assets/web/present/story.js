// @ts-check
/* How it works on a projector: the step that is open fills the screen, and keys walk the steps. */

import { closest, part } from "../viewer/dom.js";
import { focusWhenSeen } from "./focus.js";
import { PictureWalk } from "./pictures.js";
import { actionOfKey } from "./walk.js";

/** @typedef {import("../steps/story-walk.js").StoryWalk} StoryWalk */

const FIELDS_WITH_ARROWS = "input, select";

export class StoryProjector {
  #walk;
  #onClose;
  #pictures;
  /** What had the keyboard before. @type {Element|null} */
  #before = null;
  #listeners = new AbortController();
  // Another view, or no story any more: the page must not stay hidden under nothing.
  #observer = new ResizeObserver(() => {
    if (!this.#walk.checkVisibility()) this.#close();
  });

  /**
   * @param {StoryWalk} walk
   * @param {() => void} onClose
   */
  constructor(walk, onClose) {
    this.#walk = walk;
    this.#onClose = onClose;
    this.#pictures = new PictureWalk(waiting => walk.toggleAttribute("data-busy", waiting));
  }

  show() {
    const walk = this.#walk;
    this.#before = document.activeElement;
    walk.popover = "manual";
    walk.showPopover();
    this.#keys.hidden = false;
    this.#hide(false);
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    // Before any other listener: no key of the page under it.
    document.addEventListener("keydown", event => this.#onKey(event), { signal, capture: true });
    this.#keys.addEventListener("click", event => {
      const name = closest(event.target, "button")?.dataset.do;
      if (name) this.#act(name);
    }, { signal });
    walk.addEventListener("step-shown", () => this.#pictures.rest(), { signal });
    this.#observer.observe(walk);
    part(walk, "next").focus();
  }

  get #keys() {
    return part(this.#walk, "keys");
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const own = closest(event.target, FIELDS_WITH_ARROWS) && /^(Arrow|Page)/.test(event.key);
    const name = own ? undefined : actionOfKey(event.key);
    event.stopPropagation();
    if (!name) return;
    event.preventDefault();
    this.#act(name);
  }

  /** @param {string} name */
  #act(name) {
    if (name === "leave") this.#close();
    else if (name === "before") this.#walk.turn(-1);
    else if (name === "after") this.#walk.turn(1);
    else if (name === "up") this.#pictures.turn(-1);
    else if (name === "down") this.#pictures.turn(1);
    else if (name === "hide") this.#hide(!this.#walk.hasAttribute("data-hiding"));
  }

  /** @param {boolean} hiding */
  #hide(hiding) {
    this.#walk.toggleAttribute("data-hiding", hiding);
    const button = this.#keys.querySelector("[data-do=hide]");
    button?.setAttribute("aria-pressed", String(hiding));
  }

  #close() {
    this.#listeners.abort();
    this.#observer.disconnect();
    this.#pictures.leave();
    this.#hide(false);
    this.#keys.hidden = true;
    this.#walk.hidePopover();
    this.#walk.popover = null;
    this.#onClose();
    focusWhenSeen(this.#before);
  }
}
