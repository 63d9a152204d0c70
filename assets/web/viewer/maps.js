// @ts-check
/* Arithmetic on maps: plain functions of numbers and arrays, without the page. A map is bytes on
   its own grid, 0 .. 255 for 0 .. its maximum; heat is a Float32Array of pixels, row by row, as
   shares of that maximum. `upsample` repeats `Explanation.on_picture` of the engine. */

/**
 * Where the cells of a map are: cell i is centred on stride * i + (stride - 1) / 2 + offset.
 *
 * @typedef {object} Grid
 * @property {[number, number]} grid
 * @property {[number, number]} stride
 * @property {[number, number]} offset
 */

/**
 * The size of a picture, and how it was shown to the network.
 *
 * @typedef {object} View
 * @property {number} width
 * @property {number} height
 * @property {[number, number, number, number]} rect
 * @property {[number, number]} input
 */

/**
 * Between which two cells each position lies: `low` and the one after it, of which `share` counts.
 *
 * @typedef {{low: Int32Array, share: Float64Array}} Interpolation
 */

/**
 * Which columns and rows of a raster the network was shown, 1 or 0 each.
 *
 * @typedef {{columns: Uint8Array, rows: Uint8Array}} VisibleLines
 */

/**
 * A connected part of a map: its half-open box, its pixels and the sum of their heat.
 *
 * @typedef {object} Part
 * @property {number} x0
 * @property {number} y0
 * @property {number} x1
 * @property {number} y1
 * @property {number} pixels
 * @property {number} heat
 */

/**
 * The bytes that a base64 text stands for.
 *
 * @param {string} text
 */
export function bytesOf(text) {
  return Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/**
 * The network's input pixels that lie under the centres of `pixels` pixels along one axis of the
 * picture.
 *
 * @param {number} pixels
 * @param {number} extent  pixels of the picture itself
 * @param {number} start   of the part of it that the input shows
 * @param {number} end
 * @param {number} size    pixels of the input
 */
function positions(pixels, extent, start, end, size) {
  const found = new Float64Array(pixels);
  for (let i = 0; i < pixels; i++) {
    found[i] = ((i + 0.5) * extent / pixels - start) / (end - start) * size - 0.5;
  }
  return found;
}

/**
 * Bilinear interpolation along one axis, clamped at the border.
 *
 * @param {Float64Array} places
 * @param {number} stride
 * @param {number} offset
 * @param {number} count  of cells
 * @returns {Interpolation}
 */
function interpolation(places, stride, offset, count) {
  const low = new Int32Array(places.length);
  const share = new Float64Array(places.length);
  const centre = (stride - 1) / 2 + offset;
  for (let i = 0; i < places.length; i++) {
    const cell = clamp((places[i] - centre) / stride, 0, count - 1);
    low[i] = Math.min(Math.floor(cell), Math.max(count - 2, 0));
    share[i] = cell - low[i];
  }
  return { low, share };
}

/**
 * Where the pixels of a raster read a map: one interpolation an axis.
 *
 * @param {Grid} map
 * @param {View} view
 * @param {number} width
 * @param {number} height
 */
function rasterPositions(map, view, width, height) {
  const [x0, y0, x1, y1] = view.rect;
  const [tall, wide] = view.input;
  return {
    down: interpolation(
      positions(height, view.height, y0, y1, tall), map.stride[0], map.offset[0], map.grid[0]),
    across: interpolation(
      positions(width, view.width, x0, x1, wide), map.stride[1], map.offset[1], map.grid[1]),
  };
}

/**
 * A map on a raster of any size, each cell where it looks.
 *
 * @param {Uint8Array} bytes
 * @param {Grid} map
 * @param {View} view
 * @param {number} width
 * @param {number} height
 */
export function upsample(bytes, map, view, width, height) {
  const [rows, columns] = map.grid;
  const { down, across } = rasterPositions(map, view, width, height);
  const heat = new Float32Array(width * height);
  const line = new Float64Array(columns);
  for (let y = 0, at = 0; y < height; y++) {
    const upper = down.low[y] * columns;
    const lower = Math.min(down.low[y] + 1, rows - 1) * columns;
    const below = down.share[y] / 255;
    const above = (1 - down.share[y]) / 255;
    for (let x = 0; x < columns; x++) {
      line[x] = above * bytes[upper + x] + below * bytes[lower + x];
    }
    for (let x = 0; x < width; x++, at++) {
      const left = across.low[x];
      const right = left + 1 < columns ? line[left + 1] : line[left];
      heat[at] = line[left] + across.share[x] * (right - line[left]);
    }
  }
  return heat;
}

/**
 * The value of a map at one pixel of the picture, as a share of its maximum.
 *
 * @param {Uint8Array} bytes
 * @param {Grid} map
 * @param {View} view
 * @param {number} x
 * @param {number} y
 */
export function valueAt(bytes, map, view, x, y) {
  const [x0, y0, x1, y1] = view.rect;
  const [tall, wide] = view.input;
  const [rows, columns] = map.grid;
  const row = Float64Array.of((y + 0.5 - y0) / (y1 - y0) * tall - 0.5);
  const column = Float64Array.of((x + 0.5 - x0) / (x1 - x0) * wide - 0.5);
  const down = interpolation(row, map.stride[0], map.offset[0], rows);
  const across = interpolation(column, map.stride[1], map.offset[1], columns);
  /** @type {(i: number, j: number) => number} */
  const cell = (i, j) => bytes[Math.min(i, rows - 1) * columns + Math.min(j, columns - 1)];
  /** @type {(i: number) => number} */
  const along = i =>
    cell(i, across.low[0]) * (1 - across.share[0]) + cell(i, across.low[0] + 1) * across.share[0];
  return (along(down.low[0]) * (1 - down.share[0]) + along(down.low[0] + 1) * down.share[0]) / 255;
}

/**
 * The highest value of a map at any pixel of the picture: a little below 1, because a peak seldom
 * falls on a pixel. Thresholds are shares of it. Between the same cells a map is linear along each
 * axis, so it is highest at the first or last of the pixels there; only those are computed.
 *
 * @param {Uint8Array} bytes
 * @param {Grid} map
 * @param {View} view
 */
export function summitOf(bytes, map, view) {
  const [rows, columns] = map.grid;
  const { down, across } = rasterPositions(map, view, view.width, view.height);
  const visible = visibleLines(view, view.width, view.height);
  /** @type {(interpolation: Interpolation, open: Uint8Array) => number[]} */
  const outermost = ({ low }, open) => Array.from(low.keys()).filter(i => open[i]
    && (!open[i - 1] || !open[i + 1] || low[i - 1] !== low[i] || low[i + 1] !== low[i]));
  const places = outermost(across, visible.columns);
  let summit = 0;
  for (const y of outermost(down, visible.rows)) {
    const upper = down.low[y] * columns;
    const lower = Math.min(down.low[y] + 1, rows - 1) * columns;
    /** @type {(x: number) => number} */
    const cell = x => bytes[upper + x] + down.share[y] * (bytes[lower + x] - bytes[upper + x]);
    for (const x of places) {
      const left = across.low[x];
      const start = cell(left);
      summit = Math.max(summit,
        start + across.share[x] * (cell(Math.min(left + 1, columns - 1)) - start));
    }
  }
  return summit / 255;
}

/**
 * Which columns and rows of a raster the network was shown: those whose centre was in its input.
 *
 * @param {View} view
 * @param {number} width
 * @param {number} height
 * @returns {VisibleLines}
 */
export function visibleLines(view, width, height) {
  const [x0, y0, x1, y1] = view.rect;
  /** @type {(pixels: number, extent: number, start: number, end: number) => Uint8Array} */
  const lines = (pixels, extent, start, end) => Uint8Array.from({ length: pixels }, (_, i) => {
    const centre = (i + 0.5) * extent / pixels;
    return centre >= start && centre < end ? 1 : 0;
  });
  return {
    columns: lines(width, view.width, x0, x1),
    rows: lines(height, view.height, y0, y1),
  };
}

/**
 * Sets heat to 0, in place, where the network was shown nothing.
 *
 * @param {Float32Array} heat
 * @param {number} width
 * @param {number} height
 * @param {VisibleLines} visible
 */
export function blank(heat, width, height, visible) {
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (!(visible.rows[y] && visible.columns[x])) heat[at] = 0;
    }
  }
  return heat;
}

/**
 * The connected parts of what is at or above `cut`, the largest first; pixels that touch by a side
 * or a corner belong together.
 *
 * @param {Float32Array} heat
 * @param {number} width
 * @param {number} height
 * @param {number} cut
 * @param {{area: number, heat: number}} [specks]  what is left out: parts of a smaller share of the
 *   pixels, or of the largest part's heat; absent: nothing
 * @returns {Part[]}
 */
export function partsOf(heat, width, height, cut, specks) {
  const open = new Uint8Array(width * height);
  for (let i = 0; i < open.length; i++) open[i] = heat[i] >= cut && heat[i] > 0 ? 1 : 0;
  const waiting = new Int32Array(width * height);
  /** @type {Part[]} */
  const parts = [];
  for (let start = 0; start < open.length; start++) {
    if (!open[start]) continue;
    open[start] = 0;
    waiting[0] = start;
    const part = { x0: width, y0: height, x1: 0, y1: 0, pixels: 0, heat: 0 };
    for (let held = 1; held > 0;) {
      const at = waiting[--held];
      const x = at % width;
      const y = (at - x) / width;
      part.pixels += 1;
      part.heat += heat[at];
      if (x < part.x0) part.x0 = x;
      if (x >= part.x1) part.x1 = x + 1;
      if (y < part.y0) part.y0 = y;
      if (y >= part.y1) part.y1 = y + 1;
      for (let j = Math.max(y - 1, 0); j <= Math.min(y + 1, height - 1); j++) {
        for (let i = Math.max(x - 1, 0); i <= Math.min(x + 1, width - 1); i++) {
          const next = j * width + i;
          if (open[next]) {
            open[next] = 0;
            waiting[held++] = next;
          }
        }
      }
    }
    parts.push(part);
  }
  parts.sort((a, b) => b.pixels - a.pixels || b.heat - a.heat || a.y0 - b.y0 || a.x0 - b.x0);
  if (!specks) return parts;
  return parts.filter(part =>
    part.pixels >= specks.area * width * height && part.heat >= specks.heat * parts[0].heat);
}

// Marching squares: the pairs of edges (0 top, 1 right, 2 bottom, 3 left) that a line joins, by
// which corners are inside.
const PIECES = [[], [3, 2], [2, 1], [3, 1], [0, 1], [3, 0, 2, 1], [0, 2], [3, 0],
  [3, 0], [0, 2], [3, 2, 0, 1], [0, 1], [3, 1], [2, 1], [3, 2], []];

/**
 * Calls line(x, y, x', y') for every piece of the outline of what is at or above `cut`, between the
 * centres of pixels.
 *
 * @param {Float32Array} heat
 * @param {number} width
 * @param {number} height
 * @param {number} cut
 * @param {(x0: number, y0: number, x1: number, y1: number) => void} line
 */
export function contour(heat, width, height, cut, line) {
  for (let y = 0; y + 1 < height; y++) {
    let at = y * width;
    let left = (heat[at] >= cut ? 8 : 0) | (heat[at + width] >= cut ? 1 : 0);
    for (let x = 0; x + 1 < width; x++, at++) {
      const right = (heat[at + 1] >= cut ? 4 : 0) | (heat[at + width + 1] >= cut ? 2 : 0);
      const kind = left | right;
      left = (right & 4 ? 8 : 0) | (right & 2 ? 1 : 0);
      if (kind === 0 || kind === 15) continue;
      const a = heat[at], b = heat[at + 1], c = heat[at + width + 1], d = heat[at + width];
      const X = x + 0.5, Y = y + 0.5;
      /** @type {(edge: number) => [number, number]} */
      const place = edge => {
        if (edge === 0) return [X + (cut - a) / (b - a), Y];
        if (edge === 1) return [X + 1, Y + (cut - b) / (c - b)];
        if (edge === 2) return [X + (cut - d) / (c - d), Y + 1];
        return [X, Y + (cut - a) / (d - a)];
      };
      const edges = PIECES[kind];
      for (let i = 0; i < edges.length; i += 2) line(...place(edges[i]), ...place(edges[i + 1]));
    }
  }
}

/**
 * How well a map agrees with a true mask, at any threshold: index k is the IoU of the mask with
 * what is at or above k / 1000 of the summit. Counted once, read for every position of a knob.
 *
 * @param {Float32Array} heat
 * @param {ArrayLike<number>} mask  0 or 1
 * @param {number} summit
 */
export function iouTable(heat, mask, summit) {
  const all = new Int32Array(1002);
  const inside = new Int32Array(1002);
  let size = 0;
  if (!(summit > 0)) return new Float64Array(1001); // empty: it agrees with nothing
  for (let i = 0; i < heat.length; i++) {
    const bin = clamp(Math.floor(heat[i] / summit * 1000 + 1e-4), 0, 1000);
    all[bin] += 1;
    if (mask[i]) {
      inside[bin] += 1;
      size += 1;
    }
  }
  const table = new Float64Array(1001);
  for (let k = 1000, chosen = 0, hits = 0; k >= 0; k--) {
    chosen += all[k];
    hits += inside[k];
    table[k] = chosen + size > hits ? hits / (chosen + size - hits) : 0;
  }
  return table;
}
