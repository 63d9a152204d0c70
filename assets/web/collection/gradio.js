// @ts-check
/* How gr.HTML drives <run-collection>: its js_on_load. The element stands in the page's head.
   A question is an "input" event; its answer comes through the hidden component of live.js. */

/** @typedef {import("./run-collection.js").RunCollection} RunCollection */

const PATIENCE = 20_000; // milliseconds

customElements.whenDefined("run-collection").then(() => {
  const collection = /** @type {RunCollection} */ (element.querySelector("run-collection"));
  const waiting = new Map();
  let number = 0;
  document.addEventListener("collection-answered", event => {
    const answer = /** @type {CustomEvent} */ (event).detail;
    const request = waiting.get(answer?.number);
    waiting.delete(answer?.number);
    if (answer?.problem) request?.reject(new Error(answer.problem));
    else request?.resolve(answer);
  });
  /**
   * An answer of the server. Fails with a sentence if none comes, or there is none.
   *
   * @param {object} question
   */
  const ask = question => new Promise((resolve, reject) => {
    number += 1;
    const own = number;
    waiting.set(own, {resolve, reject});
    setTimeout(() => {
      waiting.delete(own);
      reject(new Error("No answer came from the server."));
    }, PATIENCE);
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
