// Copies the address of this very view. The viewer writes the address bar a moment after a change,
// or when it is asked to by the event `viewer-publish`. An upload is in no link, which is said.
async () => {
  document.dispatchEvent(new Event("viewer-publish"));
  const button = document.querySelector("#share");
  const text = button.dataset.label ??= button.textContent;
  button.setAttribute("aria-live", "polite");
  const upload = new URLSearchParams(location.search).get("example") === "upload";
  const missing = upload ? ", without your picture" : "";
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = `Copied${missing}`;
  } catch {
    button.textContent = `Copy it from the address bar${missing}`;
  }
  setTimeout(() => { button.textContent = text; }, 3000);
}
