// @ts-check
/* The crosshair: one place of the picture, shown and read on every map at once. */

/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").Place} Place */
/** @typedef {import("./model.js").ViewerModel} ViewerModel */
/** @typedef {import("./zoom.js").Region} Region */

/** Where each arrow key leads: across and down. @type {Record<string, [number, number]>} */
export const ARROWS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};
const STEPS = 100; // of an arrow key, along the longer side of the visible part

/**
 * The pixel of the picture under the pointer.
 *
 * @param {MouseEvent} event
 * @param {Element} canvas
 * @param {ViewerModel} model
 * @param {Region} [region]  of the picture that the canvas shows; the whole unless given
 * @returns {Place}
 */
export function placeUnder(event, canvas, model, region = wholeOf(model)) {
  const box = canvas.getBoundingClientRect();
  return model.inside({
    x: Math.floor(region.x + (event.clientX - box.left) / box.width * region.width),
    y: Math.floor(region.y + (event.clientY - box.top) / box.height * region.height),
  });
}

/**
 * Where a key on a map moves the crosshair: arrows by a hundredth of the picture, with Shift by a
 * pixel; Home to the map's maximum; Escape takes it away.
 *
 * @param {Pick<KeyboardEvent, "key"|"shiftKey"|"ctrlKey"|"metaKey"|"altKey">} event
 * @param {Place|null} place  where it is
 * @param {ViewerModel} model
 * @param {MapPanel} panel    that has the focus
 * @returns {Place|null|undefined}  undefined: the key has no meaning here
 */
export function handleArrowKeys(event, place, model, panel) {
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  if (event.key === "Home") return model.peakOf(panel);
  if (event.key === "Escape" && place) return null;
  return moved(event.key, place, model, panel, event.shiftKey ? 0 : 1);
}

/**
 * The same in the dialog, where arrows alone go to other maps: arrows with Shift, by a hundredth of
 * the visible part, and Home.
 *
 * @param {Pick<KeyboardEvent, "key"|"shiftKey">} event
 * @param {Place|null} place
 * @param {ViewerModel} model
 * @param {MapPanel} panel
 * @param {number} visible  share of the picture's side that is visible
 * @returns {Place|undefined}
 */
export function handleShiftArrows(event, place, model, panel, visible) {
  if (event.key === "Home") return model.peakOf(panel);
  return event.shiftKey ? moved(event.key, place, model, panel, visible) : undefined;
}

/**
 * @param {string} key
 * @param {Place|null} place
 * @param {ViewerModel} model
 * @param {MapPanel} panel
 * @param {number} visible  share of the picture; a step is a hundredth of it, and a pixel for 0
 */
function moved(key, place, model, panel, visible) {
  const move = ARROWS[key];
  if (!move) return undefined;
  if (!place) return model.peakOf(panel);
  const step = Math.max(1, Math.round(Math.max(model.width, model.height) * visible / STEPS));
  return model.inside({ x: place.x + step * move[0], y: place.y + step * move[1] });
}

/**
 * Draws the crosshair, by two lines on every map inside `root`.
 *
 * @param {HTMLElement} root
 * @param {Place|null} place
 * @param {ViewerModel} model
 */
export function drawCrosshair(root, place, model) {
  root.toggleAttribute("data-cross", place !== null);
  if (place) crossAt(root, place, wholeOf(model));
}

/**
 * Puts the crosshair on maps that show a part of the picture.
 *
 * @param {HTMLElement} home
 * @param {Place} place
 * @param {Region} region
 */
export function crossAt(home, place, region) {
  home.style.setProperty("--x", `${100 * (place.x + 0.5 - region.x) / region.width}%`);
  home.style.setProperty("--y", `${100 * (place.y + 0.5 - region.y) / region.height}%`);
}

/** @param {ViewerModel} model @returns {Region} */
const wholeOf = ({ width, height }) => ({ x: 0, y: 0, width, height });

/** @param {Place} place */
export const placeInWords = ({ x, y }) => `Column ${x}, row ${y}`;
