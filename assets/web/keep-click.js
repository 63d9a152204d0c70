// An answer can come while the mouse is pressed on a button, and replace it; the browser then
// clicks nothing. The button under the pointer is clicked instead if it is the same one, made anew:
// of the same class, and of the same data, name or text. On a touch screen the browser does so.
(() => {
  const home = node => node?.closest("button, [role=option]");
  const nameOf = node => {
    const named = node.closest("[data-id], [data-label]") ?? node;
    const { id, label, rival } = named.dataset;
    const name = id ?? label ?? (node.id || node.getAttribute("aria-label") || node.textContent);
    return [node.tagName, node.className, rival, name].join(" ");
  };
  let pressed = null, name = "";
  document.addEventListener("pointerdown", event => {
    const counts = event.pointerType === "mouse" && event.button === 0;
    pressed = counts ? home(event.target) : null;
    if (pressed) name = nameOf(pressed);
  }, true);
  document.addEventListener("pointerup", event => {
    const gone = pressed && !pressed.isConnected;
    pressed = null;
    const now = gone && home(document.elementFromPoint(event.clientX, event.clientY));
    if (now && nameOf(now) === name) now.click();
  }, true);
})();
