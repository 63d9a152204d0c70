// Curves: where a pointer and a key lead, which pixels change, what a file and a sentence say.

import assert from "node:assert/strict";
import test from "node:test";

import {
  PLOT, composeStep, curveInWords, curvesCsv, curvesFigure, plotSvg, rangeOf, stepAt, stepBy,
  strokeOf,
} from "../../assets/web/curves/plot.js";

const PALETTE = { ink: "#111", quiet: "#222", rule: "#333", accent: "#444" };
const line = (name, deletion, insertion) => ({
  key: name, name, deletion, insertion, changed: "",
  figures: { deletion: 0.25, insertion: 0.5, road: -0.125 },
});
const VALUE = {
  name: "photo", label: 'a "ram" & <co>', unit: "probability", size: [2, 2], picture: "",
  blurred: "", removed: [1, 2, 3], shares: [0, 0.25, 0.5, 0.75, 1],
  lines: [
    line("This map", [0.9, 0.4, 0.2, 0.1, 0], [0, 0.5, 0.8, 0.9, 0.9]),
    line('Random, "seed" 0', [0.9, 0.8, 0.7, 0.3, 0], [0, 0.1, 0.2, 0.3, 0.9]),
  ],
};

/** Where a share stands across the whole plot, from 0 to 1. */
const across = share =>
  (PLOT.left + share * (PLOT.width - PLOT.left - PLOT.right)) / PLOT.width;

test("a pointer leads to the nearest step, and beside the axes to the first and last", () => {
  VALUE.shares.forEach((share, i) => assert.equal(stepAt(across(share), VALUE.shares), i));
  assert.equal(stepAt(across(0.36), VALUE.shares), 1);
  assert.equal(stepAt(across(0.39), VALUE.shares), 2);
  assert.equal(stepAt(0, VALUE.shares), 0);
  assert.equal(stepAt(1, VALUE.shares), 4);
  assert.equal(stepAt(across(0.3), [0, 0.9, 1]), 0, "steps need not be even");
});

test("keys go through the steps and stop at their ends", () => {
  assert.equal(stepBy("ArrowRight", 3, 28), 4);
  assert.equal(stepBy("ArrowUp", 28, 28), 28);
  assert.equal(stepBy("ArrowLeft", 3, 28), 2);
  assert.equal(stepBy("ArrowDown", 0, 28), 0);
  assert.equal(stepBy("PageUp", 25, 28), 28);
  assert.equal(stepBy("PageDown", 9, 28), 4);
  assert.equal(stepBy("Home", 9, 28), 0);
  assert.equal(stepBy("End", 9, 28), 28);
  assert.equal(stepBy("a", 9, 28), null);
});

test("a pixel changes at its own step and stays so", () => {
  const before = Uint32Array.of(10, 11, 12, 13), after = Uint32Array.of(20, 21, 22, 23);
  const changed = Uint8Array.of(1, 3, 2, 1);
  const wanted = [[10, 11, 12, 13], [20, 11, 12, 23], [20, 11, 22, 23], [20, 21, 22, 23]];
  wanted.forEach((pixels, step) => {
    const target = new Uint32Array(4);
    composeStep(target, before, after, changed, step);
    assert.deepEqual([...target], pixels);
  });
});

test("probabilities are drawn from 0 to 1, values over their own range", () => {
  assert.deepEqual(rangeOf(VALUE), [0, 1]);
  const values = [line("a", [3, -2], [4, 5])];
  assert.deepEqual(rangeOf({ ...VALUE, unit: "value", lines: values }), [-2, 5]);
  assert.deepEqual(rangeOf({ ...VALUE, unit: "value", lines: [line("a", [3], [3])] }), [2.5, 3.5]);
});

test("every point of a line stands where its share and score are", () => {
  const svg = plotSvg(VALUE, "deletion", PALETTE, 2, 1);
  const lines = [...svg.matchAll(/<polyline points="([^"]+)"/g)].map(found => found[1]);
  assert.equal(lines.length, 2);
  const points = lines[0].split(" ").map(point => point.split(",").map(Number));
  const tall = PLOT.height - PLOT.top - PLOT.bottom;
  points.forEach(([x, y], i) => {
    assert.ok(Math.abs(x / PLOT.width - across(VALUE.shares[i])) < 1e-3);
    const score = (PLOT.height - PLOT.bottom - y) / tall;
    assert.ok(Math.abs(score - VALUE.lines[0].deletion[i]) < 1e-3);
  });
  const [, x, y] = /<circle cx="([\d.]+)" cy="([\d.]+)"/.exec(svg);
  assert.ok(Math.abs(x / PLOT.width - across(0.5)) < 1e-3);
  assert.ok(Math.abs((PLOT.height - PLOT.bottom - y) / tall - 0.7) < 1e-3, "of the chosen line");
  assert.ok(!plotSvg(VALUE, "deletion", PALETTE, null, 0).includes("<circle"));
});

test("values stand between the least and the greatest of them", () => {
  const values = { ...VALUE, unit: "value", shares: [0, 1], lines: [line("a", [3, -2], [4, 5])] };
  const heights = kind => /points="([^"]+)"/.exec(plotSvg(values, kind, PALETTE, null, 0))[1]
    .split(" ").map(point => Number(point.split(",")[1]));
  assert.equal(heights("deletion")[1], PLOT.height - PLOT.bottom);
  assert.equal(heights("insertion")[1], PLOT.top);
});

test("lines differ without their colours", () => {
  const dashes = [0, 1, 2, 3].map(i => strokeOf(i, PALETTE).dash);
  assert.equal(new Set(dashes).size, 4);
});

test("a curve is a sentence", () => {
  assert.equal(curveInWords(VALUE, VALUE.lines[0], "deletion"),
    'This map, deletion: a "ram" & <co> at 90% with 0% removed, 40% with 25% removed, '
    + "20% with 50% removed, 0% with 100% removed.");
  const short = { ...VALUE, shares: [0, 1], unit: "value" };
  assert.equal(curveInWords(short, line("A", [2.5, -1], []), "deletion"),
    'A, deletion: a "ram" & <co> at 2.50 with 0% removed, −1.00 with 100% removed.');
});

test("a file holds both plots, a legend and a description, and nothing unescaped", () => {
  const svg = curvesFigure(VALUE);
  assert.equal(svg.match(/<polyline/g).length, 4);
  assert.ok(svg.includes("<desc>") && svg.includes("This map: area of deletion 0.250"));
  assert.ok(svg.includes("a &quot;ram&quot; &amp; &lt;co&gt;") && !svg.includes("<co>"));
  assert.ok(!svg.includes("var("), "it stands by itself");
});

test("a table has every figure and every point", () => {
  const rows = curvesCsv(VALUE).trimEnd().split("\r\n");
  assert.equal(rows[0], "map,quantity,share,value");
  assert.equal(rows.length, 1 + 2 * (3 + 2 * 5));
  assert.ok(rows.includes("This map,road,,-0.125"));
  assert.ok(rows.includes("This map,deletion curve,0.25,0.4"));
  assert.ok(rows.includes('"Random, ""seed"" 0",insertion curve,1,0.9'));
});
