// Names of gradio's own controls, where the text read out differs from the visible one. Not
// reported.
() => {
  const put = () => {
    // "Settings" twice: its picture repeats what stands beside it.
    for (const image of document.querySelectorAll("footer button img[alt]:not([alt=''])"))
      if (image.parentElement.textContent.trim()) image.alt = "";
    // A name without the visible words cannot be spoken.
    for (const button of document.querySelectorAll("button[aria-dropeffect][aria-label]")) {
      const visible = button.innerText.replace(/\s+/g, " ").trim();
      if (visible && !button.ariaLabel.startsWith(visible))
        button.ariaLabel = `${visible}. ${button.ariaLabel}`;
    }
  };
  put();
  new MutationObserver(put).observe(document.body, { childList: true, subtree: true });
}
