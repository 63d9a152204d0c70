// @ts-check
/* One of several maps on one grid, outside a viewer: drawn on the picture of a viewer of the page,
   in that viewer's colours, opacity and threshold.

     const drawing = new OneMap(configuration);
     drawing.follow(event, id);             // a "viewer-settings" event: was it of that viewer?
     drawing.draw(canvas, maps, bytes, 3);  // the map of that number; false: nothing to draw on */

import { density } from "./layout.js";
import { summitOf } from "./maps.js";
import { ViewerModel } from "./model.js";
import { MapRenderer } from "./renderer.js";
import { ViewerSettings } from "./settings.js";

/**
 * Maps on one grid, and where their cells look.
 *
 * @typedef {object} Maps
 * @property {import("./schema.js").Scene} scene
 * @property {[number, number]} grid
 * @property {[number, number]} stride
 * @property {[number, number]} offset
 * @property {string[]} labels  of each map
 * @property {string} follows   id of what holds the viewer whose picture and settings are used
 */

/**
 * The picture of the viewer in an element, decoded, and its size; null: there is none yet.
 *
 * @param {string|undefined} id
 */
export function pictureOf(id) {
  const viewer = id ? document.querySelector(`#${CSS.escape(id)} map-viewer`) : null;
  return viewer && "picture" in viewer
    ? /** @type {import("./map-viewer.js").MapViewer} */ (viewer).picture : null;
}

/**
 * Gives a canvas the shape of a picture; returns how many pixels of the screen it then has, or null
 * in a view that is not open.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {{width: number, height: number}} picture
 */
export function fitCanvas(canvas, { width, height }) {
  canvas.style.aspectRatio = `${width} / ${height}`;
  const wide = canvas.clientWidth;
  if (!wide) return null;
  const tall = wide * height / width;
  const sharp = density(wide * tall, window.devicePixelRatio || 1);
  return [wide, tall].map(side => Math.max(1, Math.round(side * sharp)));
}

/**
 * The bytes of one map.
 *
 * @param {Uint8Array} bytes  of all
 * @param {[number, number]} grid
 * @param {number} place
 */
export function mapOf(bytes, [rows, columns], place) {
  return bytes.subarray(place * rows * columns, (place + 1) * rows * columns);
}

export class OneMap {
  #settings;
  #renderer;

  /** @param {import("./schema.js").Configuration} configuration */
  constructor(configuration) {
    this.#settings = new ViewerSettings(configuration);
    this.#renderer = new MapRenderer(configuration, this.#settings);
  }

  /**
   * Takes over the settings of the viewer in an element; returns whether the event was of that one.
   *
   * @param {Event} event
   * @param {string|undefined} id
   */
  follow(event, id) {
    const { target } = event;
    if (!id || !(event instanceof CustomEvent) || !(target instanceof Element)) return false;
    if (!target.closest(`#${CSS.escape(id)}`)) return false;
    this.#settings.follow(event.detail.settings);
    return true;
  }

  /**
   * Draws a map on the picture; returns whether there is a picture, and the canvas is to be seen.
   *
   * @param {HTMLCanvasElement} canvas
   * @param {Maps} maps
   * @param {Uint8Array} all  the bytes of all maps
   * @param {number} place
   */
  draw(canvas, maps, all, place) {
    const picture = pictureOf(maps.follows);
    const size = picture && fitCanvas(canvas, picture);
    if (!picture || !size) return false;
    const { image, width, height } = picture;
    this.#renderer.show(new ViewerModel({
      rows: [], picture: { src: image.src, width, height, name: "" }, truth: [], crop_note: null,
      linked: false, dense: false, small: false, has_signs: false, pick: null, follows: null,
      outline: null,
    }), image);
    this.#renderer.paintPanel(canvas, panelOf(maps, all, place, width, height), size[0], size[1]);
    return true;
  }
}

/**
 * A map as a panel of a viewer, at its own maximum.
 *
 * @param {Maps} maps
 * @param {Uint8Array} all
 * @param {number} place
 * @param {number} width   of the picture
 * @param {number} height
 * @returns {import("./model.js").MapPanel}
 */
function panelOf({ scene, grid, stride, offset, labels }, all, place, width, height) {
  const bytes = mapOf(all, grid, place);
  const view = { ...scene, width, height };
  const peak = Number(bytes.some(Boolean));
  const row = {
    key: "", title: "", reason: null, method: "", paper: "", tag: null, words: null,
    signs: /** @type {[string, string]} */ (["", ""]), holds: null, absent: [],
    ends: /** @type {[string, string]} */ (["", ""]), panels: [], signed: false,
  };
  return {
    key: String(place), name: labels[place], module: "", last: false, scene, cut: 0, grid, stride,
    offset, data: "", peak, against: null, lowest: 0, top: peak, unit: null, colors: null,
    ends: null, ring: null, marks: {}, facts: [], warnings: [], remarks: [], notes: [],
    words: null, label: labels[place], network: "", alt: "", id: String(place), row, bytes,
    below: null, channels: null, view, summit: summitOf(bytes, { grid, stride, offset }, view),
  };
}
