// Something was answered: wake.js need not ask again.
watch("value", () => clearTimeout(window.camvizWaiting));
