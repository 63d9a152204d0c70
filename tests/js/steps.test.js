// Stories in steps: where a visitor stands, what the address says of it, and colours.

import assert from "node:assert/strict";
import test from "node:test";

import { barHeights } from "../../assets/web/steps/cut.js";
import { cellColors, layHeat } from "../../assets/web/steps/figures.js";
import { placeOfQuery, queryOfPlace, standingAt } from "../../assets/web/steps/model.js";
import { close } from "./support.js";

const layer = (key, count) => ({ key, name: key, steps: Array.from({ length: count }, (_, i) => ({
  title: `${key}${i}`, says: "", formulas: [], groups: [], cut: null, ask: "",
})) });
const value = { stories: [
  { key: "method", title: "", note: "", first: "b", layers: [layer("a", 3), layer("b", 3)] },
  { key: "noise", title: "", note: "", first: "", layers: [layer("", 2)] },
] };
const query = text => new URLSearchParams(text);

test("an address names a story, a stage and a step", () => {
  const place = placeOfQuery(query("tab=steps&story=method&layer=a&step=2"));
  assert.deepEqual(place, { story: "method", layer: "a", step: 1 });
  assert.equal(standingAt(value, place).step.title, "a1");
});

test("what an address does not name, or wrongly, is the first", () => {
  for (const text of ["", "story=none&layer=none&step=none", "step=0", "step=-7"]) {
    const { story, layer: stage, at } = standingAt(value, placeOfQuery(query(text)));
    assert.deepEqual([story.key, stage.key, at], ["method", "b", 0], text);
  }
  assert.equal(standingAt(value, placeOfQuery(query("story=noise&step=99"))).at, 1);
});

test("an address says what is not the first anyway, and keeps all else", () => {
  const write = (text, place) => queryOfPlace(query(text), value, place).toString();
  assert.equal(write("tab=steps", { story: "noise", layer: "", step: 1 }),
    "tab=steps&story=noise&step=2");
  assert.equal(write("story=noise&step=2&colors=magma", { story: "method", layer: "b", step: 0 }),
    "colors=magma");
  const place = { story: "method", layer: "a", step: 2 };
  assert.deepEqual(placeOfQuery(query(write("", place))), { ...place, story: "" });
});

test("each byte has the colour of its place in the table", () => {
  const table = Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3) ^ i % 3);
  const pixels = cellColors(Uint8Array.of(0, 7, 255), table);
  assert.deepEqual([...pixels], [0, 1, 2, 255, 7, 6, 5, 255, 255, 254, 253, 255]);
});

test("the hotter a place, the less is seen of the picture", () => {
  const table = new Uint8Array(768).fill(200);
  const black = () => Uint8ClampedArray.of(0, 0, 0, 255);
  const shown = heat => layHeat(black(), Float32Array.of(heat), table, .5);
  assert.deepEqual([...shown(0)], [0, 0, 0, 255]);
  assert.deepEqual([...shown(.25)], [75, 75, 75, 255]);
  assert.deepEqual([...shown(.5)], [150, 150, 150, 255]);
  assert.deepEqual([...shown(1)], [150, 150, 150, 255]);
});

test("bars are logarithms of counts", () => {
  const [none, some, most] = barHeights([0, 9, 99], 99);
  assert.equal(none, 0);
  close(some, .5);
  assert.equal(most, 1);
  assert.deepEqual(barHeights([0, 0], 0), [0, 0]);
});
