// @ts-check
/* How gr.HTML drives <class-list>: its js_on_load. The element itself stands in the page's head.
   A question is an "input" event; its answer comes through the hidden component of live.js. */

/** @typedef {import("./class-list.js").ClassList} ClassList */

customElements.whenDefined("class-list").then(() => {
  const list = /** @type {ClassList} */ (element.querySelector("class-list"));
  list.configuration = mapViewerConfiguration;
  list.addEventListener("class-chosen", event => {
    const { label } = /** @type {CustomEvent} */ (event).detail;
    trigger("select", { index: 0, value: label, selected: false });
  });
  list.addEventListener("class-asked", event => {
    trigger("input", /** @type {CustomEvent} */ (event).detail);
  });
  const show = () => {
    list.value = /** @type {import("./class-list.js").Classes|null} */ (props.value);
  };
  watch("value", show);
  show();
});
