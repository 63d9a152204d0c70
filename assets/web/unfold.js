// The button that unfolds what is set for all views, where the page is one column (page.css).
element.addEventListener("click", event => {
  const button = event.target.closest("button");
  button?.setAttribute("aria-expanded", button.getAttribute("aria-expanded") !== "true");
});
