/* The page's part: what a visitor sees and does. gradio gives `element`, `props` and `watch`;
   settings and crosshair live here and survive every new value. */

const DEFAULTS = {
  view: "overlay", opacity: 0.55, threshold: 0, colors: "viridis", scale: "own",
  boxes: "none", contours: false, signed: false, outline: "", row: "",
};
const CHOICES = {
  view: ["overlay", "map", "picture"], scale: ["own", "same"], boxes: ["none", "largest", "all"],
};
// What the server's controls add to the address bar; what is not in a new link is taken out of it.
const SERVERS = ["backbone", "example", "class", "versus", "stages", "method", "truncation",
  "fuse", "fit", "tap", "placement", "weights"];
const UNEVEN = ["turbo", "jet"];
const USUAL = 0.2; // of the maximum, for boxes and contours: CAM's own rule
const NARROW = 620; // pixels, below which one row is shown at a time
const LEAST = 132; // pixels, a panel's least width
const DENSE = 96; // the same in a table, and what stands beside its rows
const BESIDE = 148;
const GAP = 12;
const MOST = 1.2e6; // pixels that are drawn at once, by and large

const part = name => element.querySelector(`[data-part="${name}"]`);
const root = part("root");
const dialog = part("large");
const tag = `vw${Math.random().toString(36).slice(2, 9)}`;
const fixed = props.tables ? props : GIVEN; // on the page of a report they come as props
const tables = Object.fromEntries(
  Object.entries(fixed.tables).map(([name, text]) => [name, bytesOf(text)]));

const homeId = element.closest(".block")?.id || element.id;
let settings = { ...DEFAULTS };
let scene = null; // the value shown: picture, geometry, rows of panels
let image = null; // its decoded picture
let cross = null; // {x, y} in whole pixels of the picture
let large = null; // the panel in the dialog
let linked = false; // whether the address bar has been read
let column = 0; // pixels, a panel's width as last laid out
let latest = 0; // counts values, so that a slow picture cannot overtake a later one
const masks = new Map(); // label -> image of a true mask
const reduced = new Map(); // the picture at the sizes in use

/* -- Small things ------------------------------------------------------------------------------ */

function make(kind, name, text) {
  const node = document.createElement(kind);
  if (name) node.className = name;
  if (text != null) node.textContent = text;
  return node;
}

/* A share as people read it: 73%, 4.6%, 0%. */
function percent(share) {
  const size = Math.abs(100 * share);
  const text = size < 0.05 ? "0" : size.toFixed(size < 9.95 && size % 1 > 0.05 ? 1 : 0);
  return `${share < 0 && text !== "0" ? "−" : ""}${text}%`;
}

function digits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 0.001 && size < 10000 ? value.toPrecision(3) : value.toExponential(2);
  return text.replaceAll("-", "−");
}

/* Text with a_b as subscript and a^(b) as superscript. */
function typeset(node, text) {
  node.replaceChildren();
  let rest = 0;
  for (const found of text.matchAll(/_(\w+)|\^\(([^)]*)\)/g)) {
    node.append(text.slice(rest, found.index), make(found[1] ? "sub" : "sup", "", found[1] || found[2]));
    rest = found.index + found[0].length;
  }
  node.append(text.slice(rest));
}

const panels = () => scene.rows.flatMap(row => row.panels || []);
const cutAt = () => settings.threshold || USUAL;
/* For and against, on a diverging scale; a map without a sign, and the fused one, is all "for". A
   difference of two maps is never drawn in any other way. */
const signed = panel => Boolean(panel && panel.diverging) || (settings.signed && scene.signs);
const sizeOf = panel => (signed(panel) ? panel.top : panel.peak);

async function decoded(source) {
  const made = new Image();
  made.src = source;
  await made.decode();
  return made;
}

/* -- A new value ------------------------------------------------------------------------------- */

async function load() {
  const value = props.value;
  const turn = ++latest;
  if (!value || !value.rows || !value.rows.length) {
    scene = null;
    if (dialog.open) dialog.close();
    build();
    root.viewer.values += 1;
    return;
  }
  const next = value.picture;
  let fresh = image;
  if (!next) fresh = null;
  else if (!image || image.src !== next.src) fresh = await decoded(next.src);
  if (turn !== latest) return;
  const same = fresh === image;
  image = fresh;
  if (!same) reduced.clear();
  masks.clear();
  scene = unpacked(value);
  if (!same && cross && next) cross = inside(cross);
  if (!linked && scene.link) {
    linked = true;
    adopt(new URLSearchParams(location.search));
  }
  build();
  publish();
  lead();
  root.viewer.values += 1;
}

/* A value as it is worked with: bytes in place of text, every panel knowing its row. */
function unpacked(value) {
  const rows = value.rows.map(row => {
    const made = { ...row };
    if (row.panels) {
      made.panels = row.panels.filter(panel => !panel.said).map(panel => ({
        marks: {},
        ...panel,
        id: `${row.key}/${panel.key}`,
        name: panel.name || (panel.key === "fused" ? "Fused" : panel.key),
        last: panel.last ?? panel.key === "fused",
        row: made,
        bytes: bytesOf(panel.data),
        below: panel.against ? bytesOf(panel.against) : null,
        top: panel.top || Math.max(panel.peak, panel.lowest),
        unit: panel.unit !== undefined ? panel.unit : panel.key === "fused" ? null : row.unit,
        rasters: new Map(),
        agreement: new Map(),
      }));
      made.absent = row.panels.filter(panel => panel.said)
        .map(panel => ({ ...panel, last: Boolean(panel.last) }));
    }
    return made;
  });
  const { width, height } = value.picture || { width: 1, height: 1 };
  const made = { ...value, rows, width, height };
  for (const panel of rows.flatMap(row => row.panels || [])) {
    // How the picture was shown to the network: in one way to all, unless a map has its own.
    const { rect, input, seen } = panel.scene || value;
    panel.scene = { width, height, rect, input, seen };
    panel.summit = summitOf(panel.bytes, panel, panel.scene);
    made.signs = made.signs || (Boolean(panel.below) && !panel.diverging);
  }
  made.signs = Boolean(made.signs);
  return made;
}

const inside = ({ x, y }) => ({
  x: clamp(x, 0, scene.width - 1), y: clamp(y, 0, scene.height - 1),
});

/* -- Settings and the address bar -------------------------------------------------------------- */

function adopt(query) {
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const given = query.get(name);
    if (given === null) continue;
    if (typeof usual === "boolean") settings[name] = given === "1";
    else if (typeof usual === "number") {
      const number = Number.parseFloat(given);
      if (number >= 0 && number <= 1) settings[name] = Math.round(100 * number) / 100;
    } else if (name === "colors") {
      if (tables[given] && given !== fixed.diverging) settings.colors = given;
    } else if (!CHOICES[name] || CHOICES[name].includes(given)) settings[name] = given;
  }
  settings.threshold = Math.min(settings.threshold, 0.95);
}

let publishing = 0;

/* The address bar holds a link to exactly this view. Not at every step of a slider: browsers
   refuse more than some hundred changes in half a minute. */
function publish() {
  clearTimeout(publishing);
  publishing = setTimeout(publishNow, 150);
}

function publishNow() {
  clearTimeout(publishing);
  if (!scene || !scene.link || !element.isConnected) return;
  const query = new URLSearchParams(location.search);
  for (const name of [...SERVERS, ...Object.keys(DEFAULTS)]) query.delete(name);
  for (const [name, given] of Object.entries(scene.link)) query.set(name, given);
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const now = settings[name];
    if (now !== usual) query.set(name, now === true ? "1" : String(now));
  }
  const text = query.toString();
  const address = location.pathname + (text && `?${text}`) + location.hash;
  if (address === location.pathname + location.search + location.hash) return;
  history.replaceState(history.state, "", address);
  // On a Space the address bar belongs to the page around this one.
  if (window.parent !== window && location.hostname.endsWith(".hf.space")) {
    window.parent.postMessage({ queryString: text }, "https://huggingface.co");
  }
}

// Whoever is about to read the address bar, to copy it or to send it, asks for it first.
document.addEventListener("vw-publish", publishNow);

function change(name, value) {
  if (settings[name] === value) return;
  settings[name] = value;
  if (name === "row") build();
  if (name === "signed") point(cross, { quiet: true });
  reflect();
  schedule();
  publish();
  lead();
}

/* A viewer without tools of its own draws its maps as the one that it follows does. */
function lead() {
  document.dispatchEvent(new CustomEvent("vw-settings", { detail: { from: homeId, settings } }));
}

document.addEventListener("vw-settings", event => {
  if (!scene || !scene.follows || event.detail.from !== scene.follows) return;
  const { outline, row, ...others } = event.detail.settings;
  settings = { ...settings, ...others };
  reflect();
  schedule();
});

/* The controls show what the settings are. */
function reflect() {
  for (const group of element.querySelectorAll("[data-choice]")) {
    for (const input of group.querySelectorAll("input")) {
      input.name = `${tag}-${group.dataset.choice}`;
      input.checked = input.value === settings[group.dataset.choice];
    }
  }
  for (const input of element.querySelectorAll("[data-number]")) {
    const value = settings[input.dataset.number];
    input.value = value;
    input.setAttribute("aria-valuetext", percent(value));
    input.style.setProperty("--at", `${100 * value / input.max}%`);
    part(input.dataset.number).textContent = percent(value);
  }
  for (const input of element.querySelectorAll("[data-check]")) {
    input.checked = settings[input.dataset.check];
  }
  for (const select of element.querySelectorAll("[data-select]")) {
    select.value = settings[select.dataset.select];
    if (select.selectedIndex < 0) select.selectedIndex = 0;
  }
  part("cut").textContent = settings.threshold
    ? `Around what is at or above ${percent(settings.threshold)} of the maximum, the threshold.`
    : "At 20% of the maximum, the usual rule, until a threshold is set.";
  const changed = ["scale", "boxes", "contours", "signed", "outline"]
    .filter(name => settings[name] !== DEFAULTS[name]).length;
  part("more").querySelector("summary").textContent = changed ? `View · ${changed}` : "View";
}

function options(select, groups) {
  select.replaceChildren();
  for (const [label, entries] of groups) {
    const home = label ? select.appendChild(make("optgroup")) : select;
    if (label) home.label = label;
    for (const [value, text] of entries) {
      const option = make("option", "", text);
      option.value = value;
      home.append(option);
    }
  }
}

/* -- Building the page ------------------------------------------------------------------------- */

function build() {
  const rows = part("rows");
  const held = rows.contains(document.activeElement) ? focusOf(document.activeElement) : null;
  const onTab = part("tabs").contains(document.activeElement);
  const shown = Boolean(scene);
  const drawn = shown && Boolean(image);
  part("wait").hidden = shown;
  part("tools").hidden = part("read").hidden = !drawn || Boolean(scene.follows);
  rows.replaceChildren();
  part("foot").replaceChildren();
  part("heads").replaceChildren();
  part("tabs").hidden = true;
  if (!shown) return;
  part("signs").hidden = !scene.signs;
  part("scales").hidden = panels().every(panel => panel.unit === null);
  root.toggleAttribute("data-dense", Boolean(scene.dense));
  part("truths").hidden = !scene.truth.length;
  options(part("outline"), [["", [["", "not shown"], ...scene.truth.map(t => [t.label, t.label])]]]);
  buildTabs();
  for (const row of scene.rows) rows.append(rowOf(row));
  if (scene.dense) buildHeads();
  for (const text of [scene.unseen, ...scene.truth.map(t => t.said)]) {
    if (text) part("foot").append(make("p", "", text));
  }
  layOut();
  reflect();
  point(cross, { quiet: true });
  if (onTab) part("tabs").querySelector("[aria-selected=true]").focus();
  if (held) rows.querySelector(`[data-id="${CSS.escape(held)}"] .vw-open`)?.focus();
  if (large) {
    const again = panels().find(panel => panel.id === large.id);
    if (again) enlarge(again);
    else dialog.close();
  }
  draw();
}

const focusOf = node => node.closest("[data-id]")?.dataset.id;

const rowShown = () => (scene.rows.find(row => row.key === settings.row) || scene.rows[0]).key;
const narrow = () => root.hasAttribute("data-narrow");

function buildTabs() {
  const tabs = part("tabs");
  tabs.replaceChildren();
  for (const row of scene.rows) {
    const tab = make("button", "", row.title);
    const on = row.key === rowShown();
    tab.type = "button";
    tab.dataset.tab = row.key;
    tab.id = `${tag}-tab-${row.key}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-selected", on);
    tab.setAttribute("aria-controls", `${tag}-row-${row.key}`);
    tab.tabIndex = on ? 0 : -1;
    tabs.append(tab);
  }
}

/* The names of the columns, above a table. */
function buildHeads() {
  for (const key of columnKeys()) {
    const panel = panels().find(other => other.key === key);
    const head = part("heads").appendChild(make("div"));
    head.append(make("b", "", panel ? panel.name : key));
    if (panel && !panel.last) head.append(make("span", "", panel.grid.join(" × ")));
  }
}

function rowOf(row) {
  const section = make("section", "vw-row");
  section.dataset.row = row.key;
  section.id = `${tag}-row-${row.key}`;
  const header = section.appendChild(make("header"));
  const words = header.appendChild(make("div"));
  const title = words.appendChild(make("h3", "", row.title));
  title.id = `${tag}-title-${row.key}`;
  section.setAttribute("aria-labelledby", title.id);
  if (!row.panels) {
    section.append(make("p", "vw-said", row.said));
    return section;
  }
  const says = words.appendChild(make("p", "vw-says"));
  if (row.method !== row.title) says.append(make("b", "", row.method), " ");
  says.append(row.says);
  if (scene.dense) {
    words.append(make("p", "vw-paper", row.paper));
    if (row.tag) words.append(make("p", "vw-paper vw-told", row.tag));
  }
  if (row.tag) says.append(" ", make("span", "vw-tag", row.tag));
  row.scale = header.appendChild(make("div", "vw-scale"));
  const grid = section.appendChild(make("div", "vw-grid"));
  for (const panel of row.panels) grid.append(figureOf(panel));
  for (const { key, name, said } of row.absent) {
    const figure = grid.appendChild(make("figure", "vw-panel vw-absent"));
    figure.dataset.key = key;
    figure.append(make("div", "", said), make("figcaption", "vw-facts", name || key));
  }
  const there = new Set([...row.panels, ...row.absent].map(panel => panel.key));
  for (const key of columnKeys(false)) {
    if (there.size > 1 && !there.has(key)) {
      const figure = grid.appendChild(make("figure", "vw-panel vw-missing"));
      figure.dataset.key = key;
      figure.append(make("div"), make("figcaption", "vw-facts", `no map at ${key}`));
    }
  }
  return section;
}

/* The columns of all rows: stages, coarse to fine, then what was made of several. */
function columnKeys(...kinds) {
  const all = scene.rows.flatMap(row => [...(row.panels || []), ...(row.absent || [])]);
  return [...new Set((kinds.length ? kinds : [false, true])
    .flatMap(last => all.filter(panel => panel.last === last).map(panel => panel.key)))];
}

function figureOf(panel) {
  const figure = make("figure", "vw-panel");
  figure.dataset.id = panel.id;
  const open = figure.appendChild(make("button", "vw-open"));
  open.type = "button";
  open.setAttribute("aria-label", `${panel.alt}. ${[...panel.facts, ...panel.warnings, ...panel.remarks, ...Object.values(panel.marks)].join(", ")}`);
  if (!scene.pick) open.setAttribute("aria-haspopup", "dialog");
  panel.canvas = open.appendChild(make("canvas"));
  open.append(make("i", "vw-across"), make("i", "vw-down"), ringOf(make("i"), panel));
  const marks = open.appendChild(make("span", "vw-badges"));
  for (const [word, says] of Object.entries(panel.marks)) {
    const mark = marks.appendChild(make("span", "vw-badge", word));
    mark.dataset.mark = word;
    mark.title = says;
  }
  figure.classList.toggle("vw-marked", marks.childElementCount > 0);
  const caption = figure.appendChild(make("figcaption"));
  const line = caption.appendChild(make("div", "vw-name"));
  const name = line.appendChild(make("b", "", panel.name));
  name.title = panel.key;
  panel.reading = line.appendChild(make("span", "vw-value"));
  const facts = caption.appendChild(make("p", "vw-facts"));
  if (scene.pick) {
    const enlarging = caption.appendChild(make("button", "vw-plain", "Enlarge"));
    enlarging.type = "button";
    enlarging.dataset.enlarge = "";
    enlarging.setAttribute("aria-label", `Enlarge ${panel.name}`);
  }
  panel.facts.forEach((fact, i) => facts.append(...(i ? [" · "] : []), make("span", "", fact)));
  panel.iou = caption.appendChild(make("p", "vw-iou"));
  panel.iou.hidden = true;
  for (const text of panel.warnings) caption.append(make("p", "vw-warning", text));
  for (const text of panel.remarks) caption.append(make("p", "vw-facts vw-remark", text));
  if (panel.diverging) panel.ramp = caption.appendChild(make("div", "vw-scale"));
  return figure;
}

/* A place of the picture, [x, y] in its pixels, that whoever made the panel wants seen. */
function ringOf(node, panel) {
  node.className = "vw-ring";
  node.hidden = !panel.ring;
  if (!panel.ring) return node;
  node.style.left = `${100 * panel.ring[0] / scene.width}%`;
  node.style.top = `${100 * panel.ring[1] / scene.height}%`;
  return node;
}

/* How many panels stand side by side, and how large a panel is. */
function layOut() {
  const width = root.clientWidth;
  if (!scene || !width) return;
  const slim = width < NARROW;
  root.toggleAttribute("data-narrow", slim);
  part("tabs").hidden = !slim || scene.rows.length < 2;
  const names = columnKeys();
  const most = Math.max(1, names.length);
  const least = scene.dense ? DENSE : LEAST;
  const room = width - (scene.dense && !slim ? BESIDE : 0);
  const fitting = slim ? 2 : Math.max(2, Math.floor((room + GAP) / (least + GAP)));
  const columns = Math.min(most, fitting);
  // One or two maps need not fill the page.
  column = Math.min((room - GAP * (columns - 1)) / columns, 460);
  root.style.setProperty("--columns", columns);
  root.style.setProperty("--column", `${column}px`);
  if (!image) return;
  const size = panelSize();
  root.style.setProperty("--column", `${Math.max(size.width, Math.min(column, least))}px`);
  // The same stage stands in the same column, where all of them fit.
  const aligned = columns === most;
  root.toggleAttribute("data-aligned", aligned && !slim);
  for (const figure of part("rows").querySelectorAll(".vw-panel")) {
    const panel = panelOf(figure);
    const own = panelSize(panel);
    figure.classList.toggle("vw-whole", Boolean(panel) && isWide(panel));
    figure.style.setProperty("--wide", `${own.width}px`);
    figure.style.setProperty("--tall", `${own.height}px`);
    const at = names.indexOf(panel ? panel.key : figure.dataset.key);
    figure.style.gridColumn = aligned ? String(at + 1) : "";
    figure.style.gridRow = aligned ? "1" : "";
    figure.hidden = !panel && !aligned && figure.classList.contains("vw-missing");
  }
  for (const section of part("rows").children) {
    section.hidden = slim && section.dataset.row !== rowShown();
    section.toggleAttribute("role", false);
    if (slim && scene.rows.length > 1) section.setAttribute("role", "tabpanel");
  }
}

/* The last map has a line of its own where it would else stand alone in one. */
const isWide = panel => narrow() && panel.last && panel.row.panels.length > 1
  && (panel.row.panels.length + panel.row.absent.length) % 2 === 1
  && panel === panel.row.panels.at(-1);

function panelSize(panel) {
  const width = panel && isWide(panel) ? root.clientWidth : column;
  return fitted(width, Math.max(1.3 * width, 120));
}

/* The picture's own shape inside so many pixels. */
function fitted(width, height) {
  const scale = Math.min(width / scene.width, height / scene.height);
  return { width: Math.max(scene.width * scale, 1), height: Math.max(scene.height * scale, 1) };
}

/* -- Drawing ----------------------------------------------------------------------------------- */

/* The bytes of an image on a raster: red, green, blue, alpha, pixel by pixel. */
function rastered(source, width, height) {
  const canvas = make("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

/* The picture's pixels on a raster. */
function pictureAt(width, height) {
  const key = `${width}x${height}`;
  if (!reduced.has(key)) {
    if (reduced.size > 4) reduced.delete(reduced.keys().next().value);
    reduced.set(key, new Uint32Array(rastered(image, width, height).buffer));
  }
  return reduced.get(key);
}

/* A map on a raster; kept, because knobs change far more often than sizes. */
function heatOf(panel, which, width, height) {
  const key = `${which} ${width}x${height}`;
  if (!panel.rasters.has(key)) {
    const heat = upsample(panel[which], panel, panel.scene, width, height);
    if (!panel.scene.seen) blank(heat, width, height, seenLines(panel.scene, width, height));
    if (panel.rasters.size > 5) panel.rasters.delete(panel.rasters.keys().next().value);
    panel.rasters.set(key, heat);
  }
  return panel.rasters.get(key);
}

/* The largest magnitude on a panel's colour scale, in true units. */
function scaleTop(panel) {
  if (settings.scale === "own" || panel.unit === null) return sizeOf(panel);
  return Math.max(...panels().filter(other => other.unit === panel.unit).map(sizeOf));
}

const tableNow = panel => tables[signed(panel) ? fixed.diverging : settings.colors];

function rasterOf(panel, width, height) {
  const heat = heatOf(panel, "bytes", width, height);
  const top = scaleTop(panel) || 1;
  return {
    width, height, heat,
    signed: signed(panel),
    against: signed(panel) && panel.below ? heatOf(panel, "below", width, height) : null,
    factor: panel.peak / top,
    lowest: panel.lowest / top,
    own: top / (sizeOf(panel) || 1),
    seen: panel.scene.seen ? null : seenLines(panel.scene, width, height),
    truth: settings.outline && masks.get(settings.outline)
      ? maskAt(settings.outline, width, height) : null,
  };
}

function paintPanel(canvas, panel, width, height) {
  paint(canvas, pictureAt(width, height), rasterOf(panel, width, height), {
    show: sizeOf(panel) ? settings.view : "picture",
    opacity: settings.opacity,
    table: tableNow(panel),
    threshold: settings.threshold * (signed(panel) ? 1 : panel.summit),
    cut: cutAt() * panel.summit,
    contours: settings.contours && !panel.diverging,
    boxes: panel.diverging ? "none" : settings.boxes,
  });
}

/* Pixels of a raster to one of the page: as sharp as the screen, unless that were slow to draw. */
function density(area) {
  return Math.min(window.devicePixelRatio || 1, 2, Math.max(1, Math.sqrt(MOST / area)));
}

function draw() {
  if (!scene || !image || !column) return;
  const start = performance.now();
  const sharp = density(panelSize().width * panelSize().height * panels().length);
  for (const row of scene.rows) {
    if (!row.panels || (narrow() && row.key !== rowShown())) continue;
    for (const panel of row.panels) {
      const { width, height } = panelSize(panel);
      paintPanel(panel.canvas, panel, Math.max(1, Math.round(width * sharp)),
        Math.max(1, Math.round(height * sharp)));
      panel.canvas.closest("figure").classList.toggle("vw-nothing", !sizeOf(panel));
      if (panel.ramp) bar(panel.ramp, row, panel);
    }
    bar(row.scale, row);
  }
  const first = scene.rows.find(row => row.panels && row.panels.length);
  if (scene.dense && first) bar(part("ramp"), first);
  if (large) drawLarge();
  root.viewer.milliseconds = performance.now() - start;
  root.viewer.draws += 1;
  agree();
}

let waiting = 0;

function schedule() {
  if (!waiting) {
    waiting = requestAnimationFrame(() => {
      waiting = 0;
      draw();
    });
  }
}

/* The colour bar of a row, or of one panel: which colour is how much. */
function bar(home, row, panel) {
  const table = tableNow(panel);
  const stops = Array.from({ length: 18 }, (_, i) => {
    const at = 3 * (15 * i);
    return `rgb(${table[at]}, ${table[at + 1]}, ${table[at + 2]})`;
  });
  let least = signed(panel) ? "against" : "0";
  let most = signed(panel) ? "for" : "each map's maximum";
  if (panel && panel.diverging) [least, most] = panel.ends;
  else if (panel || (settings.scale === "same" && row.panels[0]?.unit != null)) {
    const top = scaleTop(panel || row.panels[0]);
    most = panel && panel.unit === null ? "maximum" : digits(top);
    if (signed(panel)) least = `−${most}`;
  }
  const ramp = make("i");
  ramp.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
  if (settings.threshold && !signed(panel)) {
    const hidden = ramp.appendChild(make("b"));
    const share = panel ? settings.threshold * (panel.peak / (scaleTop(panel) || 1))
      : settings.threshold;
    hidden.style.width = `${100 * share}%`;
  }
  home.replaceChildren(make("span", "", least), ramp, make("span", "", most));
  home.setAttribute("role", "img");
  home.setAttribute("aria-label", `Colour scale from ${least} to ${most}`);
}

/* -- Truth ------------------------------------------------------------------------------------- */

async function showTruth() {
  const row = scene && scene.truth.find(t => t.label === settings.outline);
  if (!row || masks.has(row.label)) return;
  const turn = latest;
  const mask = await decoded(row.src);
  if (turn !== latest) return;
  masks.set(row.label, mask);
  schedule();
}

function maskAt(label, width, height) {
  const key = `mask ${label} ${width}x${height}`;
  if (!reduced.has(key)) {
    const data = rastered(masks.get(label), width, height);
    reduced.set(key, Float32Array.from({ length: width * height }, (_, i) => data[4 * i] / 255));
  }
  return reduced.get(key);
}

let agreeing = 0;

/* The IoU of every map with the truth at the threshold; tables are made one at a time, when the
   page has nothing else to do. */
function agree() {
  clearTimeout(agreeing);
  const label = settings.outline;
  const ready = label && masks.has(label);
  if (label && !ready) showTruth();
  let missing = null;
  for (const panel of panels().filter(other => !other.diverging)) {
    const table = ready && panel.agreement.get(label);
    panel.iou.hidden = !ready;
    if (table) {
      const value = table[Math.round(1000 * cutAt())];
      panel.iou.textContent = `IoU ${value.toFixed(2)} at ${percent(cutAt())}`;
      panel.iou.dataset.iou = value;
    } else if (ready) {
      panel.iou.textContent = "IoU …";
      missing = missing || panel;
    }
  }
  if (!missing) return;
  agreeing = setTimeout(() => {
    const scale = Math.min(1, 1024 / Math.max(scene.width, scene.height));
    const width = Math.max(1, Math.round(scene.width * scale));
    const height = Math.max(1, Math.round(scene.height * scale));
    const mask = maskAt(label, width, height).map(value => (value >= 0.5 ? 1 : 0));
    const heat = upsample(missing.bytes, missing, missing.scene, width, height);
    if (!missing.scene.seen) {
      blank(heat, width, height, seenLines(missing.scene, width, height));
    }
    missing.agreement.set(label, iouTable(heat, mask, missing.summit));
    agree();
  }, 0);
}

/* -- The crosshair ----------------------------------------------------------------------------- */

/* The value of a panel at a pixel: the share of its maximum, and in the method's own units. */
function valueOf(panel, x, y) {
  const [x0, y0, x1, y1] = panel.scene.rect;
  if (x + 0.5 < x0 || x + 0.5 >= x1 || y + 0.5 < y0 || y + 0.5 >= y1) return null;
  const above = valueAt(panel.bytes, panel, panel.scene, x, y);
  if (!signed(panel)) return { share: above, raw: above * panel.peak };
  const below = panel.below ? valueAt(panel.below, panel, panel.scene, x, y) : 0;
  const raw = above * panel.peak - below * panel.lowest;
  return { share: panel.top ? raw / panel.top : 0, raw };
}

function saying(panel, value) {
  if (!value) return "not seen";
  const share = percent(value.share);
  return panel.unit === null ? share : `${share} · ${digits(value.raw)}`;
}

function point(at, { quiet = false } = {}) {
  cross = scene && image && at ? inside(at) : null;
  root.toggleAttribute("data-cross", Boolean(cross));
  part("read").querySelector("button").hidden = !cross;
  if (!scene || !image) return;
  if (cross) {
    root.style.setProperty("--x", `${100 * (cross.x + 0.5) / scene.width}%`);
    root.style.setProperty("--y", `${100 * (cross.y + 0.5) / scene.height}%`);
  }
  for (const panel of panels()) {
    const value = cross && valueOf(panel, cross.x, cross.y);
    panel.reading.textContent = cross ? saying(panel, value) : "";
    panel.reading.dataset.share = value ? value.share : "";
    panel.reading.dataset.raw = value ? value.raw : "";
  }
  part("where").textContent = cross ? `Column ${cross.x}, row ${cross.y}` : "";
  part("hint").textContent = cross
    ? "Under each map: share of its maximum · value in the method's units"
    : scene.pick || "Point at a map to read all of them there; click it to enlarge it.";
  if (large) readLarge();
  if (!quiet && cross) announce();
}

let announcing = 0;

/* Read out a moment after the last step, and only what has the focus. */
function announce() {
  clearTimeout(announcing);
  announcing = setTimeout(() => {
    const id = large ? large.id : focusOf(document.activeElement);
    const panel = scene && panels().find(other => other.id === id);
    if (!panel || !cross) return;
    part("live").textContent = `Column ${cross.x}, row ${cross.y}: ${panel.name} `
      + saying(panel, valueOf(panel, cross.x, cross.y));
  }, 350);
}

/* The pixel of the picture under the pointer. */
function under(event, open) {
  const place = open.querySelector("canvas").getBoundingClientRect();
  return {
    x: Math.floor((event.clientX - place.left) / place.width * scene.width),
    y: Math.floor((event.clientY - place.top) / place.height * scene.height),
  };
}

/* Where on the picture a map is highest. */
function peakOf(panel) {
  const size = fitted(256, 256);
  const width = Math.max(1, Math.round(size.width));
  const height = Math.max(1, Math.round(size.height));
  const heat = heatOf(panel, "bytes", width, height);
  let best = 0;
  for (let i = 1; i < heat.length; i++) if (heat[i] > heat[best]) best = i;
  return inside({
    x: Math.floor((best % width + 0.5) * scene.width / width),
    y: Math.floor((Math.floor(best / width) + 0.5) * scene.height / height),
  });
}

const panelOf = node => {
  if (!scene || !node) return null;
  if (dialog.contains(node)) return large;
  const id = focusOf(node);
  return panels().find(panel => panel.id === id) || null;
};

function steer(event, open) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const panel = panelOf(open);
  if (!panel || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.key === "Home") point(peakOf(panel));
  else if (event.key === "Escape" && cross && !dialog.open) point(null);
  else if (moves[event.key]) {
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(Math.max(scene.width, scene.height) / 100));
    const [right, down] = moves[event.key];
    point(cross ? { x: cross.x + step * right, y: cross.y + step * down } : peakOf(panel));
  } else return false;
  return true;
}

/* -- One panel, large -------------------------------------------------------------------------- */

function enlarge(panel) {
  large = panel;
  const row = panel.row;
  const method = `${row.method} (${row.paper})`;
  part("from").textContent = row.title === row.method ? method : `${row.title} · ${method}`;
  part("title").textContent = panel.name;
  part("zoomed").setAttribute("aria-label",
    `${panel.alt}. Arrow keys move the crosshair, Home goes to the maximum.`);
  typeset(part("formula"), panel.formula || row.formula || "");
  part("formula").hidden = !(panel.formula || row.formula);
  part("says").textContent = panel.says || row.says || "";
  typeset(part("symbols"), panel.formula ? panel.symbols : row.symbols);
  const notes = [...new Set([...panel.notes, ...panel.warnings, ...panel.remarks])];
  part("notes").replaceChildren(...notes.map(text => make("li",
    panel.warnings.includes(text) ? "vw-warning" : "", text)));
  dialog.setAttribute("aria-label", `${row.title}, ${panel.name}`);
  const several = panels().length > 1;
  for (const name of ["before", "after"]) {
    element.querySelector(`[data-do="${name}"]`).hidden = !several;
  }
  if (!dialog.open) dialog.showModal();
  ringOf(part("ring"), panel);
  drawLarge();
  readLarge();
}

function drawLarge() {
  const room = part("stage").getBoundingClientRect();
  const slim = window.innerWidth < 760;
  const size = fitted(Math.max(room.width, 1),
    slim ? 0.5 * window.innerHeight : Math.max(window.innerHeight - 130, 160));
  const open = part("zoomed");
  open.style.width = `${size.width}px`;
  open.style.height = `${size.height}px`;
  const scale = density(size.width * size.height);
  paintPanel(open.querySelector("canvas"), large,
    Math.max(1, Math.round(size.width * scale)), Math.max(1, Math.round(size.height * scale)));
  open.classList.toggle("vw-nothing", !sizeOf(large));
  bar(part("scale"), large.row, large);
  const found = part("found");
  found.hidden = settings.boxes === "none" || Boolean(large.diverging);
  if (found.hidden) return;
  // In the picture's own pixels, as the engine gives them.
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const across = scene.width / width, down = scene.height / height;
  const boxes = boxesOf({ width, height, heat: heatOf(large, "bytes", width, height) },
    { boxes: settings.boxes, cut: cutAt() * large.summit });
  const said = boxes.slice(0, 4).map(box => [box.x0 * across, box.y0 * down, box.x1 * across,
    box.y1 * down].map(Math.round).join(", "));
  found.textContent = said.length
    ? `Boxes at ${percent(cutAt())} (x0, y0, x1, y1 in pixels): ${said.join("; ")}`
      + (boxes.length > 4 ? `; and ${boxes.length - 4} more.` : ".")
    : `No box at ${percent(cutAt())}: ${large.peak ? "nothing but specks" : "the map is empty"}.`;
}

function readLarge() {
  part("reading").textContent = cross
    ? `Column ${cross.x}, row ${cross.y}: ${saying(large, valueOf(large, cross.x, cross.y))}`
    : large.diverging ? `From ${percent(-large.lowest)} to ${percent(large.peak)}`
      : `Maximum: ${large.unit === null ? "100%" : digits(large.peak)}`;
}

function leaf(step) {
  const all = panels();
  const at = all.findIndex(panel => panel.id === large.id);
  enlarge(all[(at + step + all.length) % all.length]);
}

function fileName(panel) {
  const words = [scene.picture.name.replace(/\.\w+$/, "") || "picture", panel.row.key, panel.key];
  return `${words.map(word => word.replace(/[^\p{L}\p{N}._-]+/gu, "-")).join("_")}.png`;
}

/* The panel as it is shown, with as many pixels as the picture was sent with. */
function download(panel) {
  const canvas = make("canvas");
  paintPanel(canvas, panel, image.naturalWidth, image.naturalHeight);
  canvas.toBlob(blob => {
    const anchor = make("a");
    anchor.href = URL.createObjectURL(blob);
    anchor.download = fileName(panel);
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
  }, "image/png");
}

/* -- Events: one listener a kind, whatever the value ------------------------------------------- */

element.addEventListener("input", event => {
  const { dataset, value, checked } = event.target;
  const group = event.target.closest("[data-choice]");
  if (group) change(group.dataset.choice, value);
  else if (dataset.number) change(dataset.number, Number(value));
  else if (dataset.check) change(dataset.check, checked);
  else if (dataset.select) change(dataset.select, value);
});

const DEEDS = {
  reset: () => {
    settings = { ...DEFAULTS, row: settings.row };
    reflect();
    point(cross, { quiet: true });
    schedule();
    publish();
    lead();
  },
  clear: () => point(null),
  close: () => dialog.close(),
  before: () => leaf(-1),
  after: () => leaf(1),
  download: () => download(large),
};

element.addEventListener("click", event => {
  const deed = event.target.closest("[data-do]");
  const tab = event.target.closest("[data-tab]");
  const open = event.target.closest(".vw-open");
  if (deed) DEEDS[deed.dataset.do]();
  else if (tab) change("row", tab.dataset.tab);
  else if (event.target === dialog) dialog.close(); // beside the sheet
  else if (event.target.closest("[data-enlarge]")) enlarge(panelOf(event.target));
  else if (open && open !== part("zoomed") && panelOf(open)) {
    if (!scene.pick) enlarge(panelOf(open));
    else {
      // A click by keyboard has no place of its own: the crosshair's, or else the maximum's.
      const { x, y } = event.detail ? inside(under(event, open)) : cross || peakOf(panelOf(open));
      trigger("select", { index: 0, value: [x, y], selected: true });
    }
  }
});

for (const kind of ["pointermove", "pointerdown"]) {
  element.addEventListener(kind, event => {
    const open = scene && image && event.target.closest(".vw-open");
    if (open) point(under(event, open), { quiet: true });
  });
}

element.addEventListener("keydown", event => {
  const open = event.target.closest(".vw-open");
  const tab = event.target.closest("[data-tab]");
  const more = event.target.closest("details");
  if (open && steer(event, open)) event.preventDefault();
  else if (more && event.key === "Escape" && more.open) {
    more.open = false;
    more.querySelector("summary").focus();
  } else if (tab && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
    const keys = scene.rows.map(row => row.key);
    const step = event.key === "ArrowRight" ? 1 : -1;
    change("row", keys[(keys.indexOf(tab.dataset.tab) + step + keys.length) % keys.length]);
    event.preventDefault();
  }
});

dialog.addEventListener("close", () => {
  const id = large && large.id;
  large = null;
  // Back to the panel that was left last, which need not be the one that was opened.
  if (id) part("rows").querySelector(`[data-id="${CSS.escape(id)}"] .vw-open`)?.focus();
});

const elsewhere = event => {
  if (!part("more").contains(event.target)) part("more").open = false;
};
part("more").addEventListener("toggle", () => {
  const listen = part("more").open ? "addEventListener" : "removeEventListener";
  document[listen]("pointerdown", elsewhere);
});

new ResizeObserver(() => {
  const before = column;
  const slim = narrow();
  layOut();
  if (column !== before || narrow() !== slim) draw();
  else if (large) drawLarge();
}).observe(root);

/* For whoever measures: how many values were shown, how often all panels were drawn, and how long
   that took the last time. */
root.viewer = {
  values: 0,
  milliseconds: 0,
  draws: 0,
  draw,
};

options(part("colors"), [
  ["", Object.keys(tables).filter(name => name !== fixed.diverging && !UNEVEN.includes(name))
    .map(name => [name, name])],
  ["uneven, familiar", UNEVEN.map(name => [name, name])],
]);
// gradio's block would cut off a menu that hangs over, and keep the tools from staying in sight.
element.closest(".block")?.style.setProperty("overflow", "visible");
watch("value", load);
load();
