// @ts-check
/* <map-viewer>: rows of maps on one picture, which are up-sampled, coloured and blended here.

     viewer.configuration = configuration;  // once, before the first value
     viewer.value = payload;                // as often as there are new maps; null: none yet

   Settings and crosshair survive every new value. Its markup (viewer.html) stands inside of it, in
   the light DOM, so that the page's colours apply. Types of both values: schema.js.

   Events
     viewer-pick      a place {x, y} of the picture was chosen; only where `value.pick` is given
     viewer-settings  {settings}: they are what the visitor has set now; bubbles, to reach viewers
                      that follow the one inside of an element with a certain id
   It listens to "viewer-publish" on the document: the address bar is brought up to date at once.

     MapViewer.link = link;  // the server's part of the address bar, whenever it is another one

   A viewer whose value is `linked` writes it there, beside its settings; null: not known yet. */

import { drawCrosshair, handleArrowKeys, placeInWords, placeUnder } from "./crosshair.js";
import { MapDialog } from "./dialog.js";
import { asNode, closest, fillSelect, part } from "./dom.js";
import { MapGrid } from "./grid.js";
import { ViewerModel } from "./model.js";
import { decodeImage, MapRenderer } from "./renderer.js";
import { changeOf, syncControls, ViewerSettings, writeAddress } from "./settings.js";

/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").Place} Place */
/** @typedef {import("./schema.js").Configuration} Configuration */
/** @typedef {import("./schema.js").Payload} Payload */
/** @typedef {import("./schema.js").Settings} Settings */

const NAME = "map-viewer";
const WRITE_AFTER = 150; // ms; browsers refuse more than some hundred addresses in half a minute
const SPEAK_AFTER = 350; // ms after the last step

export class MapViewer extends HTMLElement {
  static #count = 0;
  /** What the server's controls add to the address bar. @type {Record<string, string>|null} */
  static #link = null;
  /** Of ids and names of radio buttons, which no other viewer on the page has. */
  #prefix = `vw${++MapViewer.#count}`;
  /** @type {Configuration} */
  #configuration;
  /** @type {ViewerSettings} */
  #settings;
  /** @type {MapRenderer} */
  #renderer;
  /** @type {MapGrid} */
  #grid;
  /** @type {MapDialog} */
  #dialog;
  /** The value shown. @type {ViewerModel|null} */
  #model = null;
  /** In whole pixels of the picture. @type {Place|null} */
  #crosshair = null;
  /** Whether the address bar has been read. */
  #linked = false;
  /** Counts values, so that a picture that is slow to decode does not overtake a later one. */
  #latest = 0;
  #stats = { values: 0, draws: 0, milliseconds: 0 };

  /** Everything that is undone when the element leaves the page. */
  #listeners = new AbortController();
  #observer = new ResizeObserver(() => this.#onResize());
  #frame = 0;
  #timers = { write: 0, speak: 0 };

  /** @param {Record<string, string>|null} link */
  static set link(link) {
    MapViewer.#link = link;
    document.dispatchEvent(new Event("viewer-linked"));
  }

  /** How many values were shown, how often all maps were drawn, how long that took last. */
  get stats() {
    return { ...this.#stats };
  }

  /** The picture under the maps, decoded, and its own size; null: there is none. */
  get picture() {
    const image = this.#renderer.image;
    if (!image || !this.#model?.payload.picture) return null;
    return { image, width: this.#model.width, height: this.#model.height };
  }

  /** All maps, row after row. @returns {readonly MapPanel[]} */
  get panels() {
    return this.#renderer?.image && this.#model ? this.#model.panels : [];
  }

  /**
   * Draws one of its maps as the settings say, so many pixels large.
   *
   * @param {HTMLCanvasElement} canvas
   * @param {MapPanel} panel
   * @param {number} width
   * @param {number} height
   */
  paint(canvas, panel, width, height) {
    this.#renderer.paintPanel(canvas, panel, width, height);
  }

  /** @returns {Readonly<Settings>} */
  get settings() {
    return this.#settings.values;
  }

  /** @param {Configuration} configuration */
  set configuration(configuration) {
    const { tables, diverging, uneven, max_threshold } = configuration;
    this.#configuration = configuration;
    this.#settings = new ViewerSettings(configuration);
    this.#renderer = new MapRenderer(configuration, this.#settings);
    this.#grid = new MapGrid(this, this.#renderer, this.#settings, this.#prefix);
    this.#dialog = new MapDialog(this.#dialogElement, this.#renderer, this.#settings);
    const even = Object.keys(tables).filter(name => name !== diverging && !uneven.includes(name));
    fillSelect(this.#select("colors"), [
      ["", even.map(twice)],
      ["uneven, familiar", uneven.map(twice)],
    ]);
    for (const knob of this.querySelectorAll("[data-number=threshold]")) {
      if (knob instanceof HTMLInputElement) knob.max = String(max_threshold);
    }
    if (this.isConnected) this.#dialog.listen(this.#listeners.signal);
  }

  /** @param {Payload|null} payload */
  set value(payload) {
    void this.#load(payload);
  }

  /**
   * Takes over the settings that a link names.
   *
   * @param {string} query
   */
  applyQuery(query) {
    this.#settings.applyQuery(new URLSearchParams(query));
  }

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    this.addEventListener("input", event => this.#onInput(event), { signal });
    this.addEventListener("click", event => this.#onClick(event), { signal });
    this.addEventListener("keydown", event => this.#onKey(event), { signal });
    for (const kind of /** @type {const} */ (["pointermove", "pointerdown"])) {
      this.addEventListener(kind, event => this.#onPointer(event), { signal });
    }
    this.#dialogElement.addEventListener("close", () => this.#onClose(), { signal });
    document.addEventListener("pointerdown", event => this.#closeMenu(event), { signal });
    document.addEventListener("viewer-publish", () => this.#writeAddress(), { signal });
    document.addEventListener("viewer-linked", () => this.#scheduleAddress(), { signal });
    document.addEventListener("viewer-settings", event => this.#follow(event), { signal });
    this.#dialog?.listen(signal);
    this.#observer.observe(this);
    if (this.#model) this.#scheduleDraw();
  }

  disconnectedCallback() {
    this.#listeners.abort();
    this.#observer.disconnect();
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#grid?.stop();
  }

  /** @param {string} name */
  #part(name) {
    return part(this, name);
  }

  get #dialogElement() {
    return /** @type {HTMLDialogElement} */ (this.#part("dialog"));
  }

  /** @param {string} name */
  #select(name) {
    return /** @type {HTMLSelectElement} */ (this.#part(name));
  }

  /* -- A new value -- */

  /** @param {Payload|null} payload */
  async #load(payload) {
    const turn = ++this.#latest;
    if (!payload || !payload.rows.length) {
      this.#model = null;
      this.#renderer.show(null, this.#renderer.image);
      this.#dialog.close();
      this.#build();
      this.#stats.values += 1;
      return;
    }
    const source = payload.picture?.src;
    const shown = this.#renderer.image;
    const same = source !== undefined && shown?.src === source;
    const image = source === undefined ? null : same ? shown : await decodeImage(source);
    if (turn !== this.#latest) return;
    const before = this.#model;
    this.#model = new ViewerModel(payload);
    this.#followClass(before, this.#model);
    this.#followOutline(before, this.#model);
    this.#renderer.show(this.#model, image);
    if (image && this.#crosshair) this.#crosshair = this.#model.inside(this.#crosshair);
    if (!this.#linked && payload.linked) {
      this.#linked = true;
      this.applyQuery(location.search);
    }
    this.#build();
    this.#scheduleAddress();
    this.#broadcastSettings();
    this.#stats.values += 1;
  }

  /**
   * An outline that is shown goes to the class that is explained, when that is another one now.
   *
   * @param {ViewerModel|null} before
   * @param {ViewerModel} model
   */
  #followClass(before, model) {
    const label = model.explained;
    const shown = this.#settings.values.outline;
    const gone = !model.payload.truth.some(thing => thing.label === shown);
    if (before === null || !shown || label === null) return;
    if (gone || label !== before.explained) this.#settings.change({ outline: label });
  }

  /**
   * What a payload wants outlined is, until a visitor chooses.
   *
   * @param {ViewerModel|null} before
   * @param {ViewerModel} model
   */
  #followOutline(before, model) {
    const { outline } = model.payload;
    if (outline !== (before?.payload.outline ?? null)) {
      this.#settings.change({ outline: outline ?? "" });
    }
  }

  #build() {
    const model = this.#model;
    const tools = model !== null && this.#renderer.image !== null && !model.payload.follows;
    this.#part("wait").hidden = model !== null;
    this.#part("tools").hidden = this.#part("read").hidden = !tools;
    this.toggleAttribute("data-dense", model !== null && model.payload.dense);
    this.toggleAttribute("data-small", model !== null && model.payload.small);
    this.#grid.build(model);
    if (!model) return;
    const { has_signs, truth } = model.payload;
    this.#part("signs").hidden = !has_signs;
    const [less, more] = (model.rows.find(row => row.signed) ?? model.rows[0]).signs;
    this.#part("signs-named").textContent = `${more[0].toUpperCase()}${more.slice(1)} and ${less}`;
    this.#part("scales").hidden = model.panels.every(panel => panel.unit === null);
    this.#part("truths").hidden = !truth.length;
    fillSelect(this.#select("outline"),
      [["", [["", "not shown"], ...truth.map(({ label }) => twice(label))]]]);
    this.#syncControls();
    this.#setCrosshair(this.#crosshair);
    const enlarged = this.#dialog.dialogPanel;
    if (enlarged) this.#enlarge(model.find(enlarged.id));
    this.#draw();
  }

  /* -- Drawing -- */

  #onResize() {
    if (this.#grid?.layout()) this.#draw();
    else this.#dialog?.draw();
  }

  #draw() {
    const start = performance.now();
    if (!this.#grid.draw()) return;
    this.#dialog.draw();
    this.#stats.milliseconds = performance.now() - start;
    this.#stats.draws += 1;
    if (!this.#renderer.hasTruth) void this.#loadTruth();
    this.#grid.updateIou();
  }

  #scheduleDraw() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  async #loadTruth() {
    if (await this.#renderer.loadTruth()) this.#scheduleDraw();
  }

  /* -- Settings -- */

  /** @param {Partial<Settings>} changes */
  #change(changes) {
    if (!this.#settings.change(changes)) return;
    if ("row" in changes) this.#build();
    if ("signed" in changes) this.#setCrosshair(this.#crosshair);
    this.#afterChange();
  }

  #reset() {
    this.#settings.reset();
    this.#setCrosshair(this.#crosshair);
    this.#afterChange();
  }

  #afterChange() {
    this.#syncControls();
    this.#scheduleDraw();
    this.#scheduleAddress();
    this.#broadcastSettings();
  }

  #syncControls() {
    syncControls(this, this.#settings, this.#prefix, this.#configuration.threshold);
  }

  #broadcastSettings() {
    this.dispatchEvent(new CustomEvent("viewer-settings", {
      bubbles: true,
      detail: { settings: this.settings },
    }));
  }

  /** @param {Event} event */
  #follow(event) {
    const leader = this.#model?.payload.follows;
    if (!leader || !(event instanceof CustomEvent) || !(event.target instanceof Element)) return;
    // Of all elements around it: gradio gives those inside of a component an id, too.
    if (!event.target.closest(`#${CSS.escape(leader)}`)) return;
    this.#settings.follow(event.detail.settings);
    this.#syncControls();
    this.#scheduleDraw();
  }

  #scheduleAddress() {
    clearTimeout(this.#timers.write);
    this.#timers.write = window.setTimeout(() => this.#writeAddress(), WRITE_AFTER);
  }

  #writeAddress() {
    clearTimeout(this.#timers.write);
    const link = MapViewer.#link;
    if (!this.#model?.payload.linked || !link || !this.isConnected) return;
    writeAddress(this.#settings.writeQuery(new URLSearchParams(location.search), link));
  }

  /* -- Crosshair -- */

  /** @param {Place|null} place */
  #setCrosshair(place) {
    const model = this.#renderer.image ? this.#model : null;
    this.#crosshair = model && place && model.inside(place);
    const at = this.#crosshair;
    const clear = this.#part("read").querySelector("button");
    if (clear) clear.hidden = !at;
    if (!model) {
      this.removeAttribute("data-cross");
      return;
    }
    drawCrosshair(this, at, model);
    this.#grid.read(at);
    this.#part("where").textContent = at ? placeInWords(at) : "";
    const { small, pick } = model.payload;
    this.#part("hint").textContent = at
      ? `Under each map: share of its maximum${small ? "" : " · value in the method's units"}`
      : pick || "Point at a map to read all of them there; click it to enlarge it.";
    this.#dialog.read(at);
  }

  /* Reads out, a moment after the last step, the map that has the focus. */
  #announce() {
    clearTimeout(this.#timers.speak);
    this.#timers.speak = window.setTimeout(() => {
      const panel = this.#panelAt(document.activeElement);
      if (!panel || !this.#crosshair) return;
      // What stands outside of an open dialog is not read out.
      const live = this.#part(this.#dialogElement.open ? "live-large" : "live");
      live.textContent = `${placeInWords(this.#crosshair)}: ${panel.name} `
        + this.#renderer.reading(panel, this.#crosshair);
    }, SPEAK_AFTER);
  }

  /**
   * The map around an element.
   *
   * @param {Element|null} node
   */
  #panelAt(node) {
    if (!node || !this.#model) return null;
    if (this.#dialogElement.contains(node)) return this.#dialog.dialogPanel;
    return this.#model.find(closest(node, "[data-id]")?.dataset.id);
  }

  /** @param {MapPanel|null} panel */
  #enlarge(panel) {
    if (panel && this.#model) this.#dialog.open(panel, this.#model, this.#crosshair);
    else this.#dialog.close();
  }

  /* -- Events: one listener a kind, whatever the value -- */

  /** @param {Event} event */
  #onInput(event) {
    const changes = changeOf(event);
    if (changes) this.#leader.#change(changes);
  }

  /**
   * The viewer whose settings serve this one: another one where the value says so.
   *
   * @returns {MapViewer}
   */
  get #leader() {
    const id = this.#model?.payload.follows;
    const found = id ? document.querySelector(`#${CSS.escape(id)} ${NAME}`) : null;
    return found instanceof MapViewer ? found : this;
  }

  /** What the buttons of viewer.html do, by their data-do. @type {Record<string, () => void>} */
  #actions = {
    reset: () => this.#reset(),
    clear: () => this.#setCrosshair(null),
    close: () => this.#dialog.close(),
    before: () => this.#dialog.showNeighbour(-1, this.#crosshair),
    after: () => this.#dialog.showNeighbour(1, this.#crosshair),
    "zoom-in": () => this.#dialog.zoomBy(1),
    "zoom-out": () => this.#dialog.zoomBy(-1),
    "zoom-whole": () => this.#dialog.zoomBy(0),
    download: () => this.#dialog.download("captioned"),
    "download-map": () => this.#dialog.download("map"),
    "figure-svg": () => this.#dialog.download("svg"),
    "figure-pdf": () => this.#dialog.download("pdf"),
  };

  /** @param {MouseEvent} event */
  #onClick(event) {
    if (!(event.target instanceof Element)) return;
    const action = closest(event.target, "[data-do]")?.dataset.do;
    const tab = closest(event.target, "[data-tab]")?.dataset.tab;
    const open = closest(event.target, ".vw-rows .vw-open");
    if (action) this.#actions[action]();
    else if (tab !== undefined) this.#change({ row: tab });
    else if (event.target === this.#dialogElement) this.#dialog.close(); // beside the sheet
    else if (closest(event.target, "[data-enlarge]")) this.#enlarge(this.#panelAt(event.target));
    else if (open) this.#onMap(event, open);
  }

  /**
   * A map was clicked: enlarges it, or chooses a place.
   *
   * @param {MouseEvent} event
   * @param {HTMLElement} open
   */
  #onMap(event, open) {
    const panel = this.#panelAt(open);
    const model = this.#model;
    if (!panel || !model) return;
    if (!model.payload.pick) {
      this.#enlarge(panel);
      return;
    }
    // A click by keyboard has no place of its own: the crosshair's, or else the maximum's.
    const detail = event.detail ? placeUnder(event, canvasOf(open), model)
      : this.#crosshair ?? model.peakOf(panel);
    this.dispatchEvent(new CustomEvent("viewer-pick", { detail }));
  }

  /** @param {PointerEvent} event */
  #onPointer(event) {
    const open = closest(event.target, ".vw-open");
    if (!open || !this.#model || !this.#renderer.image) return;
    this.#setCrosshair(this.#dialogElement.contains(open)
      ? this.#dialog.placeUnder(event, this.#model)
      : placeUnder(event, canvasOf(open), this.#model));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const open = closest(event.target, ".vw-open");
    const tab = closest(event.target, "[data-tab]")?.dataset.tab;
    const menu = this.#menu;
    if (this.#dialogElement.contains(asNode(event.target))) {
      if (this.#onDialogKey(event)) event.preventDefault();
    } else if (open && this.#onArrow(event, open)) event.preventDefault();
    else if (menu.open && event.key === "Escape" && menu.contains(asNode(event.target))) {
      menu.open = false;
      this.#part("menu").focus();
    } else if (tab !== undefined && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      const keys = (this.#model?.rows ?? []).map(row => row.key);
      const step = event.key === "ArrowRight" ? 1 : -1;
      this.#change({ row: keys[(keys.indexOf(tab) + step + keys.length) % keys.length] });
      event.preventDefault();
    }
  }

  /**
   * @param {KeyboardEvent} event
   * @param {HTMLElement} open
   * @returns {boolean}  whether the key moved the crosshair
   */
  #onArrow(event, open) {
    const panel = this.#panelAt(open);
    if (!panel || !this.#model || !this.#renderer.image) return false;
    const place = handleArrowKeys(event, this.#crosshair, this.#model, panel);
    if (place === undefined) return false;
    this.#setCrosshair(place);
    if (place) this.#announce();
    return true;
  }

  /**
   * @param {KeyboardEvent} event
   * @returns {boolean}  whether the key had a meaning
   */
  #onDialogKey(event) {
    const found = this.#dialog.handleKey(event, this.#crosshair);
    if (typeof found === "boolean") return found;
    this.#setCrosshair(found);
    this.#announce();
    return true;
  }

  /* Back to the map that was left last, which need not be the one that was opened. */
  #onClose() {
    const id = this.#dialog.leave();
    if (id) this.#grid.focus(id);
  }

  get #menu() {
    return /** @type {HTMLDetailsElement} */ (this.#part("more"));
  }

  /** @param {Event} event */
  #closeMenu(event) {
    if (!this.#menu.contains(asNode(event.target))) this.#menu.open = false;
  }
}

/** @param {HTMLElement} open */
const canvasOf = open => /** @type {HTMLCanvasElement} */ (open.querySelector("canvas"));

/** @param {string} text @returns {[string, string]} */
const twice = text => [text, text];

/** Makes <map-viewer> known to the browser. */
export function define() {
  if (!customElements.get(NAME)) customElements.define(NAME, MapViewer);
}
