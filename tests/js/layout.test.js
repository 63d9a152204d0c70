// How many maps stand side by side, and how large each is.

import assert from "node:assert/strict";
import test from "node:test";

import {
  columnKeys, density, fitInside, isWide, layoutOf, panelSize, stageKeys,
} from "../../assets/web/viewer/layout.js";
import { close } from "./support.js";

const SQUARE = { width: 100, height: 100 };

function rowOf(keys, absent = []) {
  const row = { absent: absent.map(key => ({ key })) };
  row.panels = keys.map(key => ({ key, row, last: key === "fused" }));
  return row;
}

test("columns are stages, coarse to fine, then what was made of several", () => {
  const rows = [rowOf(["layer4", "layer3", "fused"]), rowOf(["layer4", "layer2", "fused"], ["x"])];
  assert.deepEqual(columnKeys(rows), ["layer4", "layer3", "layer2", "x", "fused"]);
  assert.deepEqual(stageKeys(rows), ["layer4", "layer3", "layer2", "x"]);
  assert.deepEqual(columnKeys([]), []);
});

test("maps fill the width, all in one line if they fit", () => {
  const { columns, width, aligned, narrow } = layoutOf(1000, 5, false, SQUARE);
  assert.deepEqual([columns, aligned, narrow], [5, true, false]);
  close(5 * width + 4 * 12, 1000);
  assert.equal(layoutOf(700, 9, false, SQUARE).aligned, false);
});

test("one or two maps need not fill the page", () => {
  assert.equal(layoutOf(2000, 1, false, SQUARE).width, 460);
});

test("a narrow page has two columns and shows one row", () => {
  const { narrow, columns, width } = layoutOf(370, 5, false, SQUARE);
  assert.deepEqual([narrow, columns], [true, 2]);
  close(2 * width + 12, 370);
});

test("a table leaves room for its titles", () => {
  const plain = layoutOf(1200, 8, false, SQUARE);
  const dense = layoutOf(1200, 8, true, SQUARE);
  close(8 * (plain.width - dense.width), 148);
  close(layoutOf(400, 8, true, SQUARE).width, layoutOf(400, 8, false, SQUARE).width);
});

test("no map is smaller than can be seen, if it has room", () => {
  for (let width = 620; width < 2000; width += 7) {
    assert.ok(layoutOf(width, 30, false, SQUARE).width >= 132);
    assert.ok(layoutOf(width, 30, true, SQUARE).width >= 96);
  }
});

test("the maps of a panorama are no strips", () => {
  const panorama = { width: 3000, height: 200 };
  for (const [room, count, dense] of [[950, 5, false], [1200, 8, true], [370, 5, false]]) {
    const { columns, track } = layoutOf(room, count, dense, panorama);
    assert.equal(columns, 1);
    const left = room - (dense && room > 620 ? 148 : 0);
    close(track, Math.min(left, 64 * 15));
  }
  assert.equal(layoutOf(950, 5, false, { width: 300, height: 100 }).columns, 4);
  assert.equal(layoutOf(950, 5, false, { width: 200, height: 3000 }).columns, 5);
});

test("maps have the picture's own shape", () => {
  assert.deepEqual(fitInside(200, 100, { width: 400, height: 400 }), SQUARE);
  const { width, height } = panelSize(200, { width: 100, height: 800 });
  close(width / height, 1 / 8);
  assert.ok(height <= 64 * 8);
  assert.ok(panelSize(200, { width: 9000, height: 3 }).height >= 1);
});

test("the maps of a tall picture are no strips either", () => {
  for (const [room, count, dense] of [[950, 5, false], [1200, 8, true], [370, 5, false]]) {
    const tall = { width: 200, height: 2000 };
    const { width } = layoutOf(room, count, dense, tall);
    close(panelSize(width, tall).width, 64);
    close(panelSize(width, { width: 200, height: 3000 }).height, 768);
  }
  close(panelSize(180, { width: 300, height: 400 }).width, 175.5); // as it was
});

test("the column of a narrow map is as wide as its words need", () => {
  assert.equal(layoutOf(1000, 5, false, { width: 10, height: 400 }).track, 132);
});

test("the last map has a line of its own where it would stand alone in one", () => {
  const wide = row => row.panels.map(isWide);
  assert.deepEqual(wide(rowOf(["a", "b", "fused"])), [false, false, true]);
  assert.deepEqual(wide(rowOf(["a", "b", "c", "fused"])), [false, false, false, false]);
  assert.deepEqual(wide(rowOf(["a", "fused"], ["x"])), [false, true]);
  assert.deepEqual(wide(rowOf(["fused"])), [false]);
  assert.deepEqual(wide(rowOf(["a", "b", "c"])), [false, false, false]);
});

test("as sharp as the screen, unless that were slow", () => {
  assert.equal(density(1e5, 1), 1);
  assert.equal(density(1e5, 3), 2);
  close(density(1e6, 2), Math.sqrt(1.2));
  assert.equal(density(9e6, 2), 1);
});
