// How many maps stand side by side, and how large each is.

import assert from "node:assert/strict";
import test from "node:test";

import {
  columnKeys, density, fitInside, layoutOf, leads, panelSize, spanOf, spanWidth, stageKeys,
} from "../../assets/web/viewer/layout.js";
import { close } from "./support.js";

const SQUARE = { width: 100, height: 100 };

function rowOf(keys, absent = []) {
  const row = { absent: absent.map(key => ({ key })) };
  row.panels = keys.map(key => ({ key, row, last: key === "fused", ends: null }));
  return row;
}

test("columns are stages, coarse to fine, then what was made of several", () => {
  const rows = [rowOf(["layer4", "layer3", "fused"]), rowOf(["layer4", "layer2", "fused"], ["x"])];
  assert.deepEqual(columnKeys(rows), ["layer4", "layer3", "layer2", "x", "fused"]);
  assert.deepEqual(stageKeys(rows), ["layer4", "layer3", "layer2", "x"]);
  assert.deepEqual(columnKeys([]), []);
  const single = rowOf(["layer4", "refined"]);
  single.panels[1].last = true;
  const row = rowOf(["layer4", "fused", "refined"]);
  row.panels[2].last = true;
  assert.deepEqual(columnKeys([single, row]), ["layer4", "fused", "refined"]);
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

test("of small maps many stand side by side, and each has one column", () => {
  const layout = layoutOf(1000, 13, true, SQUARE, true);
  assert.deepEqual([layout.columns, layout.aligned], [13, true]);
  close(13 * layout.width + 12 * 6, 1000 - 148);
  assert.equal(layoutOf(1000, 13, true, SQUARE).aligned, false);
  const phone = layoutOf(370, 13, true, SQUARE, true);
  assert.deepEqual([phone.narrow, phone.columns], [true, 4]);
  const row = rowOf(Array.from({ length: 13 }, (_, i) => `head${i}`));
  assert.deepEqual([...new Set(row.panels.map(panel => spanOf(panel, phone)))], ["column"]);
  assert.equal(spanOf(row.panels[12], { ...phone, small: false }), "line");
});

test("no map is smaller than can be seen, if it has room", () => {
  for (let width = 620; width < 2000; width += 7) {
    assert.ok(layoutOf(width, 30, false, SQUARE).width >= 96);
    assert.ok(layoutOf(width, 30, true, SQUARE).width >= 93);
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
  assert.equal(layoutOf(950, 5, false, { width: 300, height: 100 }).columns, 3);
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
  assert.equal(layoutOf(1000, 5, false, { width: 10, height: 400 }).track, 96);
});

test("no line is a single map, at any width and number of layers", () => {
  for (const dense of [false, true]) {
    for (let width = 620; width < 2600; width += 13) {
      for (let count = 2; count <= 12; count += 1) {
        const { columns } = layoutOf(width, count, dense, SQUARE);
        assert.ok(columns >= 2 && count % columns !== 1, `${count} maps in ${width}: ${columns}`);
      }
    }
  }
});

test("so many maps as a network usually has stand in one line", () => {
  assert.equal(layoutOf(980, 8, false, SQUARE).aligned, true); // six layers at 1440 pixels
  assert.equal(layoutOf(636, 6, false, SQUARE).aligned, true); // four at 1024
});

test("the map of all stages comes first on a narrow page, and larger", () => {
  const spans = (row, width) => {
    const layout = layoutOf(width, row.panels.length, false, SQUARE);
    return row.panels.map(panel => spanOf(panel, layout));
  };
  const usual = rowOf(["a", "b", "c", "d", "fused"]);
  assert.deepEqual(usual.panels.map(leads), [false, false, false, false, true]);
  assert.deepEqual(spans(usual, 370), [...Array(4).fill("column"), "line"]);
  assert.deepEqual(spans(usual, 564), [...Array(4).fill("column"), "block"]);
  assert.deepEqual(spans(usual, 980), Array(5).fill("column"));
  assert.deepEqual(rowOf(["fused"]).panels.map(leads), [false]);
  const layout = layoutOf(564, 5, false, SQUARE);
  close(spanWidth("block", layout, 564), (564 - 12) / 2);
  close(spanWidth("line", layout, 564), 564);
});

test("a difference keeps its place, in a line of its own where it would stand alone", () => {
  const row = rowOf(["a", "b", "fused"]);
  row.panels[2].ends = ["less", "more"];
  assert.deepEqual(row.panels.map(leads), [false, false, false]);
  const spans = width => row.panels.map(panel => spanOf(panel, layoutOf(width, 3, true, SQUARE)));
  assert.deepEqual(spans(370), ["column", "column", "line"]);
  assert.deepEqual(spans(980), ["column", "column", "column"]);
});

test("as sharp as the screen, unless that were slow", () => {
  assert.equal(density(1e5, 1), 1);
  assert.equal(density(1e5, 3), 2);
  close(density(1e6, 2), Math.sqrt(1.2));
  assert.equal(density(9e6, 2), 1);
});
