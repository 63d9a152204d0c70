// @ts-check
/* What is painted: a raster of bytes, 1 where the picture is covered. Pure, so that tests need no
   browser. `writeMask` and `readMask` are those of camviz/maps/runs.py. */

/**
 * @typedef {object} Mask
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array} bytes  row after row, 1 or 0
 */

/**
 * @param {number} width
 * @param {number} height
 * @returns {Mask}
 */
export const emptyMask = (width, height) =>
  ({ width, height, bytes: new Uint8Array(width * height) });

/**
 * A mask as text: its size, and the lengths of runs that are in turn outside and inside.
 *
 * @param {Mask} mask
 */
export function writeMask({ width, height, bytes }) {
  if (!bytes.includes(1)) return "";
  /** @type {number[]} */
  const data = [];
  const add = (/** @type {number} */ length) => {
    for (; length >= 128; length >>= 7) data.push((length & 127) | 128);
    data.push(length);
  };
  let [value, start] = [0, 0];
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === value) continue;
    add(i - start);
    [value, start] = [bytes[i], i];
  }
  add(bytes.length - start);
  const text = btoa(String.fromCharCode(...data));
  const safe = text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return `${width}x${height}.${safe}`;
}

/**
 * The mask of a text that the server, or `writeMask`, wrote; an empty one for "".
 *
 * @param {string} text
 * @param {number} width   of what is painted on
 * @param {number} height
 */
export function readMask(text, width, height) {
  const mask = emptyMask(width, height);
  const found = /^(\d+)x(\d+)\.(.*)$/.exec(text);
  if (!found) return mask;
  const given = emptyMask(Number(found[1]), Number(found[2]));
  const data = atob(found[3].replaceAll("-", "+").replaceAll("_", "/"));
  let [at, value, length, shift] = [0, 0, 0, 0];
  for (let i = 0; i < data.length; i++) {
    const byte = data.charCodeAt(i);
    length |= (byte & 127) << shift;
    shift += 7;
    if (byte >= 128) continue;
    if (value) given.bytes.fill(1, at, at + length);
    at += length;
    [value, length, shift] = [1 - value, 0, 0];
  }
  if (given.width === width && given.height === height) return given;
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y + 0.5) * given.height / height) * given.width;
    for (let x = 0; x < width; x++) {
      mask.bytes[y * width + x] = given.bytes[row + Math.floor((x + 0.5) * given.width / width)];
    }
  }
  return mask;
}

/**
 * Draws a stroke from one place to another: every pixel whose centre is at most `radius` from it.
 * In place.
 *
 * @param {Mask} mask
 * @param {[number, number]} from  in pixels of the raster
 * @param {[number, number]} to
 * @param {number} radius
 * @param {0|1} value  1 covers, 0 uncovers
 */
export function drawStroke(mask, from, to, radius, value) {
  const [[x0, y0], [x1, y1]] = [from, to];
  const [dx, dy] = [x1 - x0, y1 - y0];
  const long = dx * dx + dy * dy;
  const { width, height, bytes } = mask;
  const first = Math.max(0, Math.floor(Math.min(y0, y1) - radius));
  const last = Math.min(height - 1, Math.ceil(Math.max(y0, y1) + radius));
  const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius));
  const right = Math.min(width - 1, Math.ceil(Math.max(x0, x1) + radius));
  for (let row = first; row <= last; row++) {
    for (let column = left; column <= right; column++) {
      const [x, y] = [column + 0.5, row + 0.5];
      const along = long ? ((x - x0) * dx + (y - y0) * dy) / long : 0;
      const t = Math.min(1, Math.max(0, along));
      const off = (x - x0 - t * dx) ** 2 + (y - y0 - t * dy) ** 2;
      if (off <= radius * radius) bytes[row * width + column] = value;
    }
  }
}

/**
 * How much of a picture is covered, as a share of 1.
 *
 * @param {Mask} mask
 */
export function covered({ bytes }) {
  let count = 0;
  for (const byte of bytes) count += byte;
  return count / bytes.length;
}

/**
 * The part whose mask holds a place; null: none does.
 *
 * @template Named
 * @param {[Named, Mask][]} parts
 * @param {[number, number]} place  in pixels of the raster
 */
export function partAt(parts, [x, y]) {
  const found = parts.find(([, { width, height, bytes }]) => {
    const [column, row] = [Math.floor(x), Math.floor(y)];
    return column >= 0 && column < width && row >= 0 && row < height
      && bytes[row * width + column] === 1;
  });
  return found ? found[0] : null;
}
