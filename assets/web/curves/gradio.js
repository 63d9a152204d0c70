// @ts-check
/* How gr.HTML drives <curve-plots>: its js_on_load. The element stands in the page's head. */

customElements.whenDefined("curve-plots").then(() => {
  const plots = /** @type {import("./curve-plots.js").CurvePlots} */ (
    element.querySelector("curve-plots"));
  const show = () => {
    plots.value = /** @type {import("./plot.js").Curves|null} */ (props.value);
  };
  watch("value", show);
  show();
});
