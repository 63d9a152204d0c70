// Back and Forward open the tab of that step in the browser's history; all else stays as it is set,
// in the address, too. first: the id of the tab that the address does not name.
first => {
  addEventListener("popstate", () => {
    const name = new URLSearchParams(location.search).get("tab") ?? first;
    document.querySelector(`#tabs > .tab-wrapper [data-tab-id="${CSS.escape(name)}"]`)?.click();
    document.dispatchEvent(new Event("viewer-publish"));
  });
}
