// @ts-check
/* <frame-camera>: the browser's camera, and a button that takes a frame each moment it is held.

   It opens when "camera-wanted" comes on the document, {name, opener}: for which kind, and where
   the focus goes back to. The camera is on only while it is open. Frames stay in the browser until
   the button is let go.

   Event
     frames-taken   {files: File[], kind}: JPEG, about ten, one for a short press; kind: the
                    data-camera of what opened it */

import { part } from "../viewer/dom.js";

const FRAMES = 10; // frames of one press
const FRAME_EVERY = 160; // ms
const FRAME_SIDE = 640; // pixels of a frame's longer side; networks see fewer
const NO_CAMERA = /** @type {Record<string, string>} */ ({
  NotAllowedError: "This browser may not use the camera here. Allow it in the address bar, or add "
    + "photographs by files.",
  NotFoundError: "There is no camera on this machine. Add photographs by files.",
  NotReadableError: "Another program has the camera. Close it, or add photographs by files.",
});
const NOT_GIVEN = "This browser gives no camera to this page: it takes https, or localhost. Add "
  + "photographs by files.";

export class FrameCamera extends HTMLElement {
  /** @type {MediaStream|null} */
  #stream = null;
  /** @type {Promise<File|null>[]} */
  #frames = [];
  #timer = 0;
  #name = "";
  #opening = false;
  /** @type {HTMLElement|null} */
  #opener = null;
  #listeners = new AbortController();

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const on = (/** @type {EventTarget} */ target, /** @type {string} */ kind,
      /** @type {(event: any) => void} */ act) => target.addEventListener(kind, act, { signal });
    on(document, "camera-wanted", event => this.#open(event.detail));
    on(part(this, "close"), "click", () => this.#close(true));
    const hold = part(this, "hold");
    on(hold, "pointerdown", event => {
      if (event.button !== 0) return;
      hold.setPointerCapture(event.pointerId);
      this.#begin();
    });
    for (const kind of ["pointerup", "pointercancel", "blur"]) on(hold, kind, () => this.#end());
    on(hold, "keydown", event => {
      if (event.key === " " || event.key === "Enter") {
        event.preventDefault();
        if (!event.repeat) this.#begin();
      }
    });
    on(hold, "keyup", event => {
      if (event.key === " " || event.key === "Enter") this.#end();
    });
    on(hold, "contextmenu", event => event.preventDefault());
    on(this, "keydown", event => {
      if (event.key === "Escape") this.#close(true);
    });
    on(document, "visibilitychange", () => {
      if (document.hidden) this.#close(false);
    });
  }

  disconnectedCallback() {
    this.#close(false);
    this.#listeners.abort();
  }

  /** @param {{name: string, opener: HTMLElement}} wanted */
  async #open({ name, opener }) {
    this.#name = name;
    this.#opener = opener;
    this.hidden = false;
    part(this, "hold").textContent = `Hold to photograph ${name}`;
    if (this.#stream) {
      this.#ready();
      return;
    }
    if (this.#opening) return;
    this.#opening = true;
    this.#show(false);
    this.#say("Waiting for the camera …");
    try {
      if (!navigator.mediaDevices?.getUserMedia) throw new Error(NOT_GIVEN);
      const stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment", width: { ideal: 1280 } }, audio: false,
      });
      if (this.hidden) { // closed meanwhile
        for (const track of stream.getTracks()) track.stop();
        return;
      }
      this.#stream = stream;
      const video = /** @type {HTMLVideoElement} */ (part(this, "video"));
      video.srcObject = stream;
      await video.play();
      this.#ready();
    } catch (error) {
      this.#show(false);
      const { name: kind, message } = /** @type {Error} */ (error);
      this.#say(kind === "Error" ? message
        : NO_CAMERA[kind] ?? `The camera does not start (${kind}). Add photographs by files.`);
    } finally {
      this.#opening = false;
    }
  }

  #ready() {
    this.#show(true);
    this.#say(`Hold the button: ${FRAMES} photographs of ${this.#name}. Move a little meanwhile.`);
    part(this, "hold").focus({ preventScroll: false });
  }

  /** @param {boolean} back whether the focus goes back to what opened it */
  #close(back) {
    this.#end();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.hidden = true;
    const key = this.#opener?.dataset.key;
    this.#opener = null;
    if (back && key) {
      const again = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (again instanceof HTMLElement) again.focus();
    }
  }

  #begin() {
    if (this.#timer || !this.#stream) return;
    this.#frames = [];
    this.#take();
    this.#timer = window.setInterval(() => this.#take(), FRAME_EVERY);
  }

  #take() {
    if (this.#frames.length >= FRAMES) return;
    this.#frames.push(this.#frame());
    this.#say(`${this.#frames.length} of ${FRAMES}`);
  }

  async #end() {
    if (!this.#timer) return;
    window.clearInterval(this.#timer);
    this.#timer = 0;
    const kind = this.#opener?.dataset.camera ?? "";
    const frames = await Promise.all(this.#frames);
    this.#frames = [];
    const files = frames.filter(file => file !== null);
    this.#say(`${files.length} taken of ${this.#name}.`);
    if (!files.length) return;
    this.dispatchEvent(new CustomEvent("frames-taken", { detail: { files, kind } }));
  }

  /** What the camera sees now. @returns {Promise<File|null>} */
  #frame() {
    const video = /** @type {HTMLVideoElement} */ (part(this, "video"));
    const scale = Math.min(1, FRAME_SIDE / Math.max(video.videoWidth, video.videoHeight, 1));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(video.videoWidth * scale));
    canvas.height = Math.max(1, Math.round(video.videoHeight * scale));
    canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
    const name = `camera-${Date.now()}-${this.#frames.length + 1}.jpg`;
    return new Promise(resolve => canvas.toBlob(
      blob => resolve(blob && new File([blob], name, { type: "image/jpeg" })), "image/jpeg", 0.9));
  }

  /** @param {boolean} on whether there is something to see */
  #show(on) {
    part(this, "video").hidden = !on;
    part(this, "hold").hidden = !on;
  }

  /** @param {string} text */
  #say(text) {
    part(this, "text").textContent = text;
  }
}

/** Register the element, once. */
export function defineFrameCamera() {
  if (!customElements.get("frame-camera")) customElements.define("frame-camera", FrameCamera);
}
