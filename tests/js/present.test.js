// Which maps stand on a projector.

import assert from "node:assert/strict";
import test from "node:test";

import { around, mapsFrom, placeOfMap } from "../../assets/web/present/walk.js";

const panels = ["deep", "shallow", "fused", "refined"].map(key => ({ id: `row ${key}`, key }));

test("the fused map comes first, and the one that was shown stays", () => {
  assert.equal(placeOfMap(panels, null), 2);
  assert.equal(placeOfMap(panels, "row shallow"), 1);
  assert.equal(placeOfMap(panels, "gone"), 2);
  assert.equal(placeOfMap(panels.slice(0, 2), null), 0);
  assert.equal(placeOfMap([], null), 0);
});

test("one map or two, around the end, and never one twice", () => {
  const keys = (at, two, of = panels) => mapsFrom(of, at, two).map(panel => panel.key);
  assert.deepEqual(keys(2, false), ["fused"]);
  assert.deepEqual(keys(2, true), ["fused", "refined"]);
  assert.deepEqual(keys(3, true), ["refined", "deep"]);
  assert.deepEqual(keys(0, true, panels.slice(0, 1)), ["deep"]);
  assert.deepEqual(keys(0, true, []), []);
});

test("steps go around", () => {
  assert.deepEqual([around(0, -1, 4), around(3, 1, 4), around(1, 1, 4)], [3, 0, 2]);
});
