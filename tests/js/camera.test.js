// A live camera's pace, and its map as a picture to lay over another.

import assert from "node:assert/strict";
import test from "node:test";

import {
  GIVEN_UP, LEAST_PAUSE, MOST_UNDER_WAY, Pace,
} from "../../assets/web/camera/pace.js";
import { tint } from "../../assets/web/camera/tint.js";

test("two frames are under way at most, however often the camera asks", () => {
  const pace = new Pace();
  let [sent, most, underWay] = [0, 0, 0];
  const arrives = new Map(); // time -> number
  for (let now = 1000; now < 11000; now += 5) {
    if (arrives.has(now)) {
      assert.ok(pace.answer(arrives.get(now), now));
      underWay -= 1;
    }
    if (!pace.isFree(now)) continue;
    const number = pace.send(now);
    arrives.set(now + 300, number);
    sent += 1;
    most = Math.max(most, ++underWay);
  }
  assert.equal(most, MOST_UNDER_WAY);
  assert.ok(sent >= 64 && sent <= 68); // 10 s at two in 300 ms: nothing lags, frames are dropped
  const { rate, latency, count } = pace.figures;
  assert.equal(latency, 300);
  assert.equal(count, 30);
  assert.ok(Math.abs(rate - 2 * 1000 / 300) < 0.2);
});

test("an answer that was overtaken by a later one is late", () => {
  const pace = new Pace();
  const first = pace.send(0), second = pace.send(LEAST_PAUSE);
  assert.ok(!pace.isFree(LEAST_PAUSE * 2));
  assert.ok(pace.answer(second, 200));
  assert.ok(!pace.answer(first, 210));
  assert.ok(pace.isFree(220));
  assert.equal(pace.figures.latency, 200 - LEAST_PAUSE);
});

test("a quick server is asked no more often than it should be", () => {
  const pace = new Pace();
  const number = pace.send(0);
  assert.ok(pace.answer(number, 10));
  assert.ok(!pace.isFree(LEAST_PAUSE - 1));
  assert.ok(pace.isFree(LEAST_PAUSE));
});

test("an answer that never comes is waited for no longer than a while, and is late then", () => {
  const pace = new Pace();
  const first = pace.send(0), second = pace.send(LEAST_PAUSE);
  assert.ok(!pace.isFree(GIVEN_UP - 1));
  assert.ok(pace.isFree(GIVEN_UP));
  const third = pace.send(GIVEN_UP);
  assert.ok(!pace.answer(first, GIVEN_UP + 5));
  assert.ok(pace.answer(third, GIVEN_UP + 5));
  assert.ok(!pace.answer(second, GIVEN_UP + 6));
  assert.equal(pace.figures.count, 1);
  assert.equal(pace.figures.latency, 5);
});

test("a map is opaque where it is hot, and has the colours of its table", () => {
  const table = new Uint8Array(768).map((_, i) => Math.floor(i / 3));
  const pixels = new Uint8ClampedArray(4 * 4);
  tint(new Float32Array([0, 0.25, 0.5, 1]), table, 0.8, 0.5, pixels);
  assert.deepEqual([...pixels.filter((_, i) => i % 4 === 0)], [0, 64, 128, 255]);
  const alphas = [...pixels.filter((_, i) => i % 4 === 3)];
  assert.equal(alphas[0], 0);
  assert.ok(Math.abs(alphas[1] - 255 * 0.8 * 64 / 255 / 0.5) <= 1);
  assert.deepEqual(alphas.slice(2), [204, 204]);
});
