// @ts-check
/* <live-camera>: the camera of this device, looked at by the network of the page, frame by frame.

     camera.configuration = configuration;   // that of the viewers: its tables of colours

   Its markup (live-camera.html) stands inside of it. Frames leave the browser as small JPEGs, at
   most two at a time; it stops when it is switched off, when the page is hidden, and when its view
   is left.

   Events
     camera-frame   {number, frame}: what does the network say of it? base64 of a JPEG
   It listens to "camera-answer" on the document: the answer to the last one, as `live.look` gives,
   and to "viewer-settings": the map has the colours and opacity of the viewer in #viewer. */

import { part } from "../viewer/dom.js";
import { bytesOf, upsample } from "../viewer/maps.js";
import { Pace } from "./pace.js";
import { tint } from "./tint.js";

/**
 * @typedef {object} CameraAnswer
 * @property {number} number
 * @property {string} [says]
 * @property {string} label
 * @property {string} share
 * @property {string} map
 * @property {[number, number]} grid
 * @property {[number, number]} stride
 * @property {[number, number]} offset
 * @property {[number, number, number, number]} rect
 * @property {[number, number]} input
 * @property {number} width
 * @property {number} height
 */

const CAMERA = "live-camera";
const CAMERA_SIDE = 224; // pixels of a frame that is sent
/* ms between two looks at whether a frame may be sent. No animation frames: the page would be drawn
   anew for each, which takes the time that the network needs. */
const CAMERA_TICK = 30;
const CAMERA_QUALITY = 0.8; // of its JPEG
const FROZEN_SIDE = 1024; // pixels of a frame that is kept, at most
/* What is said where there is no camera, by the name of the browser's error. */
/** @type {Record<string, string>} */
const WHY_NONE = {
  insecure: "A browser gives its camera only to pages with https, or on this very machine "
    + "(localhost).",
  NotAllowedError: "The camera is not permitted. Allow it for this page in the address bar, and "
    + "switch it on again.",
  NotFoundError: "No camera was found on this device.",
  NotReadableError: "The camera cannot be read: another program may be using it.",
};
const OTHERWISE = "The camera could not be started.";
const WAS_HIDDEN = "The camera was switched off while this page was out of sight.";

export class LiveCamera extends HTMLElement {
  /** @type {import("../viewer/schema.js").Configuration|null} */
  #configuration = null;
  /** @type {MediaStream|null} */
  #stream = null;
  #pace = new Pace();
  #timer = 0;
  #quietUntil = 0; // ms; until then no frame is sent: the server asked for patience
  #settings = { colors: "viridis", opacity: 0.7 };
  #listeners = new AbortController();
  #small = document.createElement("canvas");
  #starting = 0; // counts starts, so that one that was given up comes to nothing

  /** @param {import("../viewer/schema.js").Configuration} configuration */
  set configuration(configuration) {
    this.#configuration = configuration;
  }

  /** Whether frames are looked at. */
  get running() {
    return this.#stream !== null;
  }

  /** How many answers are remembered, frames a second, and the median ms from frame to map. */
  get figures() {
    return this.#pace.figures;
  }

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    this.#switch.addEventListener("change", () => {
      if (this.#switch.checked) void this.start();
      else this.stop();
    }, { signal });
    part(this, "freeze").addEventListener("click", () => this.#freeze(), { signal });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && (this.running || this.#switch.checked)) this.stop(WAS_HIDDEN);
    }, { signal });
    document.addEventListener("camera-answer", event => {
      if (event instanceof CustomEvent) this.#onAnswer(event.detail);
    }, { signal });
    document.addEventListener("viewer-settings", event => this.#follow(event), { signal });
  }

  disconnectedCallback() {
    this.stop();
    this.#listeners.abort();
  }

  get #switch() {
    return /** @type {HTMLInputElement} */ (part(this, "switch"));
  }

  get #video() {
    return /** @type {HTMLVideoElement} */ (part(this, "video"));
  }

  get #heat() {
    return /** @type {HTMLCanvasElement} */ (part(this, "heat"));
  }

  /** @param {string} text */
  #say(text) {
    part(this, "says").textContent = text;
    part(this, "says").hidden = !text;
  }

  /* -- On and off -- */

  async start() {
    if (!navigator.mediaDevices) {
      this.stop(WHY_NONE.insecure);
      return;
    }
    const turn = ++this.#starting;
    try {
      const wanted = {
        width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 15 },
        facingMode: "environment",
      };
      const stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
      if (turn !== this.#starting) {
        for (const track of stream.getTracks()) track.stop();
        return;
      }
      this.#stream = stream;
      this.#video.srcObject = stream;
      for (const track of stream.getTracks()) {
        track.addEventListener("ended", () => this.stop(WHY_NONE.NotReadableError));
      }
    } catch (error) {
      this.stop((error instanceof DOMException && WHY_NONE[error.name]) || OTHERWISE);
      return;
    }
    this.#say("");
    this.#switch.checked = true;
    this.#pace = new Pace();
    this.#quietUntil = 0;
    part(this, "box").hidden = false;
    this.#timer = window.setInterval(() => this.#turn(), CAMERA_TICK);
  }

  /** @param {string} [why]  said where it was not the visitor who switched it off */
  stop(why = "") {
    this.#starting += 1;
    clearInterval(this.#timer);
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
    this.#switch.checked = false;
    part(this, "box").hidden = true;
    this.#heat.getContext("2d")?.clearRect(0, 0, this.#heat.width, this.#heat.height);
    /** @type {HTMLButtonElement} */ (part(this, "freeze")).disabled = true;
    part(this, "label").textContent = "…";
    part(this, "share").textContent = part(this, "pace").textContent = "";
    this.#say(why);
  }

  /* -- Frames -- */

  #turn() {
    if (!this.#stream) return;
    if (!this.checkVisibility()) {
      this.stop(WAS_HIDDEN);
      return;
    }
    this.#send();
  }

  /* The newest frame, if one may be sent. */
  #send() {
    const now = performance.now();
    if (now < this.#quietUntil || !this.#pace.isFree(now)) return;
    if (!this.#take(this.#small, CAMERA_SIDE)) return;
    const url = this.#small.toDataURL("image/jpeg", CAMERA_QUALITY);
    const detail = { number: this.#pace.send(now), frame: url.slice(url.indexOf(",") + 1) };
    this.dispatchEvent(new CustomEvent("camera-frame", { detail }));
  }

  /**
   * Draws the middle square of what the camera sees; returns whether it sees anything yet.
   *
   * @param {HTMLCanvasElement} canvas
   * @param {number} most  pixels a side
   */
  #take(canvas, most) {
    const { videoWidth: width, videoHeight: height } = this.#video;
    const side = Math.min(width, height);
    if (!side) return false;
    canvas.width = canvas.height = Math.min(side, most);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context?.drawImage(this.#video, (width - side) / 2, (height - side) / 2,
      side, side, 0, 0, canvas.width, canvas.height);
    return true;
  }

  /** @param {CameraAnswer|null} answer */
  #onAnswer(answer) {
    const now = performance.now();
    if (!answer || !this.#stream || !this.#pace.answer(answer.number, now)) return;
    if (answer.says) {
      this.#say(answer.says);
      this.#quietUntil = now + 2000;
      return;
    }
    this.#send(); // the next one is looked at while this one is drawn
    this.#say("");
    if (part(this, "label").textContent !== answer.label) {
      part(this, "label").textContent = answer.label; // read out when it is another one only
    }
    part(this, "share").textContent = answer.share;
    /** @type {HTMLButtonElement} */ (part(this, "freeze")).disabled = false;
    this.#draw(answer);
    const { rate, latency } = this.#pace.figures;
    part(this, "pace").textContent = rate
      ? `${rate.toFixed(1)} frames a second, ${Math.round(latency)} ms from frame to map` : "";
  }

  /** @param {CameraAnswer} answer */
  #draw({ map, grid, stride, offset, rect, input, width, height }) {
    const context = this.#heat.getContext("2d");
    const table = this.#configuration?.tables[this.#settings.colors];
    if (!context || !table || !this.#configuration) return;
    const view = { rect, input, width, height };
    const { width: wide, height: tall } = this.#heat;
    const heat = upsample(bytesOf(map), { grid, stride, offset }, view, wide, tall);
    const image = context.createImageData(wide, tall);
    tint(heat, bytesOf(table), this.#settings.opacity, this.#configuration.hot, image.data);
    context.putImageData(image, 0, 0);
  }

  /** @param {Event} event */
  #follow(event) {
    const { target } = event;
    if (!(event instanceof CustomEvent) || !(target instanceof Element)) return;
    if (!target.closest("#viewer")) return;
    const { colors, opacity } = event.detail.settings;
    this.#settings = { colors, opacity };
  }

  /** Gives the frame that is shown as a picture, as "Add pictures" does, and switches off. */
  #freeze() {
    const canvas = document.createElement("canvas");
    const input = document.querySelector("#ask-picture input[type=file][multiple]");
    if (!this.#take(canvas, FROZEN_SIDE) || !(input instanceof HTMLInputElement)) return;
    canvas.toBlob(blob => {
      if (!blob) return;
      const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
      const given = new DataTransfer();
      given.items.add(new File([blob], `camera ${time}.jpg`, { type: "image/jpeg" }));
      input.files = given.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
      this.stop();
      this.#switch.focus({ preventScroll: true });
    }, "image/jpeg", 0.92);
  }
}

/** Makes <live-camera> known to the browser. */
export function defineLiveCamera() {
  if (!customElements.get(CAMERA)) customElements.define(CAMERA, LiveCamera);
}
