// @ts-check
/* Draws and reads maps as the settings say, and keeps what is dear to compute: rasters of the
   picture, of masks and of maps, and how well maps agree with a mask. */

import { make } from "./dom.js";
import { blank, bytesOf, iouTable, upsample, valueAt, visibleLines } from "./maps.js";
import { isHeat } from "./model.js";
import { boxesOf, paint, ramp } from "./paint.js";
import { digits, percent } from "./text.js";
import { cropView } from "./zoom.js";

/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").MapRow} MapRow */
/** @typedef {import("./model.js").Place} Place */
/** @typedef {import("./model.js").ViewerModel} ViewerModel */
/** @typedef {import("./zoom.js").Region} Region */

const MOST_PICTURES = 5; // rasters that are kept, and of each map
const MOST_MAPS = 6;
const IOU_SIDE = 1024; // pixels of the longer side, on which maps are compared with a mask
const STOPS = 18; // of a colour bar

/**
 * A colour scale: the colours at even steps and which share of full opacity they are drawn with,
 * what its ends are called, the share of it that a threshold hides, and the name of the colour map.
 *
 * @typedef {object} Scale
 * @property {string[]} stops
 * @property {number[]} covers
 * @property {string} least
 * @property {string} most
 * @property {number} hidden
 * @property {string} colors
 */

/**
 * A value of a map at a place: the share of its maximum, and in true units.
 *
 * @typedef {{share: number, raw: number}} Value
 */

export class MapRenderer {
  #configuration;
  #settings;
  /** @type {Record<string, Uint8Array>} */
  #tables;
  /** @type {ViewerModel|null} */
  #model = null;
  /** @type {HTMLImageElement|null} */
  #image = null;
  /** @type {Map<string, Uint32Array>} */
  #pictures = new Map();
  /** Masks by label, decoded. @type {Map<string, HTMLImageElement>} */
  #masks = new Map();
  /** @type {Map<string, Float32Array>} */
  #maskRasters = new Map();
  /** @type {WeakMap<MapPanel, Map<string, Float32Array>>} */
  #heat = new WeakMap();
  /** @type {WeakMap<MapPanel, Map<string, Float64Array>>} */
  #agreement = new WeakMap();

  /**
   * @param {import("./schema.js").Configuration} configuration
   * @param {import("./settings.js").ViewerSettings} settings
   */
  constructor(configuration, settings) {
    this.#configuration = configuration;
    this.#settings = settings;
    this.#tables = Object.fromEntries(
      Object.entries(configuration.tables).map(([name, text]) => [name, bytesOf(text)]));
  }

  /**
   * Maps to draw, and their picture, decoded.
   *
   * @param {ViewerModel|null} model
   * @param {HTMLImageElement|null} image
   */
  show(model, image) {
    if (image !== this.#image) this.#pictures.clear();
    this.#masks.clear();
    this.#maskRasters.clear();
    this.#model = model;
    this.#image = image;
  }

  /** The picture, decoded; null where there are only sentences. */
  get image() {
    return this.#image;
  }

  /**
   * The share of its maximum at which boxes and contours of a map are drawn.
   *
   * @param {MapPanel} panel
   */
  cutOf(panel) {
    return this.#settings.values.threshold || panel.cut;
  }

  /** Whether boxes are drawn. */
  get hasBoxes() {
    return this.#settings.values.boxes !== "none";
  }

  /**
   * Whether a map is drawn for and against, on a diverging scale. A difference always is; others
   * are where a map of their row has a negative part: a method without signs has nothing against.
   *
   * @param {MapPanel} panel
   */
  isSigned(panel) {
    return panel.ends !== null
      || (this.#settings.values.signed && panel.row.signed);
  }

  /**
   * The largest magnitude that is drawn of a map, in true units; 0: it is empty. 1 of colours.
   *
   * @param {MapPanel} panel
   */
  topOf(panel) {
    if (panel.channels) return 1;
    return this.isSigned(panel) ? panel.top : panel.peak;
  }

  /**
   * The largest magnitude on the colour scale of a map, in true units.
   *
   * @param {MapPanel} panel
   */
  #scaleTop(panel) {
    if (!this.#model || this.#settings.values.scale === "own" || panel.unit === null) {
      return this.topOf(panel);
    }
    const others = this.#model.panels.filter(other => other.unit === panel.unit);
    return Math.max(...others.map(other => this.topOf(other)));
  }

  /* -- Rasters -- */

  /**
   * The picture's pixels on a raster.
   *
   * @param {number} width
   * @param {number} height
   * @param {Region|null} region  null: all of it
   */
  #pictureAt(width, height, region) {
    const image = this.#image;
    if (!image) throw new Error("there is no picture to draw on");
    if (region) {
      return new Uint32Array(rasterize(image, width, height, this.#shareOf(region)).buffer);
    }
    return getOrCompute(this.#pictures, `${width}x${height}`, MOST_PICTURES,
      () => new Uint32Array(rasterize(image, width, height).buffer));
  }

  /**
   * A map on a raster; kept, because settings change far more often than sizes.
   *
   * @param {MapPanel} panel
   * @param {Uint8Array} bytes  of the panel
   * @param {number} width
   * @param {number} height
   */
  #heatAt(panel, bytes, width, height) {
    let rasters = this.#heat.get(panel);
    if (!rasters) this.#heat.set(panel, rasters = new Map());
    const channel = panel.channels?.indexOf(bytes) ?? -1;
    const sign = channel >= 0 ? channel : bytes === panel.bytes ? "+" : "−";
    return getOrCompute(rasters, `${sign} ${width}x${height}`, MOST_MAPS, () => {
      const heat = upsample(bytes, panel, panel.view, width, height);
      if (panel.scene.shows_all) return heat;
      return blank(heat, width, height, visibleLines(panel.view, width, height));
    });
  }

  /**
   * A true mask on a raster, null if it is not decoded yet.
   *
   * @param {string} label
   * @param {number} width
   * @param {number} height
   * @param {Region|null} [region]  null: all of it
   */
  #maskAt(label, width, height, region = null) {
    const mask = this.#masks.get(label);
    if (!mask) return null;
    if (region) {
      const data = rasterize(mask, width, height, this.#shareOf(region));
      return Float32Array.from({ length: width * height }, (_, i) => data[4 * i] / 255);
    }
    return getOrCompute(this.#maskRasters, `${label} ${width}x${height}`, MOST_PICTURES, () => {
      const data = rasterize(mask, width, height);
      return Float32Array.from({ length: width * height }, (_, i) => data[4 * i] / 255);
    });
  }

  /**
   * A part of the picture in shares of its sides.
   *
   * @param {Region} region
   * @returns {Region}
   */
  #shareOf(region) {
    const { width, height } = this.#model ?? region;
    return {
      x: region.x / width,
      y: region.y / height,
      width: region.width / width,
      height: region.height / height,
    };
  }

  /* -- Drawing -- */

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {MapPanel} panel
   * @param {number} width
   * @param {number} height
   * @param {Region|null} [region]  of the picture that is drawn; null: the whole
   */
  paintPanel(canvas, panel, width, height, region = null) {
    const settings = this.#settings.values;
    const part = region ? { ...panel, view: cropView(panel.view, region) } : panel;
    const signed = this.isSigned(panel);
    const top = this.#scaleTop(panel) || 1;
    paint(canvas, this.#pictureAt(width, height, region), {
      width,
      height,
      signed,
      heat: this.#heatAt(part, panel.bytes, width, height),
      against: signed && panel.below ? this.#heatAt(part, panel.below, width, height) : null,
      colors: panel.channels
        && panel.channels.map(bytes => this.#heatAt(part, bytes, width, height)),
      factor: panel.peak / top,
      lowest: panel.lowest / top,
      own: top / (this.topOf(panel) || 1),
      visible: panel.scene.shows_all ? null : visibleLines(part.view, width, height),
      truth: this.#maskAt(settings.outline, width, height, region),
      boxes: region && this.hasBoxes && isHeat(panel)
        ? this.#boxesIn(region, panel, width, height) : null,
    }, {
      show: this.topOf(panel) ? settings.view : "picture",
      opacity: settings.opacity,
      hot: this.#hot,
      table: this.#tableOf(signed),
      threshold: settings.threshold * (signed ? 1 : panel.summit),
      cut: this.cutOf(panel) * panel.summit,
      contours: settings.contours && isHeat(panel),
      boxes: isHeat(panel) ? settings.boxes : "none",
      specks: this.#specks,
    });
  }

  /** @param {boolean} signed */
  #tableOf(signed) {
    return this.#tables[this.#colorsOf(signed)];
  }

  /** @param {boolean} signed */
  #colorsOf(signed) {
    return signed ? this.#configuration.diverging : this.#settings.values.colors;
  }

  /** The share of the colour scale from which on opacity is full; 0: everywhere. */
  get #hot() {
    return this.#settings.values.blend === "heat" ? this.#configuration.hot : 0;
  }

  get #specks() {
    return { area: this.#configuration.speck_area, heat: this.#configuration.speck_heat };
  }

  /**
   * The boxes that are drawn on a map, in pixels of the picture.
   *
   * @param {MapPanel} panel
   * @returns {[number, number, number, number][]}
   */
  boxesOf(panel) {
    if (!this.#image || !this.#model) return [];
    const { naturalWidth: width, naturalHeight: height } = this.#image;
    const [across, down] = [this.#model.width / width, this.#model.height / height];
    const heat = this.#heatAt(panel, panel.bytes, width, height);
    return boxesOf({ width, height, heat }, {
      boxes: this.#settings.values.boxes,
      cut: this.cutOf(panel) * panel.summit,
      specks: this.#specks,
    }).map(({ x0, y0, x1, y1 }) => [x0 * across, y0 * down, x1 * across, y1 * down]);
  }

  /**
   * The boxes of a map on a raster of a part of the picture. They are found on the whole: a part
   * has other ones.
   *
   * @param {Region} region
   * @param {MapPanel} panel
   * @param {number} width
   * @param {number} height
   */
  #boxesIn(region, panel, width, height) {
    const [across, down] = [width / region.width, height / region.height];
    return this.boxesOf(panel).map(([x0, y0, x1, y1]) => ({
      x0: (x0 - region.x) * across,
      y0: (y0 - region.y) * down,
      x1: (x1 - region.x) * across,
      y1: (y1 - region.y) * down,
    }));
  }

  /**
   * The colour scale of a row, or of one map: which colour is how much; null where colours have no
   * meaning.
   *
   * @param {MapRow} row
   * @param {MapPanel} [panel]
   * @returns {Scale|null}
   */
  scaleOf(row, panel) {
    const settings = this.#settings.values;
    const sample = panel ?? row.panels[0];
    if (sample?.channels) return null;
    const signed = panel ? this.isSigned(panel) : settings.signed && row.signed;
    const table = this.#tableOf(signed);
    const overlay = settings.view === "overlay";
    const levels = Array.from({ length: STOPS }, (_, i) => Math.round(i * 255 / (STOPS - 1)));
    const stops = levels.map(level => table.subarray(3 * level, 3 * level + 3))
      .map(color => `rgb(${color.join(", ")})`);
    const covers = levels.map(level => (overlay ? ramp(level, signed, this.#hot) : 1));
    let [least, most] = signed ? row.signs : row.ends;
    if (panel?.ends) [least, most] = panel.ends;
    else if (panel || (settings.scale === "same" && sample && sample.unit !== null)) {
      most = panel && panel.unit === null ? "maximum" : digits(this.#scaleTop(sample));
      least = signed ? `−${most}` : "0";
    }
    const share = panel ? panel.peak / (this.#scaleTop(panel) || 1) : 1;
    const hidden = signed ? 0 : settings.threshold * share;
    return { stops, covers, least, most, hidden, colors: this.#colorsOf(signed) };
  }

  /**
   * Draws the colour bar of a row, or of one map.
   *
   * @param {HTMLElement} home
   * @param {MapRow} row
   * @param {MapPanel} [panel]
   */
  drawColorBar(home, row, panel) {
    const shown = this.scaleOf(row, panel);
    if (!shown) {
      home.replaceChildren();
      home.removeAttribute("role");
      home.removeAttribute("aria-label");
      return;
    }
    const { stops, covers, least, most, hidden } = shown;
    const faded = stops.map((color, i) =>
      `color-mix(in srgb, ${color} ${Math.round(100 * covers[i])}%, transparent)`);
    const bar = make("i");
    bar.style.backgroundImage = `linear-gradient(90deg, ${faded.join(", ")})`;
    if (hidden) bar.appendChild(make("b")).style.width = `${100 * hidden}%`;
    home.replaceChildren(make("span", "", least), bar, make("span", "", most));
    home.setAttribute("role", "img");
    home.setAttribute("aria-label", `Colour scale from ${least} to ${most}`);
  }

  /* -- Reading -- */

  /**
   * The value of a map at a pixel; null where the network was not shown the picture, and of
   * colours.
   *
   * @param {MapPanel} panel
   * @param {Place} place
   * @returns {Value|null}
   */
  valueAt(panel, { x, y }) {
    const [x0, y0, x1, y1] = panel.view.rect;
    if (panel.channels) return null;
    if (x + 0.5 < x0 || x + 0.5 >= x1 || y + 0.5 < y0 || y + 0.5 >= y1) return null;
    const above = valueAt(panel.bytes, panel, panel.view, x, y);
    if (!this.isSigned(panel)) return { share: above, raw: above * panel.peak };
    const below = panel.below ? valueAt(panel.below, panel, panel.view, x, y) : 0;
    const raw = above * panel.peak - below * panel.lowest;
    return { share: panel.top ? raw / panel.top : 0, raw };
  }

  /**
   * The same in words.
   *
   * @param {MapPanel} panel
   * @param {Place} place
   */
  reading(panel, place) {
    if (panel.channels) return "";
    const value = this.valueAt(panel, place);
    if (!value) return "not seen";
    const share = percent(value.share);
    return panel.unit === null ? share : `${share} · ${digits(value.raw)}`;
  }

  /* -- Truth -- */

  /** What the settings outline, by its name. */
  get outlined() {
    return this.#settings.values.outline;
  }

  /** Whether the mask that the settings outline is decoded. */
  get hasTruth() {
    return this.#masks.has(this.#settings.values.outline);
  }

  /**
   * Decodes the mask that the settings outline.
   *
   * @returns {Promise<boolean>}  whether it is new, and still wanted
   */
  async loadTruth() {
    const model = this.#model;
    const label = this.#settings.values.outline;
    const truth = model?.payload.truth.find(thing => thing.label === label);
    if (!truth || this.#masks.has(label)) return false;
    const mask = await decodeImage(truth.src);
    if (this.#model !== model || this.#masks.has(label)) return false;
    this.#masks.set(label, mask);
    return true;
  }

  /**
   * How well a map agrees with the mask that is outlined, null if that was not computed yet.
   *
   * @param {MapPanel} panel
   */
  iouOf(panel) {
    const table = this.#agreement.get(panel)?.get(this.#settings.values.outline);
    return table ? table[Math.round(1000 * this.cutOf(panel))] : null;
  }

  /** @param {MapPanel} panel */
  computeIou(panel) {
    const model = this.#model;
    if (!model) return;
    const label = this.#settings.values.outline;
    const scale = Math.min(1, IOU_SIDE / Math.max(model.width, model.height));
    const width = Math.max(1, Math.round(model.width * scale));
    const height = Math.max(1, Math.round(model.height * scale));
    const mask = this.#maskAt(label, width, height);
    if (!mask) return;
    const heat = upsample(panel.bytes, panel, panel.view, width, height);
    if (!panel.scene.shows_all) {
      blank(heat, width, height, visibleLines(panel.view, width, height));
    }
    let tables = this.#agreement.get(panel);
    if (!tables) this.#agreement.set(panel, tables = new Map());
    tables.set(label, iouTable(heat, mask.map(value => (value >= 0.5 ? 1 : 0)), panel.summit));
  }
}

/**
 * A picture, ready to be drawn.
 *
 * @param {string} source
 */
export async function decodeImage(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  return image;
}

/**
 * What a map holds for a key, made if need be; at most so many are kept.
 *
 * @template T
 * @param {Map<string, T>} cache
 * @param {string} key
 * @param {number} most
 * @param {() => T} compute
 * @returns {T}
 */
function getOrCompute(cache, key, most, compute) {
  const found = cache.get(key);
  if (found !== undefined) return found;
  for (const oldest of cache.keys()) {
    if (cache.size < most) break;
    cache.delete(oldest);
  }
  const made = compute();
  cache.set(key, made);
  return made;
}

/**
 * The bytes of an image on a raster: red, green, blue, alpha, pixel by pixel.
 *
 * @param {HTMLImageElement} source
 * @param {number} width
 * @param {number} height
 * @param {Region} [share]  of its sides; all of it unless given
 */
function rasterize(source, width, height, share = { x: 0, y: 0, width: 1, height: 1 }) {
  const canvas = make("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser draws on no canvas");
  context.imageSmoothingQuality = "high";
  const { naturalWidth: across, naturalHeight: down } = source;
  context.drawImage(source, share.x * across, share.y * down, share.width * across,
    share.height * down, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}
