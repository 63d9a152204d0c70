// @ts-check
/* <run-collection>: all pictures of a run with their maps, sorted, filtered and grouped.

     collection.configuration = configuration;  // once, before the first value
     collection.source = {
       tiles: async places => [...],            // what is shown of some pictures (`Tile`)
       groups: async (label, count) => [...],   // the maps of a class by likeness (`Group`)
     };                                         // or `collection.askThrough(send)`
     collection.value = value;                  // `RunValue`; null: there is none

   Its markup (run-collection.html) stands inside of it. Only tiles that are to be seen are in the
   document, and only those are asked for, one question at a time. The sheet is one stop for the
   Tab key: arrows, Page, Home and End go through it, Enter opens.

   Event
     picture-chosen   {place}: this picture is to be opened
   It listens to "collection-answered" on the document: the answer, or a problem, with the number of
   the question. */

import { Questions } from "../questions.js";
import { closest, fillSelect, make, part } from "../viewer/dom.js";
import { bytesOf, upsample } from "../viewer/maps.js";
import { ramp } from "../viewer/paint.js";
import {
  chosenPlaces, inPercent, isMistaken, sheetLayout, stepToTile, tilesSeen,
} from "./sheet.js";

/** @typedef {import("./sheet.js").RunValue} RunValue */
/** @typedef {import("./sheet.js").Group} Group */

/**
 * What is shown of a picture: its file's name, a small picture ("" if it is not to be had), and its
 * map as base64 of bytes, `side` cells a side, stretched over the picture. `aspect`: its width by
 * its height.
 *
 * @typedef {object} Tile
 * @property {number} place
 * @property {string} name
 * @property {string} picture
 * @property {string} map
 * @property {number} side
 * @property {number} aspect
 */

/**
 * Where tiles and groups come from.
 *
 * @typedef {object} Source
 * @property {(places: number[]) => Promise<Tile[]>} tiles
 * @property {(label: number, count: number) => Promise<Group[]>} groups
 */

/** @param {unknown} error */
const messageOf = error => error instanceof Error ? error.message : String(error);

const COLLECTION = "run-collection";
const TILE = { wide: 104, tall: 20, gap: 8 };
const AROUND = 2; // rows that are in the document above and below of what is to be seen
const ASKED = 48; // tiles of one question
const HELD = 1500; // tiles that are kept
const RASTER = 56; // pixels of a side of a coloured map
const OPACITY = 0.75;

export class RunCollection extends HTMLElement {
  static #count = 0;
  #prefix = `rc${++RunCollection.#count}`;
  /** @type {import("../viewer/schema.js").Configuration} */
  #configuration;
  #table = new Uint8Array();
  /** @type {RunValue|null} */
  #value = null;
  /** @type {Source|null} */
  #source = null;
  /** @type {Questions|null} */
  #questions = null;
  /** Numbers of the pictures on the sheet. @type {number[]} */
  #shown = [];
  /** The place in it where the keyboard is. */
  #at = 0;
  /** @type {Map<number, Tile>} */
  #tiles = new Map();
  /** Pictures whose tile could not be had. @type {Set<number>} */
  #missing = new Set();
  #asking = false;
  /** @type {Group[]} */
  #groups = [];
  /** @type {Group|null} */
  #group = null;
  #listeners = new AbortController();
  #observer = new ResizeObserver(() => this.#place());

  /** @param {import("../viewer/schema.js").Configuration} configuration */
  set configuration(configuration) {
    this.#configuration = configuration;
    this.#table = bytesOf(configuration.tables[String(configuration.settings.colors)]);
  }

  /** @param {Source} source */
  set source(source) {
    this.#source = source;
  }

  /**
   * Asks for everything by questions that are sent.
   *
   * @param {(question: object) => void} send
   */
  askThrough(send) {
    const questions = new Questions(send);
    this.#questions = questions;
    this.source = {
      tiles: async places => (await questions.ask({ places })).tiles ?? [],
      groups: async (label, count) => (await questions.ask({ label, count })).groups ?? [],
    };
  }

  /** @param {RunValue|null} value */
  set value(value) {
    const same = value && value.key === this.#value?.key;
    this.#value = value || null; // gradio has "" for nothing
    this.hidden = !value;
    if (!value || same) return;
    this.#tiles.clear();
    this.#missing.clear();
    this.#fill(value);
    this.#regroup();
  }

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const sheet = part(this, "sheet");
    sheet.addEventListener("scroll", () => this.#place(), { signal, passive: true });
    sheet.addEventListener("keydown", event => this.#onKey(event), { signal });
    sheet.addEventListener("click", event => this.#onClick(event), { signal });
    sheet.addEventListener("focus", () => this.#mark(), { signal });
    for (const name of ["class", "count"]) {
      part(this, name).addEventListener("change", () => this.#regroup(), { signal });
    }
    for (const name of ["sort", "from", "mistaken"]) {
      part(this, name).addEventListener("input", () => this.#choose(), { signal });
    }
    part(this, "maps").addEventListener("change", () => {
      this.classList.toggle("cv-run-bare", !this.#box("maps").checked);
    }, { signal });
    part(this, "groups").addEventListener("click", event => this.#onGroup(event), { signal });
    part(this, "open").addEventListener("click", () => this.#open(), { signal });
    document.addEventListener("collection-answered", event => {
      this.#questions?.take(/** @type {CustomEvent} */ (event).detail);
    }, { signal });
    this.#observer.observe(sheet);
  }

  disconnectedCallback() {
    this.#listeners.abort();
    this.#observer.disconnect();
  }

  /* -- Controls -- */

  /** @param {string} name */
  #box(name) {
    return /** @type {HTMLInputElement} */ (part(this, name));
  }

  /** @param {string} name */
  #menu(name) {
    return /** @type {HTMLSelectElement} */ (part(this, name));
  }

  get #label() {
    return Number(this.#menu("class").value || -1);
  }

  /** @param {RunValue} value */
  #fill(value) {
    const counts = value.names.map(() => 0);
    for (const place of value.explained) counts[place] += 1;
    const classes = [...value.names.keys()].filter(place => counts[place])
      .sort((a, b) => counts[b] - counts[a] || a - b);
    fillSelect(this.#menu("class"), [["", [
      ["-1", `all classes (${value.explained.length})`],
      ...classes.map(place => /** @type {[string, string]} */ (
        [String(place), `${value.names[place] || "no class"} (${counts[place]})`])),
    ]]]);
    const figures = Object.keys(value.figures);
    fillSelect(this.#menu("sort"), [["", [
      ["", "the run’s own order"],
      ...figures.map(name => /** @type {[string, string]} */ ([name, value.titles[name][0]])),
    ]]]);
    this.#menu("sort").title = figures.map(name => value.titles[name].join(": ")).join("\n");
    const numbers = [...Array(value.most_groups - 1).keys()].map(number => String(number + 2));
    fillSelect(this.#menu("count"),
      [["", numbers.map(number => /** @type {[string, string]} */ ([number, number]))]]);
    this.#menu("count").value = String(value.groups);
    this.#box("from").value = "0";
    part(this, "mistaken-label").hidden = !value.explained.some((_, n) => isMistaken(value, n));
    this.#box("mistaken").checked = false;
  }

  /* The pictures that are asked for; the first of them is the one where the keyboard is. */
  #choose() {
    const value = this.#value;
    if (!value) return;
    const sort = this.#menu("sort").value;
    const from = 10 * Number(this.#box("from").value);
    part(this, "from-label").hidden = !sort;
    part(this, "from-text").textContent = `${from / 10} %`;
    this.#shown = chosenPlaces(value, {
      label: this.#label, sort, from: sort ? from : 0, mistaken: this.#box("mistaken").checked,
      members: this.#group?.members ?? null,
    });
    this.#at = 0;
    part(this, "sheet").scrollTop = 0;
    const of = this.#group ? ` of group ${this.#groups.indexOf(this.#group) + 1}` : "";
    part(this, "text").textContent = this.#shown.length
      ? `${this.#shown.length} of ${value.explained.length} pictures${of}.`
      : "No picture is like that.";
    this.#place();
    this.#tell();
  }

  /* -- Groups -- */

  async #regroup() {
    const value = this.#value;
    if (!value) return;
    this.#group = null;
    this.#groups = [];
    this.#showGroups("");
    this.#choose();
    const label = this.#label, count = Number(this.#menu("count").value);
    if (label < 0 || value.explained.filter(each => each === label).length < value.least) return;
    const key = `${label}:${count}`;
    const name = value.names[label];
    if (!value.grouped[key]) {
      this.#showGroups(`Sorting the maps of ${name} by likeness …`);
      let found = /** @type {Group[]} */ ([]), problem = "";
      try {
        found = await this.#source?.groups(label, count) ?? [];
      } catch (error) {
        problem = messageOf(error);
      }
      if (problem && this.#value === value && this.#label === label) {
        this.#showGroups(`${problem} Choose the class once more to try again.`);
        return;
      }
      if (found.length) value.grouped[key] = found;
    }
    if (this.#value !== value || this.#label !== label) return;
    if (Number(this.#menu("count").value) !== count) return;
    this.#groups = value.grouped[key] ?? [];
    this.#showGroups(!this.#groups.length ? "" : `The maps of ${name} by likeness, the most alike `
      + "first: things move about, and what a picture was made with stays in its place.");
  }

  /** @param {string} text */
  #showGroups(text) {
    part(this, "grouped").hidden = !text;
    part(this, "grouped-text").textContent = text;
    part(this, "groups").replaceChildren(...this.#groups.map((group, number) => {
      const item = make("li");
      const button = item.appendChild(make("button"));
      button.type = "button";
      button.dataset.group = String(number);
      button.setAttribute("aria-pressed", String(group === this.#group));
      const canvas = button.appendChild(make("canvas"));
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Mean map of group ${number + 1}`);
      this.#color(canvas, bytesOf(group.mean), this.#value?.side ?? 1, 1);
      const words = button.appendChild(make("span"));
      words.append(make("b", "", `Group ${number + 1}`), ` ${group.members.length} pictures, `,
        `alike ${group.likeness.toFixed(2)}`);
      return item;
    }));
  }

  /** @param {Event} event */
  #onGroup(event) {
    const number = closest(event.target, "[data-group]")?.dataset.group;
    if (number === undefined) return;
    const group = this.#groups[Number(number)];
    this.#group = group === this.#group ? null : group;
    for (const button of part(this, "groups").querySelectorAll("button")) {
      const pressed = this.#group !== null && button.dataset.group === number;
      button.setAttribute("aria-pressed", String(pressed));
    }
    this.#choose();
  }

  /* -- The sheet -- */

  get #layout() {
    return sheetLayout(part(this, "room").clientWidth, this.#shown.length, TILE);
  }

  /* Puts the tiles that are to be seen into the document, and asks for those that are not here. */
  #place() {
    const sheet = part(this, "sheet"), room = part(this, "room");
    if (!this.#value || !room.clientWidth) return;
    const layout = this.#layout;
    room.style.height = `${layout.height}px`;
    const [first, last] = tilesSeen(
      layout, this.#shown.length, sheet.scrollTop, sheet.clientHeight, AROUND);
    const there = new Map([...room.children].map(node => [node.id, node]));
    const wanted = [];
    for (let number = first; number < last; number++) {
      const place = this.#shown[number];
      const id = `${this.#prefix}-${place}`;
      const node = /** @type {HTMLElement} */ (there.get(id) ?? this.#option(id, place));
      there.delete(id);
      const x = number % layout.columns * (layout.across + TILE.gap);
      const y = Math.floor(number / layout.columns) * layout.row;
      node.style.transform = `translate(${x}px, ${y}px)`;
      node.style.width = `${layout.across}px`;
      node.dataset.number = String(number);
      node.setAttribute("aria-posinset", String(number + 1));
      node.setAttribute("aria-setsize", String(this.#shown.length));
      if (!node.parentElement) room.append(node);
      if (!this.#tiles.has(place) && !this.#missing.has(place)) wanted.push(place);
    }
    for (const node of there.values()) node.remove();
    this.#mark();
    this.#ask(wanted);
  }

  /**
   * @param {string} id
   * @param {number} place
   */
  #option(id, place) {
    const node = make("div", "cv-run-tile");
    node.id = id;
    node.dataset.place = String(place);
    node.setAttribute("role", "option");
    node.append(make("span", "cv-run-picture"), make("span", "cv-run-name"));
    this.#dress(node, place);
    return node;
  }

  /**
   * Fills a tile with what is known of its picture.
   *
   * @param {HTMLElement} node
   * @param {number} place
   */
  #dress(node, place) {
    const value = this.#value;
    if (!value) return;
    const tile = this.#tiles.get(place);
    const name = value.names[value.explained[place]] || "no class";
    node.classList.toggle("cv-run-mistaken", isMistaken(value, place));
    const [picture, words] = node.children;
    words.textContent = name;
    node.setAttribute("aria-label", this.#words(place));
    if (!tile) return;
    node.title = tile.name;
    const home = make("span", "cv-run-fit");
    home.style.aspectRatio = String(tile.aspect);
    home.style[tile.aspect >= 1 ? "width" : "height"] = "100%";
    if (tile.picture) {
      const image = home.appendChild(make("img"));
      image.alt = "";
      image.src = tile.picture;
    }
    this.#color(home.appendChild(make("canvas")), bytesOf(tile.map), tile.side, OPACITY);
    picture.replaceChildren(home);
  }

  /**
   * Everything that is known of a picture, in words.
   *
   * @param {number} place
   */
  #words(place) {
    const value = this.#value;
    if (!value) return "";
    const { names } = value;
    const parts = [names[value.explained[place]] || "no class"];
    if (value.truths[place] >= 0) parts.push(`labelled ${names[value.truths[place]]}`);
    if (value.answers[place] !== value.explained[place] && names[value.answers[place]]) {
      parts.push(`the network says ${names[value.answers[place]]}`);
    }
    for (const [name, [title]] of Object.entries(value.titles)) {
      const figure = value.figures[name]?.[place];
      if (figure != null) parts.push(`${title} ${inPercent(figure)}`);
    }
    const tile = this.#tiles.get(place);
    return (tile ? [tile.name, ...parts] : parts).join(", ");
  }

  /**
   * Colours a map on a canvas of its own.
   *
   * @param {HTMLCanvasElement} canvas
   * @param {Uint8Array} bytes
   * @param {number} side
   * @param {number} opacity  where it is full; 1: even where the map is empty
   */
  #color(canvas, bytes, side, opacity) {
    canvas.width = canvas.height = RASTER;
    const context = canvas.getContext("2d");
    if (!context) return;
    const image = context.createImageData(RASTER, RASTER);
    const map = {
      grid: /** @type {[number, number]} */ ([side, side]),
      stride: /** @type {[number, number]} */ ([1, 1]),
      offset: /** @type {[number, number]} */ ([0, 0]),
    };
    const view = {
      width: side, height: side, rect: /** @type {[number, number, number, number]} */ (
        [0, 0, side, side]), input: map.grid,
    };
    const heat = upsample(bytes, map, view, RASTER, RASTER);
    heat.forEach((share, at) => {
      const level = share * 255 + 0.5 | 0;
      image.data.set(this.#table.subarray(3 * level, 3 * level + 3), 4 * at);
      const full = opacity === 1 ? 1 : ramp(level, false, this.#configuration.hot);
      image.data[4 * at + 3] = 255 * opacity * full;
    });
    context.putImageData(image, 0, 0);
  }

  /**
   * @param {number[]} places
   */
  async #ask(places) {
    const value = this.#value;
    if (this.#asking || !places.length || !value || !this.#source) return;
    this.#asking = true;
    const asked = places.slice(0, ASKED);
    let found = /** @type {Tile[]|null} */ (null);
    try {
      found = await this.#source.tiles(asked);
    } catch (error) { // whoever scrolls asks again
      part(this, "text").textContent = `${messageOf(error)} Scroll to try again.`;
    }
    this.#asking = false;
    if (value.key !== this.#value?.key) return this.#place();
    if (!found) return;
    const missing = new Set(asked);
    for (const tile of found) {
      missing.delete(tile.place);
      this.#tiles.set(tile.place, tile);
      const node = document.getElementById(`${this.#prefix}-${tile.place}`);
      if (node) this.#dress(node, tile.place);
    }
    for (const place of missing) this.#missing.add(place);
    for (const place of this.#tiles.keys()) { // the oldest first
      if (this.#tiles.size <= HELD) break;
      this.#tiles.delete(place);
    }
    this.#place();
    this.#tell();
  }

  /* -- One picture -- */

  /* Marks the tile where the keyboard is. */
  #mark() {
    const sheet = part(this, "sheet");
    const id = `${this.#prefix}-${this.#shown[this.#at]}`;
    for (const node of part(this, "room").children) {
      node.setAttribute("aria-selected", String(node.id === id));
    }
    if (document.getElementById(id)) sheet.setAttribute("aria-activedescendant", id);
    else sheet.removeAttribute("aria-activedescendant");
  }

  /* Says what is known of the picture where the keyboard is. */
  #tell() {
    const place = this.#shown[this.#at];
    const text = place === undefined ? "" : this.#words(place);
    if (part(this, "one").textContent !== text) part(this, "one").textContent = text;
    part(this, "open").hidden = place === undefined || !this.#value?.opens;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const sheet = part(this, "sheet");
    const { columns, row } = this.#layout;
    if (event.key === "Enter") {
      event.preventDefault();
      this.#open();
      return;
    }
    const page = Math.max(1, Math.floor(sheet.clientHeight / row));
    const to = stepToTile(event.key, this.#at, this.#shown.length, columns, page);
    if (to === null) return;
    event.preventDefault();
    this.#at = to;
    const top = Math.floor(to / columns) * row;
    if (top < sheet.scrollTop) sheet.scrollTop = top;
    else if (top + row > sheet.scrollTop + sheet.clientHeight) {
      sheet.scrollTop = top + row - sheet.clientHeight;
    }
    this.#place();
    this.#tell();
  }

  /** @param {Event} event */
  #onClick(event) {
    const number = closest(event.target, "[data-number]")?.dataset.number;
    if (number === undefined) return;
    this.#at = Number(number);
    this.#mark();
    this.#tell();
    this.#open();
  }

  #open() {
    const place = this.#shown[this.#at];
    if (place === undefined || !this.#value?.opens) return;
    this.dispatchEvent(new CustomEvent("picture-chosen", { detail: { place } }));
  }
}

/** Makes <run-collection> known to the browser. */
export function defineRunCollection() {
  if (!customElements.get(COLLECTION)) customElements.define(COLLECTION, RunCollection);
}
