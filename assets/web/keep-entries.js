// Keeps what the menus hold, as lists of labels by the menu's id, where search-menus.js reads it:
// gradio has only those entries on the page that its list shows just now.
const keep = () => {
  window.camvizEntries = { ...window.camvizEntries, ...props.value };
  document.dispatchEvent(new Event("camviz-entries"));
};
watch("value", keep);
keep();
