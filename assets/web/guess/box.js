// @ts-check
/* A box on the raster that is marked: drawn, moved, resized. Pure, so tests need no browser. */

import { emptyMask } from "../cover/mask.js";

/**
 * Half-open, in whole pixels of the raster.
 *
 * @typedef {object} Box
 * @property {number} left
 * @property {number} top
 * @property {number} right
 * @property {number} bottom
 */

export const LEAST_SIDE = 4; // pixels of the raster

/**
 * @param {number} value
 * @param {number} most
 */
const between = (value, most) => Math.min(most, Math.max(0, Math.round(value)));

/**
 * The box between two places, at least LEAST_SIDE a side, all of it on the raster.
 *
 * @param {[number, number]} from
 * @param {[number, number]} to
 * @param {number} width
 * @param {number} height
 * @returns {Box}
 */
export function boxBetween([x0, y0], [x1, y1], width, height) {
  const [left, right] = sides(x0, x1, width);
  const [top, bottom] = sides(y0, y1, height);
  return { left, top, right, bottom };
}

/**
 * @param {number} one
 * @param {number} other
 * @param {number} most
 */
function sides(one, other, most) {
  const low = Math.min(between(Math.min(one, other), most), Math.max(0, most - LEAST_SIDE));
  return [low, Math.min(most, Math.max(low + LEAST_SIDE, between(Math.max(one, other), most)))];
}

/**
 * The box a step further; it stays on the raster, as large as it is.
 *
 * @param {Box} box
 * @param {number} dx
 * @param {number} dy
 * @param {number} width
 * @param {number} height
 * @returns {Box}
 */
export function moveBox({ left, top, right, bottom }, dx, dy, width, height) {
  const x = Math.min(width - right, Math.max(-left, Math.round(dx)));
  const y = Math.min(height - bottom, Math.max(-top, Math.round(dy)));
  return { left: left + x, top: top + y, right: right + x, bottom: bottom + y };
}

/**
 * The box with its right and lower sides moved.
 *
 * @param {Box} box
 * @param {number} dx
 * @param {number} dy
 * @param {number} width
 * @param {number} height
 * @returns {Box}
 */
export function resizeBox({ left, top, right, bottom }, dx, dy, width, height) {
  return {
    left,
    top,
    right: Math.max(left + LEAST_SIDE, between(right + dx, width)),
    bottom: Math.max(top + LEAST_SIDE, between(bottom + dy, height)),
  };
}

/**
 * Everything inside of a box.
 *
 * @param {Box|null} box  null: nothing
 * @param {number} width
 * @param {number} height
 */
export function boxMask(box, width, height) {
  const mask = emptyMask(width, height);
  if (!box) return mask;
  for (let y = box.top; y < box.bottom; y++) {
    mask.bytes.fill(1, y * width + box.left, y * width + box.right);
  }
  return mask;
}

/**
 * The sides of pixels at which a mask ends, as lines [x0, y0, x1, y1] in pixels of the raster.
 *
 * @param {import("../cover/mask.js").Mask} mask
 * @returns {[number, number, number, number][]}
 */
export function edgesOf({ width, height, bytes }) {
  const inside = (/** @type {number} */ x, /** @type {number} */ y) =>
    x >= 0 && x < width && y >= 0 && y < height && bytes[y * width + x] === 1;
  /** @type {[number, number, number, number][]} */
  const edges = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!bytes[y * width + x]) continue;
      if (!inside(x, y - 1)) edges.push([x, y, x + 1, y]);
      if (!inside(x, y + 1)) edges.push([x, y + 1, x + 1, y + 1]);
      if (!inside(x - 1, y)) edges.push([x, y, x, y + 1]);
      if (!inside(x + 1, y)) edges.push([x + 1, y, x + 1, y + 1]);
    }
  }
  return edges;
}
