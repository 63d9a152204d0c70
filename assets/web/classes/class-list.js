// @ts-check
/* <class-list>: the classes of a network, and the map of the one that is pointed at. The maps are
   here already, so that following the pointer or the keyboard needs no server. Of very many classes
   the most probable ones are here; names and maps of the others are asked for when the list is
   searched or reaches its end, and when one is pointed at, and then they are here as well.

     list.configuration = configuration;  // once, before the first value
     list.value = classes;                // as often as there are new maps; null: there are none

   Its markup (class-list.html) stands inside of it. Picture and settings are those of a map viewer
   on the page (`value.follows`). The list is one stop for the Tab key: arrows, Page and Home go
   through it. A class that is pointed at is shown while the pointer is there; one that was clicked,
   tapped or reached by keyboard stays.

   Events
     class-chosen   {label}: this class is to be explained
     class-asked    {number, key, place}: what is the map of the class at this place?
                    {number, key, text, start}: which classes have this text in their names?
   It listens to "classes-answered" on the document: the answer, or a problem, with the number. */

import { Newest, Questions } from "../questions.js";
import { closest, make, part } from "../viewer/dom.js";
import { bytesOf, clamp } from "../viewer/maps.js";
import { OneMap, mapOf } from "../viewer/one-map.js";
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
 * @property {number} place        of that class
 * @property {string} follows      id of the viewer whose picture and settings are used
 * @property {number} known        how many classes there are
 * @property {string} key          by which those are asked for that were not sent
 */
/** A class and its map. @typedef {{label: string, share: string, peak: number,
    bytes: Uint8Array}} ClassMap */

const LIST = "class-list";
const PAGE = 8; // classes that the Page keys pass
const ASKING_PAUSE = 80; // ms for which something is wanted before it is asked for
const NEAR_END = 400; // pixels from its end at which a list is continued
const NO_SUCH_CLASS = "No class has this name.";
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
  /** How many classes would be in the list if all were here; null: not known yet. */
  #total = /** @type {number|null} */ (null);
  /** Names and probabilities of classes that were not sent at first. */
  #names = /** @type {Map<number, [string, string]>} */ (new Map());
  /** Their maps. @type {Map<number, ClassMap>} */
  #fetched = new Map();
  /** Why a map did not come, and of which class. @type {{place: number, why: string}|null} */
  #problem = null;
  #questions = new Questions(question => this.dispatchEvent(new CustomEvent("class-asked", {
    detail: { ...question, key: this.#value?.key },
  })));
  /** @type {Newest<number>} */
  #newestMap = new Newest(place => this.#fetchMap(place), ASKING_PAUSE);
  /** @type {Newest<string>} */
  #newestNames = new Newest(text => this.#fetchNames(text), ASKING_PAUSE);
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
    this.#pinned = value.place;
    this.#pointed = this.#problem = null;
    this.#fetched.clear();
    this.#names.clear();
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
    list.addEventListener("scroll", () => this.#continue(), { signal });
    part(this, "search").addEventListener("input", () => this.#fill(), { signal });
    part(this, "choose").addEventListener("click", () => this.#choose(), { signal });
    document.addEventListener("classes-answered", event => {
      this.#questions.take(/** @type {CustomEvent} */ (event).detail);
    }, { signal });
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

  get #search() {
    return /** @type {HTMLInputElement} */ (part(this, "search")).value.trim();
  }

  /** What stands in the list of a class. @param {number} place @returns {[string, string]} */
  #nameOf(place) {
    const value = this.#value;
    if (value && place < value.labels.length) return [value.labels[place], value.shares[place]];
    return this.#names.get(place) ?? [place === value?.place ? value.explained : "", ""];
  }

  /* Puts the classes that are searched for into the list: first those that are here. */
  #fill() {
    const value = this.#value;
    if (!value) return;
    this.#shown = findClasses(value.labels, this.#search);
    const whole = value.labels.length === value.known;
    this.#total = whole ? this.#shown.length : this.#search ? null : value.known;
    part(this, "list").replaceChildren(...this.#shown.map(place => this.#option(place)));
    this.#tell();
    this.#mark();
    this.#continue();
  }

  /** @param {number} place */
  #option(place) {
    const [label, share] = this.#nameOf(place);
    const option = make("li");
    option.id = `${this.#prefix}-${place}`;
    option.dataset.place = String(place);
    option.setAttribute("role", "option");
    option.classList.toggle("cv-explained", place === this.#value?.place);
    option.append(make("span", "", label), make("span", "", share));
    return option;
  }

  /** Says why there is nothing, or nothing more, in the list. @param {string} [problem] */
  #tell(problem) {
    const line = part(this, "none");
    line.hidden = !problem && this.#shown.length > 0;
    const text = problem ?? (this.#total === null ? "Searching all classes …" : NO_SUCH_CLASS);
    if (line.textContent !== text) line.textContent = text;
  }

  /* Asks for more classes where the list is near its end and there are more. */
  #continue() {
    const list = part(this, "list");
    const below = list.scrollHeight - list.scrollTop - list.clientHeight;
    const ends = list.clientHeight > 0 && below < NEAR_END; // and not in a view that is not open
    const more = this.#total === null || (this.#shown.length < this.#total && ends);
    this.#newestNames.want(more ? this.#search : null);
  }

  /** @param {string} text */
  async #fetchNames(text) {
    const [value, start] = [this.#value, this.#shown.length];
    const current = () =>
      value === this.#value && text === this.#search && start === this.#shown.length;
    try {
      const { rows, total } = await this.#questions.ask({ text, start });
      if (!current()) return;
      for (const [place, label, share] of rows) {
        this.#names.set(place, [label, share]);
        this.#shown.push(place);
      }
      this.#total = rows.length ? total : this.#shown.length;
      const options = this.#shown.slice(start).map(place => this.#option(place));
      part(this, "list").append(...options);
      this.#tell();
      this.#mark();
      this.#continue();
    } catch (error) {
      if (!current()) return;
      this.#total = start; // asked again when the text is another one
      this.#tell(/** @type {Error} */ (error).message);
    }
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
    this.#problem = null;
    this.#draw();
  }

  /** @param {number|null} place */
  #pin(place) {
    if (place === null) return;
    this.#pinned = place;
    this.#problem = null;
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
    const [label] = this.#nameOf(this.#pinned);
    if (label && this.#pinned !== this.#value?.place) {
      this.dispatchEvent(new CustomEvent("class-chosen", { detail: { label } }));
    }
  }

  /* -- The map -- */

  /** A class with its map; null: it is not here. @param {number} place @returns {ClassMap|null} */
  #mapAt(place) {
    const value = this.#value;
    if (!value || place >= value.labels.length) return this.#fetched.get(place) ?? null;
    const [label, share] = this.#nameOf(place);
    const bytes = mapOf(this.#bytes, value.grid, place);
    return { label, share, peak: value.peaks[place], bytes };
  }

  /** @param {number} place */
  async #fetchMap(place) {
    const value = this.#value;
    try {
      const { label, share, peak, data } = await this.#questions.ask({ place });
      if (value !== this.#value) return;
      this.#names.set(place, [label, share]);
      this.#fetched.set(place, { label, share, peak, bytes: bytesOf(data) });
    } catch (error) {
      if (value !== this.#value) return;
      this.#problem = { place, why: /** @type {Error} */ (error).message };
    }
    this.#draw();
  }

  #draw() {
    const value = this.#value;
    const place = this.#at;
    const canvas = /** @type {HTMLCanvasElement} */ (part(this, "canvas"));
    if (!value) return;
    const found = this.#mapAt(place);
    const problem = this.#problem?.place === place ? this.#problem.why : null;
    this.#newestMap.want(found || problem ? null : place);
    const [label, share] = this.#nameOf(place);
    // Until its own map is here, a class has none: never that of another one.
    const bytes = found?.bytes ?? new Uint8Array(value.grid[0] * value.grid[1]);
    if (!this.#map.draw(canvas, { ...value, labels: [label] }, bytes, 0)) return;
    const words = found?.peak ? `Highest value: ${digits(found.peak)}.`
      : found ? "Nothing here speaks for it." : problem ?? "Its map is on its way …";
    const text = `${[label, share].filter(Boolean).join(", ")}. ${words}`;
    if (part(this, "text").textContent !== text) part(this, "text").textContent = text;
    canvas.setAttribute("aria-label", `Where the network would see ${label}`);
    const choose = part(this, "choose");
    choose.textContent = `Explain ${this.#nameOf(this.#pinned)[0]}`;
    choose.hidden = this.#pinned === value.place;
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
