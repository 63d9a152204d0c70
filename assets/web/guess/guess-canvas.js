// @ts-check
/* <guess-canvas>: a picture on which one marks where a network looked, with a box or a brush; once
   the guess was made, its outline and those of other areas.

     canvas.value = marking;   // as often as there is an answer; null: there is no picture

   Its markup (guess-canvas.html) stands inside of it.

   Events
     guess-made   {number, guess}: the mask as text, and the number of the picture
     guess-next   {number, next: true}: the next picture is wanted */

import { chosenTool, listenOnCanvas, placeOnMask, stepOfKey } from "../cover/canvas-input.js";
import { covered, drawStroke, emptyMask, readMask, writeMask } from "../cover/mask.js";
import { make, part } from "../viewer/dom.js";
import { fitCanvas } from "../viewer/one-map.js";
import { boxBetween, boxMask, edgesOf, moveBox, resizeBox } from "./box.js";

/** @typedef {import("../cover/mask.js").Mask} Mask */
/** @typedef {import("./box.js").Box} Box */
/** @typedef {{kind: "guess"|"map"|"truth", name: string, mask: string}} Mark */

/**
 * What stands on it, as `camviz.ui.viewer.guess_canvas.Marking`.
 *
 * @typedef {object} Marking
 * @property {number} number
 * @property {string} picture  a data URL
 * @property {number} width    of the raster
 * @property {number} height
 * @property {number} most     share of the picture
 * @property {boolean} done
 * @property {Mark[]} marks
 * @property {string} next
 */

const GUESS_CANVAS = "guess-canvas";
const GUESS_STEP = 0.02; // of the picture's width: how far an arrow key moves the box
const GUESS_BRUSH = 0.05; // radius of the brush, in widths of the picture
const FIRST_BOX = 0.3; // side of the box that a key begins with
const GUESS_PATIENCE = 8000; // ms after which a guess that nobody took may be sent again

/* How each kind of outline is drawn: its colour, and which of its pixels are: told apart by the
   gaps, too. */
/** @type {Record<Mark["kind"], [string, (at: number) => boolean]>} */
const OUTLINES = {
  guess: ["#ffffff", () => true],
  map: ["#ffb000", at => at % 6 < 4],
  truth: ["#5fd7ff", at => at % 4 < 2],
};

export class GuessCanvas extends HTMLElement {
  static #count = 0;
  #name = `gc${++GuessCanvas.#count}-tool`;
  /** @type {Marking|null} */
  #value = null;
  #image = new Image();
  #mask = emptyMask(1, 1);
  /** The box, while nothing but a box is marked. @type {Box|null} */
  #box = null;
  /** Where the drag began, or the stroke came from. @type {[number, number]|null} */
  #from = null;
  #pointer = -1;
  #sent = 0; // when the guess was sent; 0: it was not
  #queued = false;
  #listeners = new AbortController();
  #observer = new ResizeObserver(() => this.#schedule());

  /** What is marked, as text. */
  get guess() {
    return writeMask(this.#mask);
  }

  /** @param {Marking|null} value */
  set value(value) {
    value = value || null; // gradio has "" for nothing
    const before = this.#value;
    const other = !value || !before || value.picture !== before.picture
      || value.number !== before.number || (before.done && !value.done);
    this.hidden = !value;
    this.#value = value;
    this.#sent = 0;
    if (other) {
      this.#from = this.#box = null;
      this.#mask = emptyMask(value?.width ?? 1, value?.height ?? 1);
    }
    if (!value) return;
    this.dataset.state = value.done ? "done" : "guess";
    if (this.#image.src !== value.picture) this.#image.src = value.picture;
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
    this.#image.addEventListener("load", () => this.#schedule(), { signal });
    part(this, "send").addEventListener("click", () => this.#send(), { signal });
    part(this, "clear").addEventListener("click", () => this.#clear(), { signal });
    for (const input of part(this, "tools").querySelectorAll("input")) input.name = this.#name;
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#listeners.abort();
    this.#observer.disconnect();
  }

  /* -- What is marked -- */

  get #tool() {
    return chosenTool(this, "box");
  }

  /** @param {Box} box */
  #setBox(box) {
    this.#box = box;
    this.#mask = boxMask(box, this.#mask.width, this.#mask.height);
    this.#sync();
  }

  #clear() {
    this.#box = null;
    this.#mask = emptyMask(this.#mask.width, this.#mask.height);
    this.#sync();
    part(this, "canvas").focus({ preventScroll: true });
  }

  #send() {
    const value = this.#value;
    if (!value || !this.#ready) return;
    this.#sent = performance.now();
    const detail = value.done ? { number: value.number, next: true }
      : { number: value.number, guess: this.guess };
    const kind = value.done ? "guess-next" : "guess-made";
    this.dispatchEvent(new CustomEvent(kind, { detail, bubbles: true }));
  }

  /** Whether the button does something. */
  get #ready() {
    const value = this.#value;
    if (!value || (this.#sent && performance.now() - this.#sent < GUESS_PATIENCE)) return false;
    if (value.done) return value.next !== "";
    const share = covered(this.#mask);
    return share > 0 && share <= value.most;
  }

  /* -- Pointer and keys -- */

  /** @param {PointerEvent} event */
  #onDown(event) {
    if (!this.#value || this.#value.done || this.#from || event.button !== 0) return;
    if (!event.isPrimary) return;
    event.preventDefault();
    const canvas = part(this, "canvas");
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    this.#pointer = event.pointerId;
    this.#from = placeOnMask(part(this, "canvas"), event, this.#mask);
    if (this.#tool === "brush") this.#stroke(this.#from);
  }

  /** @param {PointerEvent} event */
  #onMove(event) {
    if (!this.#from || event.pointerId !== this.#pointer) return;
    const at = placeOnMask(part(this, "canvas"), event, this.#mask);
    const { width, height } = this.#mask;
    if (this.#tool === "brush") this.#stroke(at);
    else this.#setBox(boxBetween(this.#from, at, width, height));
  }

  /** @param {PointerEvent} event */
  #onUp(event) {
    if (!this.#from || event.pointerId !== this.#pointer) return;
    this.#from = null;
    this.#pointer = -1;
  }

  /** @param {[number, number]} to */
  #stroke(to) {
    if (!this.#from) return;
    drawStroke(this.#mask, this.#from, to, GUESS_BRUSH * this.#mask.width, 1);
    this.#from = to;
    this.#box = null;
    this.#sync();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (!this.#value || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Enter") this.#send();
    else if (this.#value.done || !this.#onArrow(event)) return;
    event.preventDefault();
  }

  /** @param {KeyboardEvent} event */
  #onArrow(event) {
    const { width, height } = this.#mask;
    const step = Math.max(1, Math.round(GUESS_STEP * width));
    const [dx, dy] = stepOfKey(event, step);
    if (!dx && !dy) return false;
    if (!this.#box) {
      const [x, y] = [FIRST_BOX * width / 2, FIRST_BOX * height / 2];
      this.#box = boxBetween(
        [width / 2 - x, height / 2 - y], [width / 2 + x, height / 2 + y], width, height);
    }
    const change = event.shiftKey ? resizeBox : moveBox;
    this.#setBox(change(this.#box, dx, dy, width, height));
    return true;
  }

  /* -- What is seen -- */

  #sync() {
    const value = this.#value;
    if (!value) return;
    const send = /** @type {HTMLButtonElement} */ (part(this, "send"));
    send.hidden = value.done && !value.next;
    send.textContent = value.done ? value.next : "This is my guess";
    // Not the attribute: a button that is disabled would lose the focus of whoever presses it.
    send.setAttribute("aria-disabled", String(!value.done && !this.#ready));
    part(this, "tools").parentElement?.toggleAttribute("hidden", value.done);
    part(this, "keys").hidden = value.done;
    const empty = !this.#mask.bytes.includes(1);
    /** @type {HTMLButtonElement} */ (part(this, "clear")).disabled = empty;
    part(this, "place").textContent = value.done ? "" : this.#describe(value);
    const legend = part(this, "legend");
    legend.hidden = !value.marks.length;
    legend.replaceChildren(...value.marks.map(mark => {
      const line = make("li", `cv-outline-${mark.kind}`);
      line.append(make("i"), mark.name);
      return line;
    }));
    part(this, "canvas").setAttribute("aria-label", value.done
      ? `The picture, with the outlines of ${value.marks.map(mark => mark.name).join(", ")}.`
      : "The picture. Arrow keys move the box, shift and arrow keys change its size, Enter sends "
        + "the guess.");
    this.#schedule();
  }

  /** @param {Marking} value */
  #describe(value) {
    const share = covered(this.#mask);
    if (!share) return "Nothing is marked yet.";
    const marked = `${Math.max(1, Math.round(100 * share))}% of the picture is marked`;
    if (share > value.most) return `${marked}; ${Math.round(100 * value.most)}% is the most.`;
    if (!this.#box) return `${marked}.`;
    const { left, top } = this.#box;
    const [x, y] = [left / this.#mask.width, top / this.#mask.height];
    return `${marked}, from ${Math.round(100 * x)}% from the left and ${Math.round(100 * y)}% `
      + "from the top on.";
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
    const { naturalWidth: width, naturalHeight: height } = this.#image;
    if (!value || !width) return;
    const canvas = /** @type {HTMLCanvasElement} */ (part(this, "canvas"));
    const size = fitCanvas(canvas, { width, height });
    if (!size) return;
    [canvas.width, canvas.height] = size;
    const context = canvas.getContext("2d");
    if (!context) return;
    context.drawImage(this.#image, 0, 0, canvas.width, canvas.height);
    const scale = canvas.width / this.#mask.width;
    const sharp = canvas.width / canvas.clientWidth;
    if (!value.done) {
      this.#dim(context, scale);
      drawOutline(context, this.#mask, "guess", scale, sharp);
    }
    for (const { kind, mask } of value.marks) {
      const read = readMask(mask, value.width, value.height);
      drawOutline(context, read, kind, scale, sharp);
    }
  }

  /**
   * Darkens what is not marked, once something is.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {number} scale
   */
  #dim(context, scale) {
    const { width, height, bytes } = this.#mask;
    if (!bytes.includes(1)) return;
    context.fillStyle = "rgb(0 0 0 / 38%)";
    for (let y = 0; y < height; y++) {
      for (let x = 0, end = 0; x < width; x = end + 1) {
        end = bytes.indexOf(1, y * width + x);
        end = end < 0 || end >= (y + 1) * width ? width : end - y * width;
        if (end > x) context.fillRect(x * scale, y * scale, (end - x) * scale, scale);
      }
    }
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Mask} mask
 * @param {Mark["kind"]} kind
 * @param {number} scale  canvas pixels per pixel of the raster
 * @param {number} sharp  canvas pixels per CSS pixel
 */
function drawOutline(context, mask, kind, scale, sharp) {
  const [color, shown] = OUTLINES[kind];
  const edges = edgesOf(mask).filter(([x, y]) => shown(x + y));
  for (const [stroke, width] of /** @type {[string, number][]} */ ([["#000c", 5], [color, 2.5]])) {
    context.beginPath();
    for (const [x0, y0, x1, y1] of edges) {
      context.moveTo(x0 * scale, y0 * scale);
      context.lineTo(x1 * scale, y1 * scale);
    }
    context.lineCap = "square";
    context.strokeStyle = stroke;
    context.lineWidth = width * sharp;
    context.stroke();
  }
}

/** Makes <guess-canvas> known to the browser. */
export function defineGuessCanvas() {
  if (!customElements.get(GUESS_CANVAS)) customElements.define(GUESS_CANVAS, GuessCanvas);
}
