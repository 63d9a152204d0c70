// @ts-check
/* Pointer and arrow keys on a canvas that is painted or marked, in pixels of its mask. */

import { ARROWS } from "../viewer/crosshair.js";

/** @typedef {import("./mask.js").Mask} Mask */

/**
 * Calls a function for each event of a pointer, and for each key, until the signal aborts.
 *
 * @param {HTMLElement} canvas
 * @param {{down: (event: PointerEvent) => void, move: (event: PointerEvent) => void,
 *   up: (event: PointerEvent) => void, key: (event: KeyboardEvent) => void}} act
 *   up: a pointer was released, or lost
 * @param {AbortSignal} signal
 */
export function listenOnCanvas(canvas, act, signal) {
  canvas.addEventListener("pointerdown", act.down, { signal });
  canvas.addEventListener("pointermove", act.move, { signal });
  canvas.addEventListener("pointerup", act.up, { signal });
  canvas.addEventListener("pointercancel", act.up, { signal });
  canvas.addEventListener("lostpointercapture", act.up, { signal });
  canvas.addEventListener("keydown", act.key, { signal });
}

/**
 * Where a pointer is, in pixels of a mask.
 *
 * @param {HTMLElement} canvas
 * @param {PointerEvent} event
 * @param {Mask} mask
 * @returns {[number, number]}
 */
export function placeOnMask(canvas, event, { width, height }) {
  const box = canvas.getBoundingClientRect();
  return [
    (event.clientX - box.left) / box.width * width,
    (event.clientY - box.top) / box.height * height,
  ];
}

/**
 * How far an arrow key moves; [0, 0] for any other key.
 *
 * @param {KeyboardEvent} event
 * @param {number} step
 * @returns {[number, number]}
 */
export function stepOfKey(event, step) {
  const [across, down] = ARROWS[event.key] ?? [0, 0];
  return [across * step, down * step];
}

/**
 * The value of the tool that is chosen among those of an element.
 *
 * @param {HTMLElement} element
 * @param {string} otherwise  where none is
 */
export function chosenTool(element, otherwise) {
  const chosen = element.querySelector('[data-part="tools"] input:checked');
  return chosen instanceof HTMLInputElement ? chosen.value : otherwise;
}
