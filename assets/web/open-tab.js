// Opens the tab that the address bar names; titles: id -> what stands on the tab.
// Gradio forgets which tab a server told it to open (not reported); on a phone most are in a menu.
titles => {
  window.camvizOpenTab = (title, tries = 10) => {
    const places = "#tabs > .tab-wrapper [role=tab], #tabs .overflow-dropdown button";
    const tab = [...document.querySelectorAll(places)].find(
      one => one.textContent.trim() === title && one.checkVisibility({visibilityProperty: true}));
    if (tab || !title || !tries) window.camvizTabs = true;
    if (tab) return tab.click();
    if (tries === 5) document.querySelector("#tabs .overflow-menu > button")?.click();
    if (title && tries) setTimeout(() => window.camvizOpenTab(title, tries - 1), 200);
  };
  window.camvizOpenTab(titles[new URLSearchParams(location.search).get("tab")]);
}
