// @ts-check
/* The maps on the page: their rows, how large each is, what is drawn on and written below it. */

import { focusOn, make, moveBefore, part, putInOrder } from "./dom.js";
import { columnKeys, density, layoutOf, leads, panelSize, spanOf, spanWidth } from "./layout.js";
import { isHeat } from "./model.js";
import { buildHeads, buildRows, buildTabs, replaceSections } from "./rows.js";
import { percent } from "./text.js";

/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").Place} Place */
/** @typedef {import("./model.js").ViewerModel} ViewerModel */

export class MapGrid {
  #root;
  #renderer;
  #settings;
  #prefix;
  /** @type {ViewerModel|null} */
  #model = null;
  /** @type {import("./rows.js").RowElements[]} */
  #rows = [];
  /** As last laid out. @type {import("./layout.js").Layout|null} */
  #layout = null;
  #timer = 0;

  /**
   * @param {HTMLElement} root
   * @param {import("./renderer.js").MapRenderer} renderer
   * @param {import("./settings.js").ViewerSettings} settings
   * @param {string} prefix  of ids that no other viewer on the page has
   */
  constructor(root, renderer, settings, prefix) {
    this.#root = root;
    this.#renderer = renderer;
    this.#settings = settings;
    this.#prefix = prefix;
  }

  get #narrow() {
    return this.#layout !== null && this.#layout.narrow;
  }

  get #figures() {
    return this.#rows.flatMap(({ figures }) => figures);
  }

  /** Key of the row that a narrow page shows. */
  get #rowShown() {
    const rows = this.#model?.rows ?? [];
    const { row } = this.#settings.values;
    return (rows.find(({ key }) => key === row) ?? rows[0])?.key ?? "";
  }

  /**
   * Puts the rows of a value on the page, in the place of those before. What had the focus has it
   * again, if it is still there.
   *
   * @param {ViewerModel|null} model
   */
  build(model) {
    const rows = part(this.#root, "rows");
    const tabs = part(this.#root, "tabs");
    const focused = document.activeElement;
    const id = rows.contains(focused) ? focused?.closest("[data-id]")?.getAttribute("data-id") : "";
    const onTab = tabs.contains(focused);
    this.#model = model;
    this.#rows = model ? buildRows(model, this.#prefix) : [];
    replaceSections(rows, this.#rows);
    tabs.replaceChildren(...(model ? buildTabs(model, this.#rowShown, this.#prefix) : []));
    tabs.hidden = true;
    part(this.#root, "heads").replaceChildren(...(model?.payload.dense ? buildHeads(model) : []));
    const notes = model ? [model.payload.crop_note, ...model.payload.truth.map(t => t.note)] : [];
    part(this.#root, "foot").replaceChildren(
      ...notes.filter(text => text !== null).map(text => make("p", "", text)));
    this.layout();
    if (onTab) focusOn(tabs.querySelector("[aria-selected=true]"));
    if (id) this.focus(id);
  }

  /**
   * Gives the focus to a map.
   *
   * @param {string} id
   */
  focus(id) {
    focusOn(part(this.#root, "rows").querySelector(`[data-id="${CSS.escape(id)}"] .vw-open`));
  }

  /**
   * Places all maps in the width that there is.
   *
   * @returns {boolean}  whether they have to be drawn anew
   */
  layout() {
    const model = this.#model;
    const width = this.#root.clientWidth;
    if (!model || !width) return false;
    const before = this.#layout;
    const names = columnKeys(model.rows);
    const { dense, small } = model.payload;
    const layout = layoutOf(width, names.length, dense, model, small);
    this.#layout = layout;
    this.#root.toggleAttribute("data-narrow", layout.narrow);
    this.#root.style.setProperty("--columns", String(layout.columns));
    this.#root.style.setProperty("--column", `${layout.track}px`);
    part(this.#root, "tabs").hidden = !layout.narrow || model.rows.length < 2;
    // On a narrow page maps come first, and what changes them behind them.
    const read = part(this.#root, "read");
    moveBefore(read, part(this.#root, layout.narrow ? "foot" : "tabs"));
    moveBefore(part(this.#root, "tools"), read);
    if (this.#renderer.image) this.#placeFigures(model, layout, names);
    return before?.width !== layout.width || before.narrow !== layout.narrow;
  }

  /**
   * @param {ViewerModel} model
   * @param {import("./layout.js").Layout} layout
   * @param {string[]} names  of the columns
   */
  #placeFigures(model, layout, names) {
    const { narrow, aligned } = layout;
    this.#root.toggleAttribute("data-aligned", aligned);
    /** @type {NodeListOf<HTMLElement>} */
    const figures = part(this.#root, "rows").querySelectorAll(".vw-panel");
    for (const figure of figures) {
      const panel = model.find(figure.dataset.id);
      const size = this.#sizeOf(panel);
      const column = names.indexOf(panel ? panel.key : figure.dataset.key ?? "");
      figure.dataset.span = panel ? spanOf(panel, layout) : "column";
      figure.style.setProperty("--wide", `${size.width}px`);
      figure.style.setProperty("--tall", `${size.height}px`);
      figure.style.gridColumn = aligned ? String(column + 1) : "";
      figure.style.gridRow = aligned ? "1" : "";
      figure.hidden = !panel && !aligned && figure.classList.contains("vw-missing");
    }
    for (const { row, section, figures: own } of this.#rows) {
      if (row.panels.some(leads)) orderFigures(section, own, narrow);
      section.hidden = narrow && row.key !== this.#rowShown;
      section.removeAttribute("role");
      if (narrow && model.rows.length > 1) section.setAttribute("role", "tabpanel");
    }
  }

  /**
   * The size of a map on the page, in pixels; null: of one that is not wide.
   *
   * @param {MapPanel|null} panel
   */
  #sizeOf(panel) {
    const layout = this.#layout;
    const span = panel && layout ? spanOf(panel, layout) : "column";
    const width = layout ? spanWidth(span, layout, this.#root.clientWidth) : 0;
    return panelSize(width, this.#model ?? { width: 1, height: 1 });
  }

  /**
   * Draws all maps that are shown.
   *
   * @returns {boolean}  whether there was anything to draw
   */
  draw() {
    const model = this.#model;
    const renderer = this.#renderer;
    if (!model || !renderer.image || !this.#layout) return false;
    const size = this.#sizeOf(null);
    const sharp = density(size.width * size.height * model.panels.length,
      window.devicePixelRatio || 1);
    for (const { row, scale, figures } of this.#rows) {
      if (!scale || (this.#narrow && row.key !== this.#rowShown)) continue;
      for (const { panel, figure, canvas, scale: own } of figures) {
        const { width, height } = this.#sizeOf(panel);
        renderer.paintPanel(canvas, panel, Math.max(1, Math.round(width * sharp)),
          Math.max(1, Math.round(height * sharp)));
        figure.classList.toggle("vw-nothing", !renderer.topOf(panel));
        if (own) renderer.drawColorBar(own, row, panel);
      }
      // Each has its own, or colours have no meaning.
      scale.hidden = row.panels.every(panel => !isHeat(panel));
      if (!scale.hidden) renderer.drawColorBar(scale, row);
    }
    const first = model.rows.find(row => row.panels.length);
    if (model.payload.dense && first) renderer.drawColorBar(part(this.#root, "ramp"), first);
    return true;
  }

  /**
   * Writes the value of every map at a place, or nothing.
   *
   * @param {Place|null} place
   */
  read(place) {
    for (const { panel, reading } of this.#figures) {
      const value = place && this.#renderer.valueAt(panel, place);
      reading.textContent = place ? this.#reading(panel, place) : "";
      reading.dataset.share = value ? String(value.share) : "";
      reading.dataset.raw = value ? String(value.raw) : "";
    }
  }

  /**
   * The value of a map at a place, as short as there is room for.
   *
   * @param {MapPanel} panel
   * @param {Place} place
   */
  #reading(panel, place) {
    const value = this.#model?.payload.small ? this.#renderer.valueAt(panel, place) : null;
    return value ? percent(value.share) : this.#renderer.reading(panel, place);
  }

  /**
   * Writes how well every map agrees with what is outlined. Tables are computed one at a time, when
   * the page has nothing else to do.
   */
  updateIou() {
    clearTimeout(this.#timer);
    const renderer = this.#renderer;
    const ready = renderer.hasTruth;
    /** @type {MapPanel|null} */
    let missing = null;
    for (const { panel, iou } of this.#figures) {
      if (!isHeat(panel)) continue;
      const value = ready ? renderer.iouOf(panel) : null;
      iou.hidden = !ready;
      if (value !== null) {
        iou.textContent = `IoU ${value.toFixed(2)} at ${percent(renderer.cutOf(panel))}`;
        iou.title = `Overlap of the map above its threshold with the outline: ${renderer.outlined}`;
        iou.dataset.iou = String(value);
      } else if (ready) {
        iou.textContent = "IoU …";
        missing ??= panel;
      }
    }
    if (missing) this.#timer = window.setTimeout(() => this.#computeIou(missing), 0);
  }

  /** @param {MapPanel} panel */
  #computeIou(panel) {
    this.#renderer.computeIou(panel);
    this.updateIou();
  }

  /** Gives up what is still to be computed. */
  stop() {
    clearTimeout(this.#timer);
  }
}

/**
 * Puts the fused and the refined map of a row behind its stages, on a narrow page the fused one
 * before them.
 *
 * @param {HTMLElement} section
 * @param {import("./rows.js").Figure[]} figures  of its maps
 * @param {boolean} narrow
 */
function orderFigures(section, figures, narrow) {
  const isFirst = (/** @type {MapPanel} */ panel) => narrow && leads(panel);
  const ends = figures.filter(({ panel }) => panel.last);
  const last = new Set(ends.filter(({ panel }) => !isFirst(panel)).map(({ figure }) => figure));
  const first = new Set(ends.filter(({ panel }) => isFirst(panel)).map(({ figure }) => figure));
  /** @type {NodeListOf<HTMLElement>} */
  const all = section.querySelectorAll(".vw-panel");
  putInOrder([...first, ...[...all].filter(one => !first.has(one) && !last.has(one)), ...last]);
}
