// Cards of prototypes: a switch that is turned is a `select` event with the value "keep" and what
// it says in `selected`, a name that is typed one with the value "name:NAME"; `index` is the card's
// data-index. What had the focus, by its data-key, has it again when all cards were made anew.
let last = null;
element.addEventListener("focusin", event => { last = event.target.dataset.key ?? null; });
element.addEventListener("change", event => {
  const card = event.target.closest(".cv-card");
  if (!card) return;
  const index = +card.dataset.index;
  if (event.target.type === "checkbox") {
    card.dataset.kept = +event.target.checked;
    card.querySelector(".cv-keep span").textContent = event.target.checked ? "kept" : "left out";
    trigger("select", {index, value: "keep", selected: event.target.checked});
  } else trigger("select", {index, value: "name:" + event.target.value, selected: true});
});
element.addEventListener("keydown", event => {
  if (event.key === "Enter" && event.target.matches(".cv-name")) event.target.blur();
});
watch("value", () => {
  // A switch that was touched no longer follows its attribute.
  for (const input of element.querySelectorAll(".cv-keep input"))
    input.checked = input.closest(".cv-card").dataset.kept === "1";
  if (last && (!document.activeElement || document.activeElement === document.body))
    element.querySelector(`[data-key="${last}"]`)?.focus({preventScroll: true});
});
