// What is painted: strokes against every pixel's distance, masks as texts, parts by a press.

import assert from "node:assert/strict";
import test from "node:test";

import {
  covered, drawStroke, emptyMask, partAt, readMask, writeMask,
} from "../../assets/web/cover/mask.js";

/* The distance of a point from a line between two others, by trying many points of it. */
function slowDistance([x, y], [x0, y0], [x1, y1]) {
  let least = Infinity;
  for (let i = 0; i <= 4000; i++) {
    const t = i / 4000;
    least = Math.min(least, Math.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0)));
  }
  return least;
}

const rows = mask => Array.from({ length: mask.height }, (_, y) =>
  [...mask.bytes.subarray(y * mask.width, (y + 1) * mask.width)].join(""));

test("a stroke covers what is within the radius of its line, and nothing else", () => {
  const lines = [
    [[3.3, 4.1], [14.2, 9.7]], [[8, 8], [8, 8]], [[-4, 3], [30, 3]], [[2, 14], [2, 1]],
  ];
  for (const [from, to] of lines) {
    for (const radius of [0.75, 2.3, 5]) {
      const mask = emptyMask(20, 16);
      drawStroke(mask, from, to, radius, 1);
      for (let y = 0; y < 16; y++) {
        for (let x = 0; x < 20; x++) {
          const distance = slowDistance([x + 0.5, y + 0.5], from, to);
          if (Math.abs(distance - radius) < 0.01) continue;
          assert.equal(mask.bytes[y * 20 + x], Number(distance < radius), `${x}, ${y}, ${radius}`);
        }
      }
    }
  }
});

test("the rubber uncovers within its radius and leaves the rest", () => {
  const mask = emptyMask(9, 5);
  mask.bytes.fill(1);
  drawStroke(mask, [4.5, 2.5], [4.5, 2.5], 1.1, 0);
  assert.deepEqual(rows(mask), ["111111111", "111101111", "111000111", "111101111", "111111111"]);
  assert.equal(covered(mask), 40 / 45);
});

test("a mask comes back from its text, which is the one that Python writes", () => {
  const mask = emptyMask(150, 2);
  for (let x = 140; x < 150; x++) mask.bytes[x] = 1;
  for (let x = 0; x < 5; x++) mask.bytes[150 + x] = 1;
  assert.equal(writeMask(mask), "150x2.jAEPkQE");
  assert.deepEqual(readMask("150x2.jAEPkQE", 150, 2), mask);
  const all = emptyMask(2, 1);
  all.bytes.fill(1);
  assert.equal(writeMask(all), "2x1.AAI");
  assert.deepEqual(readMask("2x1.AAI", 2, 1), all);
});

test("any mask comes back", () => {
  let seed = 1;
  const random = () => (seed = seed * 48271 % 2147483647) / 2147483647;
  for (const share of [0.02, 0.5, 0.98]) {
    const mask = emptyMask(61, 43);
    mask.bytes.forEach((_, i) => { mask.bytes[i] = Number(random() < share); });
    assert.deepEqual(readMask(writeMask(mask), 61, 43), mask);
  }
});

test("nothing painted is an empty text, and what is no mask paints nothing", () => {
  assert.equal(writeMask(emptyMask(7, 3)), "");
  for (const text of ["", "nonsense", "3x3"]) {
    assert.deepEqual(readMask(text, 7, 3), emptyMask(7, 3));
  }
});

test("a mask of another size is read at the centres of its pixels", () => {
  const mask = emptyMask(2, 2);
  mask.bytes[1] = mask.bytes[2] = 1;
  assert.deepEqual(rows(readMask(writeMask(mask), 4, 2)), ["0011", "1100"]);
});

test("a press takes the part that it is on", () => {
  const [left, right] = [emptyMask(4, 2), emptyMask(4, 2)];
  left.bytes[0] = left.bytes[4] = right.bytes[3] = 1;
  const parts = [["left", left], ["right", right]];
  assert.equal(partAt(parts, [0.9, 1.2]), "left");
  assert.equal(partAt(parts, [3.1, 0.2]), "right");
  for (const place of [[1.5, 0.5], [3.5, 1.5], [-0.1, 0.5], [4, 0.5], [0.5, 2]]) {
    assert.equal(partAt(parts, place), null);
  }
});
