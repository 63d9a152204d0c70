// @ts-check
/* Which maps a projector shows, and which comes next. Pure, so that tests need no browser. */

/** @typedef {{id: string, key: string}} Named */

/**
 * The place of the map with an id; else of the first one of all stages together, or of the first.
 *
 * @param {readonly Named[]} panels
 * @param {string|null} id
 */
export function placeOfMap(panels, id) {
  const at = panels.findIndex(panel => panel.id === id);
  return at >= 0 ? at : Math.max(0, panels.findIndex(panel => panel.key === "fused"));
}

/**
 * The maps that are shown from a place on: one, or two that stand side by side.
 *
 * @template {Named} Panel
 * @param {readonly Panel[]} panels
 * @param {number} at
 * @param {boolean} two
 * @returns {Panel[]}
 */
export function mapsFrom(panels, at, two) {
  const count = Math.min(two ? 2 : 1, panels.length);
  return Array.from({ length: count }, (_, i) => panels[(at + i) % panels.length]);
}

/**
 * The place so many steps further, around the end.
 *
 * @param {number} at
 * @param {number} step
 * @param {number} count
 */
export const around = (at, step, count) => ((at + step) % count + count) % count;

/** @type {Record<string, string>} */
const ACTIONS = {
  ArrowLeft: "before", ArrowRight: "after", ArrowUp: "up", ArrowDown: "down",
  PageUp: "up", PageDown: "down", 1: "one", 2: "two", h: "hide", p: "leave", Escape: "leave",
};

/**
 * What a key does, by its name.
 *
 * @param {string} key
 * @returns {string|undefined}
 */
export const actionOfKey = key => ACTIONS[key];
