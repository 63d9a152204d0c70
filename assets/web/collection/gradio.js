// @ts-check
/* How gr.HTML drives <run-collection>: its js_on_load. The element stands in the page's head.
   A question is an "input" event; its answer comes through the hidden component of live.js. */

/** @typedef {import("./run-collection.js").RunCollection} RunCollection */

customElements.whenDefined("run-collection").then(() => {
  const collection = /** @type {RunCollection} */ (element.querySelector("run-collection"));
  collection.configuration = mapViewerConfiguration;
  collection.askThrough(question => {
    const key = /** @type {{key?: string}|null} */ (props.value)?.key;
    trigger("input", { ...question, key });
  });
  collection.addEventListener("picture-chosen", event => {
    const { place } = /** @type {CustomEvent} */ (event).detail;
    trigger("select", { index: 0, value: place, selected: false });
    window.camvizOpenView?.("compare");
  });
  const show = () => {
    collection.value = /** @type {import("./sheet.js").RunValue|null} */ (props.value);
  };
  watch("value", show);
  show();
});
