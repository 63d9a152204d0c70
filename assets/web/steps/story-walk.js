// @ts-check
/* <story-walk>: stories in steps. All are here already, so that walking through them needs no
   server: by its buttons and dots, and by the arrow keys.

     walk.configuration = configuration;   // once, before the first value
     walk.value = stories;                 // as often as there are new ones; null: there are none
     walk.turn(1);                         // to the next step
     step-shown                            // the event of a step that has been drawn
     story-wanted                          // the event of a button that asks for more

   Its markup (story-walk.html) stands inside of it. The story, the stage and the step stand in the
   address. A sign of a formula and the pictures that it stands for are marked together. */

import { closest, make, part } from "../viewer/dom.js";
import { writeAddress } from "../viewer/settings.js";
import { typeset } from "../viewer/text.js";
import { makeCut } from "./cut.js";
import { StoryFigures } from "./figures.js";
import { placeOfQuery, queryOfPlace, standingAt } from "./model.js";

/** @typedef {import("./model.js").Stories} WalkValue */
/** @typedef {import("./model.js").StoryPlace} WalkPlace */

const WALK = "story-walk";
const OWN_ARROWS = "input, select, textarea, [contenteditable], [role=tab], [role=radio]";

export class StoryWalk extends HTMLElement {
  /** @type {import("../viewer/schema.js").Configuration} */
  #configuration;
  /** @type {WalkValue|null} */
  #value = null;
  /** @type {StoryFigures|null} */
  #figures = null;
  /** @type {WalkPlace|null} */
  #place = null;
  /** @type {Map<string, number>} where cuts were moved to, by story */
  #cuts = new Map();
  #listeners = new AbortController();

  /** @param {import("../viewer/schema.js").Configuration} configuration */
  set configuration(configuration) {
    this.#configuration = configuration;
  }

  /** @param {WalkValue|null} value */
  set value(value) {
    this.#value = value || null; // gradio has "" for nothing
    this.hidden = !value;
    this.#cuts.clear();
    if (!value) return;
    this.#place ??= placeOfQuery(new URLSearchParams(location.search));
    const picture = new Image();
    picture.src = value.picture;
    picture.decode().then(() => {
      if (this.#value !== value) return; // there is a newer one
      this.#figures = new StoryFigures(this.#configuration, value, picture);
      this.#show();
    });
  }

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    this.addEventListener("click", event => this.#onClick(event), { signal });
    part(this, "layers").addEventListener("change", event => {
      if (event.target instanceof HTMLSelectElement) this.#go({ layer: event.target.value });
    }, { signal });
    document.addEventListener("keydown", event => this.#onKey(event), { signal });
    for (const [name, lit] of /** @type {const} */ ([
      ["pointerover", true], ["pointerout", false], ["focusin", true], ["focusout", false],
    ])) this.addEventListener(name, event => this.#light(event, lit), { signal });
  }

  disconnectedCallback() {
    this.#listeners.abort();
  }

  /** @param {Event} event */
  #onClick(event) {
    const button = closest(event.target, "button");
    if (!button || !this.#value || !this.#place) return;
    const { story, step, sign } = button.dataset;
    if (story !== undefined) this.#go({ story, step: 0 });
    else if (step !== undefined) this.#go({ step: Number(step) });
    else if (sign !== undefined) this.#toPictures(sign);
    else if (button.dataset.part === "back") this.turn(-1);
    else if (button.dataset.part === "next") this.turn(1);
    else if (button.dataset.part === "ask") this.dispatchEvent(new CustomEvent("story-wanted"));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move || event.defaultPrevented) return;
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const { target } = event;
    if (closest(target, OWN_ARROWS) || !this.checkVisibility()) return;
    if (target !== document.body && !(target instanceof Node && this.contains(target))) return;
    if (!this.#value) return;
    event.preventDefault();
    this.turn(move);
  }

  /**
   * Goes so many steps further, at most to the last one or back to the first.
   *
   * @param {number} move
   */
  turn(move) {
    if (!this.#value || !this.#place) return;
    this.#go({ step: standingAt(this.#value, this.#place).at + move });
  }

  /** @param {Partial<WalkPlace>} change */
  #go(change) {
    if (!this.#value || !this.#place) return;
    const place = { ...this.#place, ...change };
    const { story, at } = standingAt(this.#value, { ...place, step: Math.max(place.step, 0) });
    this.#place = { ...place, story: story.key, step: at };
    this.#show();
  }

  /** Puts the keyboard where the pictures of a sign are. @param {string} sign */
  #toPictures(sign) {
    for (const node of this.querySelectorAll("[data-part=groups] [data-symbol]")) {
      if (!(node instanceof HTMLElement) || node.dataset.symbol !== sign) continue;
      node.scrollIntoView({ block: "nearest" });
      const inner = node.tabIndex < 0 ? node.querySelector("input") : null;
      (inner ?? node).focus();
      return;
    }
  }

  /**
   * @param {Event} event
   * @param {boolean} lit
   */
  #light(event, lit) {
    const symbol = closest(event.target, "[data-symbol]")?.dataset.symbol;
    if (!symbol) return;
    for (const node of this.querySelectorAll("[data-symbol]")) {
      if (node instanceof HTMLElement && node.dataset.symbol === symbol) {
        node.classList.toggle("sw-lit", lit);
      }
    }
  }

  // -- What is shown --

  #show() {
    if (!this.#value || !this.#place || !this.#figures) return;
    const { story, layer, step, at } = standingAt(this.#value, this.#place);
    const count = layer.steps.length;
    this.#showStories(story.key);
    this.#showLayers(story, layer.key);
    this.#showDots(layer.steps, at);
    this.#turn("back", at === 0);
    this.#turn("next", at === count - 1);
    this.#write("count", `Step ${at + 1} of ${count}`);
    this.#write("title", step.title);
    this.#write("says", step.says);
    this.#write("note", story.note);
    this.#write("ask", step.ask);
    this.#showGroups(story.key, step);
    this.#showFormulas(step);
    if (this.checkVisibility()) {
      writeAddress(queryOfPlace(new URLSearchParams(location.search), this.#value, this.#place));
    }
    this.dispatchEvent(new CustomEvent("step-shown", { bubbles: true }));
  }

  /**
   * @param {string} name
   * @param {string} text
   */
  #write(name, text) {
    const node = part(this, name);
    if (node.textContent !== text) node.textContent = text;
    node.hidden = !text;
  }

  /**
   * A button that has no further step to go to stays where it is, and keeps the focus.
   *
   * @param {string} name
   * @param {boolean} ends
   */
  #turn(name, ends) {
    part(this, name).setAttribute("aria-disabled", String(ends));
  }

  /** @param {string} open */
  #showStories(open) {
    this.#fill("stories", this.#value?.stories ?? [], ({ key, title }, button) => {
      button.dataset.story = key;
      button.textContent = title;
      button.setAttribute("aria-pressed", String(key === open));
    });
  }

  /**
   * @param {import("./model.js").StoryStep[]} steps
   * @param {number} at
   */
  #showDots(steps, at) {
    this.#fill("dots", steps, ({ title }, button, i) => {
      button.dataset.step = String(i);
      button.title = title;
      button.setAttribute("aria-label", `Step ${i + 1}: ${title}`);
      if (i === at) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    });
  }

  /**
   * As many buttons in a part as there are things, those that are there already first: one that
   * has the focus keeps it.
   *
   * @template Thing
   * @param {string} name
   * @param {Thing[]} things
   * @param {(thing: Thing, button: HTMLButtonElement, i: number) => void} write
   */
  #fill(name, things, write) {
    const home = part(this, name);
    while (home.children.length > things.length) home.lastElementChild?.remove();
    things.forEach((thing, i) => {
      const button = /** @type {HTMLButtonElement} */ (
        home.children[i] ?? home.appendChild(make("button")));
      button.type = "button";
      write(thing, button, i);
    });
  }

  /**
   * @param {import("./model.js").Story} story
   * @param {string} chosen
   */
  #showLayers(story, chosen) {
    const select = /** @type {HTMLSelectElement} */ (part(this, "layers"));
    part(this, "layer").hidden = story.layers.length < 2;
    select.replaceChildren(...story.layers.map(({ key, name }) => {
      const option = make("option", "", name);
      option.value = key;
      return option;
    }));
    select.value = chosen;
  }

  /** @param {import("./model.js").StoryStep} step */
  #showFormulas(step) {
    const pictures = new Map(step.groups.map(({ symbol, name }) => [symbol, name]));
    if (step.cut) pictures.set("histogram", "the histogram").set("cut", "the cut");
    part(this, "formulas").replaceChildren(...step.formulas.map(pieces => {
      const line = make("p", "sw-formula");
      for (const [text, symbol] of pieces) {
        const name = pictures.get(symbol);
        const node = name === undefined ? make("span") : make("button", "sw-sign");
        if (name !== undefined) {
          node.setAttribute("type", "button");
          node.dataset.symbol = node.dataset.sign = symbol;
          node.title = name;
        }
        typeset(node, text);
        line.append(node);
      }
      return line;
    }));
  }

  /**
   * @param {string} story
   * @param {import("./model.js").StoryStep} step
   */
  #showGroups(story, step) {
    const figures = /** @type {StoryFigures} */ (this.#figures);
    const nodes = step.groups.flatMap(({ symbol, name, figures: all, sign, size }) => {
      const group = make("div", `sw-group sw-${size}`);
      group.dataset.symbol = symbol;
      group.tabIndex = 0;
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", name);
      const heading = make("p", "sw-heading");
      typeset(heading, name);
      const row = make("div", "sw-figures");
      row.append(...all.map(figure => figures.make(figure)));
      group.append(heading, row);
      if (!sign) return [group];
      const between = make("span", "sw-between", sign);
      between.setAttribute("aria-hidden", "true");
      return [between, group];
    });
    if (step.cut) {
      const moved = (/** @type {number} */ position) => { this.#cuts.set(story, position); };
      nodes.push(makeCut(step.cut, figures, moved, this.#cuts.get(story)));
    }
    part(this, "groups").replaceChildren(...nodes);
  }
}

/** Makes <story-walk> known to the browser. */
export function defineStoryWalk() {
  if (!customElements.get(WALK)) customElements.define(WALK, StoryWalk);
}
