// @ts-check
/* Maps as files: one as PNG, alone or with a caption, or a whole row as SVG or on paper. */

import { originInWords, settingsInWords } from "./caption.js";
import { make } from "./dom.js";
import { FIGURE_FONT, figureColumns, figureOf } from "./figure.js";
import { fitInside } from "./layout.js";

/** @typedef {import("./figure.js").Figured} Figured */
/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").MapRow} MapRow */
/** @typedef {import("./model.js").ViewerModel} ViewerModel */

const FINER = 2; // pixels of a captioned PNG to one of the picture
const PRINTED = 3; // pixels of a map to a unit of a figure: 290 to the inch at 96 units an inch
const FIGURE_WIDTH = 860; // units that the maps of a line fill
const WIDEST_MAP = 280;
const KEEP = 10000; // ms after which a browser has read what it downloads

export class MapExport {
  #renderer;
  #settings;

  /**
   * @param {import("./renderer.js").MapRenderer} renderer
   * @param {import("./settings.js").ViewerSettings} settings
   */
  constructor(renderer, settings) {
    this.#renderer = renderer;
    this.#settings = settings;
  }

  /**
   * The map as it is shown and nothing else, with as many pixels as the picture was sent with.
   *
   * @param {MapPanel} panel
   * @param {ViewerModel} model
   */
  saveMap(panel, model) {
    const { image } = this.#renderer;
    if (!image) return;
    const canvas = make("canvas");
    this.#renderer.paintPanel(canvas, panel, image.naturalWidth, image.naturalHeight);
    savePng(canvas, `${nameOf(model, panel)}_map.png`);
  }

  /**
   * The map at twice the pixels of the picture, what has to be known of it below.
   *
   * @param {MapPanel} panel
   * @param {ViewerModel} model
   */
  async saveCaptioned(panel, model) {
    const { image } = this.#renderer;
    if (!image) return;
    const { row } = panel;
    const size = { width: image.naturalWidth, height: image.naturalHeight };
    const scale = this.#renderer.scaleOf(row, panel);
    const figure = figureOf({
      title: `${row.title}\u00a0· ${panel.module ? `${panel.name} (${panel.module})` : panel.name}`,
      title_first: false,
      panels: [{ href: "", name: "", note: "", scale: null }],
      size,
      columns: 1,
      margin: 0,
      scale,
      lines: this.#lines(row, [panel], model, scale?.colors ?? ""),
    }, textMeasure());
    // Painted now: settings may change while the browser decodes the text around the map.
    const map = make("canvas");
    this.#renderer.paintPanel(map, panel, FINER * size.width, FINER * size.height);
    const canvas = make("canvas");
    canvas.width = FINER * figure.width;
    canvas.height = FINER * figure.height;
    const text = await decodeSvg(figure.svg);
    const context = canvas.getContext("2d");
    if (!context) return;
    context.drawImage(text, 0, 0, canvas.width, canvas.height);
    const [{ x, y }] = figure.places;
    context.drawImage(map, FINER * x, FINER * y);
    savePng(canvas, `${nameOf(model, panel)}.png`);
  }

  /**
   * All maps of a row as a figure.
   *
   * @param {MapRow} row
   * @param {ViewerModel} model
   */
  saveSvg(row, model) {
    const { svg } = this.#figure(row, model);
    save(new Blob([svg], { type: "image/svg+xml" }), `${nameOf(model, { row })}.svg`);
  }

  /**
   * Opens the same figure in a window of its own and prints it, which saves a PDF.
   *
   * @param {MapRow} row
   * @param {ViewerModel} model
   * @returns {boolean}  false: the browser opens no window
   */
  print(row, model) {
    const opened = window.open("", "_blank"); // at once: later it would be no visitor's wish
    if (!opened) return false;
    void printFigure(opened, this.#figure(row, model), nameOf(model, { row }));
    return true;
  }

  /**
   * @param {MapRow} row
   * @param {ViewerModel} model
   */
  #figure(row, model) {
    const renderer = this.#renderer;
    const same = this.#settings.values.scale === "same";
    const columns = figureColumns(row.panels.length);
    const width = Math.min(FIGURE_WIDTH / columns, WIDEST_MAP);
    const size = fitInside(width, 1.5 * width, model);
    const canvas = make("canvas");
    const panels = row.panels.map(panel => {
      renderer.paintPanel(canvas, panel, Math.max(1, Math.round(PRINTED * size.width)),
        Math.max(1, Math.round(PRINTED * size.height)));
      return {
        href: canvas.toDataURL("image/png"),
        name: panel.name,
        note: panel.module,
        scale: panel.ends || (same && panel.unit === null) ? renderer.scaleOf(row, panel) : null,
      };
    });
    const scale = renderer.scaleOf(row);
    return figureOf({
      title: row.title,
      title_first: true,
      panels,
      size,
      columns,
      margin: 14,
      scale: panels.every(panel => panel.scale) ? null : scale,
      lines: this.#lines(row, row.panels, model, scale?.colors ?? ""),
    }, textMeasure());
  }

  /**
   * @param {MapRow} row
   * @param {MapPanel[]} panels
   * @param {ViewerModel} model
   * @param {string} colors
   */
  #lines(row, panels, model, colors) {
    return [
      originInWords(row, panels, model.payload.picture?.name ?? ""),
      settingsInWords(this.#settings.values, colors,
        panels.map(panel => this.#renderer.cutOf(panel))),
    ];
  }
}

/**
 * Fills a new window with a figure on a page of its size, and prints it.
 *
 * @param {Window} opened
 * @param {Figured} figure
 * @param {string} title  which browsers offer as the name of the PDF
 */
async function printFigure(opened, { svg, width, height }, title) {
  const page = opened.document;
  page.title = title;
  const style = page.head.appendChild(page.createElement("style"));
  style.textContent = `@page { size: ${width}px ${height}px; margin: 0 } `
    + "html, body { margin: 0; background: #fff } svg { display: block; max-width: 100% }";
  const parsed = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  const drawn = page.body.appendChild(page.adoptNode(parsed));
  const sources = [...drawn.querySelectorAll("image")].map(one => one.getAttribute("href") ?? "");
  await Promise.all(sources.map(decodePicture));
  await new Promise(done => opened.requestAnimationFrame(() => opened.requestAnimationFrame(done)));
  opened.focus();
  opened.print();
}

/** @param {string} svg */
async function decodeSvg(svg) {
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  const image = await decodePicture(address);
  URL.revokeObjectURL(address);
  return image;
}

/** @param {string} source */
async function decodePicture(source) {
  const image = make("img");
  image.src = source;
  await image.decode();
  return image;
}

/** @returns {import("./figure.js").Measure} */
function textMeasure() {
  const context = make("canvas").getContext("2d");
  return (text, size, bold) => {
    if (!context) return 0.6 * size * text.length;
    context.font = `${bold ? "bold " : ""}${size}px ${FIGURE_FONT}`;
    return context.measureText(text).width;
  };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {string} name
 */
function savePng(canvas, name) {
  canvas.toBlob(blob => {
    if (blob) save(blob, name);
  }, "image/png");
}

/**
 * Downloads a file.
 *
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const anchor = make("a");
  anchor.href = URL.createObjectURL(blob);
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), KEEP);
}

/**
 * The name of a file, but for its end.
 *
 * @param {ViewerModel} model
 * @param {{row: MapRow, key?: string}} shown
 */
function nameOf(model, { row, key }) {
  const picture = (model.payload.picture?.name ?? "").replace(/\.\w+$/, "") || "picture";
  const words = key === undefined ? [picture, row.key] : [picture, row.key, key];
  return words.map(word => word.replace(/[^\p{L}\p{N}._-]+/gu, "-")).join("_");
}
