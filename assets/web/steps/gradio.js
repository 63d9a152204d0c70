// @ts-check
/* How gr.HTML drives <story-walk>: its js_on_load. The element itself stands in the page's head. */

/** @typedef {import("./story-walk.js").StoryWalk} StoryWalk */

customElements.whenDefined("story-walk").then(() => {
  const walk = /** @type {StoryWalk} */ (element.querySelector("story-walk"));
  walk.configuration = mapViewerConfiguration;
  walk.addEventListener("story-wanted", () => {
    trigger("select", { index: 0, value: "go", selected: false });
  });
  const show = () => {
    walk.value = /** @type {import("./model.js").Stories|null} */ (props.value);
  };
  watch("value", show);
  show();
});
