// @ts-check
/* How gr.HTML drives <guess-canvas>: its js_on_load. The element stands in the page's head. */

/** @typedef {import("./guess-canvas.js").GuessCanvas} GuessCanvas */
/** @typedef {import("./guess-canvas.js").Marking} Marking */

customElements.whenDefined("guess-canvas").then(() => {
  const canvas = /** @type {GuessCanvas} */ (element.querySelector("guess-canvas"));
  for (const kind of ["guess-made", "guess-next"]) {
    canvas.addEventListener(kind, event => {
      const value = /** @type {CustomEvent} */ (event).detail;
      trigger("select", { index: 0, value, selected: false });
    });
  }
  const show = () => { canvas.value = /** @type {Marking|null} */ (props.value); };
  watch("value", show);
  show();
});
