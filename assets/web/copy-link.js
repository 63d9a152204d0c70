// Copies the address of this very view. The viewer writes the address bar a moment after a change,
// or when it is asked to by the event `viewer-publish`.
async () => {
  document.dispatchEvent(new Event("viewer-publish"));
  const button = document.querySelector("#share");
  const text = button.textContent;
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copy it from the address bar";
  }
  setTimeout(() => { button.textContent = text; }, 2000);
}
