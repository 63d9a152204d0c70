// A link to the glossary unfolds it; the address bar stays a link to the view.
() => {
  document.addEventListener("click", event => {
    if (!event.target.closest?.('a[href="#glossary"]')) return;
    event.preventDefault();
    const glossary = document.querySelector("#glossary");
    const [title] = glossary.querySelectorAll("button");
    if (!title.classList.contains("open")) title.click();
    setTimeout(() => glossary.scrollIntoView({ block: "start" }), 100);
    title.focus({ preventScroll: true });
  });
}
