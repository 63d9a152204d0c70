// @ts-check
/* One map, large, with its formula and everything that is known of it. */

import { crossAt, handleShiftArrows, placeInWords, placeUnder } from "./crosshair.js";
import { make, part } from "./dom.js";
import { MapExport } from "./export.js";
import { listenForZoom } from "./gestures.js";
import { density, enlargedSize } from "./layout.js";
import { isHeat } from "./model.js";
import { placeRing } from "./rows.js";
import { digits, percent, typeset } from "./text.js";
import { MOST_ZOOM, regionOf, reveal, WHOLE, ZOOM_STEP, zoomAt } from "./zoom.js";

/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").Place} Place */
/** @typedef {import("./model.js").ViewerModel} ViewerModel */
/** @typedef {import("./zoom.js").Zoom} Zoom */

const SLIM = 760; // pixels of the window, up to which the words stand under the map
const SLIM_SHARE = 0.55; // of the window's height, which the map has there
const MOST_PIXELS_LARGE = 3e6; // that are drawn at once, however large the screen
const KEYS = "Left and right go to the other maps, arrows with Shift move the crosshair, "
  + "Home goes to the maximum, plus and minus zoom, 0 shows the whole map";
const MOST_BOXES = 4; // that are listed

export class MapDialog {
  #dialog;
  #renderer;
  /** @type {ViewerModel|null} */
  #model = null;
  /** @type {MapPanel|null} */
  #panel = null;
  /** @type {Place|null} */
  #place = null;
  /** @type {Zoom} */
  #zoom = WHOLE;
  #export;
  #frame = 0;

  /**
   * @param {HTMLDialogElement} dialog
   * @param {import("./renderer.js").MapRenderer} renderer
   * @param {import("./settings.js").ViewerSettings} settings
   */
  constructor(dialog, renderer, settings) {
    this.#dialog = dialog;
    this.#renderer = renderer;
    this.#export = new MapExport(renderer, settings);
  }

  /**
   * Makes the map zoom and pan by pointer and wheel.
   *
   * @param {AbortSignal} signal  ends it
   */
  listen(signal) {
    listenForZoom(this.#part("zoomed"), () => this.#zoom, zoom => this.#showPart(zoom), signal);
    signal.addEventListener("abort", () => this.#cancelFrame());
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
    const method = row.paper ? `${row.method} (${row.paper})` : row.method;
    const words = panel.words ?? { summary: "", formula: "", symbols: "" };
    this.#part("from").textContent = row.title === row.method ? method : `${row.title} · ${method}`;
    this.#part("title").textContent = panel.name;
    if (panel.module) this.#part("title").append(" ", make("small", "vw-module", panel.module));
    this.#part("zoomed").setAttribute("aria-label",
      `${panel.alt}. ${KEYS}.`);
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
    if (!this.#dialog.open) {
      this.#zoom = WHOLE;
      this.#dialog.showModal();
    }
    this.#part("text").textContent = "";
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
    this.#cancelFrame();
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
    const { width, height } = this.#size(model);
    const open = this.#part("zoomed");
    open.style.width = `${width}px`;
    open.style.height = `${height}px`;
    this.#paint(panel, model, width, height);
    this.#placeMarks(panel, model);
    open.classList.toggle("vw-nothing", !this.#renderer.topOf(panel));
    this.#renderer.drawColorBar(this.#part("scale"), panel.row, panel);
    this.#part("least").hidden = panel.channels !== null; // of colours nothing is cut off
    this.#part("found").textContent = this.#boxesInWords(panel);
  }

  /**
   * The size of the map on the page.
   *
   * @param {ViewerModel} model
   */
  #size(model) {
    const { image } = this.#renderer;
    const stage = this.#part("stage");
    const slim = window.innerWidth <= SLIM;
    return enlargedSize({
      width: Math.max(stage.clientWidth, 1),
      height: Math.max(slim ? SLIM_SHARE * window.innerHeight : stage.clientHeight, 1),
    }, model, { width: image?.naturalWidth ?? 1, height: image?.naturalHeight ?? 1 });
  }

  /**
   * Draws the visible part of the map, as sharp as the screen.
   *
   * @param {MapPanel} panel
   * @param {ViewerModel} model
   * @param {number} width   on the page
   * @param {number} height
   */
  #paint(panel, model, width, height) {
    const canvas = this.#part("zoomed").querySelector("canvas");
    if (!canvas) return;
    const sharp = density(width * height, window.devicePixelRatio || 1, MOST_PIXELS_LARGE);
    this.#renderer.paintPanel(canvas, panel, Math.max(1, Math.round(width * sharp)),
      Math.max(1, Math.round(height * sharp)),
      this.#zoom.scale > 1 ? regionOf(this.#zoom, model) : null);
  }

  /**
   * Puts ring and crosshair where they belong in the visible part, and says how large it is.
   *
   * @param {MapPanel} panel
   * @param {ViewerModel} model
   */
  #placeMarks(panel, model) {
    const region = regionOf(this.#zoom, model);
    placeRing(this.#part("ring"), panel, region);
    if (this.#place) crossAt(this.#part("zoomed"), this.#place, region);
    const { scale } = this.#zoom;
    this.#part("zoom").textContent = `${scale.toFixed(scale % 1 ? 1 : 0)}×`;
    this.#part("zoomed").classList.toggle("vw-zoomed", scale > 1);
    for (const [name, end] of [["zoom-out", 1], ["zoom-in", MOST_ZOOM]]) {
      const button = this.#dialog.querySelector(`[data-do="${name}"]`);
      if (button) button.setAttribute("aria-disabled", String(scale === end));
    }
  }

  /* -- Zoom -- */

  /**
   * Shows another part of the map; it is drawn with the next frame.
   *
   * @param {Zoom} zoom
   */
  #showPart(zoom) {
    const { scale, x, y } = this.#zoom;
    if (zoom.scale === scale && zoom.x === x && zoom.y === y) return;
    this.#zoom = zoom;
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      if (!this.#panel || !this.#model) return;
      const { width, height } = this.#size(this.#model);
      this.#paint(this.#panel, this.#model, width, height);
      this.#placeMarks(this.#panel, this.#model);
    });
  }

  #cancelFrame() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }

  /**
   * Zooms by so many steps, in if there are more than none; 0: shows the whole map.
   *
   * @param {number} steps
   */
  zoomBy(steps) {
    this.#showPart(steps ? zoomAt(this.#zoom, ZOOM_STEP ** steps) : WHOLE);
  }

  /**
   * The pixel of the picture under the pointer.
   *
   * @param {MouseEvent} event
   * @param {ViewerModel} model
   */
  placeUnder(event, model) {
    return placeUnder(event, this.#part("zoomed"), model, regionOf(this.#zoom, model));
  }

  /**
   * Does what a key means in the dialog, wherever the focus is in it.
   *
   * @param {KeyboardEvent} event
   * @param {Place|null} place  of the crosshair
   * @returns {Place|boolean}   where the crosshair goes, or whether the key had a meaning
   */
  handleKey(event, place) {
    const panel = this.#panel;
    const model = this.#model;
    if (!panel || !model || event.ctrlKey || event.metaKey || event.altKey) return false;
    const steps = ZOOM_KEYS[event.key];
    if (steps !== undefined) {
      this.zoomBy(steps);
      return true;
    }
    if (event.target instanceof HTMLInputElement) return false; // a slider has keys of its own
    const at = handleShiftArrows(event, place, model, panel, 1 / this.#zoom.scale);
    if (at) {
      this.#showPart(reveal(this.#zoom, {
        x: (at.x + 0.5) / model.width,
        y: (at.y + 0.5) / model.height,
      }));
      return at;
    }
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.shiftKey) return false;
    this.showNeighbour(step, place);
    return true;
  }

  /**
   * The boxes of a map, in pixels of the picture as the engine gives them.
   *
   * @param {MapPanel} panel
   */
  #boxesInWords(panel) {
    const found = this.#part("found");
    found.hidden = !this.#renderer.hasBoxes || !isHeat(panel);
    if (found.hidden) return "";
    const cut = percent(this.#renderer.cutOf(panel));
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
    this.#place = place;
    if (!panel || !this.#model) return;
    if (place) crossAt(this.#part("zoomed"), place, regionOf(this.#zoom, this.#model));
    if (panel.channels) {
      this.#part("reading").textContent = "";
      return;
    }
    this.#part("reading").textContent = place
      ? `${placeInWords(place)}: ${this.#renderer.reading(panel, place)}`
      : panel.ends ? `From ${percent(-panel.lowest)} to ${percent(panel.peak)}`
        : `Maximum: ${panel.unit === null ? "100%" : digits(panel.peak)}`;
  }

  /* -- Files -- */

  /**
   * Saves what is shown: the map with a caption or alone, or its whole row.
   *
   * @param {"captioned"|"map"|"svg"|"pdf"} kind
   */
  download(kind) {
    const panel = this.#panel;
    const model = this.#model;
    if (!panel || !model) return;
    this.#part("text").textContent = "";
    if (kind === "captioned") void this.#export.saveCaptioned(panel, model);
    else if (kind === "map") this.#export.saveMap(panel, model);
    else if (kind === "svg") this.#export.saveSvg(panel.row, model);
    else if (!this.#export.print(panel.row, model)) {
      this.#part("text").textContent = "Your browser did not open a window to print from. Please "
        + "allow pop-ups for this page, or save the SVG.";
    }
  }
}

/** Steps of the zoom by key; 0: back to the whole. @type {Record<string, number>} */
const ZOOM_KEYS = { "+": 1, "=": 1, "-": -1, "−": -1, "0": 0 };
