// The cards of the kinds. A button with data-label is a `select` event with that as its value, and
// a name that was typed is one with the value "name:NAME"; `index` is the kind. "Add photographs"
// opens the file dialog of the hidden upload button, and "Use the camera" the camera, after the
// server was told for which kind. What had the focus, by its data-key, has it again when all cards
// were made anew.
let last = null;
const tell = (index, value) => trigger("select", {index: +index, value, selected: false});
const files = () => {
  const button = document.querySelector("#teach-upload");
  return (button?.parentElement ?? document).querySelector("input[type=file]");
};
element.addEventListener("focusin", event => { last = event.target.dataset.key ?? null; });
element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  const {index, label, files: into, camera, name} = button.dataset;
  if (into !== undefined) {
    tell(into, "into");
    files()?.click();
  } else if (camera !== undefined) {
    tell(camera, "into");
    document.dispatchEvent(new CustomEvent("camera-wanted", {detail: {name, opener: button}}));
  } else tell(index ?? 0, label);
});
element.addEventListener("change", event => {
  if (event.target.matches("input[type=text]")) {
    tell(event.target.dataset.index, "name:" + event.target.value);
  }
});
element.addEventListener("keydown", event => {
  if (event.key === "Enter" && event.target.matches("input[type=text]")) event.target.blur();
});
watch("value", () => {
  if (last && (!document.activeElement || document.activeElement === document.body)) {
    element.querySelector(`[data-key="${CSS.escape(last)}"]`)?.focus({preventScroll: true});
  }
});
