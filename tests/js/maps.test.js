// Arithmetic on maps against slow, plain implementations; Chromium compares it with the engine.

import assert from "node:assert/strict";
import test from "node:test";

import {
  blank, bytesOf, clamp, contour, iouTable, partsOf, summitOf, upsample, valueAt, visibleLines,
} from "../../assets/web/viewer/maps.js";
import { close, random } from "./support.js";

const VIEW = { width: 30, height: 20, rect: [0, 0, 30, 20], input: [40, 60] };
const MAP = { grid: [4, 6], stride: [10, 10], offset: [0, 0] };
const CROP = { width: 30, height: 20, rect: [5, -2, 25, 18], input: [40, 40] };
const MOVED = { grid: [4, 5], stride: [10, 8], offset: [2.25, -1.5] };

function noise(map, seed = 0) {
  const next = random(seed);
  return Uint8Array.from({ length: map.grid[0] * map.grid[1] }, () => 256 * next());
}

/** The value under a pixel by the definition: cell i is centred on stride i + (stride - 1) / 2. */
function slowly(bytes, map, view, x, y) {
  const axis = (pixel, start, end, size, stride, offset, count) => {
    const place = (pixel + 0.5 - start) / (end - start) * size - 0.5;
    const cell = clamp((place - (stride - 1) / 2 - offset) / stride, 0, count - 1);
    return Array.from({ length: count }, (_, i) => Math.max(0, 1 - Math.abs(i - cell)));
  };
  const [x0, y0, x1, y1] = view.rect;
  const down = axis(y, y0, y1, view.input[0], map.stride[0], map.offset[0], map.grid[0]);
  const across = axis(x, x0, x1, view.input[1], map.stride[1], map.offset[1], map.grid[1]);
  let sum = 0;
  down.forEach((a, i) => across.forEach((b, j) => {
    sum += a * b * bytes[i * map.grid[1] + j];
  }));
  return sum / 255;
}

test("base64 is read as bytes", () => {
  assert.deepEqual([...bytesOf(btoa(String.fromCharCode(0, 127, 255)))], [0, 127, 255]);
});

for (const [name, map, view] of [["plain", MAP, VIEW], ["moved, cropped", MOVED, CROP]]) {
  test(`up-sampling is bilinear: ${name}`, () => {
    const bytes = noise(map);
    const heat = upsample(bytes, map, view, view.width, view.height);
    for (let y = 0; y < view.height; y++) {
      for (let x = 0; x < view.width; x++) {
        const wanted = slowly(bytes, map, view, x, y);
        close(heat[y * view.width + x], wanted);
        close(valueAt(bytes, map, view, x, y), wanted);
      }
    }
  });

  test(`the summit is the highest pixel that the network was shown: ${name}`, () => {
    const bytes = noise(map, 1);
    const heat = upsample(bytes, map, view, view.width, view.height);
    blank(heat, view.width, view.height, visibleLines(view, view.width, view.height));
    close(summitOf(bytes, map, view), Math.max(...heat));
  });
}

test("a map of one cell is even", () => {
  const map = { grid: [1, 1], stride: [40, 60], offset: [0, 0] };
  const heat = upsample(Uint8Array.of(51), map, VIEW, 3, 2);
  for (const value of heat) close(value, 0.2);
});

test("lines are visible whose centre the network was shown", () => {
  const { columns, rows } = visibleLines(CROP, 30, 20);
  assert.ok(columns.every((visible, i) => Boolean(visible) === (i >= 5 && i < 25)));
  assert.ok(rows.every((visible, i) => Boolean(visible) === i < 18));
  const heat = blank(new Float32Array(600).fill(1), 30, 20, { columns, rows });
  assert.equal(heat.reduce((a, b) => a + b), 20 * 18);
});

test("parts are connected by sides and corners, the largest first", () => {
  const heat = Float32Array.of(
    1, 0, 0, 0, 0.5,
    0, 1, 0, 0, 0.5,
    1, 0, 0, 0, 0,
    0, 0, 0, 0.3, 0,
  );
  const parts = partsOf(heat, 5, 4, 0.4);
  assert.deepEqual(parts.map(part => part.pixels), [3, 2]);
  const boxes = parts.map(({ x0, y0, x1, y1 }) => [x0, y0, x1, y1]);
  assert.deepEqual(boxes, [[0, 0, 2, 3], [4, 0, 5, 2]]);
  assert.equal(partsOf(heat, 5, 4, 0.3).length, 3);
  assert.deepEqual(partsOf(new Float32Array(20), 5, 4, 0), [], "what is 0 is no part of anything");
});

test("specks are left out by area and by heat", () => {
  const heat = new Float32Array(100);
  heat.fill(1, 0, 30);
  heat.fill(0.2, 50, 54);
  heat[99] = 0.9;
  const pixels = specks => partsOf(heat, 10, 10, 0.1, specks).map(part => part.pixels);
  assert.deepEqual(pixels(undefined), [30, 4, 1]);
  assert.deepEqual(pixels({ area: 0.02, heat: 0 }), [30, 4]);
  assert.deepEqual(pixels({ area: 0, heat: 0.029 }), [30, 1]);
});

test("a contour is closed and stands where the value is met", () => {
  const [width, height] = [24, 16];
  const heat = Float32Array.from({ length: width * height }, (_, i) =>
    1 - Math.hypot(i % width - 11, Math.floor(i / width) - 8) / 12);
  const ends = new Map();
  contour(heat, width, height, 0.6, (x0, y0, x1, y1) => {
    for (const [x, y] of [[x0, y0], [x1, y1]]) {
      close(Math.hypot(x - 11.5, y - 8.5), 0.4 * 12, 0.1);
      const key = `${x.toFixed(6)} ${y.toFixed(6)}`;
      ends.set(key, (ends.get(key) ?? 0) + 1);
    }
  });
  assert.ok(ends.size > 20 && [...ends.values()].every(count => count === 2));
});

test("agreement with a mask, at any threshold", () => {
  const next = random(3);
  const heat = Float32Array.from({ length: 500 }, next);
  const mask = Uint8Array.from({ length: 500 }, () => (next() < 0.3 ? 1 : 0));
  const summit = Math.max(...heat);
  const table = iouTable(heat, mask, summit);
  for (const k of [50, 200, 777, 1000]) {
    let [both, either] = [0, 0];
    heat.forEach((value, i) => {
      const chosen = value >= k / 1000 * summit;
      both += chosen && mask[i] ? 1 : 0;
      either += chosen || mask[i] ? 1 : 0;
    });
    close(table[k], both / either);
  }
  assert.ok(iouTable(new Float32Array(500), mask, 0).every(value => value === 0));
});
