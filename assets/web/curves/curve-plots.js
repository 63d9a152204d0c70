// @ts-check
/* <curve-plots>: curves of deletion and insertion, and the picture at each of their steps. The
   pictures are here already, so that moving along a curve needs no server.

     plots.value = curves;   // as often as there are new ones; null: there are none

   Its markup (curve-plots.html) stands inside of it. Each plot is a slider: the pointer, the arrow,
   Page, Home and End keys move through its steps, and both plots are at the same one. */

import { make, part } from "../viewer/dom.js";
import { save } from "../viewer/export.js";
import { percent } from "../viewer/text.js";
import {
  CHANGED, KINDS, TITLES, composeStep, curveInWords, curvesCsv, curvesFigure, plotSvg, sampleSvg,
  scoreInWords, stepAt, stepBy,
} from "./plot.js";

/** @typedef {import("./plot.js").Curves} Curves */
/** @typedef {import("./plot.js").Kind} Kind */

/**
 * The pixels of which every step is composed, RGBA in 32 bits.
 *
 * @typedef {object} StepPixels
 * @property {Record<Kind, Uint32Array>} before
 * @property {Record<Kind, Uint32Array>} after
 * @property {Uint8Array[]} changed  by line
 */

const PLOTS = "curve-plots";
const FIRST_SHARE = 0.25; // of the pixels, that are changed at first: something is to be seen
const ON_PAGE = {
  ink: "var(--cv-ink)", quiet: "var(--cv-quiet)", rule: "var(--cv-line)",
  accent: "var(--cv-emphasis)",
};

export class CurvePlots extends HTMLElement {
  static #count = 0;
  #prefix = `cp${++CurvePlots.#count}`;
  /** @type {Curves|null} */
  #value = null;
  /** @type {StepPixels|null} */
  #pixels = null;
  #step = -1;
  #chosen = "";
  #listeners = new AbortController();

  /** @param {Curves|null} value */
  set value(value) {
    this.#value = value || null; // gradio has "" for nothing
    this.hidden = !value;
    this.#pixels = null;
    if (!value) return;
    const last = value.shares.length - 1;
    if (this.#step < 0 || this.#step > last) {
      this.#step = Math.round(FIRST_SHARE * last);
    }
    if (!value.lines.some(line => line.key === this.#chosen)) this.#chosen = value.lines[0].key;
    this.#fill(value);
    this.#draw();
    void decode(value).then(pixels => {
      if (this.#value !== value) return;
      this.#pixels = pixels;
      this.#draw();
    });
  }

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    for (const kind of KINDS) {
      const plot = part(this, `${kind}-plot`);
      /** @param {PointerEvent} event */
      const point = event => this.#point(plot, event);
      plot.addEventListener("pointermove", point, { signal });
      plot.addEventListener("pointerdown", point, { signal });
      plot.addEventListener("keydown", event => this.#onKey(event), { signal });
    }
    part(this, "maps").addEventListener("change", event => this.#choose(event), { signal });
    part(this, "svg").addEventListener("click", () => this.#save("svg"), { signal });
    part(this, "csv").addEventListener("click", () => this.#save("csv"), { signal });
  }

  disconnectedCallback() {
    this.#listeners.abort();
  }

  get #line() {
    return this.#value?.lines.findIndex(line => line.key === this.#chosen) ?? 0;
  }

  /* The legend, whose entries choose by which map the pictures are changed. */
  /** @param {Curves} value */
  #fill(value) {
    const legend = make("legend", "", "Pictures in the order of");
    const entries = value.lines.map((line, i) => {
      const entry = make("label");
      const radio = make("input");
      radio.type = "radio";
      radio.name = this.#prefix;
      radio.value = line.key;
      radio.checked = line.key === this.#chosen;
      entry.append(radio, parsed(sampleSvg(i, ON_PAGE)), line.name);
      return entry;
    });
    part(this, "maps").replaceChildren(legend, ...entries);
  }

  /** @param {Event} event */
  #choose(event) {
    if (!(event.target instanceof HTMLInputElement)) return;
    this.#chosen = event.target.value;
    this.#draw();
  }

  /**
   * @param {HTMLElement} plot
   * @param {PointerEvent} event
   */
  #point(plot, event) {
    if (!this.#value) return;
    const { left, width } = plot.getBoundingClientRect();
    this.#go(stepAt((event.clientX - left) / width, this.#value.shares));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (!this.#value || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = stepBy(event.key, this.#step, this.#value.shares.length - 1);
    if (step === null) return;
    event.preventDefault();
    this.#go(step);
  }

  /** @param {number} step */
  #go(step) {
    if (step === this.#step) return;
    this.#step = step;
    this.#draw();
  }

  #draw() {
    const value = this.#value;
    if (!value) return;
    const chosen = this.#line, step = this.#step, line = value.lines[chosen];
    for (const kind of KINDS) {
      const plot = part(this, `${kind}-plot`);
      plot.replaceChildren(parsed(plotSvg(value, kind, ON_PAGE, step, chosen)));
      const text = `${percent(value.shares[step])} ${CHANGED[kind]}: ${value.label} `
        + scoreInWords(line[kind][step], value.unit);
      plot.setAttribute("aria-label", `${TITLES[kind]}, step by step`);
      plot.setAttribute("aria-valuemax", String(value.shares.length - 1));
      plot.setAttribute("aria-valuenow", String(step));
      plot.setAttribute("aria-valuetext", text);
      part(this, `${kind}-text`).textContent = text;
      part(this, `${kind}-words`).textContent = curveInWords(value, line, kind);
      this.#paint(kind, chosen, text);
    }
  }

  /**
   * @param {Kind} kind
   * @param {number} chosen
   * @param {string} text
   */
  #paint(kind, chosen, text) {
    const canvas = /** @type {HTMLCanvasElement} */ (part(this, `${kind}-picture`));
    canvas.setAttribute("aria-label", `The picture, ${text}`);
    const value = this.#value, pixels = this.#pixels;
    const context = canvas.getContext("2d");
    if (!value || !pixels || !context) return;
    [canvas.width, canvas.height] = value.size;
    const image = context.createImageData(...value.size);
    composeStep(new Uint32Array(image.data.buffer), pixels.before[kind], pixels.after[kind],
      pixels.changed[chosen], this.#step);
    context.putImageData(image, 0, 0);
  }

  /** @param {"svg" | "csv"} kind */
  #save(kind) {
    const value = this.#value;
    if (!value) return;
    const text = kind === "svg" ? curvesFigure(value) : curvesCsv(value);
    const type = kind === "svg" ? "image/svg+xml" : "text/csv";
    save(new Blob([text], { type }), `${value.name}_faithfulness.${kind}`);
  }
}

/**
 * @param {Curves} value
 * @returns {Promise<StepPixels>}
 */
async function decode(value) {
  const [width, height] = value.size;
  /** @type {(source: string) => Promise<Uint8ClampedArray>} */
  const read = async source => {
    const image = make("img");
    image.src = source;
    await image.decode();
    const canvas = make("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    if (!context) throw new Error("no canvas to draw on");
    context.drawImage(image, 0, 0, width, height);
    return context.getImageData(0, 0, width, height).data;
  };
  const [picture, blurred, ...maps] = await Promise.all(
    [value.picture, value.blurred, ...value.lines.map(line => line.changed)].map(read));
  const whole = new Uint32Array(picture.buffer);
  const [red, green, blue] = value.removed;
  const gone = new Uint32Array(whole.length).fill(
    (0xff000000 | blue << 16 | green << 8 | red) >>> 0);
  return {
    before: { deletion: whole, insertion: new Uint32Array(blurred.buffer) },
    after: { deletion: gone, insertion: whole },
    changed: maps.map(map => Uint8Array.from({ length: width * height }, (_, i) => map[4 * i])),
  };
}

/** @param {string} svg  made here, its texts escaped */
function parsed(svg) {
  const root = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  return document.adoptNode(root);
}

/** Makes <curve-plots> known to the browser. */
export function defineCurvePlots() {
  if (!customElements.get(PLOTS)) customElements.define(PLOTS, CurvePlots);
}
