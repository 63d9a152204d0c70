// One of several maps: which bytes are whose.

import assert from "node:assert/strict";
import test from "node:test";

import { mapOf } from "../../assets/web/viewer/one-map.js";

test("each map has its own part of the bytes", () => {
  const bytes = Uint8Array.from({ length: 24 }, (_, i) => i);
  assert.deepEqual([...mapOf(bytes, [2, 3], 0)], [0, 1, 2, 3, 4, 5]);
  assert.deepEqual([...mapOf(bytes, [2, 3], 3)], [18, 19, 20, 21, 22, 23]);
});
