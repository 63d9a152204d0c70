// @ts-check
/* How gr.HTML drives <run-collection>: its js_on_load. The element stands in the page's head.
   A question is an "input" event; its answer comes through the hidden component of live.js. */

/** @typedef {import("./run-collection.js").RunCollection} RunCollection */

customElements.whenDefined("run-collection").then(() => {
  const collection = /** @type {RunCollection} */ (element.querySelector("run-collection"));
  const waiting = new Map();
  let number = 0;
  document.addEventListener("collection-told", event => {
    const told = /** @type {CustomEvent} */ (event).detail;
    waiting.get(told?.number)?.(told);
    waiting.delete(told?.number);
  });
  /**
   * An answer of the server; an empty one if none comes.
   *
   * @param {object} question
   */
  const ask = question => new Promise(resolve => {
    number += 1;
    waiting.set(number, resolve);
    setTimeout(resolve, 20_000, {});
    const key = /** @type {{key?: string}|null} */ (props.value)?.key;
    trigger("input", { ...question, number, key });
  });
  collection.configuration = mapViewerConfiguration;
  collection.source = {
    tiles: async places => (await ask({ places })).tiles ?? [],
    groups: async (label, count) => (await ask({ label, count })).groups ?? [],
  };
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
