// The last value of an event becomes the address of this very view.
(...values) => {
  document.dispatchEvent(new Event("viewer-publish"));
  return [...values.slice(0, -1), location.href];
}
