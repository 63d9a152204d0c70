// @ts-check
/* How gr.HTML drives <map-slider>: its js_on_load. The element itself stands in the page's head. */

/** @typedef {import("./map-slider.js").MapSlider} MapSlider */

customElements.whenDefined("map-slider").then(() => {
  const slider = /** @type {MapSlider} */ (element.querySelector("map-slider"));
  slider.configuration = mapViewerConfiguration;
  const show = () => {
    slider.value = /** @type {import("./map-slider.js").Steps|null} */ (props.value);
  };
  watch("value", show);
  show();
});
