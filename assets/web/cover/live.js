// @ts-check
/* What comes of the brush while it moves, handed to the picture that is painted on. */

watch("value", () => {
  document.dispatchEvent(new CustomEvent("cover-glanced", { detail: props.value }));
});
