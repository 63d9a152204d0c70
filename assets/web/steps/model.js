// @ts-check
/* What <story-walk> is given, as `camviz.ui.viewer.stories`, and where in it a visitor stands. */

import { clamp } from "../viewer/maps.js";

/**
 * @typedef {object} Figure
 * @property {string} name
 * @property {string} text
 * @property {string} alt
 * @property {number} map   place of its bytes in `Stories.maps`; -1: none
 * @property {[number, number]} grid
 * @property {[number, number]} stride
 * @property {[number, number]} offset
 * @property {boolean} signed  byte 128 is zero
 * @property {boolean} over    drawn on the picture
 * @property {string} src
 * @property {[number, number, number, number]|null} rect  shares of the picture, outlined
 */

/**
 * @typedef {object} Group
 * @property {string} symbol
 * @property {string} name
 * @property {Figure[]} figures
 * @property {string} sign
 * @property {"small"|"trio"|"medium"|"third"|"large"} size
 */

/**
 * @typedef {object} CutPosition
 * @property {number} level
 * @property {number} tau
 * @property {string} text
 * @property {number} map
 */

/**
 * @typedef {object} CutSlider
 * @property {number} end
 * @property {number[]} positive
 * @property {number[]} negative
 * @property {CutPosition[]} positions
 * @property {number} chosen
 * @property {Figure} before
 * @property {Figure} after
 */

/**
 * @typedef {object} StoryStep
 * @property {string} title
 * @property {string} says
 * @property {[string, string][][]} formulas  lines of (text, symbol)
 * @property {Group[]} groups
 * @property {CutSlider|null} cut
 * @property {string} ask
 */

/**
 * @typedef {object} StoryLayer
 * @property {string} key
 * @property {string} name
 * @property {StoryStep[]} steps
 */

/**
 * @typedef {object} Story
 * @property {string} key
 * @property {string} title
 * @property {string} note
 * @property {StoryLayer[]} layers
 * @property {string} first  the stage that is shown until another one is chosen
 */

/**
 * @typedef {object} Stories
 * @property {string} picture
 * @property {[number, number]} size
 * @property {import("../viewer/schema.js").Scene} scene
 * @property {string[]} maps
 * @property {Story[]} stories
 */

/**
 * Where a visitor stands: the key of a story, the key of a stage, and a step, 0 the first.
 *
 * @typedef {{story: string, layer: string, step: number}} StoryPlace
 */

/**
 * The story, the stage and the step at a place; the first of what there is none of.
 *
 * @param {Stories} value
 * @param {StoryPlace} place
 */
export function standingAt({ stories }, place) {
  const story = stories.find(one => one.key === place.story) ?? stories[0];
  const layer = story.layers.find(one => one.key === place.layer)
    ?? story.layers.find(one => one.key === story.first) ?? story.layers[0];
  const at = clamp(place.step, 0, layer.steps.length - 1);
  return { story, layer, at, step: layer.steps[at] };
}

/**
 * The place that an address names.
 *
 * @param {URLSearchParams} query
 * @returns {StoryPlace}
 */
export function placeOfQuery(query) {
  const step = Number.parseInt(query.get("step") ?? "1", 10);
  return {
    story: query.get("story") ?? "",
    layer: query.get("layer") ?? "",
    step: Number.isFinite(step) ? Math.max(step - 1, 0) : 0,
  };
}

/**
 * A query that names a place; what is the first anyway is left out.
 *
 * @param {URLSearchParams} query
 * @param {Stories} value
 * @param {StoryPlace} place
 */
export function queryOfPlace(query, value, place) {
  const { story, layer, at } = standingAt(value, place);
  const written = new URLSearchParams(query);
  /** @type {(name: string, text: string, usual: string) => void} */
  const write = (name, text, usual) => {
    if (text === usual) written.delete(name);
    else written.set(name, text);
  };
  write("story", story.key, value.stories[0].key);
  write("layer", layer.key, story.first);
  write("step", String(at + 1), "1");
  return written;
}
