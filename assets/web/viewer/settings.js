// @ts-check
/* What a visitor has set, the controls that show it, and the address bar that keeps it. */

import { percent } from "./text.js";

/** @typedef {import("./schema.js").Settings} Settings */

// Not in the tools themselves but in the menu beside them: how many of these differ is shown there.
const IN_MENU = /** @type {const} */ (["blend", "scale", "boxes", "contours", "signed", "outline"]);
const OWN = /** @type {const} */ (["outline", "row"]); // what a follower does not take over
const HUGGING_FACE = "https://huggingface.co";

export class ViewerSettings {
  #configuration;
  /** @type {Settings} */
  #values;

  /** @param {import("./schema.js").Configuration} configuration */
  constructor(configuration) {
    this.#configuration = configuration;
    this.#values = { ...configuration.settings };
  }

  /** @returns {Readonly<Settings>} */
  get values() {
    return this.#values;
  }

  /**
   * @param {Partial<Settings>} changes
   * @returns {boolean}  whether any of them is new
   */
  change(changes) {
    const values = { ...this.#values, ...changes };
    const names = /** @type {(keyof Settings)[]} */ (Object.keys(values));
    const changed = names.some(name => values[name] !== this.#values[name]);
    this.#values = values;
    return changed;
  }

  /** Back to the defaults, but for the row that is shown. */
  reset() {
    return this.change({ ...this.#configuration.settings, row: this.#values.row });
  }

  /**
   * Takes over what another viewer's visitor has set.
   *
   * @param {Readonly<Settings>} settings
   */
  follow(settings) {
    const own = Object.fromEntries(OWN.map(name => [name, this.#values[name]]));
    return this.change({ ...settings, ...own });
  }

  /** How many settings in the menu are not as they were at first. */
  get changedInMenu() {
    return IN_MENU.filter(name => this.#values[name] !== this.#configuration.settings[name]).length;
  }

  /**
   * Takes over what a link names; what no setting can be is ignored.
   *
   * @param {URLSearchParams} query
   */
  applyQuery(query) {
    const { settings, choices, tables, diverging, max_threshold } = this.#configuration;
    /** @type {Record<string, string|number|boolean>} */
    const found = {};
    for (const [name, usual] of Object.entries(settings)) {
      const given = query.get(name);
      if (given === null) continue;
      if (typeof usual === "boolean") found[name] = given === "1";
      else if (typeof usual === "number") {
        const number = Number.parseFloat(given);
        if (number >= 0 && number <= 1) found[name] = Math.round(100 * number) / 100;
      } else if (name === "colors") {
        if (tables[given] && given !== diverging) found[name] = given;
      } else if (!choices[name] || choices[name].includes(given)) found[name] = given;
    }
    if (typeof found.threshold === "number") {
      found.threshold = Math.min(found.threshold, max_threshold);
    }
    return this.change(found);
  }

  /**
   * A query with these settings, and with the server's part replaced.
   *
   * @param {URLSearchParams} query
   * @param {Record<string, string>} link  the server's part
   */
  writeQuery(query, link) {
    const { settings, link_keys } = this.#configuration;
    const written = new URLSearchParams(query);
    for (const name of [...link_keys, ...Object.keys(settings)]) written.delete(name);
    for (const [name, given] of Object.entries(link)) written.set(name, given);
    for (const [name, usual] of Object.entries(settings)) {
      const now = this.#values[/** @type {keyof Settings} */ (name)];
      if (now !== usual) written.set(name, now === true ? "1" : String(now));
    }
    return written;
  }
}

/**
 * Makes the address bar a link to exactly this view.
 *
 * @param {URLSearchParams} query
 */
export function writeAddress(query) {
  const text = query.toString();
  const address = location.pathname + (text && `?${text}`) + location.hash;
  if (address === location.pathname + location.search + location.hash) return;
  history.replaceState(history.state, "", address);
  // On a Space the address bar belongs to the page around this one.
  if (window.parent !== window && location.hostname.endsWith(".hf.space")) {
    window.parent.postMessage({ queryString: text }, HUGGING_FACE);
  }
}

/**
 * Makes the controls show what the settings are.
 *
 * @param {HTMLElement} root
 * @param {ViewerSettings} settings
 * @param {string} group  a name that no other viewer on the page gives its radio buttons
 * @param {number} usual  the threshold of boxes and contours until one is set
 */
export function syncControls(root, settings, group, usual) {
  const values = settings.values;
  /** @type {(name: string|undefined) => string|number|boolean} */
  const valueOf = name => values[/** @type {keyof Settings} */ (name)];
  /** @type {(name: string, text: string) => void} */
  const write = (name, text) => {
    for (const node of root.querySelectorAll(`[data-part="${name}"]`)) node.textContent = text;
  };
  for (const input of inputs(root, "[data-choice] input")) {
    const choice = input.closest("fieldset")?.dataset.choice;
    input.name = `${group}-${choice}`;
    input.checked = input.value === valueOf(choice);
  }
  for (const input of inputs(root, "input[data-number]")) {
    const { number } = input.dataset;
    const value = Number(valueOf(number));
    input.value = String(value);
    input.setAttribute("aria-valuetext", percent(value));
    input.style.setProperty("--at", `${100 * value / Number(input.max)}%`);
    write(String(number), percent(value));
  }
  for (const input of inputs(root, "input[data-check]")) {
    input.checked = Boolean(valueOf(input.dataset.check));
  }
  for (const select of root.querySelectorAll("select")) {
    select.value = String(valueOf(select.dataset.select));
    if (select.selectedIndex < 0) select.selectedIndex = 0;
  }
  write("cut", values.threshold
    ? `Around what is at or above ${percent(values.threshold)} of the maximum, the threshold.`
    : `At ${percent(usual)} of the maximum, of a refined map higher, until a threshold is set.`);
  const changed = settings.changedInMenu;
  write("menu", changed ? `View · ${changed}` : "View");
}

/**
 * @param {HTMLElement} root
 * @param {string} selector
 * @returns {NodeListOf<HTMLInputElement>}
 */
const inputs = (root, selector) => root.querySelectorAll(selector);

/**
 * The setting that an input event changes, and its new value; null if it changes none.
 *
 * @param {Event} event
 * @returns {Partial<Settings>|null}
 */
export function changeOf(event) {
  const control = event.target;
  if (control instanceof HTMLSelectElement) {
    return control.dataset.select ? { [control.dataset.select]: control.value } : null;
  }
  if (!(control instanceof HTMLInputElement)) return null;
  const { number, check } = control.dataset;
  const choice = control.closest("fieldset")?.dataset.choice;
  if (choice) return { [choice]: control.value };
  if (number) return { [number]: Number(control.value) };
  return check ? { [check]: control.checked } : null;
}
