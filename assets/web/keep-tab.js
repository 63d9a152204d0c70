// The tab that was opened stands in the address bar; the first one does not: name is empty for it.
// Each tab that a visitor opens is a step in the browser's history, so that Back returns from it.
// Gradio opens the first one itself before the page is ready, which is not noted. Returns the
// values of the event: the session has none, then when a visitor or a link opened the tab, if so.
name => {
  if (!window.camvizTabs) return [null, ""];
  const here = new URL(location);
  const step = (here.searchParams.get("tab") ?? "") !== name ? "pushState" : "replaceState";
  if (name) here.searchParams.set("tab", name);
  else here.searchParams.delete("tab");
  history[step](history.state, "", here);
  return [null, String(performance.now())];
}
