// @ts-check
/* How gr.HTML drives <cover-canvas>: its js_on_load. The element stands in the page's head. */

/** @typedef {import("./cover-canvas.js").CoverCanvas} CoverCanvas */

customElements.whenDefined("cover-canvas").then(() => {
  const canvas = /** @type {CoverCanvas} */ (element.querySelector("cover-canvas"));
  canvas.addEventListener("cover-changed", event => {
    const value = /** @type {CustomEvent} */ (event).detail;
    trigger("select", { index: 0, value, selected: false });
  });
  canvas.addEventListener("cover-moved", event => {
    trigger("input", /** @type {CustomEvent} */ (event).detail);
  });
  const show = () => {
    canvas.value = /** @type {import("./cover-canvas.js").Painting|null} */ (props.value);
  };
  watch("value", show);
  show();
});
