// Names of gradio's own controls, where what is read out is not what is seen. Not reported.
() => {
  const put = () => {
    // "Settings" twice: its picture repeats what stands beside it.
    for (const image of document.querySelectorAll("footer button img[alt]:not([alt=''])"))
      if (image.parentElement.textContent.trim()) image.alt = "";
    // A name without the words that are seen cannot be spoken.
    for (const button of document.querySelectorAll("button[aria-dropeffect][aria-label]")) {
      const seen = button.innerText.replace(/\s+/g, " ").trim();
      if (seen && !button.ariaLabel.startsWith(seen))
        button.ariaLabel = `${seen}. ${button.ariaLabel}`;
    }
  };
  put();
  new MutationObserver(put).observe(document.body, { childList: true, subtree: true });
}
