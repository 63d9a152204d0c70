import assert from "node:assert/strict";
import test from "node:test";

import { upsample, visibleLines } from "../../assets/web/viewer/maps.js";
import {
  cropView, MOST_ZOOM, panBy, regionOf, reveal, WHOLE, zoomAt,
} from "../../assets/web/viewer/zoom.js";
import { close, random } from "./support.js";

const under = (zoom, at) => ({ x: zoom.x + at.x / zoom.scale, y: zoom.y + at.y / zoom.scale });

test("what lies under the pointer stays there", () => {
  const number = random(1);
  let zoom = zoomAt(WHOLE, 3, { x: 0.4, y: 0.6 });
  for (let i = 0; i < 50; i++) {
    const at = { x: number(), y: number() };
    const after = zoomAt(zoom, 1 + number(), at);
    const [before, now] = [under(zoom, at), under(after, at)];
    close(now.x, before.x);
    close(now.y, before.y);
    zoom = after.scale > 7 ? zoomAt(WHOLE, 3, at) : after;
  }
});

test("no zoom leaves its range, and no pan the picture", () => {
  const number = random(2);
  let zoom = WHOLE;
  for (let i = 0; i < 500; i++) {
    const at = { x: number(), y: number() };
    zoom = number() < 0.5 ? zoomAt(zoom, 0.3 + 2 * number(), at)
      : panBy(zoom, { x: 4 * number() - 2, y: 4 * number() - 2 });
    assert.ok(zoom.scale >= 1 && zoom.scale <= MOST_ZOOM);
    const { x, y, width, height } = regionOf(zoom, { width: 300, height: 200 });
    assert.ok(x >= 0 && y >= 0 && x + width <= 300 + 1e-9 && y + height <= 200 + 1e-9);
  }
  assert.deepEqual(zoomAt(zoom, 0.001), { ...WHOLE });
  assert.equal(zoomAt(zoom, 1000).scale, MOST_ZOOM);
});

test("a drag moves what is dragged with the pointer", () => {
  const zoom = zoomAt(WHOLE, 4);
  const moved = panBy(zoom, { x: 0.1, y: -0.2 });
  const [before, now] = [under(zoom, { x: 0.5, y: 0.5 }), under(moved, { x: 0.6, y: 0.3 })];
  close(now.x, before.x);
  close(now.y, before.y);
});

test("a place is brought into sight, and nothing moves that is in sight", () => {
  const zoom = zoomAt(WHOLE, 4);
  assert.deepEqual(reveal(zoom, { x: 0.5, y: 0.5 }), zoom);
  for (const place of [{ x: 0, y: 1 }, { x: 0.9, y: 0.1 }]) {
    const { x, y } = reveal(zoom, place);
    assert.ok(place.x >= x && place.x <= x + 0.25 && place.y >= y && place.y <= y + 0.25);
  }
});

test("a part of a map is that part of the whole", () => {
  const number = random(3);
  const map = { grid: [5, 6], stride: [8, 8], offset: [1.5, -2] };
  const bytes = Uint8Array.from({ length: 30 }, () => 255 * number());
  const view = { width: 80, height: 60, rect: [8, 3, 72, 57], input: [40, 48] };
  const whole = upsample(bytes, map, view, 80, 60);
  const seen = visibleLines(view, 80, 60);
  const region = { x: 20, y: 0, width: 40, height: 30 };
  const part = cropView(view, region);
  const crop = upsample(bytes, map, part, 40, 30);
  const lines = visibleLines(part, 40, 30);
  for (let y = 0; y < 30; y++) {
    assert.equal(lines.rows[y], seen.rows[y]);
    for (let x = 0; x < 40; x++) close(crop[40 * y + x], whole[80 * y + x + 20], 1e-6);
  }
});
