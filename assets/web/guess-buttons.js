// The buttons of the guessing games: a press on one is a `select` event with its data-label as the
// value. Whoever plays by keyboard goes on at the next thing to press: what was pressed is gone.
let played = false;
element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  played = true;
  trigger("select", { index: 0, value: button.dataset.label ?? "", selected: false });
});
for (const kind of ["guess-made", "guess-next"]) {
  document.addEventListener(kind, () => { played = true; });
}
watch("value", () => setTimeout(() => {
  if (!played || document.activeElement !== document.body) return;
  const places = "guess-canvas:not([hidden]) canvas, #guess-heading .cv-guess-button";
  const next = [...document.querySelectorAll(places)].find(one => one.checkVisibility());
  next?.focus({ preventScroll: true });
}, 50));
