// The box that is marked: where it may be, and what it holds.

import assert from "node:assert/strict";
import test from "node:test";

import { covered } from "../../assets/web/cover/mask.js";
import {
  LEAST_SIDE, boxBetween, boxMask, edgesOf, moveBox, resizeBox,
} from "../../assets/web/guess/box.js";

const [WIDTH, HEIGHT] = [40, 30];

function isOnRaster({ left, top, right, bottom }) {
  assert.ok([left, top, right, bottom].every(Number.isInteger));
  assert.ok(left >= 0 && top >= 0 && right <= WIDTH && bottom <= HEIGHT);
  assert.ok(right - left >= LEAST_SIDE && bottom - top >= LEAST_SIDE);
}

test("a box is that between two places, whichever comes first", () => {
  const box = { left: 5, top: 6, right: 20, bottom: 16 };
  assert.deepEqual(boxBetween([5, 6], [20, 16], WIDTH, HEIGHT), box);
  assert.deepEqual(boxBetween([20, 16], [5, 6], WIDTH, HEIGHT), box);
  assert.deepEqual(boxBetween([20, 6], [5, 16], WIDTH, HEIGHT), box);
});

test("a box stays on the raster and has some size, wherever it is drawn", () => {
  for (const x of [-50, 0, 1, 39, 40, 90]) {
    for (const y of [-50, 0, 29, 30, 90]) isOnRaster(boxBetween([x, y], [x, y], WIDTH, HEIGHT));
  }
  isOnRaster(boxBetween([-9, -9], [99, 99], WIDTH, HEIGHT));
});

test("a box moves as it is, up to the edge", () => {
  let box = boxBetween([5, 6], [15, 16], WIDTH, HEIGHT);
  assert.deepEqual(moveBox(box, 3, -2, WIDTH, HEIGHT), { left: 8, top: 4, right: 18, bottom: 14 });
  for (let i = 0; i < 20; i++) box = moveBox(box, 7, 7, WIDTH, HEIGHT);
  assert.deepEqual(box, { left: 30, top: 20, right: 40, bottom: 30 });
});

test("its size changes at its right and lower sides", () => {
  const box = boxBetween([5, 6], [15, 16], WIDTH, HEIGHT);
  const wider = resizeBox(box, 4, 0, WIDTH, HEIGHT);
  assert.deepEqual(wider, { left: 5, top: 6, right: 19, bottom: 16 });
  isOnRaster(resizeBox(box, -90, -90, WIDTH, HEIGHT));
  isOnRaster(resizeBox(box, 90, 90, WIDTH, HEIGHT));
});

test("its mask holds what is inside, and its edge is as long as its sides", () => {
  const box = boxBetween([5, 6], [15, 18], WIDTH, HEIGHT);
  const mask = boxMask(box, WIDTH, HEIGHT);
  assert.equal(covered(mask), 10 * 12 / (WIDTH * HEIGHT));
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      assert.equal(mask.bytes[y * WIDTH + x], Number(x >= 5 && x < 15 && y >= 6 && y < 18));
    }
  }
  assert.equal(edgesOf(mask).length, 2 * (10 + 12));
  assert.equal(covered(boxMask(null, WIDTH, HEIGHT)), 0);
});
