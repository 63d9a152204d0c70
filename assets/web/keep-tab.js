// The tab that was opened stands in the address bar; the first one does not: name is empty for it.
// Gradio itself opens the first one before the page is ready, which is not noted.
name => {
  if (!window.camvizTabs) return;
  const here = new URL(location);
  if (name) here.searchParams.set("tab", name);
  else here.searchParams.delete("tab");
  history.replaceState(history.state, "", here);
}
