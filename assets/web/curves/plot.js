// @ts-check
/* Curves of a score as SVG, as CSV and in words, and the picture at one step of them: plain
   functions. Colours are given as CSS has them, so that a plot on the page follows its theme and
   one in a file is black on white. */

import { FIGURE_FONT, escapeXml } from "../viewer/figure.js";
import { digits, percent } from "../viewer/text.js";

/**
 * Curves of one map, as `camviz.ui.viewer.curves.CurveLine`.
 *
 * @typedef {object} CurveLine
 * @property {string} key
 * @property {string} name
 * @property {number[]} deletion   the score at each step
 * @property {number[]} insertion
 * @property {Record<string, number>} figures  by metric
 * @property {string} changed      data URL of a grey picture: the step at which a pixel is changed
 */

/**
 * Everything that <curve-plots> shows, as `camviz.ui.viewer.curves.Curves`.
 *
 * @typedef {object} Curves
 * @property {string} name         of the picture, for files
 * @property {string} label        the class
 * @property {string} unit         probability or value
 * @property {[number, number]} size  width and height of the network's input
 * @property {string} picture      data URL
 * @property {string} blurred      data URL
 * @property {[number, number, number]} removed  the colour of removed pixels
 * @property {number[]} shares     of the pixels that are changed, at each step
 * @property {CurveLine[]} lines   the map itself first
 */

/** @typedef {"deletion" | "insertion"} Kind */

/**
 * @typedef {object} Palette
 * @property {string} ink
 * @property {string} quiet
 * @property {string} rule
 * @property {string} accent
 */

/** @type {Kind[]} */
export const KINDS = ["deletion", "insertion"];
/** @type {Record<Kind, string>} */
export const TITLES = { deletion: "Deletion", insertion: "Insertion" };
/** @type {Record<Kind, string>} */
export const CHANGED = { deletion: "removed", insertion: "made sharp" };
/** @type {Palette} */
export const ON_PAPER = { ink: "#000", quiet: "#555", rule: "#ccc", accent: "#4338ca" };

export const PLOT = { width: 360, height: 220, left: 46, right: 22, top: 12, bottom: 40 };
const LETTERS = 12;
const LEGEND_LINE = 18;
/* Each map by its dashes, so that colour is not needed to tell them apart. */
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
/** @type {(keyof Palette)[]} */
const INKS = ["accent", "ink", "quiet", "quiet"];
const SVG = 'xmlns="http://www.w3.org/2000/svg"';

/**
 * The dashes, colour and width of a line.
 *
 * @param {number} index
 * @param {Palette} palette
 */
export function strokeOf(index, palette) {
  const at = index % DASHES.length;
  return { dash: DASHES[at], color: palette[INKS[at]], width: index ? 1.6 : 2.6 };
}

/**
 * The least and the greatest score of the vertical axis: 0 and 1 for probabilities.
 *
 * @param {Curves} value
 * @returns {[number, number]}
 */
export function rangeOf({ unit, lines }) {
  if (unit === "probability") return [0, 1];
  const all = lines.flatMap(line => [...line.deletion, ...line.insertion]);
  const low = Math.min(...all), high = Math.max(...all);
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}

/**
 * A score as people read it.
 *
 * @param {number} score
 * @param {string} unit
 */
export const scoreInWords = (score, unit) =>
  unit === "probability" ? percent(score) : digits(score);

/**
 * The step whose share is nearest to a place across a plot.
 *
 * @param {number} across  0 at the left edge of the whole plot, 1 at its right
 * @param {number[]} shares
 */
export function stepAt(across, shares) {
  const inner = PLOT.width - PLOT.left - PLOT.right;
  const share = (across * PLOT.width - PLOT.left) / inner;
  return shares.reduce((best, one, i) =>
    Math.abs(one - share) < Math.abs(shares[best] - share) ? i : best, 0);
}

/** @type {Record<string, (step: number, last: number) => number>} */
const STEP_KEYS = {
  ArrowRight: step => step + 1, ArrowUp: step => step + 1,
  ArrowLeft: step => step - 1, ArrowDown: step => step - 1,
  PageUp: step => step + 5, PageDown: step => step - 5,
  Home: () => 0, End: (_, last) => last,
};

/**
 * The step that a key leads to; null: the key has no meaning here.
 *
 * @param {string} key
 * @param {number} step
 * @param {number} last
 */
export function stepBy(key, step, last) {
  const move = STEP_KEYS[key];
  return move ? Math.min(Math.max(move(step, last), 0), last) : null;
}

/**
 * Writes the picture at one step: changed pixels of `after`, the others of `before`. RGBA, 32 bits.
 *
 * @param {Uint32Array} target
 * @param {Uint32Array} before
 * @param {Uint32Array} after
 * @param {Uint8Array} changed  the step at which each pixel is changed
 * @param {number} step
 */
export function composeStep(target, before, after, changed, step) {
  for (let i = 0; i < target.length; i++) target[i] = changed[i] <= step ? after[i] : before[i];
}

/**
 * What a curve says, for those who do not see it.
 *
 * @param {Curves} value
 * @param {CurveLine} line
 * @param {Kind} kind
 */
export function curveInWords({ label, unit, shares }, line, kind) {
  const scores = line[kind];
  const at = [0, 0.25, 0.5, 1].map(share => shares.reduce((best, one, i) =>
    Math.abs(one - share) < Math.abs(shares[best] - share) ? i : best, 0));
  const text = [...new Set(at)].map(i =>
    `${scoreInWords(scores[i], unit)} with ${percent(shares[i])} ${CHANGED[kind]}`);
  return `${line.name}, ${TITLES[kind].toLowerCase()}: ${label} at ${text.join(", ")}.`;
}

/**
 * The inside of a plot: axes, one line a map and, with a step, where that is.
 *
 * @param {Curves} value
 * @param {Kind} kind
 * @param {Palette} palette
 * @param {number|null} step
 * @param {number} chosen  the line whose dot is drawn
 */
function drawPlot(value, kind, palette, step, chosen) {
  const { width, height, left, right, top, bottom } = PLOT;
  const [low, high] = rangeOf(value);
  const x = (/** @type {number} */ share) => tidy(left + share * (width - left - right));
  const y = (/** @type {number} */ score) =>
    tidy(height - bottom - (score - low) / (high - low) * (height - top - bottom));
  const text = `font-size="${LETTERS}" style="fill: ${palette.quiet}"`;
  const parts = [low, (low + high) / 2, high].map(score =>
    `<path d="M${left} ${y(score)}H${width - right}" style="stroke: ${palette.rule}"/>`
    + `<text x="${left - 6}" y="${y(score) + 4}" text-anchor="end" ${text}>`
    + `${escapeXml(scoreInWords(score, value.unit))}</text>`);
  for (const share of [0, 0.5, 1]) {
    parts.push(`<text x="${x(share)}" y="${height - bottom + 16}" text-anchor="middle" ${text}>`
      + `${percent(share)}</text>`);
  }
  parts.push(`<text x="${x(0.5)}" y="${height - 6}" text-anchor="middle" ${text}>`
    + `of the picture ${CHANGED[kind]}, hottest first</text>`);
  value.lines.forEach((line, i) => {
    const { dash, color, width: pen } = strokeOf(i, palette);
    const points = line[kind].map((score, at) => `${x(value.shares[at])},${y(score)}`);
    parts.push(`<polyline points="${points.join(" ")}" fill="none" stroke-width="${pen}" `
      + `stroke-dasharray="${dash}" stroke-linejoin="round" style="stroke: ${color}">`
      + `<title>${escapeXml(line.name)}</title></polyline>`);
  });
  if (step !== null) {
    const at = x(value.shares[step]);
    parts.push(`<path d="M${at} ${top}V${height - bottom}" style="stroke: ${palette.ink}"/>`,
      `<circle cx="${at}" cy="${y(value.lines[chosen][kind][step])}" r="4.5" `
      + `style="fill: ${palette.ink}"/>`);
  }
  return parts.join("");
}

/**
 * One plot by itself.
 *
 * @param {Curves} value
 * @param {Kind} kind
 * @param {Palette} palette
 * @param {number|null} step
 * @param {number} chosen
 */
export function plotSvg(value, kind, palette, step, chosen) {
  return `<svg ${SVG} viewBox="0 0 ${PLOT.width} ${PLOT.height}" font-family="inherit" `
    + `aria-hidden="true">${drawPlot(value, kind, palette, step, chosen)}</svg>`;
}

/**
 * A short piece of a line, for a legend.
 *
 * @param {number} index
 * @param {Palette} palette
 */
export function sampleSvg(index, palette) {
  return `<svg ${SVG} viewBox="0 0 32 8" width="32" height="8" aria-hidden="true">`
    + `${samplePath(index, palette, 0, 4)}</svg>`;
}

/**
 * @param {number} index
 * @param {Palette} palette
 * @param {number} x
 * @param {number} y
 */
function samplePath(index, palette, x, y) {
  const { dash, color, width } = strokeOf(index, palette);
  return `<path d="M${x} ${y}h32" fill="none" stroke-width="${width}" stroke-dasharray="${dash}" `
    + `style="stroke: ${color}"/>`;
}

/**
 * Both plots with a legend, black on white, as a file.
 *
 * @param {Curves} value
 */
export function curvesFigure(value) {
  const { width, height } = PLOT;
  const title = `Deletion and insertion for ${value.label}`;
  const legend = 30 + height + 30;
  const total = legend + value.lines.length * LEGEND_LINE + 8;
  const plots = KINDS.map((kind, i) =>
    `<g transform="translate(${i * width} 44)">`
    + `<text x="${PLOT.left}" y="-4" font-size="13" font-weight="bold">${TITLES[kind]}</text>`
    + `${drawPlot(value, kind, ON_PAPER, null, 0)}</g>`);
  const rows = value.lines.map((line, i) => {
    const y = legend + i * LEGEND_LINE + 10;
    const areas = KINDS.map(kind =>
      `${TITLES[kind].toLowerCase()} ${digits(line.figures[kind])}`).join(", ");
    return samplePath(i, ON_PAPER, PLOT.left, y - 4)
      + `<text x="${PLOT.left + 42}" y="${y}" font-size="${LETTERS}">`
      + `${escapeXml(`${line.name}: area of ${areas}`)}</text>`;
  });
  const text = value.lines.flatMap(line => KINDS.map(kind => curveInWords(value, line, kind)));
  return `<svg ${SVG} width="${2 * width}" height="${total}" viewBox="0 0 ${2 * width} ${total}" `
    + `font-family="${FIGURE_FONT}" role="img"><title>${escapeXml(title)}</title>`
    + `<desc>${escapeXml(text.join(" "))}</desc>`
    + "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    + `<text x="${PLOT.left}" y="20" font-size="15" font-weight="bold">${escapeXml(title)}</text>`
    + `${plots.join("")}${rows.join("")}</svg>`;
}

/**
 * All figures and curves as a table with one number a line.
 *
 * @param {Curves} value
 */
export function curvesCsv({ lines, shares }) {
  const rows = [["map", "quantity", "share", "value"]];
  for (const line of lines) {
    for (const [metric, figure] of Object.entries(line.figures)) {
      rows.push([line.name, metric, "", String(figure)]);
    }
    for (const kind of KINDS) {
      line[kind].forEach((score, i) =>
        rows.push([line.name, `${kind} curve`, String(shares[i]), String(score)]));
    }
  }
  return rows.map(row => row.map(inCsv).join(",")).join("\r\n") + "\r\n";
}

/** @param {string} text */
const inCsv = text => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

/** @param {number} number */
const tidy = number => Math.round(100 * number) / 100;
