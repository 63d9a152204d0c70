// @ts-check
/* What the network says of a frame, handed to the camera. */

watch("value", () => {
  document.dispatchEvent(new CustomEvent("camera-answer", { detail: props.value }));
});
