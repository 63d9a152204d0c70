// @ts-check
/* <map-slider>: maps of one picture in a row of steps, and a slider that goes through them. All are
   here already, so that moving it needs no server.

     slider.configuration = configuration;  // once, before the first value
     slider.value = steps;                  // as often as there are new maps; null: there are none

   Its markup (map-slider.html) stands inside of it. Picture and settings are those of a viewer of
   the page (`value.follows`). What stands for a step elsewhere on the page, with data-step in the
   element `value.marks`, is marked while that step is shown, and goes to it when it is clicked. */

import { closest, part } from "../viewer/dom.js";
import { bytesOf, clamp } from "../viewer/maps.js";
import { OneMap } from "../viewer/one-map.js";

/** @typedef {import("../viewer/schema.js").Configuration} SliderConfiguration */
/** @typedef {import("../viewer/schema.js").Scene} SliderScene */

/**
 * Every step with its map, as `camviz.ui.viewer.map_slider.Steps`.
 *
 * @typedef {object} Steps
 * @property {SliderScene} scene
 * @property {[number, number]} grid
 * @property {[number, number]} stride
 * @property {[number, number]} offset
 * @property {string} name        what the slider is called
 * @property {string[]} labels    of the steps, in their order
 * @property {string[]} texts     a sentence or two on each
 * @property {string} data        base64 of bytes, one map after the other
 * @property {string} follows     id of the viewer whose picture and settings are used
 * @property {string} marks       id of the element in which steps are marked
 */

const SLIDER = "map-slider";

/**
 * The step that is nearest to a number, of so many.
 *
 * @param {number} wanted
 * @param {number} steps
 */
export function nearestStep(wanted, steps) {
  return Number.isFinite(wanted) ? clamp(Math.round(wanted), 0, Math.max(0, steps - 1)) : 0;
}

export class MapSlider extends HTMLElement {
  /** @type {OneMap} */
  #map;
  /** @type {Steps|null} */
  #value = null;
  #bytes = new Uint8Array();
  #at = 0;
  #draws = 0;
  #listeners = new AbortController();
  #observer = new ResizeObserver(() => this.#draw());

  /** How often a map was drawn. */
  get draws() {
    return this.#draws;
  }

  /** @param {SliderConfiguration} configuration */
  set configuration(configuration) {
    this.#map = new OneMap(configuration);
  }

  /** @param {Steps|null} value */
  set value(value) {
    const same = String(value?.labels) === String(this.#value?.labels);
    this.#value = value || null; // gradio has "" for nothing
    this.hidden = !value;
    if (!value) return;
    this.#bytes = bytesOf(value.data);
    const slider = this.#slider;
    slider.max = String(value.labels.length - 1);
    part(this, "name").textContent = value.name;
    part(this, "first").textContent = value.labels[0];
    part(this, "last").textContent = value.labels.at(-1) ?? "";
    this.#goTo(same ? this.#at : 0); // of other weights the same step is shown
  }

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const slider = this.#slider;
    slider.addEventListener("input", () => this.#goTo(slider.valueAsNumber), { signal });
    document.addEventListener("click", event => this.#onClick(event), { signal });
    // A viewer tells of its settings whenever it has a new value, too: its picture may be another.
    document.addEventListener("viewer-settings", event => {
      // The marks may have come behind the maps.
      if (this.#map.follow(event, this.#value?.follows)) this.#goTo(this.#at);
    }, { signal });
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#listeners.abort();
    this.#observer.disconnect();
  }

  get #slider() {
    return /** @type {HTMLInputElement} */ (part(this, "slider"));
  }

  /** What stands for steps elsewhere on the page. @type {HTMLElement[]} */
  get #marks() {
    const id = this.#value?.marks;
    return id ? [...document.querySelectorAll(`#${CSS.escape(id)} [data-step]`)].map(
      mark => /** @type {HTMLElement} */ (mark)) : [];
  }

  /** @param {Event} event */
  #onClick(event) {
    const mark = closest(event.target, "[data-step]");
    if (mark && this.#marks.includes(mark)) this.#goTo(Number(mark.dataset.step));
  }

  /** @param {number} step */
  #goTo(step) {
    const value = this.#value;
    if (!value) return;
    this.#at = nearestStep(step, value.labels.length);
    this.#slider.value = String(this.#at);
    this.#slider.setAttribute("aria-valuetext", value.labels[this.#at]);
    part(this, "text").textContent = value.texts[this.#at];
    for (const mark of this.#marks) {
      mark.classList.toggle("cv-here", Number(mark.dataset.step) === this.#at);
    }
    this.#draw();
  }

  #draw() {
    const value = this.#value;
    const canvas = /** @type {HTMLCanvasElement} */ (part(this, "canvas"));
    if (!value || !this.#map.draw(canvas, value, this.#bytes, this.#at)) return;
    canvas.setAttribute("aria-label", `The map: ${value.labels[this.#at]}`);
    this.#draws += 1;
  }
}

/** Makes <map-slider> known to the browser. */
export function defineMapSlider() {
  if (!customElements.get(SLIDER)) customElements.define(SLIDER, MapSlider);
}
