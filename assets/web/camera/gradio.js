// @ts-check
/* How gr.HTML drives <live-camera>: its js_on_load. The element stands in the page's head. */

/** @typedef {import("./live-camera.js").LiveCamera} LiveCamera */

customElements.whenDefined("live-camera").then(() => {
  const camera = /** @type {LiveCamera} */ (element.querySelector("live-camera"));
  camera.configuration = mapViewerConfiguration;
  camera.addEventListener("camera-frame", event => {
    trigger("input", /** @type {CustomEvent} */ (event).detail);
  });
});
