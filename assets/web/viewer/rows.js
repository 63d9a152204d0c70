// @ts-check
/* The rows of maps as elements: titles, figures, what is written below them. */

import { make } from "./dom.js";
import { columnKeys, stageKeys } from "./layout.js";

/** @typedef {import("./model.js").MapPanel} MapPanel */
/** @typedef {import("./model.js").MapRow} MapRow */
/** @typedef {import("./model.js").ViewerModel} ViewerModel */

/**
 * The elements of one map that change later.
 *
 * @typedef {object} Figure
 * @property {MapPanel} panel
 * @property {HTMLElement} figure
 * @property {HTMLCanvasElement} canvas
 * @property {HTMLElement} reading    its value at the crosshair
 * @property {HTMLElement} iou        how well it agrees with what is outlined
 * @property {HTMLElement|null} scale  a colour bar of its own
 */

/**
 * One row: its element, the figures in it and its colour bar.
 *
 * @typedef {object} RowElements
 * @property {MapRow} row
 * @property {HTMLElement} section
 * @property {HTMLElement|null} scale
 * @property {Figure[]} figures
 */

/**
 * @param {ViewerModel} model
 * @param {string} prefix  of ids that no other viewer on the page has
 * @returns {RowElements[]}
 */
export function buildRows(model, prefix) {
  return model.rows.map(row => buildRow(row, model, prefix));
}

/**
 * @param {MapRow} row
 * @param {ViewerModel} model
 * @param {string} prefix
 * @returns {RowElements}
 */
function buildRow(row, model, prefix) {
  const section = make("section", "vw-row");
  section.dataset.row = row.key;
  section.id = `${prefix}-row-${row.key}`;
  const header = section.appendChild(make("header"));
  const words = header.appendChild(make("div"));
  const title = words.appendChild(make("h3", "", row.title));
  title.id = `${prefix}-title-${row.key}`;
  section.setAttribute("aria-labelledby", title.id);
  if (row.reason !== null) {
    section.append(make("p", "vw-reason", row.reason));
    return { row, section, scale: null, figures: [] };
  }
  const summary = words.appendChild(make("p", "vw-summary"));
  if (row.method !== row.title) summary.append(make("b", "", row.method), " ");
  summary.append(row.words?.summary ?? "");
  if (model.payload.dense) {
    if (row.paper) words.append(make("p", "vw-paper", row.paper));
    if (row.tag) words.append(make("p", "vw-paper vw-row-tag", row.tag));
  }
  if (row.tag) summary.append(" ", make("span", "vw-tag", row.tag));
  const scale = header.appendChild(make("div", "vw-scale"));
  if (row.holds !== null) section.append(holderOf(row.holds));
  const grid = section.appendChild(make("div", "vw-grid"));
  const figures = row.panels.map(panel => buildFigure(panel, model));
  grid.append(
    ...figures.map(({ figure }) => figure),
    ...row.absent.map(({ key, name, reason }) => placeholder(key, name, reason)),
  );
  const stages = row.panels.filter(panel => !panel.last).length + row.absent.length;
  const there = new Set([...row.panels, ...row.absent].map(({ key }) => key));
  for (const key of stageKeys(model.rows)) {
    if (stages < 2 || there.has(key)) continue;
    const name = model.panels.find(panel => panel.key === key)?.name ?? key;
    grid.append(placeholder(key, `no map at ${name[0].toLowerCase()}${name.slice(1)}`));
  }
  return { row, section, scale, figures };
}

/**
 * The place of an element of the page in a row; it moves there when it is not in a row already.
 *
 * @param {string} id
 */
function holderOf(id) {
  const holder = make("div", "vw-holder");
  holder.dataset.holds = id;
  return holder;
}

/**
 * Puts the sections of rows in the place of those before. One that holds an element of the page
 * stays where it is, with everything else in it replaced: a slider that left the document even for
 * a moment would lose the pointer that drags it.
 *
 * @param {HTMLElement} container
 * @param {RowElements[]} rows
 */
export function replaceSections(container, rows) {
  for (const made of rows) {
    const { holds, key } = made.row;
    const old = holds === null ? null
      : container.querySelector(`:scope > [data-row="${CSS.escape(key)}"]:has(> .vw-holder)`);
    if (!(old instanceof HTMLElement)) continue;
    for (const part of ["header", ".vw-grid"]) {
      const [before, after] = [old, made.section].map(one => one.querySelector(`:scope > ${part}`));
      if (before && after) before.replaceWith(after);
    }
    made.section = old;
  }
  const sections = rows.map(({ section }) => section);
  for (const old of [...container.children]) {
    if (!sections.some(section => section === old)) release(old);
  }
  let next = container.firstChild;
  for (const section of sections) {
    if (section === next) next = next.nextSibling;
    else container.insertBefore(section, next);
    fill(section);
  }
}

/** Where an element stood before a row held it. @type {WeakMap<Element, Element>} */
const homes = new WeakMap();

/** @param {HTMLElement} section */
function fill(section) {
  const holder = section.querySelector(":scope > .vw-holder");
  if (!(holder instanceof HTMLElement) || holder.firstChild) return;
  const held = document.getElementById(holder.dataset.holds ?? "");
  if (!held?.parentElement) return;
  if (!homes.has(held)) homes.set(held, held.parentElement);
  holder.append(held);
}

/**
 * Takes a section away; what it held goes back to where it was.
 *
 * @param {Element} section
 */
function release(section) {
  const held = section.querySelector(":scope > .vw-holder > *");
  if (held) homes.get(held)?.append(held);
  section.remove();
}

/**
 * What stands in the place of a map: why there is none, or nothing at all.
 *
 * @param {string} key
 * @param {string} name
 * @param {string} [reason]
 */
function placeholder(key, name, reason) {
  const figure = make("figure", `vw-panel ${reason === undefined ? "vw-missing" : "vw-absent"}`);
  figure.dataset.key = key;
  figure.append(make("div", "", reason), make("figcaption", "vw-facts", name));
  return figure;
}

/**
 * @param {MapPanel} panel
 * @param {ViewerModel} model
 * @returns {Figure}
 */
function buildFigure(panel, model) {
  const { pick } = model.payload;
  const figure = make("figure", "vw-panel");
  figure.dataset.id = panel.id;
  const open = figure.appendChild(make("button", "vw-open"));
  open.type = "button";
  const remarks = [
    ...panel.facts, ...panel.warnings, ...panel.remarks,
  ];
  const marks = Object.keys(panel.marks); // as they stand on the map: together, and in this order
  if (marks.length) remarks.push(`${marks.join(" ")}: ${Object.values(panel.marks).join(" ")}`);
  open.setAttribute("aria-label", `${panel.alt}. ${remarks.join(", ")}`);
  if (!pick) open.setAttribute("aria-haspopup", "dialog");
  const canvas = open.appendChild(make("canvas"));
  const ring = make("i", "vw-ring");
  placeRing(ring, panel, { x: 0, y: 0, width: model.width, height: model.height });
  open.append(make("i", "vw-across"), make("i", "vw-down"), ring);
  const badges = open.appendChild(make("span", "vw-badges"));
  badges.setAttribute("aria-hidden", "true"); // the button has them in its name
  for (const [word, meaning] of Object.entries(panel.marks)) {
    if (badges.firstChild) badges.append(" ");
    const badge = badges.appendChild(make("span", "vw-badge", word));
    badge.dataset.mark = word;
    badge.title = meaning;
  }
  figure.classList.toggle("vw-marked", badges.childElementCount > 0);

  const caption = figure.appendChild(make("figcaption"));
  const line = caption.appendChild(make("div", "vw-name"));
  const name = line.appendChild(make("b", "", panel.name));
  name.title = panel.key;
  if (panel.module) {
    const module = line.appendChild(make("small", "vw-module", panel.module));
    const above = model.panels.find(({ key }) => key === panel.key)?.module;
    module.toggleAttribute("data-other", panel.module !== above); // not what heads its column
  }
  const reading = line.appendChild(make("span", "vw-value"));
  const facts = caption.appendChild(make("p", "vw-facts"));
  if (pick) {
    const enlarge = caption.appendChild(make("button", "vw-plain", "Enlarge"));
    enlarge.type = "button";
    enlarge.dataset.enlarge = "";
    enlarge.setAttribute("aria-label", `Enlarge ${panel.name}`);
  }
  panel.facts.forEach((fact, i) => facts.append(...(i ? [" · "] : []), make("span", "", fact)));
  const iou = caption.appendChild(make("p", "vw-iou"));
  iou.hidden = true;
  for (const text of panel.warnings) caption.append(make("p", "vw-warning", text));
  for (const text of panel.remarks) caption.append(make("p", "vw-facts vw-remark", text));
  const scale = panel.ends && caption.appendChild(make("div", "vw-scale"));
  return { panel, figure, canvas, reading, iou, scale };
}

/**
 * Moves a ring to the place of the picture that is to be seen on a map; hides it if there is none.
 *
 * @param {HTMLElement} ring
 * @param {MapPanel} panel
 * @param {import("./zoom.js").Region} region  of the picture that the map shows
 */
export function placeRing(ring, panel, region) {
  ring.hidden = panel.ring === null;
  if (!panel.ring) return;
  ring.style.left = `${100 * (panel.ring[0] - region.x) / region.width}%`;
  ring.style.top = `${100 * (panel.ring[1] - region.y) / region.height}%`;
}

/**
 * The tabs that choose a row on a narrow page.
 *
 * @param {ViewerModel} model
 * @param {string} shown  key of the row that is shown
 * @param {string} prefix
 */
export function buildTabs(model, shown, prefix) {
  return model.rows.map(({ key, title }) => {
    const tab = make("button", "", title);
    const selected = key === shown;
    tab.type = "button";
    tab.dataset.tab = key;
    tab.id = `${prefix}-tab-${key}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-selected", String(selected));
    tab.setAttribute("aria-controls", `${prefix}-row-${key}`);
    tab.tabIndex = selected ? 0 : -1;
    return tab;
  });
}

/**
 * The names of the columns, above a table.
 *
 * @param {ViewerModel} model
 */
export function buildHeads(model) {
  return columnKeys(model.rows).map(key => {
    const panel = model.panels.find(other => other.key === key);
    const head = make("div");
    head.append(make("b", "", panel ? panel.name : key));
    if (panel && !panel.last) head.append(make("span", "", panel.module));
    return head;
  });
}
