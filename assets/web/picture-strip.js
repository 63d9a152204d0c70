// The strip of pictures, and, with picture-sheet.js behind it, the sheet of their maps. Buttons
// come and go: a click on one is a `select` event with its data-label as the value ("show:DIGEST"
// and the like). Arrow keys go from picture to picture; the button that had the focus has it again
// when all of them were made anew, and the picture that is shown is scrolled into sight.
let last = "";
element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  last = button.dataset.label;
  if (last.startsWith("show:") && document.querySelector("#sheet")?.offsetParent) {
    window.camvizOpenView("compare");
    document.querySelector("#views [data-view=compare]")?.focus({preventScroll: true});
    last = "";
    document.querySelector("#views")?.scrollIntoView({block: "nearest"});
  }
  if (button.matches(".cv-pick")) {
    for (const other of element.querySelectorAll(".cv-pick")) {
      other.setAttribute("aria-pressed", other === button);
    }
  }
  trigger("select", {index: 0, value: button.dataset.label, selected: false});
});
element.addEventListener("focusin", event => {
  last = event.target.closest("button")?.dataset.label || last;
});
element.addEventListener("focusout", event => { if (event.relatedTarget) last = ""; });
element.addEventListener("keydown", event => {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  const all = [...element.querySelectorAll(".cv-pick, .cv-sheet li > button")];
  const at = all.indexOf(event.target.closest("button"));
  if (!step || at < 0) return;
  all[(at + step + all.length) % all.length].focus();
  event.preventDefault();
});
watch("value", () => setTimeout(() => {
  const shown = element.querySelector("[aria-pressed=true]")?.parentElement;
  const list = shown?.parentElement;
  if (list) {
    const [from, to] = [shown.offsetLeft - list.offsetLeft, list.clientWidth - shown.offsetWidth];
    list.scrollLeft = Math.max(0, from - to / 2);
  }
  if (!last || document.activeElement !== document.body) return;
  const again = element.querySelector(`[data-label="${CSS.escape(last)}"]`);
  again?.focus({preventScroll: true});
}));
