// How far work has come, with a button that stops it (a `select` event). It stands where it was
// asked for: under the button that was pressed, or at the head of the part of the left panel whose
// control was used; in the corner where that is out of sight. It lies over the page and moves
// nothing.
element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) trigger("select", {index: 0, value: button.dataset.label ?? "", selected: false});
});
let used = null;
const note = event => {
  if (!event.target.closest?.("#progress, #cv-found, [role=listbox]")) used = event.target;
};
for (const name of ["pointerdown", "keydown"]) document.addEventListener(name, note, true);

const frame = element.closest("#progress");
const place = () => {
  const section = used?.closest("#left > *");
  const anchor = section ?? used?.closest("button");
  const around = anchor?.isConnected ? anchor.getBoundingClientRect() : null;
  const top = around && (section ? around.top + 4 : around.bottom + 6);
  if (top === null || !around.width || top < 0 || top > innerHeight - 60) {
    frame.removeAttribute("style");
    return;
  }
  const width = section ? around.width - 12 : Math.min(400, innerWidth - 24);
  const left = section ? around.left + 6 : Math.min(around.left, innerWidth - width - 12);
  Object.assign(frame.style, {
    top: `${top}px`, left: `${Math.max(6, left)}px`, width: `${width}px`,
    right: "auto", bottom: "auto",
  });
};
watch("value", place);
document.addEventListener("scroll", () => {
  if (element.querySelector(".cv-progress")) place();
}, {capture: true, passive: true});
