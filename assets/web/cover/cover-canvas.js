// @ts-check
/* <cover-canvas>: a picture to paint on. What is painted is covered, and what the network says then
   stands beside it as bars.

     canvas.value = painting;   // as often as there is an answer; null: there is no picture

   Its markup (cover-canvas.html) stands inside of it. The picture is that of a map viewer on the
   page (`value.follows`). Pointer and finger paint; by keyboard a cursor moves. While the brush
   moves one question is under way at a time, and when it is answered the newest is asked.

   Events
     cover-changed   {kind, painted, hottest, others, out}: this is to be covered
     cover-moved     the same with a number: what does the network say now?
   It listens to "cover-glanced" on the document: {number, bars, logit}, the answer to the last. */

import { closest, make, part } from "../viewer/dom.js";
import { clamp } from "../viewer/maps.js";
import { fitCanvas, pictureOf } from "../viewer/one-map.js";
import { chosenTool, listenOnCanvas, placeOnMask, stepOfKey } from "./canvas-input.js";
import { covered, drawStroke, emptyMask, partAt, readMask, writeMask } from "./mask.js";

/** @typedef {import("./mask.js").Mask} Mask */
/** @typedef {{id: string, name: string, of: string, mask: string}} PaintedPart */
/** @typedef {{label: string, before: number, after: number, explained: boolean, arrow: string,
    texts: [string, string]}} Bar */
/** @typedef {{kind: string, painted: string, hottest: number|null, others: boolean,
    out: string[]}} Covering */

/**
 * What stands on it, as `camviz.ui.viewer.cover_canvas.Painting`.
 *
 * @typedef {object} PaintingOnly
 * @property {string} picture
 * @property {string} follows
 * @property {number} width    of the raster
 * @property {number} height
 * @property {Record<string, [string, string]>} kinds
 * @property {PaintedPart[]} parts
 * @property {string} covered  the covered picture, "" for none
 * @property {Bar[]} bars
 * @property {[number, number]|null} logits
 * @property {string} says
 */
/** @typedef {PaintingOnly & Covering} Painting */

const CANVAS = "cover-canvas";
const STEP = 0.02; // of the picture's width: how far an arrow key moves the brush
const PATIENCE = 3000; // ms after which a question that nobody answered is forgotten
const MOST_UNDONE = 50;

export class CoverCanvas extends HTMLElement {
  static #count = 0;
  #prefix = `cc${++CoverCanvas.#count}`;
  /** @type {Painting|null} */
  #value = null;
  #mask = emptyMask(1, 1);
  /** @type {Covering} */
  #state = { kind: "blur", painted: "", hottest: null, others: false, out: [] };
  /** What was covered before each change. @type {Covering[]} */
  #before = [];
  /** What was sent and not answered yet; null: nothing is. @type {string|null} */
  #sent = null;
  /** @type {[PaintedPart, Mask][]} */
  #parts = [];
  /** Where the brush is, in pixels of the raster. @type {[number, number]|null} */
  #at = null;
  /** Where the stroke came from, while one is drawn. @type {[number, number]|null} */
  #from = null;
  #pointer = -1;
  #keys = false; // whether the brush is moved by keys
  #number = 0;
  #requested = 0; // the number under way; 0: none is
  #requestedAt = 0;
  #changed = false;
  /** The covered picture. @type {HTMLImageElement|null} */
  #covered = null;
  #queued = false;
  #listeners = new AbortController();
  #observer = new ResizeObserver(() => this.#schedule());

  /** What is covered now. @returns {Covering} */
  get covering() {
    return { ...this.#state, painted: writeMask(this.#mask) };
  }

  /** @param {Painting|null} value */
  set value(value) {
    value = value || null; // gradio has "" for nothing
    const other = value?.picture !== this.#value?.picture;
    this.hidden = !value;
    if (other) {
      this.#before = [];
      this.#from = this.#at = this.#sent = null;
    }
    this.#value = value;
    if (!value) return;
    if (other || !this.#parts.length) {
      this.#parts = value.parts.map(each =>
        [each, readMask(each.mask, value.width, value.height)]);
    }
    if (this.#sent !== null && keyOf(value) !== this.#sent) return; // a newer one is to come
    this.#sent = null;
    this.#showBars(value.bars, value.logits);
    if (this.#from) return; // a stroke is under way
    const { kind, painted, hottest, others, out } = value;
    this.#state = { kind, painted, hottest, others, out };
    this.#mask = readMask(painted, value.width, value.height);
    this.#show(value.covered);
    this.#sync();
  }

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const canvas = part(this, "canvas");
    listenOnCanvas(canvas, {
      down: event => this.#onDown(event),
      move: event => this.#onMove(event),
      up: event => this.#onUp(event),
      key: event => this.#onKey(event),
    }, signal);
    canvas.addEventListener("pointerleave", () => this.#leave(), { signal });
    canvas.addEventListener("blur", () => this.#leave(), { signal });
    this.addEventListener("click", event => this.#onClick(event), { signal });
    this.addEventListener("change", event => this.#onChange(event), { signal });
    part(this, "size").addEventListener("input", () => this.#schedule(), { signal });
    document.addEventListener("cover-glanced", event => this.#onGlance(event), { signal });
    document.addEventListener("viewer-settings", () => this.#schedule(), { signal });
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#listeners.abort();
    this.#observer.disconnect();
  }

  /* -- What is covered -- */

  /** @param {Partial<Covering>} change */
  #commit(change) {
    this.#before.push(this.#state);
    if (this.#before.length > MOST_UNDONE) this.#before.shift();
    this.#send({ ...this.#state, ...change });
  }

  /** @param {Covering} state */
  #send(state) {
    this.#state = state;
    this.#sent = keyOf(state);
    this.#changed = false;
    this.#sync();
    this.#schedule();
    this.dispatchEvent(new CustomEvent("cover-changed", {
      detail: state.hottest === null ? state : { ...state, painted: "" },
    }));
  }

  /** Painting makes what was taken from the map part of what is painted. */
  #commitPainted() {
    this.#commit({ painted: writeMask(this.#mask), hottest: null, others: false });
  }

  #undo() {
    const state = this.#before.pop();
    if (!state || !this.#value) return;
    this.#mask = readMask(state.painted, this.#value.width, this.#value.height);
    this.#covered = null;
    this.#send(state);
  }

  /** @param {string} id */
  #toggle(id) {
    const { out } = this.#state;
    this.#covered = null;
    this.#commit({ out: out.includes(id) ? out.filter(one => one !== id) : [...out, id] });
  }

  /** @param {boolean} others */
  #takeHottest(others) {
    const share = /** @type {HTMLInputElement} */ (part(this, "share"));
    const hottest = clamp(Math.round(Number(share.value) || 20), 1, 99);
    share.value = String(hottest);
    const again = this.#state.hottest === hottest && this.#state.others === others;
    this.#covered = null;
    const none = { painted: "", hottest: null, others: false };
    this.#commit(again ? none : { painted: "", hottest, others });
  }

  /** @param {Event} event */
  #onClick(event) {
    const button = closest(event.target, "button");
    const name = button?.dataset.part;
    if (name === "undo") this.#undo();
    else if (name === "hottest") this.#takeHottest(false);
    else if (name === "others") this.#takeHottest(true);
    else if (name === "clear") {
      this.#mask.bytes.fill(0);
      this.#covered = null;
      this.#commit({ painted: "", hottest: null, others: false, out: [] });
    } else if (button?.dataset.id) this.#toggle(button.dataset.id);
  }

  /** @param {Event} event */
  #onChange(event) {
    const input = event.target;
    if (!(input instanceof HTMLInputElement)) return;
    if (input.closest('[data-part="kinds"]')) this.#commit({ kind: input.value });
    else if (input.dataset.part === "share" && this.#state.hottest !== null) {
      this.#takeHottest(this.#state.others);
    } else if (input.closest('[data-part="tools"]')) this.#schedule();
  }

  /* -- The brush -- */

  get #tool() {
    return chosenTool(this, "brush");
  }

  get #radius() {
    const size = Number(/** @type {HTMLInputElement} */ (part(this, "size")).value);
    return Math.max(0.75, size / 200 * this.#mask.width);
  }

  /** @param {PointerEvent} event */
  #onDown(event) {
    if (!this.#value || this.#from || event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    part(this, "canvas").focus({ preventScroll: true });
    this.#keys = false;
    this.#at = placeOnMask(part(this, "canvas"), event, this.#mask);
    if (this.#tool === "part") {
      const found = partAt(this.#parts, this.#at);
      if (found) this.#toggle(found.id);
      return;
    }
    part(this, "canvas").setPointerCapture(event.pointerId);
    this.#pointer = event.pointerId;
    this.#from = this.#at;
    this.#paint(this.#at, this.#at);
  }

  /** @param {PointerEvent} event */
  #onMove(event) {
    if (!this.#value || (this.#from && event.pointerId !== this.#pointer)) return;
    this.#keys = false;
    const from = this.#from;
    this.#at = placeOnMask(part(this, "canvas"), event, this.#mask);
    if (from) {
      this.#paint(from, this.#at);
      this.#from = this.#at;
    } else this.#schedule();
  }

  /** @param {PointerEvent} event */
  #onUp(event) {
    if (!this.#from || event.pointerId !== this.#pointer) return;
    this.#from = null;
    this.#pointer = -1;
    this.#commitPainted();
  }

  #leave() {
    if (this.#from) return;
    this.#at = null;
    this.#schedule();
  }

  /**
   * @param {[number, number]} from
   * @param {[number, number]} to
   */
  #paint(from, to) {
    drawStroke(this.#mask, from, to, this.#radius, this.#tool === "rubber" ? 0 : 1);
    this.#covered = null;
    this.#schedule();
    this.#ask();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (!this.#value || event.ctrlKey || event.altKey || event.metaKey) return;
    const { width, height } = this.#mask;
    const step = Math.max(1, STEP * width) * (event.shiftKey ? 4 : 1);
    const [dx, dy] = stepOfKey(event, step);
    const at = this.#at ?? [width / 2, height / 2];
    if (dx || dy) {
      this.#at = [clamp(at[0] + dx, 0, width), clamp(at[1] + dy, 0, height)];
    } else if (event.key === " " || event.key === "Enter") {
      this.#press(at);
    } else if (event.key === "+" || event.key === "-") {
      const size = /** @type {HTMLInputElement} */ (part(this, "size"));
      size.value = String(Number(size.value) + (event.key === "+" ? 3 : -3));
    } else if (event.key.toLowerCase() === "u") this.#undo();
    else return;
    event.preventDefault();
    this.#at ??= [width / 2, height / 2];
    this.#keys = true;
    this.#tellPlace();
    this.#schedule();
  }

  /** @param {[number, number]} at */
  #press(at) {
    this.#at = at;
    if (this.#tool === "part") {
      const found = partAt(this.#parts, at);
      if (found) this.#toggle(found.id);
      return;
    }
    this.#paint(at, at);
    this.#commitPainted();
  }

  #tellPlace() {
    if (!this.#at) return;
    const { width, height } = this.#mask;
    const place = [this.#at[0] / width, this.#at[1] / height].map(share => Math.round(100 * share));
    part(this, "place").textContent = `${place[0]}% from the left, ${place[1]}% from the top; `
      + `${Math.round(100 * covered(this.#mask))}% of the picture is painted over.`;
  }

  /* -- The question while the brush moves -- */

  #ask() {
    const now = performance.now();
    if (this.#requested && now - this.#requestedAt < PATIENCE) {
      this.#changed = true;
      return;
    }
    this.#changed = false;
    this.#requested = ++this.#number;
    this.#requestedAt = now;
    this.dispatchEvent(new CustomEvent("cover-moved", {
      detail: {
        ...this.#state, painted: writeMask(this.#mask), hottest: null, others: false,
        number: this.#requested,
      },
    }));
  }

  /** @param {Event} event */
  #onGlance(event) {
    const found = event instanceof CustomEvent ? event.detail : null;
    if (!this.#requested || (found && found.number !== this.#requested)) return;
    this.#requested = 0;
    // Once the stroke is over, the answer to it has the last word.
    const shows = this.#from || this.#sent !== null;
    if (found?.bars.length && shows) {
      const before = this.#value?.logits?.[0];
      this.#showBars(found.bars, before === undefined ? null : [before, found.logit]);
    }
    if (this.#changed && this.#from) this.#ask();
  }

  /* -- What is shown -- */

  /**
   * @param {Bar[]} bars
   * @param {[number, number]|null} logits
   */
  #showBars(bars, logits) {
    part(this, "bars").replaceChildren(...bars.map(bar => {
      const row = make("li", bar.explained ? "cv-explained" : "");
      row.style.setProperty("--before", String(bar.before));
      row.style.setProperty("--after", String(bar.after));
      const says = make("span");
      says.append(`${bar.texts[0]} ${bar.arrow} `, make("b", "", bar.texts[1]));
      row.append(make("span", "", bar.label), says);
      row.setAttribute("aria-label", `${bar.label}: ${bar.texts[0]} before, ${bar.texts[1]} now`);
      return row;
    }));
    const explained = bars.find(bar => bar.explained)?.label ?? "what is explained";
    part(this, "logit").textContent = logits
      ? `Logit of ${explained}: ${signed(logits[0])} → ${signed(logits[1])} `
        + `(${signed(logits[1] - logits[0], true)})` : "";
  }

  /** @param {string} source */
  #show(source) {
    this.#covered = null;
    if (source) {
      const image = new Image();
      image.onload = () => {
        if (this.#value?.covered !== source || this.#from || this.#sent !== null) return;
        this.#covered = image;
        this.#schedule();
      };
      image.src = source;
    }
    this.#schedule();
  }

  /* Makes the controls show what is covered. */
  #sync() {
    const value = this.#value;
    if (!value) return;
    const { kind, hottest, others, out } = this.#state;
    const kinds = part(this, "kinds");
    if (kinds.querySelectorAll("input").length !== Object.keys(value.kinds).length) {
      kinds.append(...Object.entries(value.kinds).map(([name, [label]]) => {
        const input = make("input");
        Object.assign(input, { type: "radio", value: name, name: `${this.#prefix}-kind` });
        const home = make("label");
        home.append(input, make("span", "", label));
        return home;
      }));
    }
    for (const input of kinds.querySelectorAll("input")) input.checked = input.value === kind;
    for (const input of part(this, "tools").querySelectorAll("input")) {
      input.name = `${this.#prefix}-tool`;
    }
    part(this, "kind").textContent = value.kinds[kind]?.[1] ?? "";
    if (hottest !== null) {
      /** @type {HTMLInputElement} */ (part(this, "share")).value = String(hottest);
    }
    part(this, "hottest").setAttribute("aria-pressed", String(hottest !== null && !others));
    part(this, "others").setAttribute("aria-pressed", String(hottest !== null && others));
    const empty = hottest === null && !out.length && !this.#mask.bytes.includes(1);
    /** @type {HTMLButtonElement} */ (part(this, "undo")).disabled = !this.#before.length;
    /** @type {HTMLButtonElement} */ (part(this, "clear")).disabled = empty;
    part(this, "says").textContent = value.says;
    this.#syncParts(value, out);
  }

  /**
   * @param {Painting} value
   * @param {string[]} out
   */
  #syncParts(value, out) {
    const home = part(this, "parts");
    home.hidden = part(this, "by-part").hidden = !value.parts.length;
    if (home.hidden && this.#tool === "part") {
      const brush = this.querySelector('[data-part="tools"] input');
      if (brush instanceof HTMLInputElement) brush.checked = true;
    }
    const buttons = [...home.querySelectorAll("button")];
    if (buttons.map(one => one.dataset.id).join() !== value.parts.map(one => one.id).join()) {
      const groups = new Map(value.parts.map(one => [one.of, make("p")]));
      for (const each of value.parts) {
        const line = groups.get(each.of);
        if (!line) continue;
        if (!line.childElementCount) line.append(make("span", "", `Take out of the ${each.of}:`));
        const button = make("button", "", each.name);
        Object.assign(button, { type: "button" });
        button.dataset.id = each.id;
        line.append(" ", button);
      }
      home.replaceChildren(...groups.values());
    }
    for (const button of home.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(out.includes(button.dataset.id ?? "")));
    }
  }

  #schedule() {
    if (this.#queued) return;
    this.#queued = true;
    requestAnimationFrame(() => {
      this.#queued = false;
      this.#draw();
    });
  }

  #draw() {
    const value = this.#value;
    const picture = pictureOf(value?.follows);
    if (!value || !picture) return;
    const canvas = /** @type {HTMLCanvasElement} */ (part(this, "canvas"));
    const size = fitCanvas(canvas, picture);
    if (!size) return;
    [canvas.width, canvas.height] = size;
    const context = canvas.getContext("2d");
    if (!context) return;
    context.drawImage(this.#covered ?? picture.image, 0, 0, canvas.width, canvas.height);
    const mask = this.#outlined();
    context.imageSmoothingEnabled = false;
    context.drawImage(overlayOf(mask, !this.#covered), 0, 0, canvas.width, canvas.height);
    const sharp = canvas.width / canvas.clientWidth;
    if (this.#at) this.#drawBrush(context, canvas.width / this.#mask.width, sharp);
    const share = Math.round(100 * covered(mask));
    canvas.setAttribute("aria-label", `The picture, ${share}% of it covered. Arrow keys move the `
      + "brush, space paints, plus and minus change its size, U undoes.");
  }

  /** Everything that is covered. */
  #outlined() {
    const { out } = this.#state;
    if (!out.length) return this.#mask;
    const mask = { ...this.#mask, bytes: this.#mask.bytes.slice() };
    for (const [{ id }, { bytes }] of this.#parts) {
      if (out.includes(id)) bytes.forEach((byte, i) => { if (byte) mask.bytes[i] = 1; });
    }
    return mask;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} scale  canvas pixels per pixel of the raster
   * @param {number} sharp  canvas pixels per CSS pixel
   */
  #drawBrush(context, scale, sharp) {
    if (!this.#at) return;
    const [x, y] = this.#at;
    const radius = this.#tool === "part" ? 3 * sharp : this.#radius * scale;
    for (const [color, width] of /** @type {[string, number][]} */ ([["#000", 4], ["#fff", 2]])) {
      context.beginPath();
      context.arc(x * scale, y * scale, radius, 0, 2 * Math.PI);
      context.strokeStyle = color;
      context.lineWidth = width * sharp;
      context.stroke();
      if (!this.#keys) continue;
      context.beginPath();
      context.moveTo(x * scale - 5 * sharp, y * scale);
      context.lineTo(x * scale + 5 * sharp, y * scale);
      context.moveTo(x * scale, y * scale - 5 * sharp);
      context.lineTo(x * scale, y * scale + 5 * sharp);
      context.stroke();
    }
  }
}

/**
 * What tells one covering from another; what is painted counts only where nothing is taken from the
 * map, for there the server paints.
 *
 * @param {Covering} covering
 */
function keyOf({ kind, painted, hottest, others, out }) {
  return JSON.stringify([kind, hottest === null ? painted : "", hottest, others, out]);
}

/**
 * A number with two digits behind the point.
 *
 * @param {number} value
 * @param {boolean} [plus]  whether a positive one has its sign
 */
function signed(value, plus = false) {
  const text = Math.abs(value).toFixed(2);
  const negative = value < 0 && Number(text) !== 0;
  return `${negative ? "−" : plus ? "+" : ""}${text}`;
}

/**
 * What is covered as a picture to lay over: its edge, and, until the cover is there, a tint.
 *
 * @param {Mask} mask
 * @param {boolean} tinted
 */
function overlayOf({ width, height, bytes }, tinted) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const inside = (/** @type {number} */ x, /** @type {number} */ y) =>
    x >= 0 && x < width && y >= 0 && y < height && bytes[y * width + x] === 1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!bytes[y * width + x]) continue;
      const edge = !inside(x - 1, y) || !inside(x + 1, y) || !inside(x, y - 1) || !inside(x, y + 1);
      // little-endian: alpha, blue, green, red
      if (edge) pixels[y * width + x] = 0xffffffff;
      else if (tinted) pixels[y * width + x] = (x + y) % 8 < 4 ? 0xa0503020 : 0xa0403828;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Makes <cover-canvas> known to the browser. */
export function defineCoverCanvas() {
  if (!customElements.get(CANVAS)) customElements.define(CANVAS, CoverCanvas);
}
