// A button that leads to where pictures for prototypes are given: the accordion on its tab.
const unfold = tries => {
  const head = document.querySelector("#gallery > button");
  if (!head?.checkVisibility()) return tries && setTimeout(() => unfold(tries - 1), 200);
  if (!head.classList.contains("open")) head.click();
  head.scrollIntoView({block: "center"});
  head.focus({preventScroll: true});
};
element.addEventListener("click", event => {
  if (!event.target.closest("button")) return;
  window.camvizOpenView("prototypes");
  unfold(25);
});
