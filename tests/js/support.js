import assert from "node:assert/strict";

/** Numbers in [0, 1), always the same for a seed (mulberry32). */
export function random(seed) {
  let state = seed;
  return () => {
    state = state + 0x6d2b79f5 | 0;
    let mixed = Math.imul(state ^ state >>> 15, 1 | state);
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed;
    return ((mixed ^ mixed >>> 14) >>> 0) / 4294967296;
  };
}

export function close(value, wanted, tolerance = 1e-6) {
  assert.ok(Math.abs(value - wanted) <= tolerance, `${value} is not ${wanted}`);
}
