// @ts-check
/* How gr.HTML drives the element: its js_on_load. The element itself stands in the page's head. */

/** @typedef {import("./map-viewer.js").MapViewer} MapViewer */

customElements.whenDefined("map-viewer").then(() => {
  const viewer = /** @type {MapViewer} */ (element.querySelector("map-viewer"));
  viewer.configuration = mapViewerConfiguration;
  viewer.addEventListener("viewer-pick", event => {
    const { x, y } = /** @type {CustomEvent} */ (event).detail;
    trigger("select", { index: 0, value: [x, y], selected: true });
  });
  const show = () => {
    viewer.value = /** @type {import("./schema.js").Payload|null} */ (props.value);
  };
  watch("value", show);
  show();
  // gradio's block would cut off a menu that hangs over, and keep the tools from staying in sight.
  const block = element.closest(".block");
  if (block instanceof HTMLElement) block.style.overflow = "visible";
});
