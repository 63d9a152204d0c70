// @ts-check
/* How gr.HTML drives <frame-camera>: what it took goes to the server as files of an upload. */

customElements.whenDefined("frame-camera").then(() => {
  const camera = /** @type {HTMLElement} */ (element.querySelector("frame-camera"));
  camera.addEventListener("frames-taken", event => {
    /** @type {{files: File[], kind: string}} */
    const { files, kind } = /** @type {CustomEvent} */ (event).detail;
    const button = document.querySelector("#teach-upload");
    const input = (button?.parentElement ?? document).querySelector("input[type=file]");
    if (!(input instanceof HTMLInputElement)) return;
    const held = new DataTransfer();
    for (const file of files) held.items.add(file);
    document.dispatchEvent(new CustomEvent("camera-for", { detail: kind }));
    input.files = held.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
});
