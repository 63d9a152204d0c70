// The slider that goes through maps: which step a number means.

import assert from "node:assert/strict";
import test from "node:test";

// Elements are only made in a browser; their class must exist to be extended.
globalThis.HTMLElement ??= class {};
globalThis.ResizeObserver ??= class {};
const { nearestStep } = await import("../../assets/web/sanity/map-slider.js");

test("a step is the nearest one that there is", () => {
  assert.equal(nearestStep(2, 5), 2);
  assert.equal(nearestStep(2.6, 5), 3);
  assert.equal(nearestStep(-1, 5), 0);
  assert.equal(nearestStep(9, 5), 4);
  assert.equal(nearestStep(3, 1), 0);
  assert.equal(nearestStep(0, 0), 0);
});

test("what is no number is the first step", () => {
  assert.equal(nearestStep(NaN, 5), 0);
  assert.equal(nearestStep(Infinity, 5), 0);
});
