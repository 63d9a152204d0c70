// The skip link leads the focus to the maps of the view that is open, or to the view if it has none
// yet; the address bar stays a link to the view.
() => {
  document.querySelector(".cv-skip")?.addEventListener("click", event => {
    event.preventDefault();
    const view = [...document.querySelectorAll("#tabs > .tabitem")]
      .find(one => one.checkVisibility());
    const maps = [...view?.querySelectorAll("map-viewer") ?? []]
      .find(one => one.checkVisibility());
    const goal = maps ?? view;
    if (!goal) return;
    const before = goal.getAttribute("tabindex");
    goal.tabIndex = -1; // as long as it has the focus
    goal.addEventListener("blur", () => {
      if (before === null) goal.removeAttribute("tabindex");
      else goal.setAttribute("tabindex", before);
    }, { once: true });
    goal.scrollIntoView({ block: "start" });
    goal.focus({ preventScroll: true });
  });
}
