// Hands the server's part of the address to the viewers, whenever it is another one.
customElements.whenDefined("map-viewer").then(() => {
  const viewers = customElements.get("map-viewer");
  const publish = () => { viewers.link = props.value; };
  watch("value", publish);
  publish();
});
