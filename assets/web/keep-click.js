// An answer can come while a button is pressed, and replace it; the browser then clicks nothing.
// What stands in its place, under the pointer and by the same name, is clicked instead.
(() => {
  const home = node => node?.closest("button, [role=option]");
  const nameOf = node => {
    const named = node.closest("[data-id], [data-label]") ?? node;
    const { id, label, rival } = named.dataset;
    const name = id ?? label ?? (node.id || node.getAttribute("aria-label") || node.textContent);
    return `${node.tagName} ${rival ?? ""} ${name}`;
  };
  let pressed = null, name = "";
  document.addEventListener("pointerdown", event => {
    pressed = event.isPrimary && event.button === 0 ? home(event.target) : null;
    if (pressed) name = nameOf(pressed);
  }, true);
  document.addEventListener("pointerup", event => {
    const gone = pressed && !pressed.isConnected;
    pressed = null;
    const now = gone && home(document.elementFromPoint(event.clientX, event.clientY));
    if (now && nameOf(now) === name) now.click();
  }, true);
})();
