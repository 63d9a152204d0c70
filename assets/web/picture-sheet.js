// How much of the pictures on the sheet their maps cover: the knob's value outlives new maps.
// Stands behind picture-strip.js.
let cover = null; // until the knob is moved, what the server wrote
const applyCover = () => {
  if (cover === null) return;
  element.querySelector(".cv-sheet")?.style.setProperty("--cover", cover);
  const knob = element.querySelector("input[type=range]");
  if (knob) knob.value = cover;
};
element.addEventListener("input", event => {
  if (event.target.type === "range") { cover = event.target.value; applyCover(); }
});
watch("value", () => setTimeout(applyCover));
