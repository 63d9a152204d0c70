// @ts-check
/* A figure for a paper as SVG: maps with captions, a colour scale and what has to be known of them,
   black on white. Plain functions: texts are measured by whoever calls. */

/** @typedef {import("./renderer.js").Scale} Scale */

/**
 * One map of a figure.
 *
 * @typedef {object} FigurePanel
 * @property {string} href        data URL of its pixels; "": its place is left free
 * @property {string} name        "": none
 * @property {string} note        beneath the name
 * @property {Scale|null} scale   where it is another one than the figure's
 */

/**
 * What a figure holds.
 *
 * @typedef {object} FigureContent
 * @property {string} title
 * @property {boolean} title_first  above the maps; else below them, with the scale
 * @property {FigurePanel[]} panels
 * @property {{width: number, height: number}} size  of a map
 * @property {number} columns
 * @property {number} margin      around the maps
 * @property {Scale|null} scale   of all maps that have none of their own
 * @property {string[]} lines     beneath everything
 */

/**
 * A figure: its markup and size, and where the maps stand in it.
 *
 * @typedef {object} Figured
 * @property {string} svg
 * @property {number} width
 * @property {number} height
 * @property {{x: number, y: number}[]} places
 */

/**
 * How wide a text is, in the figure's units.
 *
 * @typedef {(text: string, size: number, bold: boolean) => number} Measure
 */

const NAMESPACE = "http://www.w3.org/2000/svg";
export const FIGURE_FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif";
const TITLE = 15;
const TEXT = 11.5;
const SMALL_TEXT = 10;
const LEADING = 1.35; // height of a line, in sizes of its letters
const BETWEEN = 12; // maps
const LEAST_WIDTH = 440; // that the lines have
const SCALE_WIDTH = 150;
const SCALE_HEIGHT = 8;
const EDGE = 14; // around all text

/**
 * @param {FigureContent} content
 * @param {Measure} measure
 * @returns {Figured}
 */
export function figureOf(content, measure) {
  const { panels, size, margin, scale } = content;
  const columns = Math.max(1, Math.min(content.columns, panels.length));
  const across = columns * size.width + (columns - 1) * BETWEEN + 2 * margin;
  const width = Math.ceil(Math.max(across, LEAST_WIDTH));
  /** @type {string[]} */
  const drawn = [];
  /** @type {string[]} */
  const ramps = [];
  /** @type {{x: number, y: number}[]} */
  const places = [];

  /** @type {(text: string, x: number, y: number, size: number, room: number, bold?: boolean,
   *   color?: string) => number} */
  const write = (text, x, y, letters, room, bold = false, color = "#000") => {
    const lines = wrapText(text, room, part => measure(part, letters, bold));
    lines.forEach((line, i) => drawn.push(
      `<text x="${round(x)}" y="${round(y + letters + i * letters * LEADING)}" `
      + `font-size="${letters}" fill="${color}"${bold ? ' font-weight="bold"' : ""}>`
      + `${escapeXml(line)}</text>`));
    return y + lines.length * letters * LEADING;
  };
  /** @type {(shown: Scale, x: number, y: number, room: number) => number} */
  const bar = (shown, x, y, room) => {
    const least = measure(shown.least, SMALL_TEXT, false);
    const most = measure(shown.most, SMALL_TEXT, false);
    const length = Math.max(24, Math.min(SCALE_WIDTH, room - least - most - 12));
    const id = `scale-${ramps.length}`;
    ramps.push(rampOf(shown, id));
    const start = x + least + 6;
    const base = y + SMALL_TEXT;
    const top = round(base - SCALE_HEIGHT);
    const letters = `y="${round(base)}" font-size="${SMALL_TEXT}" fill="#000"`;
    drawn.push(`<text x="${round(x)}" ${letters}>${escapeXml(shown.least)}</text>`,
      `<rect x="${round(start)}" y="${top}" width="${round(length)}" height="${SCALE_HEIGHT}" `
      + `fill="url(#${id})"/>`);
    if (shown.hidden) {
      const hidden = round(length * Math.min(shown.hidden, 1));
      drawn.push(`<rect x="${round(start)}" y="${top}" width="${hidden}" `
        + `height="${SCALE_HEIGHT}" fill="#fff" fill-opacity="0.8"/>`,
      `<rect x="${round(start + hidden)}" y="${round(top - 2)}" width="1" `
        + `height="${SCALE_HEIGHT + 4}" fill="#000"/>`);
    }
    drawn.push(`<text x="${round(start + length + 6)}" ${letters}>`
      + `${escapeXml(shown.most)}</text>`);
    return base + 6;
  };

  const room = width - 2 * EDGE;
  let y = content.title_first ? write(content.title, EDGE, EDGE, TITLE, room, true) + 6 : margin;
  for (let first = 0; first < panels.length; first += columns) {
    let lowest = y + size.height;
    panels.slice(first, first + columns).forEach((panel, i) => {
      const x = margin + i * (size.width + BETWEEN);
      places.push({ x, y });
      if (panel.href) {
        drawn.push(`<image x="${round(x)}" y="${round(y)}" width="${round(size.width)}" `
          + `height="${round(size.height)}" preserveAspectRatio="none" `
          + `href="${escapeXml(panel.href)}"/>`);
      }
      let below = y + size.height + 4;
      if (panel.name) below = write(panel.name, x, below, TEXT, size.width);
      if (panel.note) below = write(panel.note, x, below, SMALL_TEXT, size.width, false, "#333");
      if (panel.scale) below = bar(panel.scale, x, below + 3, size.width);
      lowest = Math.max(lowest, below);
    });
    y = lowest + BETWEEN;
  }
  if (!content.title_first) y = write(content.title, EDGE, y, TITLE, room, true) + 4;
  if (scale) y = bar(scale, EDGE, y, room) + 2;
  for (const line of content.lines) y = write(line, EDGE, y, TEXT, room) + 1;

  const height = Math.ceil(y + EDGE);
  const svg = [
    `<svg xmlns="${NAMESPACE}" width="${width}" height="${height}" `
    + `viewBox="0 0 ${width} ${height}" font-family="${FIGURE_FONT}">`,
    `<title>${escapeXml(content.title)}</title>`,
    `<defs>${ramps.join("")}</defs>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...drawn,
    "</svg>",
  ].join("\n");
  return { svg, width, height, places };
}

/**
 * A text in lines that are no wider than there is room; a longer word has a line of its own, or
 * several. A space that does not break is part of its word.
 *
 * @param {string} text
 * @param {number} room
 * @param {(part: string) => number} measure
 */
export function wrapText(text, room, measure) {
  /** @type {string[]} */
  const lines = [];
  let line = "";
  for (const word of text.split(/[ \t\r\n]+/).filter(Boolean)) {
    if (line && measure(`${line} ${word}`) <= room) {
      line += ` ${word}`;
      continue;
    }
    if (line) lines.push(line);
    line = "";
    const pieces = measure(word) <= room ? [word] : word;
    for (const letter of pieces) {
      if (line && measure(line + letter) > room) {
        lines.push(line);
        line = "";
      }
      line += letter;
    }
  }
  return line ? [...lines, line] : lines;
}

/**
 * So many columns that the lines of maps are about as long, none of more than six.
 *
 * @param {number} count  of maps
 */
export const figureColumns = count => Math.ceil(count / Math.ceil(count / 6));

/**
 * A text as it stands in XML, without the signs that XML cannot hold.
 *
 * @param {string} text
 */
export function escapeXml(text) {
  return text
    .replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, "")
    .replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/**
 * @param {Scale} scale
 * @param {string} id
 */
function rampOf({ stops, covers }, id) {
  const colors = stops.map((color, i) =>
    `<stop offset="${round(i / (stops.length - 1))}" stop-color="${color}" `
    + `stop-opacity="${round(covers[i])}"/>`);
  return `<linearGradient id="${id}">${colors.join("")}</linearGradient>`;
}

/** @param {number} value */
const round = value => Math.round(1000 * value) / 1000;
