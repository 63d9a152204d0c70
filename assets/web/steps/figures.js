// @ts-check
/* The small pictures of a step: maps cell by cell, or laid on the picture, and the picture. */

import { make } from "../viewer/dom.js";
import { blank, bytesOf, clamp, upsample, visibleLines } from "../viewer/maps.js";
import { typeset } from "../viewer/text.js";

/** @typedef {import("./model.js").Figure} StoryFigure */
/** @typedef {import("./model.js").Stories} StoryValue */
/** @typedef {import("../viewer/schema.js").Configuration} StoryConfiguration */

const COVER = 0.75; // how much of the picture the hottest places hide
const UNSEEN = 0.4; // of the picture's brightness, where the network was not shown it

/**
 * The colour of each byte of a map on its own, row by row, as RGBA.
 *
 * @param {Uint8Array} bytes
 * @param {Uint8Array} table  256 RGB triples
 */
export function cellColors(bytes, table) {
  const pixels = new Uint8ClampedArray(4 * bytes.length);
  bytes.forEach((byte, i) => {
    pixels.set(table.subarray(3 * byte, 3 * byte + 3), 4 * i);
    pixels[4 * i + 3] = 255;
  });
  return pixels;
}

/**
 * Lays heat on pixels, in place: the hotter, the less is seen of them.
 *
 * @param {Uint8ClampedArray} pixels  RGBA
 * @param {Float32Array} heat         shares of the maximum
 * @param {Uint8Array} table
 * @param {number} hot  share from which on it hides most
 */
export function layHeat(pixels, heat, table, hot) {
  for (let i = 0; i < heat.length; i++) {
    const share = COVER * Math.min(heat[i] / hot, 1);
    const color = 3 * clamp(Math.round(255 * heat[i]), 0, 255);
    for (let j = 0; j < 3; j++) {
      pixels[4 * i + j] = pixels[4 * i + j] * (1 - share) + share * table[color + j];
    }
  }
  return pixels;
}

export class StoryFigures {
  #configuration;
  #heat;
  #signed;
  /** @type {StoryValue} */
  #value;
  /** @type {HTMLImageElement} */
  #picture;
  /** @type {Map<number, Uint8Array>} */
  #bytes = new Map();

  /**
   * @param {StoryConfiguration} configuration
   * @param {StoryValue} value
   * @param {HTMLImageElement} picture  decoded
   */
  constructor(configuration, value, picture) {
    this.#configuration = configuration;
    this.#heat = bytesOf(configuration.tables[String(configuration.settings.colors)]);
    this.#signed = bytesOf(configuration.tables[configuration.diverging]);
    this.#value = value;
    this.#picture = picture;
  }

  /**
   * A figure with what stands below it.
   *
   * @param {StoryFigure} figure
   */
  make(figure) {
    const node = make("figure", "sw-figure");
    const caption = make("figcaption");
    const name = make("span", "sw-name");
    typeset(name, figure.name);
    caption.append(name, make("span", "sw-text", figure.text));
    node.append(this.#drawn(figure), caption);
    return node;
  }

  /** @param {StoryFigure} figure */
  #drawn(figure) {
    if (figure.src) {
      const image = make("img");
      image.src = figure.src;
      image.alt = figure.alt;
      return image;
    }
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", figure.alt);
    this.draw(canvas, figure, figure.map);
    return canvas;
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {StoryFigure} figure
   * @param {number} map  the place of its bytes, -1 for none
   */
  draw(canvas, figure, map) {
    const [rows, columns] = figure.grid;
    const cells = map >= 0 && !figure.over;
    canvas.classList.toggle("sw-cells", cells);
    [canvas.width, canvas.height] = cells ? [columns, rows]
      : [this.#picture.naturalWidth, this.#picture.naturalHeight];
    const context = /** @type {CanvasRenderingContext2D} */ (
      canvas.getContext("2d", { willReadFrequently: true }));
    if (cells) {
      const pixels = cellColors(this.#bytesOf(map), figure.signed ? this.#signed : this.#heat);
      context.putImageData(new ImageData(pixels, columns, rows), 0, 0);
      return;
    }
    context.drawImage(this.#picture, 0, 0);
    if (map >= 0) this.#lay(context, figure, map);
    else this.#mark(context, figure);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {StoryFigure} figure
   * @param {number} map
   */
  #lay(context, figure, map) {
    const { width, height } = context.canvas;
    const { size, scene } = this.#value;
    const view = { width: size[0], height: size[1], rect: scene.rect, input: scene.input };
    const heat = upsample(this.#bytesOf(map), figure, view, width, height);
    const image = context.getImageData(0, 0, width, height);
    if (!scene.shows_all) {
      const visible = visibleLines(view, width, height);
      blank(heat, width, height, visible);
      for (let i = 0; i < heat.length; i++) {
        if (visible.rows[Math.floor(i / width)] && visible.columns[i % width]) continue;
        for (let j = 0; j < 3; j++) image.data[4 * i + j] *= UNSEEN;
      }
    }
    layHeat(image.data, heat, this.#heat, this.#configuration.hot);
    context.putImageData(image, 0, 0);
  }

  /**
   * What is outlined of the picture, and its patches.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {StoryFigure} figure
   */
  #mark(context, { rect, grid: [rows, columns] }) {
    const { width, height } = context.canvas;
    const { scene, size } = this.#value;
    context.lineWidth = Math.max(1, width / 240);
    context.strokeStyle = "rgba(255, 255, 255, 0.8)";
    context.beginPath();
    const [x0, y0, x1, y1] = scene.rect.map((side, i) =>
      side / size[i % 2] * (i % 2 ? height : width));
    for (let i = 1; i < columns; i++) {
      const x = x0 + (x1 - x0) * i / columns;
      context.moveTo(x, Math.max(y0, 0));
      context.lineTo(x, Math.min(y1, height));
    }
    for (let i = 1; i < rows; i++) {
      const y = y0 + (y1 - y0) * i / rows;
      context.moveTo(Math.max(x0, 0), y);
      context.lineTo(Math.min(x1, width), y);
    }
    context.stroke();
    if (!rect) return;
    const [left, top, right, bottom] = rect.map((side, i) => side * (i % 2 ? height : width));
    context.lineWidth *= 2;
    context.strokeRect(left, top, right - left, bottom - top);
  }

  /** @param {number} place */
  #bytesOf(place) {
    let bytes = this.#bytes.get(place);
    if (!bytes) this.#bytes.set(place, bytes = bytesOf(this.#value.maps[place]));
    return bytes;
  }
}
