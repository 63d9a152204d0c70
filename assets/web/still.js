// What gradio animates by script takes no time for a visitor who asks for less motion: no rule of a
// style sheet (templates/still.html) changes that. Not reported.
(() => {
  const less = matchMedia("(prefers-reduced-motion: reduce)");
  const { animate } = Element.prototype;
  Element.prototype.animate = function (frames, options) {
    if (!less.matches) return animate.call(this, frames, options);
    const timing = typeof options === "object" ? options : {};
    return animate.call(this, frames, { ...timing, delay: 0, duration: 0 });
  };
})();
