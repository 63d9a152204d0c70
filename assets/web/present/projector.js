// @ts-check
/* The page on a projector: one map or two that fill the screen, in large type, and keys.

     listenForProjector();   // once; the key p, and ?present=1 in the address, open it

   Its markup (projector.html) stands in the page, a dialog that is closed.
   It shows the maps of the viewer in the view that is open, else those of Look, as they are set
   there, or the step of How it works (story.js); nothing is asked of the server but another
   picture. */

import { StoryWalk } from "../steps/story-walk.js";
import { closest, make, part } from "../viewer/dom.js";
import { density, fitInside } from "../viewer/layout.js";
import { focusWhenSeen } from "./focus.js";
import { PictureWalk } from "./pictures.js";
import { StoryProjector } from "./story.js";
import { actionOfKey, around, mapsFrom, placeOfMap } from "./walk.js";

/** @typedef {import("../viewer/map-viewer.js").MapViewer} MapViewer */
/** @typedef {import("../viewer/model.js").MapPanel} MapPanel */

const PROJECTOR = "cv-present"; // its class
const PRESENT = "present"; // the parameter of the address
const STEPS_VIEW = "steps"; // the view How it works, in the address
const MOST_PRESENTED = 2.5e6; // pixels that are drawn at once
const WRITING = "textarea, select, [contenteditable], [role=dialog], dialog, "
  + "input:not([type=checkbox], [type=radio], [type=range])";
const NO_MAPS = "There is no map yet. Leave, and give a picture.";

class Projector {
  #dialog;
  /** @type {MapViewer|null} */
  #viewer = null;
  /** The map shown, or the left one of two. @type {string|null} */
  #id = null;
  #two = false;
  #hidden = false;
  #pictures;
  /** What had the keyboard before. @type {Element|null} */
  #before = null;
  #observer = new ResizeObserver(() => this.#draw());

  /** @param {HTMLDialogElement} dialog */
  constructor(dialog) {
    this.#dialog = dialog;
    this.#pictures = new PictureWalk(waiting => dialog.toggleAttribute("data-busy", waiting));
    dialog.addEventListener("close", () => this.#onClose());
    dialog.addEventListener("click", event => {
      const name = closest(event.target, "button")?.dataset.do;
      if (name) this.act(name);
    });
    dialog.addEventListener("keydown", event => this.#onKey(event));
    document.addEventListener("viewer-settings", event => {
      if (dialog.open && event.target === this.#viewer) this.#show();
    });
  }

  open() {
    if (this.#dialog.open) return;
    this.#viewer = shownViewer();
    this.#id = null;
    this.#before = document.activeElement;
    this.#dialog.showModal();
    this.#observer.observe(this.#part("stage"));
    setPresenting(true);
    this.#show();
  }

  /** @param {string} name */
  #part(name) {
    return part(this.#dialog, name);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const name = actionOfKey(event.key);
    event.stopPropagation(); // no key of the page under it
    if (!name) return;
    event.preventDefault();
    this.act(name);
  }

  /**
   * Does what a key or a button is for.
   *
   * @param {string} name
   */
  act(name) {
    if (name === "leave") this.#dialog.close();
    else if (name === "before") this.#step(-1);
    else if (name === "after") this.#step(1);
    else if (name === "up") this.#pictures.turn(-1);
    else if (name === "down") this.#pictures.turn(1);
    else {
      if (name === "hide") this.#hidden = !this.#hidden;
      else this.#two = name === "two" && !this.#two;
      this.#show();
    }
  }

  /** @param {number} step */
  #step(step) {
    const panels = this.#viewer?.panels ?? [];
    if (!panels.length) return;
    this.#id = panels[around(placeOfMap(panels, this.#id), step, panels.length)].id;
    this.#show();
  }

  #onClose() {
    this.#observer.disconnect();
    this.#pictures.leave();
    setPresenting(false);
    focusWhenSeen(this.#before); // the browser cannot while the page is hidden
  }

  /* -- What is seen -- */

  #show() {
    this.#pictures.rest();
    const panels = this.#viewer?.panels ?? [];
    const at = placeOfMap(panels, this.#id);
    this.#id = panels[at]?.id ?? null;
    const shown = mapsFrom(panels, at, this.#two);
    this.#part("says").textContent = panels.length ? sentenceOf(this.#viewer, shown) : NO_MAPS;
    this.#part("stage").replaceChildren(...shown.map(panel => this.#figure(panel)));
    this.#press("two", this.#two);
    this.#press("hide", this.#hidden);
    this.#draw();
  }

  /**
   * @param {string} name
   * @param {boolean} pressed
   */
  #press(name, pressed) {
    const button = this.#dialog.querySelector(`[data-do="${name}"]`);
    button?.setAttribute("aria-pressed", String(pressed));
  }

  /** @param {MapPanel} panel */
  #figure(panel) {
    const figure = make("figure");
    figure.dataset.id = panel.id;
    const canvas = make("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", this.#hidden ? "The picture, its map hidden" : panel.alt);
    const caption = make("figcaption", "", this.#hidden ? "Its map is hidden" : panel.name);
    if (!this.#hidden) caption.append(" ", make("span", "", panel.row.title));
    figure.append(canvas, caption);
    return figure;
  }

  #draw() {
    const viewer = this.#viewer;
    const picture = viewer?.picture;
    if (!viewer || !picture || !this.#dialog.open) return;
    for (const figure of this.#part("stage").querySelectorAll("figure")) {
      const panel = viewer.panels.find(one => one.id === figure.dataset.id);
      const canvas = figure.querySelector("canvas");
      const words = figure.querySelector("figcaption")?.clientHeight ?? 0;
      if (!panel || !canvas) continue;
      const room = this.#part("stage");
      const wide = figure.clientWidth;
      const size = fitInside(wide, room.clientHeight - words, picture);
      canvas.style.width = `${size.width}px`;
      canvas.style.height = `${size.height}px`;
      const sharp = density(size.width * size.height, window.devicePixelRatio || 1, MOST_PRESENTED);
      const [width, height] = [size.width, size.height].map(side => Math.round(side * sharp));
      if (this.#hidden) {
        Object.assign(canvas, { width, height });
        canvas.getContext("2d")?.drawImage(picture.image, 0, 0, width, height);
      } else viewer.paint(canvas, panel, width, height);
    }
  }
}

/** The viewer whose maps are seen; that of Look, where none is. @returns {MapViewer|null} */
function shownViewer() {
  const all = /** @type {MapViewer[]} */ ([...document.querySelectorAll("map-viewer")]);
  const visible = all.find(viewer => viewer.checkVisibility() && viewer.panels?.length);
  return visible ?? /** @type {MapViewer|null} */ (document.querySelector("#viewer map-viewer"));
}

/**
 * What stands above the maps: on Look what the network says, else what the row is about.
 *
 * @param {MapViewer|null} viewer
 * @param {MapPanel[]} shown
 */
function sentenceOf(viewer, shown) {
  const verdict = viewer?.closest("#viewer") ? document.querySelector("#verdict h2") : null;
  return verdict?.textContent?.replace(/\s+/g, " ").trim() || shown[0].row.title;
}

/**
 * Hides the page under the projector, or shows it again; the address says which.
 *
 * @param {boolean} presenting
 */
function setPresenting(presenting) {
  document.body.toggleAttribute("data-presenting", presenting);
  const here = new URL(location.href);
  if (presenting) here.searchParams.set(PRESENT, "1");
  else here.searchParams.delete(PRESENT);
  history.replaceState(history.state, "", here);
}

/** The stories that are seen, if the view that is open tells any. */
function shownWalk() {
  const walk = document.querySelector("story-walk");
  return walk instanceof StoryWalk && walk.checkVisibility() ? walk : null;
}

/** Makes the key p open the projector, and a link with ?present=1 once there is what it shows. */
export function listenForProjector() {
  /** @type {Projector|null} */
  let projector = null;
  const open = () => {
    const walk = shownWalk();
    if (walk) {
      new StoryProjector(walk, () => setPresenting(false)).show();
      setPresenting(true);
      return;
    }
    const dialog = document.querySelector(`dialog.${PROJECTOR}`);
    if (!projector && dialog instanceof HTMLDialogElement) projector = new Projector(dialog);
    projector?.open();
  };
  document.addEventListener("keydown", event => {
    if (event.key !== "p" || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.defaultPrevented || closest(event.target, WRITING)) return;
    event.preventDefault();
    open();
  });
  const query = new URLSearchParams(location.search);
  if (query.get(PRESENT) !== "1") return;
  const shown = query.get("tab") === STEPS_VIEW ? "step-shown" : "viewer-settings";
  document.addEventListener(shown, open, { once: true });
}
