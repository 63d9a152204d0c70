// @ts-check
/* The crosshair: one place of the picture, shown and read on every map at once. */

/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").Place} Place */
/** @typedef {import("./model.js").ViewerModel} ViewerModel */

/** @type {Record<string, [number, number]>} */
const MOVES = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};
const STEPS = 100; // of an arrow key, along the longer side of the picture

/**
 * The pixel of the picture under the pointer.
 *
 * @param {MouseEvent} event
 * @param {Element} canvas
 * @param {ViewerModel} model
 * @returns {Place}
 */
export function placeUnder(event, canvas, model) {
  const box = canvas.getBoundingClientRect();
  return model.inside({
    x: Math.floor((event.clientX - box.left) / box.width * model.width),
    y: Math.floor((event.clientY - box.top) / box.height * model.height),
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
  const move = MOVES[event.key];
  if (!move) return undefined;
  if (!place) return model.peakOf(panel);
  const longest = Math.max(model.width, model.height);
  const step = event.shiftKey ? 1 : Math.max(1, Math.round(longest / STEPS));
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
  if (!place) return;
  root.style.setProperty("--x", `${100 * (place.x + 0.5) / model.width}%`);
  root.style.setProperty("--y", `${100 * (place.y + 0.5) / model.height}%`);
}

/** @param {Place} place */
export const placeInWords = ({ x, y }) => `Column ${x}, row ${y}`;
