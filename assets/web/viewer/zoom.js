// @ts-check
/* Zoom and pan of a picture in a frame of its own shape: plain functions of numbers. */

import { clamp } from "./maps.js";

/**
 * The visible part of a picture. `x` and `y`: its left and upper edge, as shares of the whole;
 * `scale`: how many times larger it is than the whole in the same frame.
 *
 * @typedef {{scale: number, x: number, y: number}} Zoom
 */

/**
 * A place in the frame, or a distance there: shares of its width and height.
 *
 * @typedef {{x: number, y: number}} Share
 */

/**
 * A part of the picture, in its pixels; whole ones it need not be.
 *
 * @typedef {{x: number, y: number, width: number, height: number}} Region
 */

export const MOST_ZOOM = 8;
export const ZOOM_STEP = 1.5; // of a button or a key

/** @type {Readonly<Zoom>} */
export const WHOLE = Object.freeze({ scale: 1, x: 0, y: 0 });

/**
 * The nearest view that shows nothing beyond the picture.
 *
 * @param {Zoom} zoom
 * @returns {Zoom}
 */
function withinPicture({ scale, x, y }) {
  const size = clamp(scale, 1, MOST_ZOOM);
  const most = 1 - 1 / size;
  return { scale: size, x: clamp(x, 0, most), y: clamp(y, 0, most) };
}

/**
 * Enlarges by a factor; what lies at a place of the frame stays there, or goes to another one.
 *
 * @param {Zoom} zoom
 * @param {number} factor
 * @param {Share} [at]  the centre unless given
 * @param {Share} [to]
 */
export function zoomAt(zoom, factor, at = { x: 0.5, y: 0.5 }, to = at) {
  const scale = clamp(zoom.scale * factor, 1, MOST_ZOOM);
  return withinPicture({
    scale,
    x: zoom.x + at.x / zoom.scale - to.x / scale,
    y: zoom.y + at.y / zoom.scale - to.y / scale,
  });
}

/**
 * Moves the picture in the frame, as a pointer drags it.
 *
 * @param {Zoom} zoom
 * @param {Share} by
 */
export function panBy(zoom, by) {
  return withinPicture({
    scale: zoom.scale,
    x: zoom.x - by.x / zoom.scale,
    y: zoom.y - by.y / zoom.scale,
  });
}

/**
 * Moves the picture no further than it takes to bring a place of it into the frame.
 *
 * @param {Zoom} zoom
 * @param {Share} place  of the picture
 */
export function reveal(zoom, place) {
  const visible = 1 / zoom.scale;
  return withinPicture({
    scale: zoom.scale,
    x: clamp(zoom.x, place.x - 0.95 * visible, place.x - 0.05 * visible),
    y: clamp(zoom.y, place.y - 0.95 * visible, place.y - 0.05 * visible),
  });
}

/**
 * The visible part of a picture, in its pixels.
 *
 * @param {Zoom} zoom
 * @param {{width: number, height: number}} picture
 * @returns {Region}
 */
export function regionOf({ scale, x, y }, { width, height }) {
  return { x: x * width, y: y * height, width: width / scale, height: height / scale };
}

/**
 * A part of a picture as if it were the whole: what the network was shown lies elsewhere in it.
 *
 * @param {import("./maps.js").View} view
 * @param {Region} region
 * @returns {import("./maps.js").View}
 */
export function cropView(view, { x, y, width, height }) {
  const [x0, y0, x1, y1] = view.rect;
  return { ...view, width, height, rect: [x0 - x, y0 - y, x1 - x, y1 - y] };
}
