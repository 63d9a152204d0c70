// @ts-check
/* An answer to what <run-collection> asked, handed to it. */

watch("value", () => {
  document.dispatchEvent(new CustomEvent("collection-answered", { detail: props.value }));
});
