// @ts-check
/* What is written below maps that leave the page: of what they are, and how they were drawn. */

import { percent } from "./text.js";

/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").MapRow} MapRow */
/** @typedef {import("./schema.js").Settings} Settings */

/**
 * The class explained, the network, the method and the picture of maps of one row.
 *
 * @param {MapRow} row
 * @param {Pick<MapPanel, "label"|"network">[]} panels
 * @param {string} picture  its name
 */
export function originInWords(row, panels, picture) {
  const labels = unique(panels.map(panel => panel.label));
  const networks = unique(panels.map(panel => panel.network));
  const method = row.method.replace(/\.$/, "");
  return inOneLine([
    named(labels.length > 1 ? "Classes" : "Class", labels.join(", ")),
    named(networks.length > 1 ? "Networks" : "Network", networks.join(", ")),
    named("Method", row.paper ? `${method} (${row.paper})` : method),
    named("Picture", picture),
  ]);
}

/**
 * How maps are drawn.
 *
 * @param {Readonly<Settings>} settings
 * @param {string} colors  name of the colour map; "" for none
 * @param {number[]} cuts  shares of the maximum at which boxes and contours of the maps stand
 */
export function settingsInWords(settings, colors, cuts) {
  const { view, opacity, blend, threshold, scale, boxes, contours, outline } = settings;
  const where = blend === "heat" ? " where it is hot" : "";
  const at = [...new Set(cuts)].map(percent).join(" or ");
  return inOneLine([
    { overlay: `Overlay, opacity ${percent(opacity)}${where}`, map: "Map alone" }[view]
      ?? "Picture alone",
    threshold ? `Threshold ${percent(threshold)} of the maximum` : "No threshold",
    colors && `Colours ${colors}`,
    scale === "same" ? "One scale for all maps of a method" : "",
    { largest: `Largest box at ${at}`, all: `Boxes at ${at}` }[boxes] ?? "",
    contours ? `Contour at ${at}` : "",
    outline && `True outline: ${outline}`,
  ]);
}

/** @param {string[]} texts */
const unique = texts => [...new Set(texts.filter(Boolean))];

/**
 * @param {string} name
 * @param {string} value
 */
const named = (name, value) => value && `${name}: ${value}`;

/**
 * Parts with dots between them, none of which begins a line where the text is broken.
 *
 * @param {string[]} parts
 */
const inOneLine = parts => parts.filter(Boolean).join("\u00a0· ");
