// @ts-check
/* How many maps stand side by side, and how large each is: plain functions of numbers. */

/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").MapRow} MapRow */

const FUSED = "fused"; // the key of the map of all stages together
const NARROW = 620; // pixels, below which one row is shown at a time
const ROOMY = 480; // from which on four columns have room on a narrow page
const LEAST = 96; // pixels, a map's least width
const DENSE = 93; // the same in a table, and what stands beside its rows
const BESIDE = 148;
const GAP = 12;
const SMALLEST = 44; // the least width and height of a small map, and what is between two
const SMALL_LOWEST = 32;
const SMALL_GAP = 6;
const LOWEST = 64; // pixels, a map's least height where a line of its own can give it that
const SLIMMEST = 64; // the least width of a tall map, unless it were higher than this then
const HIGHEST = 768;
const WIDEST = 460; // one or two maps need not fill the page
const SMALL = 640; // pixels of the longer side to which a small picture is enlarged
const MOST_PIXELS = 1.2e6; // that are drawn at once, by and large

/**
 * @typedef {object} Layout
 * @property {boolean} narrow   one row is shown at a time
 * @property {boolean} small    nothing is written below a map, so each has one column
 * @property {boolean} aligned  all columns fit on a wide page: the same stage, the same column
 * @property {number} columns   side by side
 * @property {number} width     of a map, in pixels of the page
 * @property {number} track     width of a column, which may be wider than a narrow map
 */

/**
 * The columns of all rows: stages, coarse to fine, then what was made of several, the fused map
 * first, though a row of one stage has none.
 *
 * @param {MapRow[]} rows
 */
export function columnKeys(rows) {
  const made = keysOf(rows, true);
  const fused = made.filter(key => key === FUSED);
  return [...new Set([...stageKeys(rows), ...fused, ...made])];
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
 * @param {boolean} [small]  twice as many maps side by side, or more
 * @returns {Layout}
 */
export function layoutOf(width, count, dense, picture, small = false) {
  const narrow = width < NARROW;
  const most = Math.max(1, count);
  const room = width - (dense && !narrow ? BESIDE : 0);
  const lowest = small ? SMALL_LOWEST : LOWEST;
  const wide = Math.min(room, lowest * picture.width / picture.height); // of a panorama
  const gap = small ? SMALL_GAP : GAP;
  const least = Math.max(small ? SMALLEST : dense ? DENSE : LEAST, wide);
  const fitting = Math.floor((room + gap) / (least + gap));
  const few = (room < ROOMY ? 2 : 4) * (small ? 2 : 1);
  const usual = narrow ? Math.min(most, few) : evenColumns(most, fitting);
  const columns = wide > (room - gap) / 2 ? 1 : usual;
  const column = Math.min((room - gap * (columns - 1)) / columns, Math.max(WIDEST, wide));
  const size = panelSize(column, picture);
  return {
    narrow,
    small,
    columns,
    width: column,
    track: Math.max(size.width, Math.min(column, least)),
    aligned: !narrow && columns === most,
  };
}

/**
 * So many columns that all lines are about as long, and the last one is more than a single map.
 *
 * @param {number} count    of maps
 * @param {number} fitting  side by side
 */
function evenColumns(count, fitting) {
  const most = Math.min(count, Math.max(2, fitting));
  const even = Math.ceil(count / Math.ceil(count / most));
  const larger = Array.from({ length: most - even + 1 }, (_, i) => even + i);
  const smaller = Array.from({ length: Math.max(0, even - 3) }, (_, i) => even - 1 - i);
  return [...larger, ...smaller].find(columns => count % columns !== 1) ?? most;
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
 * Whether a map is the one that a row comes to, such as that of all stages: it stands first, and
 * larger than the others, on a narrow page.
 *
 * @param {MapPanel} panel
 */
export function leads(panel) {
  return panel.key === FUSED && panel.last && panel.ends === null && panel.row.panels.length > 1;
}

/**
 * How much room a map has: a column, a block of two columns and two lines, or a line of its own,
 * which the last one of a row has where it would else stand alone in one.
 *
 * @param {MapPanel} panel
 * @param {Layout} layout
 * @returns {"column"|"block"|"line"}
 */
export function spanOf(panel, { narrow, small, aligned, columns }) {
  const { panels, absent } = panel.row;
  if (small) return "column";
  if (narrow && leads(panel)) return columns > 2 ? "block" : "line";
  const alone = columns > 1 && (panels.length + absent.length) % columns === 1;
  const led = narrow && panels.some(leads);
  return !aligned && !led && alone && panels.length > 1 && panel === panels.at(-1)
    ? "line" : "column";
}

/**
 * The width that so much room is.
 *
 * @param {"column"|"block"|"line"} span
 * @param {Layout} layout
 * @param {number} whole  of the viewer
 */
export function spanWidth(span, { narrow, width }, whole) {
  if (span === "block") return 2 * width + GAP;
  return span === "column" ? width : narrow ? whole : Math.min(whole, Math.max(WIDEST, width));
}

/**
 * Pixels of a raster to one of the page: as sharp as the screen, unless that were slow to draw.
 *
 * @param {number} area   of all that is drawn, in pixels of the page
 * @param {number} ratio  of the screen's pixels to the page's
 * @param {number} [most]  pixels that are drawn at once, by and large
 */
export function density(area, ratio, most = MOST_PIXELS) {
  return Math.min(ratio, 2, Math.max(1, Math.sqrt(most / area)));
}

/**
 * The size of the one map that is enlarged: as large as there is room for, but not beyond the
 * pixels of its picture; a small picture is enlarged to `SMALL` all the same.
 *
 * @param {{width: number, height: number}} room
 * @param {{width: number, height: number}} picture
 * @param {{width: number, height: number}} sent  the picture's size as it was sent
 */
export function enlargedSize(room, picture, sent) {
  const least = SMALL / Math.max(sent.width, sent.height);
  const most = Math.max(1, least);
  return fitInside(Math.min(room.width, sent.width * most),
    Math.min(room.height, sent.height * most), picture);
}
