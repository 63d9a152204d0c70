// @ts-check
/* An answer to what <class-list> asked, handed to it. */

watch("value", () => {
  document.dispatchEvent(new CustomEvent("classes-answered", { detail: props.value }));
});
