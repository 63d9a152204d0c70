import assert from "node:assert/strict";
import test from "node:test";

import { originInWords, settingsInWords } from "../../assets/web/viewer/caption.js";
import { escapeXml, figureColumns, figureOf, wrapText } from "../../assets/web/viewer/figure.js";
import { enlargedSize } from "../../assets/web/viewer/layout.js";

const measure = (text, size) => 0.5 * size * text.length;
const SCALE = {
  stops: ["rgb(0, 0, 0)", "rgb(9, 9, 9)"], covers: [0, 1], least: "0", most: "0.5", hidden: 0.3,
};
const CONTENT = {
  title: "A <row> & more",
  title_first: true,
  panels: ["a", "b", "c", "d"].map(name =>
    ({ href: "data:image/png;base64,AA==", name, note: "", scale: null })),
  size: { width: 200, height: 150 },
  columns: 2,
  margin: 14,
  scale: SCALE,
  lines: ["Class: boat"],
};

test("a figure has every map in its place, and grows with what is written", () => {
  const { svg, places, width, height } = figureOf(CONTENT, measure);
  assert.equal(places.length, 4);
  assert.equal(svg.match(/<image /g).length, 4);
  assert.deepEqual(places.map(({ x }) => x), [14, 226, 14, 226]);
  assert.ok(places[2].y > places[0].y + 150);
  assert.ok(width >= 226 + 200 + 14 && height > places[2].y + 150);
  const longer = figureOf({ ...CONTENT, lines: ["word ".repeat(400)] }, measure);
  assert.ok(longer.height > height + 100);
  assert.ok(svg.includes("A &lt;row&gt; &amp; more") && !svg.includes("<row>"));
});

test("a map alone stands at the corner, its title below", () => {
  const one = { ...CONTENT, title_first: false, panels: CONTENT.panels.slice(0, 1), margin: 0 };
  const { places, svg, height } = figureOf(one, measure);
  assert.deepEqual(places, [{ x: 0, y: 0 }]);
  const at = Number(/<text x="[\d.]+" y="([\d.]+)" font-size="15"/.exec(svg)[1]);
  assert.ok(at > 150 && at < height);
});

test("the colour bar hides what the threshold hides", () => {
  const [, bar] = /<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)"[^>]*url/.exec(
    figureOf(CONTENT, measure).svg);
  const [, hidden] = /<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)"[^>]*fill-opacity/.exec(
    figureOf(CONTENT, measure).svg);
  assert.ok(Math.abs(hidden / bar - 0.3) < 0.01);
});

test("texts are broken at spaces, and words only where they have to be", () => {
  const wrap = (text, room) => wrapText(text, room, part => part.length);
  assert.deepEqual(wrap("one two three", 7), ["one two", "three"]);
  assert.deepEqual(wrap("extraordinary it is", 6), ["extrao", "rdinar", "y it", "is"]);
  assert.deepEqual(wrap("5\u00a0×\u00a05 cells", 5), ["5\u00a0×\u00a05", "cells"]);
  assert.deepEqual(wrap("", 5), []);
});

test("texts of any kind are XML", () => {
  assert.equal(escapeXml("<a b=\"c\">&\u0000\u001b\ud800"), "&lt;a b=&quot;c&quot;&gt;&amp;");
});

test("lines of a figure are about as long", () => {
  assert.deepEqual([1, 5, 6, 7, 9, 13].map(figureColumns), [1, 5, 6, 4, 5, 5]);
});

test("a caption says what maps are of, each thing once", () => {
  const row = { method: "Similarity.", paper: "cosine similarity" };
  const panels = [
    { label: "boat", network: "a" }, { label: "boat", network: "b" }, { label: "", network: "" },
  ];
  assert.equal(originInWords(row, panels, "two.png"),
    "Class: boat\u00a0· Networks: a, b\u00a0· Method: Similarity (cosine similarity)\u00a0· "
    + "Picture: two.png");
  assert.equal(originInWords({ method: "CAM", paper: "" }, [], ""), "Method: CAM");
});

test("a caption says how maps are drawn", () => {
  const settings = {
    view: "overlay", opacity: 0.55, threshold: 0, scale: "own", boxes: "none", contours: false,
    outline: "",
  };
  assert.equal(settingsInWords(settings, "viridis", [0.2, 0.2]),
    "Overlay, opacity 55%\u00a0· No threshold\u00a0· Colours viridis");
  const all = {
    ...settings, view: "map", threshold: 0.3, scale: "same", boxes: "all", contours: true,
    outline: "boat",
  };
  assert.equal(settingsInWords(all, "magma", [0.3]),
    "Map alone\u00a0· Threshold 30% of the maximum\u00a0· Colours magma\u00a0· "
    + "One scale for all maps of a method"
    + "\u00a0· Boxes at 30%\u00a0· Contour at 30%\u00a0· True outline: boat");
});

test("an enlarged map fills its room up to the pixels of its picture", () => {
  const picture = { width: 4000, height: 3000 };
  const sent = { width: 1200, height: 900 };
  assert.deepEqual(enlargedSize({ width: 800, height: 800 }, picture, sent),
    { width: 800, height: 600 });
  assert.deepEqual(enlargedSize({ width: 3000, height: 2000 }, picture, sent), sent);
  assert.deepEqual(enlargedSize({ width: 3000, height: 2000 }, { width: 64, height: 48 },
    { width: 64, height: 48 }), { width: 640, height: 480 });
});
