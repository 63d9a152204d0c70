// A help mark beside each control: a small button with one sentence, which is shown while it is
// pointed at or has the focus, and by a tap. Escape hides it. help: {id of a component: sentence}.
help => {
  const tip = document.createElement("div");
  tip.id = "cv-tip";
  tip.setAttribute("aria-hidden", "true"); // the button has the sentence as its name
  (document.querySelector(".gradio-container main") ?? document.body).append(tip);
  const hide = () => tip.classList.remove("cv-open");
  const show = mark => {
    tip.textContent = mark.dataset.help;
    tip.classList.add("cv-open");
    const around = mark.getBoundingClientRect(), size = tip.getBoundingClientRect();
    const below = around.bottom + size.height + 8 < innerHeight;
    tip.style.left = `${Math.max(8, Math.min(around.left - 12, innerWidth - size.width - 8))}px`;
    tip.style.top = `${below ? around.bottom + 6 : around.top - size.height - 6}px`;
  };
  const put = () => {
    for (const [id, sentence] of Object.entries(help)) {
      const home = document.getElementById(id);
      if (!home || home.querySelector(":scope > .cv-help")) continue;
      const mark = document.createElement("button");
      mark.type = "button";
      mark.className = "cv-help";
      mark.textContent = "?";
      mark.dataset.help = sentence;
      mark.setAttribute("aria-label", `Help: ${sentence}`);
      home.append(mark);
    }
  };
  const markOf = event => event.target.closest?.(".cv-help");
  document.addEventListener("pointerover", event => markOf(event) && show(markOf(event)));
  document.addEventListener("pointerout", event => markOf(event) && hide());
  document.addEventListener("focusin", event => markOf(event) ? show(markOf(event)) : hide());
  document.addEventListener("focusout", hide);
  document.addEventListener("click", event => markOf(event) && show(markOf(event)));
  document.addEventListener("keydown", event => event.key === "Escape" && hide());
  document.addEventListener("scroll", () => {
    const mark = document.activeElement?.closest(".cv-help");
    if (mark && tip.classList.contains("cv-open")) show(mark);
    else hide();
  }, { capture: true, passive: true });
  const left = document.querySelector("#left");
  put();
  new MutationObserver(put).observe(left, { childList: true, subtree: true });
}
