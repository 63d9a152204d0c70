// One Tab for a menu. A list of gradio's that scrolls can have the focus, by Chromium's rule for
// whatever scrolls, and closes as soon as it has it, so that the focus is lost; what takes a choice
// away can have it, too, one Tab each. By keyboard a choice is taken away by choosing it again in
// the list, the last one by Backspace as well. Not reported.
() => {
  const parts = "#page :is(.options, .option-list, .token-remove)";
  const put = () => {
    for (const one of document.querySelectorAll(parts)) one.tabIndex = -1;
  };
  document.addEventListener("keydown", event => event.key === "Tab" && put(), { capture: true });
}
