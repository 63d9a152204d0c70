// The cards of the kinds. A button with data-label is a `select` event with that as its value, and
// a name that was typed is one with the value "name:NAME"; `index` is the kind. "Add photographs"
// opens the file dialog of the hidden upload button, and "Use the camera" the camera. For which
// kind files were chosen is kept by that button, until they are on the server: see teach-kind.js.
// What had the focus, by its data-key, has it again when all cards were made anew.
let last = null, kind = "";
const tell = (index, value) => trigger("select", {index: +index, value, selected: false});
const uploader = () => document.querySelector("#teach-upload");
const input = () => (uploader()?.parentElement ?? document).querySelector("input[type=file]");
document.addEventListener("camera-for", event => { kind = event.detail; });
document.addEventListener("change", event => {
  if (event.target !== input()) return;
  const names = [...event.target.files].map(file => file.name).join("\n");
  (uploader().chosen ??= []).push({kind, names});
}, true);
element.addEventListener("focusin", event => { last = event.target.dataset.key ?? null; });
element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  const {index, label, files: into, camera, name} = button.dataset;
  if (into !== undefined) {
    kind = into;
    input()?.click();
  } else if (camera !== undefined) {
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
