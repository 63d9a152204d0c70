// The list of all classes: what is found by typing, and where keys go.

import assert from "node:assert/strict";
import test from "node:test";

// Elements are only made in a browser; their class must exist to be extended.
globalThis.HTMLElement ??= class {};
globalThis.ResizeObserver ??= class {};
const { findClasses, stepTo } = await import("../../assets/web/classes/class-list.js");

const LABELS = ["tiger cat", "tiger", "Tibetan mastiff", "cat bear", "great grey owl"];

test("classes are found by all words, in any order, in the order of the list", () => {
  assert.deepEqual(findClasses(LABELS, ""), [0, 1, 2, 3, 4]);
  assert.deepEqual(findClasses(LABELS, "  "), [0, 1, 2, 3, 4]);
  assert.deepEqual(findClasses(LABELS, "TI"), [0, 1, 2]);
  assert.deepEqual(findClasses(LABELS, "cat ti"), [0]);
  assert.deepEqual(findClasses(LABELS, "cat"), [0, 3]);
  assert.deepEqual(findClasses(LABELS, "zebra"), []);
});

test("arrows, pages and ends go through what is shown and stop at its ends", () => {
  const shown = [2, 5, 7, 11, 13, 17, 19, 23, 29, 31];
  assert.equal(stepTo("ArrowDown", shown, 5), 7);
  assert.equal(stepTo("ArrowUp", shown, 5), 2);
  assert.equal(stepTo("ArrowUp", shown, 2), 2);
  assert.equal(stepTo("ArrowDown", shown, 31), 31);
  assert.equal(stepTo("PageDown", shown, 2), 29);
  assert.equal(stepTo("PageUp", shown, 29), 2);
  assert.equal(stepTo("Home", shown, 19), 2);
  assert.equal(stepTo("End", shown, 5), 31);
});

test("a class that is not among those that are shown leads to the first of them", () => {
  assert.equal(stepTo("ArrowDown", [4, 6], 5), 4);
  assert.equal(stepTo("End", [4, 6], 5), 4);
  assert.equal(stepTo("ArrowDown", [], 5), null);
  assert.equal(stepTo("a", [4, 6], 4), null);
});
