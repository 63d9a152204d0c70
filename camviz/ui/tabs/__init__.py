"""The views of the page, one module each; `camviz.ui.tabs.base` says what a tab is."""
