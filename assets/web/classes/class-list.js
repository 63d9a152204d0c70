// @ts-check
/* <class-list>: the classes of a network, and the map of the one that is pointed at. All maps are
   here already, so that following the pointer or the keyboard needs no server.

     list.configuration = configuration;  // once, before the first value
     list.value = classes;                // as often as there are new maps; null: there are none

   Its markup (class-list.html) stands inside of it. Picture and settings are those of a map viewer
   on the page (`value.follows`). The list is one stop for the Tab key: arrows, Page and Home go
   through it. A class that is pointed at is shown while the pointer is there; one that was clicked,
   tapped or reached by keyboard stays.

   Event
     class-chosen   {label}: this class is to be explained */

import { closest, make, part } from "../viewer/dom.js";
import { bytesOf, clamp } from "../viewer/maps.js";
import { OneMap } from "../viewer/one-map.js";
import { digits } from "../viewer/text.js";

/** @typedef {import("../viewer/schema.js").Configuration} Configuration */
/** @typedef {import("../viewer/schema.js").Scene} Scene */

/**
 * Every class with its map, as `camviz.ui.viewer.class_list.Classes`.
 *
 * @typedef {object} Classes
 * @property {Scene} scene
 * @property {[number, number]} grid
 * @property {[number, number]} stride
 * @property {[number, number]} offset
 * @property {string[]} labels     the most probable first
 * @property {string[]} shares     their probabilities in words
 * @property {number[]} peaks      the maximum of each map
 * @property {string} data         base64 of bytes, one map after the other
 * @property {string} explained    the label that is marked
 * @property {string} follows      id of the viewer whose picture and settings are used
 */

const LIST = "class-list";
const PAGE = 8; // classes that the Page keys pass
/** @type {Record<string, number>} */
const CLASS_STEPS = {
  ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE, Home: -Infinity, End: Infinity,
};

/**
 * The places of the classes whose names have all words of a text, in their order.
 *
 * @param {string[]} labels
 * @param {string} text
 */
export function findClasses(labels, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const folded = labels.map(label => label.toLowerCase());
  return [...labels.keys()].filter(i => words.every(word => folded[i].includes(word)));
}

/**
 * The place that a key goes to among those that are shown; null: the key has no meaning here.
 *
 * @param {string} key
 * @param {number[]} shown
 * @param {number} at
 */
export function stepTo(key, shown, at) {
  const step = CLASS_STEPS[key];
  if (step === undefined || !shown.length) return null;
  const from = shown.indexOf(at);
  if (from < 0) return shown[0];
  return shown[clamp(from + step, 0, shown.length - 1)];
}

export class ClassList extends HTMLElement {
  static #count = 0;
  #prefix = `cl${++ClassList.#count}`;
  /** @type {OneMap} */
  #map;
  /** @type {Classes|null} */
  #value = null;
  #bytes = new Uint8Array();
  /** Places of the classes in the list. @type {number[]} */
  #shown = [];
  /** The class that stays, and the one under the pointer. */
  #pinned = 0;
  /** @type {number|null} */
  #pointed = null;
  #draws = 0;
  #listeners = new AbortController();
  #observer = new ResizeObserver(() => this.#draw());

  /** How often a map was drawn. */
  get draws() {
    return this.#draws;
  }

  /** @param {Configuration} configuration */
  set configuration(configuration) {
    this.#map = new OneMap(configuration);
  }

  /** @param {Classes|null} value */
  set value(value) {
    this.#value = value || null; // gradio has "" for nothing
    this.hidden = !value;
    if (!value) return;
    this.#bytes = bytesOf(value.data);
    this.#pinned = Math.max(0, value.labels.indexOf(value.explained));
    this.#pointed = null;
    this.#fill();
    this.#draw();
  }

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const list = part(this, "list");
    list.addEventListener("pointerover", event => this.#onPointer(event), { signal });
    list.addEventListener("pointerleave", () => this.#point(null), { signal });
    list.addEventListener("click", event => this.#pin(placeOf(event.target)), { signal });
    list.addEventListener("keydown", event => this.#onKey(event), { signal });
    part(this, "search").addEventListener("input", () => this.#fill(), { signal });
    part(this, "choose").addEventListener("click", () => this.#choose(), { signal });
    // A viewer tells of its settings whenever it has a new value, too: its picture may be another.
    document.addEventListener("viewer-settings", event => {
      if (this.#map.follow(event, this.#value?.follows)) this.#draw();
    }, { signal });
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#listeners.abort();
    this.#observer.disconnect();
  }

  get #at() {
    return this.#pointed ?? this.#pinned;
  }

  /* -- The list -- */

  /* Puts the classes that are searched for into the list. */
  #fill() {
    const value = this.#value;
    if (!value) return;
    const search = /** @type {HTMLInputElement} */ (part(this, "search"));
    this.#shown = findClasses(value.labels, search.value);
    part(this, "list").replaceChildren(...this.#shown.map(place => {
      const option = make("li");
      option.id = `${this.#prefix}-${place}`;
      option.dataset.place = String(place);
      option.setAttribute("role", "option");
      option.classList.toggle("cv-explained", value.labels[place] === value.explained);
      option.append(make("span", "", value.labels[place]), make("span", "", value.shares[place]));
      return option;
    }));
    part(this, "none").hidden = this.#shown.length > 0;
    this.#mark();
  }

  /* Marks the class that stays. */
  #mark() {
    const list = part(this, "list");
    for (const option of list.children) {
      const here = option.id === `${this.#prefix}-${this.#pinned}`;
      option.setAttribute("aria-selected", String(here));
    }
    list.removeAttribute("aria-activedescendant");
    if (this.#shown.includes(this.#pinned)) {
      list.setAttribute("aria-activedescendant", `${this.#prefix}-${this.#pinned}`);
    }
  }

  /** @param {PointerEvent} event */
  #onPointer(event) {
    if (event.pointerType !== "touch") this.#point(placeOf(event.target));
  }

  /** @param {number|null} place */
  #point(place) {
    if (place === this.#pointed) return;
    this.#pointed = place;
    this.#draw();
  }

  /** @param {number|null} place */
  #pin(place) {
    if (place === null) return;
    this.#pinned = place;
    this.#mark();
    this.#draw();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.key === "Enter") {
      this.#choose();
      return;
    }
    const place = stepTo(event.key, this.#shown, this.#pinned);
    if (place === null) return;
    event.preventDefault();
    this.#pointed = null;
    this.#pin(place);
    scrollInto(part(this, "list"), document.getElementById(`${this.#prefix}-${place}`));
  }

  #choose() {
    const label = this.#value?.labels[this.#pinned];
    if (label !== undefined && label !== this.#value?.explained) {
      this.dispatchEvent(new CustomEvent("class-chosen", { detail: { label } }));
    }
  }

  /* -- The map -- */

  #draw() {
    const value = this.#value;
    const place = this.#at;
    const canvas = /** @type {HTMLCanvasElement} */ (part(this, "canvas"));
    if (!value || !this.#map.draw(canvas, value, this.#bytes, place)) return;
    const label = value.labels[place];
    const text = value.peaks[place]
      ? `${label}, ${value.shares[place]}. Highest value: ${digits(value.peaks[place])}.`
      : `${label}, ${value.shares[place]}. Nothing here speaks for it.`;
    if (part(this, "text").textContent !== text) part(this, "text").textContent = text;
    canvas.setAttribute("aria-label", `Where the network would see ${label}`);
    const choose = part(this, "choose");
    choose.textContent = `Explain ${value.labels[this.#pinned]}`;
    choose.hidden = value.labels[this.#pinned] === value.explained;
    this.#draws += 1;
  }
}

/**
 * The place of the class that an element stands for; null: of none.
 *
 * @param {EventTarget|null} target
 */
function placeOf(target) {
  const place = closest(target, "[data-place]")?.dataset.place;
  return place === undefined ? null : Number(place);
}

/**
 * Scrolls a list, and nothing around it, until an entry is in sight.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement|null} entry
 */
function scrollInto(list, entry) {
  if (!entry) return;
  const [around, own] = [list.getBoundingClientRect(), entry.getBoundingClientRect()];
  if (own.top < around.top) list.scrollTop -= around.top - own.top;
  else if (own.bottom > around.bottom) list.scrollTop += own.bottom - around.bottom;
}

/** Makes <class-list> known to the browser. */
export function defineClassList() {
  if (!customElements.get(LIST)) customElements.define(LIST, ClassList);
}
