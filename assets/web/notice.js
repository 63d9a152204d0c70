// Buttons of a notice: "reload:" loads the page anew, every other is a `select` event.
element.addEventListener("click", event => {
  const label = event.target.closest("button")?.dataset.label;
  if (label === undefined) return;
  if (label.startsWith("reload:")) location.reload();
  else trigger("select", {index: 0, value: label, selected: false});
});
