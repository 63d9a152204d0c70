// @ts-check
/* From heat and picture to the pixels of a canvas. `compose` and `boxesOf` are plain functions of
   arrays. */

import { clamp, contour, partsOf } from "./maps.js";

/**
 * How maps are drawn.
 *
 * @typedef {object} Look
 * @property {string} show        overlay, map or picture
 * @property {number} opacity     where it is full
 * @property {number} hot         share of the colour scale from which on it is; 0: everywhere
 * @property {Uint8Array} table   256 RGB triples
 * @property {number} threshold   of what is drawn
 * @property {number} cut         of boxes and contours
 * @property {boolean} contours
 * @property {string} boxes       none, largest or all
 * @property {{area: number, heat: number}} specks  what is no object of its own
 */

/** @typedef {Pick<import("./maps.js").Part, "x0" | "y0" | "x1" | "y1">} Box */

/**
 * A panel on a raster.
 *
 * @typedef {object} Raster
 * @property {number} width
 * @property {number} height
 * @property {Float32Array} heat  shares of the panel's maximum
 * @property {boolean} signed     drawn with two signs
 * @property {Float32Array|null} against  what is subtracted of a signed one
 * @property {Float32Array[]|null} colors  red, green and blue in place of heat, shares of 255
 * @property {number} factor      from heat to the colour scale
 * @property {number} lowest      from `against` to the colour scale
 * @property {number} own         from the colour scale to shares of the panel's largest magnitude,
 *   of which a threshold is a share where it is signed
 * @property {import("./maps.js").VisibleLines|null} visible  what the network was shown; null: all
 * @property {Float32Array|null} truth  the mask that is outlined
 * @property {Box[]|null} boxes   where they are known already; null: they are found in the heat
 */

/**
 * The share of full opacity at a level of the colour scale, 0 to 255.
 *
 * @param {number} level
 * @param {boolean} signed  zero stands in the middle of the scale
 * @param {number} hot
 */
export function ramp(level, signed, hot) {
  const heat = signed ? Math.abs(level - 128) / 127.5 : level / 255;
  return heat >= hot ? 1 : heat / hot;
}

const HALO = "rgba(15, 15, 20, 0.85)";
const TRUTH = "#3df2e0";

/**
 * Writes the colours of a panel to `target`. Pixels are RGBA, 32 bits each, the first byte lowest.
 *
 * @param {Uint32Array} target
 * @param {Uint32Array} picture  on the same raster
 * @param {Raster} raster
 * @param {Look} look
 */
export function compose(target, picture, raster, look) {
  const { heat, against, colors, signed, factor, lowest, own, width, height, visible } = raster;
  const { table, show, threshold } = look;
  if (show === "picture" && !visible) {
    target.set(picture);
    return;
  }
  // Fixed point, 16 bits behind it; the half makes cutting off a rounding.
  const reds = new Int32Array(256), greens = new Int32Array(256), blues = new Int32Array(256);
  const rest = new Int32Array(256);
  for (let i = 0; i < 256; i++) {
    const share = show === "map" ? 1 : show === "picture" ? 0
      : look.opacity * ramp(i, signed, look.hot);
    rest[i] = Math.round((1 - share) * 65536);
    reds[i] = Math.round(share * table[3 * i] * 65536) + 32768;
    greens[i] = Math.round(share * table[3 * i + 1] * 65536) + 32768;
    blues[i] = Math.round(share * table[3 * i + 2] * 65536) + 32768;
  }
  const least = colors ? 0 : signed ? threshold / own : threshold;
  const cover = show === "map" ? 1 : show === "picture" ? 0 : look.opacity;
  const bare = show === "map" ? 0 : -1;
  for (let y = 0, at = 0; y < height; y++) {
    const whole = !visible || visible.rows[y];
    for (let x = 0; x < width; x++, at++) {
      const under = picture[at];
      const red = under & 255, green = under >> 8 & 255, blue = under >> 16 & 255;
      if (!whole || (visible && !visible.columns[x])) {
        const dim = ((x + y) / 6 | 0) % 2 ? 0.75 : 0.45;
        const grey = (red + green + blue) / 3 * dim + 0.5 | 0;
        target[at] = 0xff000000 | grey << 16 | grey << 8 | grey;
        continue;
      }
      if (colors) {
        const [r, g, b] = colors;
        target[at] = 0xff000000
          | (blue + cover * (255 * b[at] - blue) + 0.5 | 0) << 16
          | (green + cover * (255 * g[at] - green) + 0.5 | 0) << 8
          | (red + cover * (255 * r[at] - red) + 0.5 | 0);
        continue;
      }
      let size = heat[at];
      let level = size * factor * 255 + 0.5 | 0;
      if (signed) {
        const value = against ? size * factor - against[at] * lowest : size * factor;
        size = Math.abs(value);
        level = 128 + 127.5 * value | 0;
      }
      if (size < least) {
        target[at] = under & bare;
        continue;
      }
      target[at] = 0xff000000
        | blue * rest[level] + blues[level] & 0xff0000
        | (green * rest[level] + greens[level] & 0xff0000) >> 8
        | red * rest[level] + reds[level] >> 16;
    }
  }
}

/**
 * Draws a path with a dark edge, legible on any ground.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Path2D} path
 * @param {string} color
 * @param {number} width
 */
function stroke(context, path, color, width) {
  context.lineJoin = "round";
  context.strokeStyle = HALO;
  context.lineWidth = width + 2;
  context.stroke(path);
  context.strokeStyle = color;
  context.lineWidth = width;
  context.stroke(path);
}

/**
 * @param {Float32Array} heat
 * @param {number} width
 * @param {number} height
 * @param {number} cut
 */
function outline(heat, width, height, cut) {
  const path = new Path2D();
  contour(heat, width, height, cut, (x0, y0, x1, y1) => {
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  });
  return path;
}

/**
 * Paints a panel with its outlines and boxes; the canvas takes the size of the raster.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Uint32Array} picture  on the same raster
 * @param {Raster} raster
 * @param {Look} look
 */
export function paint(canvas, picture, raster, look) {
  const { width, height } = raster;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(width, height);
  compose(new Uint32Array(image.data.buffer), picture, raster, look);
  context.putImageData(image, 0, 0);
  const pen = clamp(Math.min(width, height) / 200, 1, 3);
  if (look.contours) stroke(context, outline(raster.heat, width, height, look.cut), "#fff", pen);
  if (raster.truth) stroke(context, outline(raster.truth, width, height, 0.5), TRUTH, pen * 1.3);
  if (look.boxes !== "none") {
    for (const part of raster.boxes ?? boxesOf(raster, look)) {
      const path = new Path2D();
      path.rect(part.x0 + pen / 2, part.y0 + pen / 2,
        part.x1 - part.x0 - pen, part.y1 - part.y0 - pen);
      stroke(context, path, "#fff", pen);
    }
  }
}

/**
 * The boxes that a look draws: the largest part's, or those of all but specks.
 *
 * @param {Pick<Raster, "width" | "height" | "heat">} raster
 * @param {Pick<Look, "boxes" | "cut" | "specks">} look
 */
export function boxesOf(raster, look) {
  const { heat, width, height } = raster;
  return look.boxes === "all"
    ? partsOf(heat, width, height, look.cut, look.specks)
    : partsOf(heat, width, height, look.cut).slice(0, 1);
}
