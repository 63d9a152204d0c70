// @ts-check
/* Wheel, pinch, drag and double click on a frame, as changes of a zoom. */

import { panBy, zoomAt } from "./zoom.js";

/** @typedef {import("./zoom.js").Zoom} Zoom */
/** @typedef {import("./zoom.js").Share} Share */

const WHEEL_SPEED = 0.0016; // of the logarithm of the scale, to a pixel of the wheel
const PINCH_SPEED = 0.01; // the same on a touch pad, whose pinch is sent as a wheel with Ctrl
const LINE_PIXELS = 16; // where a wheel counts lines
const DOUBLE_CLICK_ZOOM = 2;

/**
 * Makes a frame zoom and pan.
 *
 * @param {HTMLElement} frame
 * @param {() => Zoom} read
 * @param {(zoom: Zoom) => void} write
 * @param {AbortSignal} signal  ends it
 */
export function listenForZoom(frame, read, write, signal) {
  /** The pointers that are down, where they were last. @type {Map<number, Share>} */
  const down = new Map();

  frame.addEventListener("wheel", event => {
    const before = read();
    const pixels = event.deltaY * (event.deltaMode === 0 ? 1 : LINE_PIXELS);
    const speed = event.ctrlKey ? PINCH_SPEED : WHEEL_SPEED;
    const after = zoomAt(before, Math.exp(-speed * pixels), shareUnder(event, frame));
    // At the end of the range the wheel is the page's again, but never the browser's own zoom.
    if (after.scale !== before.scale || event.ctrlKey) event.preventDefault();
    write(after);
  }, { signal, passive: false });

  frame.addEventListener("dblclick", event => {
    write(zoomAt(read(), DOUBLE_CLICK_ZOOM, shareUnder(event, frame)));
  }, { signal });

  frame.addEventListener("pointerdown", event => {
    if (event.button > 0) return;
    down.set(event.pointerId, shareUnder(event, frame));
    try {
      frame.setPointerCapture(event.pointerId);
    } catch {
      // A pointer that has left already; it sends nothing more.
    }
  }, { signal });

  frame.addEventListener("pointermove", event => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const now = shareUnder(event, frame);
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    down.set(event.pointerId, now);
    write(other ? pinch(read(), frame, other, before, now)
      : panBy(read(), { x: now.x - before.x, y: now.y - before.y }));
  }, { signal });

  for (const kind of /** @type {const} */ (["pointerup", "pointercancel"])) {
    frame.addEventListener(kind, event => down.delete(event.pointerId), { signal });
  }
}

/**
 * One of two pointers moves: what lies between them stays between them.
 *
 * @param {Zoom} zoom
 * @param {HTMLElement} frame
 * @param {Share} other
 * @param {Share} before
 * @param {Share} now
 */
function pinch(zoom, frame, other, before, now) {
  const { clientWidth: width, clientHeight: height } = frame;
  /** @param {Share} place */
  const apart = place => Math.hypot((place.x - other.x) * width, (place.y - other.y) * height);
  const from = { x: (before.x + other.x) / 2, y: (before.y + other.y) / 2 };
  const to = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
  return zoomAt(zoom, apart(now) / Math.max(apart(before), 1), from, to);
}

/**
 * @param {MouseEvent} event
 * @param {Element} frame
 * @returns {Share}
 */
function shareUnder(event, frame) {
  const box = frame.getBoundingClientRect();
  return {
    x: (event.clientX - box.left) / box.width,
    y: (event.clientY - box.top) / box.height,
  };
}
