// Buttons that come and go inside of an element: a click on one is a `select` event, with the
// button's data-label as its value. One listener serves all of them.
element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  const {index, label, rival} = button.dataset;
  trigger("select", {index: +(index ?? 0), value: label ?? "", selected: rival === "1"});
});
