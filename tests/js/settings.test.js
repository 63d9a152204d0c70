// What links set, and what is written into them; how the crosshair moves by keys.

import assert from "node:assert/strict";
import test from "node:test";

import { handleArrowKeys } from "../../assets/web/viewer/crosshair.js";
import { ViewerModel } from "../../assets/web/viewer/model.js";
import { ViewerSettings } from "../../assets/web/viewer/settings.js";

const CONFIGURATION = {
  settings: {
    view: "overlay", opacity: 0.7, blend: "heat", threshold: 0, colors: "viridis",
    scale: "own", boxes: "none",
    contours: false, signed: false, outline: "", row: "",
  },
  choices: { view: ["overlay", "map"], scale: ["own", "same"], boxes: ["none", "all"] },
  tables: { viridis: "", magma: "x", PuOr_r: "x" },
  diverging: "PuOr_r",
  uneven: [],
  hot: 0.5,
  threshold: 0.2,
  max_threshold: 0.95,
  speck_area: 0.01,
  speck_heat: 0.1,
  link_keys: ["backbone", "class", "stages"],
};

function settingsFrom(query) {
  const settings = new ViewerSettings(CONFIGURATION);
  settings.applyQuery(new URLSearchParams(query));
  return settings;
}

test("a link sets what it names", () => {
  const query = "view=map&opacity=0.333&colors=magma&contours=1&row=denoised&x=y";
  const { values } = settingsFrom(query);
  assert.deepEqual(values, {
    ...CONFIGURATION.settings,
    view: "map", opacity: 0.33, colors: "magma", contours: true, row: "denoised",
  });
});

test("nonsense in a link is ignored", () => {
  const { values } = settingsFrom("view=sideways&opacity=9&threshold=x&colors=PuOr_r&contours=yes");
  assert.deepEqual(values, CONFIGURATION.settings);
  assert.equal(settingsFrom("threshold=1").values.threshold, 0.95);
});

test("a link holds what differs, and the server's part in the place of the one before", () => {
  const settings = settingsFrom("opacity=0.2&signed=1");
  const query = new URLSearchParams("keep=me&class=old&stages=a&view=map&opacity=0.9");
  const written = settings.writeQuery(query, { class: "new & better" });
  assert.deepEqual(Object.fromEntries(written), {
    keep: "me", class: "new & better", opacity: "0.2", signed: "1",
  });
  assert.deepEqual(settingsFrom(written).values, settings.values);
});

test("changes are told from repetitions", () => {
  const settings = settingsFrom("");
  assert.equal(settings.change({ boxes: "none" }), false);
  assert.equal(settings.change({ boxes: "all", scale: "same", opacity: 0 }), true);
  assert.equal(settings.changedInMenu, 2);
  settings.change({ row: "b" });
  settings.reset();
  assert.deepEqual(settings.values, { ...CONFIGURATION.settings, row: "b" });
});

test("a follower keeps its own row and outline", () => {
  const settings = settingsFrom("row=mine&outline=ram");
  settings.follow(settingsFrom("row=other&outline=boat&colors=magma").values);
  const { row, outline, colors } = settings.values;
  assert.deepEqual([row, outline, colors], ["mine", "ram", "magma"]);
});

const SCENE = { rect: [0, 0, 200, 100], input: [10, 20], shows_all: true };
const PANEL = {
  key: "a", scene: SCENE, grid: [1, 2], stride: [10, 10], offset: [0, 0], against: null,
  data: btoa(String.fromCharCode(0, 255)), words: null,
};
const MODEL = new ViewerModel({
  picture: { src: "", width: 200, height: 100, name: "" },
  rows: [{ key: "row", words: { summary: "s" }, panels: [PANEL], absent: [] }],
});

function press(key, place, options = {}) {
  return handleArrowKeys({ key, ...options }, place, MODEL, MODEL.panels[0]);
}

test("every map knows its row, and what is said of it if nothing else is", () => {
  const [panel] = MODEL.panels;
  assert.equal(panel.id, "row/a");
  assert.deepEqual(panel.words, { summary: "s" });
  assert.equal(MODEL.find("row/a"), panel);
  assert.equal(MODEL.find("row/b"), null);
});

test("arrow keys move the crosshair inside of the picture", () => {
  assert.deepEqual(press("ArrowLeft", { x: 50, y: 50 }), { x: 48, y: 50 });
  assert.deepEqual(press("ArrowDown", { x: 50, y: 50 }, { shiftKey: true }), { x: 50, y: 51 });
  assert.deepEqual(press("ArrowUp", { x: 0, y: 0 }), { x: 0, y: 0 });
  assert.deepEqual(press("ArrowRight", { x: 199, y: 99 }), { x: 199, y: 99 });
});

test("the first arrow, and Home, go to the maximum; Escape takes the crosshair away", () => {
  assert.ok(press("Home", { x: 3, y: 3 }).x >= 149);
  assert.deepEqual(press("ArrowUp", null), press("Home", null));
  assert.equal(press("Escape", { x: 3, y: 3 }), null);
  assert.equal(press("Escape", null), undefined);
});

test("other keys are left to the browser", () => {
  assert.equal(press("Tab", { x: 3, y: 3 }), undefined);
  assert.equal(press("ArrowLeft", { x: 3, y: 3 }, { ctrlKey: true }), undefined);
});
