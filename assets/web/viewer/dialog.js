// @ts-check
/* One map, large, with its formula and everything that is known of it. */

import { placeInWords } from "./crosshair.js";
import { make, part } from "./dom.js";
import { density, fitInside } from "./layout.js";
import { placeRing } from "./rows.js";
import { digits, percent, typeset } from "./text.js";

/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").Place} Place */
/** @typedef {import("./model.js").ViewerModel} ViewerModel */

const SLIM = 760; // pixels of the window, below which the words stand under the map
const MARGIN = 130; // pixels of the window's height that are not the map's
const MOST_BOXES = 4; // that are listed

export class MapDialog {
  #dialog;
  #renderer;
  /** @type {ViewerModel|null} */
  #model = null;
  /** @type {MapPanel|null} */
  #panel = null;

  /**
   * @param {HTMLDialogElement} dialog
   * @param {import("./renderer.js").MapRenderer} renderer
   */
  constructor(dialog, renderer) {
    this.#dialog = dialog;
    this.#renderer = renderer;
  }

  /** The map that is shown, null if the dialog is closed. */
  get dialogPanel() {
    return this.#panel;
  }

  /**
   * @param {string} name
   * @returns {HTMLElement}
   */
  #part(name) {
    return part(this.#dialog, name);
  }

  /**
   * Shows a map.
   *
   * @param {MapPanel} panel
   * @param {ViewerModel} model
   * @param {Place|null} place  of the crosshair
   */
  open(panel, model, place) {
    this.#panel = panel;
    this.#model = model;
    const { row } = panel;
    const method = `${row.method} (${row.paper})`;
    const words = panel.words ?? { summary: "", formula: "", symbols: "" };
    this.#part("from").textContent = row.title === row.method ? method : `${row.title} · ${method}`;
    this.#part("title").textContent = panel.name;
    if (panel.module) this.#part("title").append(" ", make("small", "vw-module", panel.module));
    this.#part("zoomed").setAttribute("aria-label",
      `${panel.alt}. Arrow keys move the crosshair, Home goes to the maximum.`);
    typeset(this.#part("formula"), words.formula);
    this.#part("formula").hidden = !words.formula;
    this.#part("summary").textContent = words.summary;
    typeset(this.#part("symbols"), words.symbols);
    const notes = [...new Set([...panel.notes, ...panel.warnings, ...panel.remarks])];
    this.#part("notes").replaceChildren(...notes.map(text => make("li",
      panel.warnings.includes(text) ? "vw-warning" : "", text)));
    this.#dialog.setAttribute("aria-label", `${row.title}, ${panel.name}`);
    for (const name of ["before", "after"]) {
      const button = this.#dialog.querySelector(`[data-do="${name}"]`);
      if (button instanceof HTMLElement) button.hidden = model.panels.length < 2;
    }
    if (!this.#dialog.open) this.#dialog.showModal();
    placeRing(this.#part("ring"), panel, model);
    this.draw();
    this.read(place);
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  /**
   * Forgets the map after the dialog was closed.
   *
   * @returns {string|null}  its id
   */
  leave() {
    const id = this.#panel?.id ?? null;
    this.#panel = null;
    return id;
  }

  /**
   * Shows the map so many places further on.
   *
   * @param {number} step
   * @param {Place|null} place
   */
  showNeighbour(step, place) {
    const panel = this.#panel;
    if (!this.#model || !panel) return;
    const { panels } = this.#model;
    const at = panels.findIndex(other => other.id === panel.id);
    this.open(panels[(at + step + panels.length) % panels.length], this.#model, place);
  }

  /** Draws the map as large as there is room for, and lists its boxes. */
  draw() {
    const panel = this.#panel;
    const model = this.#model;
    if (!panel || !model) return;
    const room = this.#part("stage").getBoundingClientRect();
    const tallest = window.innerWidth < SLIM
      ? 0.5 * window.innerHeight : Math.max(window.innerHeight - MARGIN, 160);
    const { width, height } = fitInside(Math.max(room.width, 1), tallest, model);
    const open = this.#part("zoomed");
    open.style.width = `${width}px`;
    open.style.height = `${height}px`;
    const sharp = density(width * height, window.devicePixelRatio || 1);
    const canvas = open.querySelector("canvas");
    if (canvas) {
      this.#renderer.paintPanel(canvas, panel, Math.max(1, Math.round(width * sharp)),
        Math.max(1, Math.round(height * sharp)));
    }
    open.classList.toggle("vw-nothing", !this.#renderer.topOf(panel));
    this.#renderer.drawColorBar(this.#part("scale"), panel.row, panel);
    this.#part("found").textContent = this.#boxesInWords(panel);
  }

  /**
   * The boxes of a map, in pixels of the picture as the engine gives them.
   *
   * @param {MapPanel} panel
   */
  #boxesInWords(panel) {
    const found = this.#part("found");
    found.hidden = !this.#renderer.hasBoxes || panel.ends !== null;
    if (found.hidden) return "";
    const cut = percent(this.#renderer.cut);
    const boxes = this.#renderer.boxesOf(panel);
    if (!boxes.length) {
      return `No box at ${cut}: ${panel.peak ? "nothing but tiny parts" : "the map is empty"}.`;
    }
    const listed = boxes.slice(0, MOST_BOXES).map(box => box.map(Math.round).join(", "));
    const rest = boxes.length - listed.length;
    return `Boxes at ${cut} (x0, y0, x1, y1 in pixels): ${listed.join("; ")}`
      + (rest ? `; and ${rest} more.` : ".");
  }

  /**
   * Writes the map's value at the crosshair, or its maximum.
   *
   * @param {Place|null} place
   */
  read(place) {
    const panel = this.#panel;
    if (!panel) return;
    this.#part("reading").textContent = place
      ? `${placeInWords(place)}: ${this.#renderer.reading(panel, place)}`
      : panel.ends ? `From ${percent(-panel.lowest)} to ${percent(panel.peak)}`
        : `Maximum: ${panel.unit === null ? "100%" : digits(panel.peak)}`;
  }

  /** Downloads the map as it is shown, with as many pixels as the picture was sent with. */
  download() {
    const panel = this.#panel;
    const model = this.#model;
    const { image } = this.#renderer;
    if (!panel || !model || !image) return;
    const canvas = make("canvas");
    this.#renderer.paintPanel(canvas, panel, image.naturalWidth, image.naturalHeight);
    canvas.toBlob(blob => {
      if (!blob) return;
      const anchor = make("a");
      anchor.href = URL.createObjectURL(blob);
      anchor.download = fileName(model.payload.picture?.name ?? "", panel);
      anchor.click();
      setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
    }, "image/png");
  }
}

/**
 * @param {string} picture
 * @param {MapPanel} panel
 */
function fileName(picture, panel) {
  const words = [picture.replace(/\.\w+$/, "") || "picture", panel.row.key, panel.key];
  return `${words.map(word => word.replace(/[^\p{L}\p{N}._-]+/gu, "-")).join("_")}.png`;
}
