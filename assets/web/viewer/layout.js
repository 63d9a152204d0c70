// @ts-check
/* How many maps stand side by side, and how large each is: plain functions of numbers. */

/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").MapRow} MapRow */

const NARROW = 620; // pixels, below which one row is shown at a time
const LEAST = 132; // pixels, a map's least width
const DENSE = 96; // the same in a table, and what stands beside its rows
const BESIDE = 148;
const GAP = 12;
const LOWEST = 64; // pixels, a map's least height where a line of its own can give it that
const SLIMMEST = 64; // the least width of a tall map, unless it were higher than this then
const HIGHEST = 768;
const WIDEST = 460; // one or two maps need not fill the page
const MOST_PIXELS = 1.2e6; // that are drawn at once, by and large

/**
 * @typedef {object} Layout
 * @property {boolean} narrow   one row is shown at a time
 * @property {boolean} aligned  all columns fit: the same stage stands in the same column
 * @property {number} columns   side by side
 * @property {number} width     of a map, in pixels of the page
 * @property {number} track     width of a column, which may be wider than a narrow map
 */

/**
 * The columns of all rows: stages, coarse to fine, then what was made of several.
 *
 * @param {MapRow[]} rows
 */
export function columnKeys(rows) {
  return [...new Set([...stageKeys(rows), ...keysOf(rows, true)])];
}

/** @param {MapRow[]} rows */
export const stageKeys = rows => [...new Set(keysOf(rows, false))];

/**
 * @param {MapRow[]} rows
 * @param {boolean} last
 */
function keysOf(rows, last) {
  return rows.flatMap(row => [
    ...row.panels.filter(panel => panel.last === last).map(panel => panel.key),
    ...(last ? [] : row.absent.map(absent => absent.key)),
  ]);
}

/**
 * @param {number} width    of the viewer, in pixels of the page
 * @param {number} count    of columns
 * @param {boolean} dense
 * @param {{width: number, height: number}} picture
 * @returns {Layout}
 */
export function layoutOf(width, count, dense, picture) {
  const narrow = width < NARROW;
  const most = Math.max(1, count);
  const room = width - (dense && !narrow ? BESIDE : 0);
  const wide = Math.min(room, LOWEST * picture.width / picture.height); // of a panorama
  const least = Math.max(dense ? DENSE : LEAST, wide);
  const fitting = Math.floor((room + GAP) / (least + GAP));
  const usual = narrow ? 2 : Math.max(2, fitting);
  const columns = Math.min(most, wide > (room - GAP) / 2 ? 1 : usual);
  const column = Math.min((room - GAP * (columns - 1)) / columns, Math.max(WIDEST, wide));
  const size = panelSize(column, picture);
  return {
    narrow,
    columns,
    width: column,
    track: Math.max(size.width, Math.min(column, least)),
    aligned: columns === most,
  };
}

/**
 * The size of a map in so wide a column: higher than usual where it were a strip.
 *
 * @param {number} width
 * @param {{width: number, height: number}} picture
 */
export function panelSize(width, picture) {
  const tall = Math.min(HIGHEST, SLIMMEST * picture.height / picture.width);
  return fitInside(width, Math.max(1.3 * width, 120, tall), picture);
}

/**
 * The picture's own shape inside so many pixels.
 *
 * @param {number} width
 * @param {number} height
 * @param {{width: number, height: number}} picture
 */
export function fitInside(width, height, picture) {
  const scale = Math.min(width / picture.width, height / picture.height);
  return { width: Math.max(picture.width * scale, 1), height: Math.max(picture.height * scale, 1) };
}

/**
 * Whether a map has a line of its own on a narrow page: the last of a row that would else stand
 * alone in one.
 *
 * @param {MapPanel} panel
 */
export function isWide(panel) {
  const { panels, absent } = panel.row;
  return panel.last && panels.length > 1 && (panels.length + absent.length) % 2 === 1
    && panel === panels.at(-1);
}

/**
 * Pixels of a raster to one of the page: as sharp as the screen, unless that were slow to draw.
 *
 * @param {number} area   of all that is drawn, in pixels of the page
 * @param {number} ratio  of the screen's pixels to the page's
 */
export function density(area, ratio) {
  return Math.min(ratio, 2, Math.max(1, Math.sqrt(MOST_PIXELS / area)));
}
