// What is clicked of the views before gradio is done with the page: views.js opens it then.
document.addEventListener("click", event => {
  const view = event.target.closest?.("#views [data-view]")?.dataset.view;
  if (view && !window.camvizOpenView) window.camvizEarlyView = view;
}, true);
