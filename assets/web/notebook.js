// @ts-check
/* The element in a notebook: one explanation, in a frame of its own. */

import { define } from "./viewer/map-viewer.js";

/** @typedef {import("./viewer/map-viewer.js").MapViewer} MapViewer */

define();
const data = JSON.parse(document.querySelector("#data")?.textContent ?? "");
const viewer = /** @type {MapViewer} */ (document.querySelector("map-viewer"));
viewer.configuration = data.configuration;
viewer.value = data.value;

// Null where the notebook keeps its outputs apart; the frame then has the height that it came with.
const frame = /** @type {HTMLElement|null} */ (window.frameElement);
if (frame) {
  const fit = () => { frame.style.height = `${document.documentElement.offsetHeight}px`; };
  new ResizeObserver(fit).observe(document.documentElement);
  fit();
}
