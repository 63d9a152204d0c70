// The views of the page: a line of entries, and under it the views of the entry that is open
// (templates/views.html). Gradio's own bar of tabs is hidden, because it puts what has no room into
// a menu; its buttons are pressed from here, and what they show as open is marked here. Opens the
// view that the address bar names. Not on the server's word: gradio forgets which tab a server told
// it to open (not reported).
() => {
  const places = document.querySelector("#views");
  const bar = () => document.querySelector("#tabs > .tab-wrapper");
  const all = selector => [...places.querySelectorAll(selector)];
  const last = {}; // entry -> the view that was open last

  const mark = () => {
    const open = bar()?.querySelector("[aria-selected=true]")?.dataset.tabId;
    const view = all("[data-view]").find(one => one.dataset.view === open);
    if (!view) return;
    last[view.dataset.entry] = open;
    for (const one of all("[role=tab]")) {
      const selected = one.dataset.entry === view.dataset.entry
        && (one.dataset.view ?? open) === open;
      one.setAttribute("aria-selected", String(selected));
      one.tabIndex = selected ? 0 : -1;
    }
    for (const line of all("[data-of]")) {
      line.hidden = line.dataset.of !== view.dataset.entry;
      if (!line.querySelector("[aria-selected=true]")) line.querySelector("button").tabIndex = 0;
    }
    document.getElementById(`view-${open}`)?.setAttribute("aria-labelledby", view.id);
  };

  let wanted = "";
  const open = name => {
    if (name !== wanted) return; // another one was asked for meanwhile
    const tab = bar()?.querySelector(`[data-tab-id="${CSS.escape(name)}"]`);
    if (!tab) return setTimeout(open, 200, name); // gradio is not done with the page
    window.camvizTabs = true;
    tab.click();
  };
  window.camvizOpenView = name => {
    wanted = name;
    if (all("[data-view]").some(view => view.dataset.view === name)) open(name);
    else window.camvizTabs = true;
  };

  places.addEventListener("click", event => {
    const button = event.target.closest("[role=tab]");
    if (!button) return;
    const { view, entry } = button.dataset;
    const first = all(`[data-of="${CSS.escape(entry)}"] button`)[0]?.dataset.view;
    window.camvizOpenView(view ?? last[entry] ?? first);
  });
  places.addEventListener("keydown", event => {
    const button = event.target.closest("[role=tab]");
    const line = [...button?.parentElement.children ?? []];
    const to = { ArrowLeft: line.indexOf(button) - 1, ArrowRight: line.indexOf(button) + 1,
      Home: 0, End: line.length - 1 }[event.key];
    if (to === undefined) return;
    line[(to + line.length) % line.length].focus();
    event.preventDefault();
  });
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const writes = "textarea, select, [contenteditable], [role=dialog], dialog, "
      + "input:not([type=checkbox], [type=radio], [type=range])";
    if (event.target.closest?.(writes)) return;
    const [view] = all(`[data-view][aria-keyshortcuts="${CSS.escape(event.key)}"]`);
    if (view) window.camvizOpenView(view.dataset.view);
  });

  const begin = () => {
    if (!bar()) return setTimeout(begin, 200);
    new MutationObserver(mark).observe(bar(),
      { subtree: true, childList: true, attributeFilter: ["aria-selected"] });
    mark();
  };
  begin();
  const named = new URLSearchParams(location.search).get("tab") ?? "";
  window.camvizOpenView(window.camvizEarlyView ?? named);
}
