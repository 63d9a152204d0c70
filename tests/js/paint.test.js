// The colours of a panel, pixel by pixel, against floating-point arithmetic.

import assert from "node:assert/strict";
import test from "node:test";

import { boxesOf, compose } from "../../assets/web/viewer/paint.js";
import { random } from "./support.js";

const [WIDTH, HEIGHT] = [16, 9];
const COUNT = WIDTH * HEIGHT;
const next = random(0);
const pixel = () => (0xff000000 | 0x1000000 * next()) >>> 0;
const PICTURE = Uint32Array.from({ length: COUNT }, pixel);
const TABLE = Uint8Array.from({ length: 768 }, () => 256 * next());
const HEAT = Float32Array.from({ length: COUNT }, next);
const AGAINST = Float32Array.from({ length: COUNT }, next);
const LOOK = {
  show: "overlay", opacity: 0.55, hot: 0, table: TABLE, threshold: 0, cut: 0.2, contours: false,
  boxes: "none", specks: { area: 0.01, heat: 0.1 },
};
const RASTER = {
  width: WIDTH, height: HEIGHT, heat: HEAT, signed: false, against: null, factor: 1, lowest: 0,
  own: 1, visible: null, truth: null,
};

const bytes = value => [value & 255, value >>> 8 & 255, value >>> 16 & 255, value >>> 24];

function composePanel(look = {}, raster = {}) {
  const target = new Uint32Array(COUNT);
  compose(target, PICTURE, { ...RASTER, ...raster }, { ...LOOK, ...look });
  return target;
}

function assertColors(target, colorAt) {
  target.forEach((value, i) => bytes(value).forEach((byte, channel) => {
    const wanted = channel === 3 ? 255 : colorAt(i, channel);
    assert.ok(Math.abs(byte - wanted) <= 0.5 + 1e-3, `pixel ${i}, ${channel}: ${byte}, ${wanted}`);
  }));
}

const colorOf = level => channel => TABLE[3 * level + channel];

test("an overlay is blended within half a step", () => {
  assertColors(composePanel(), (i, channel) =>
    0.45 * bytes(PICTURE[i])[channel] + 0.55 * colorOf(Math.round(255 * HEAT[i]))(channel));
});

test("opacity follows the heat until it is full", () => {
  const blended = (i, channel, level, heat) => {
    const cover = 0.55 * Math.min(1, heat / 0.5);
    return (1 - cover) * bytes(PICTURE[i])[channel] + cover * colorOf(level)(channel);
  };
  assertColors(composePanel({ hot: 0.5 }), (i, channel) => {
    const level = Math.round(255 * HEAT[i]);
    return blended(i, channel, level, level / 255);
  });
  const raster = { signed: true, against: AGAINST, factor: 0.5, lowest: 0.8 };
  assertColors(composePanel({ hot: 0.5 }, raster), (i, channel) => {
    const level = Math.trunc(128 + 127.5 * (0.5 * HEAT[i] - 0.8 * AGAINST[i]));
    return blended(i, channel, level, Math.abs(level - 128) / 127.5);
  });
});

test("what the map ignores keeps the colours of the picture", () => {
  assert.deepEqual(composePanel({ hot: 0.5 }, { heat: new Float32Array(COUNT) }), PICTURE);
});

test("a map alone, on a scale of its neighbours", () => {
  assertColors(composePanel({ show: "map" }, { factor: 0.4 }), (i, channel) =>
    colorOf(Math.floor(255 * 0.4 * HEAT[i] + 0.5))(channel));
});

test("the picture alone is left as it is", () => {
  assert.deepEqual(composePanel({ show: "picture" }), PICTURE);
});

test("for and against, zero in the middle", () => {
  const raster = { signed: true, against: AGAINST, factor: 0.5, lowest: 0.8 };
  assertColors(composePanel({ show: "map" }, raster), (i, channel) =>
    colorOf(Math.trunc(128 + 127.5 * (0.5 * HEAT[i] - 0.8 * AGAINST[i])))(channel));
});

test("what is below the threshold uncovers the picture, or nothing", () => {
  const overlay = composePanel({ threshold: 0.5 });
  const map = composePanel({ threshold: 0.5, show: "map" });
  HEAT.forEach((value, i) => {
    assert.equal(overlay[i] === PICTURE[i], value < 0.5);
    assert.equal(map[i] >>> 24, value < 0.5 ? 0 : 255);
  });
});

test("what the network was not shown is grey and hatched, whatever is shown", () => {
  const columns = new Uint8Array(WIDTH).fill(1);
  const rows = new Uint8Array(HEIGHT).fill(1);
  columns[0] = rows[4] = 0;
  for (const show of ["overlay", "map", "picture"]) {
    const target = composePanel({ show }, { visible: { columns, rows } });
    target.forEach((value, i) => {
      const [red, green, blue] = bytes(value);
      const hidden = i % WIDTH === 0 || Math.floor(i / WIDTH) === 4;
      if (hidden) assert.ok(red === green && green === blue);
      else if (show === "picture") assert.equal(value, PICTURE[i]);
    });
  }
});

test("the largest box alone, or those of all but specks", () => {
  const heat = new Float32Array(100);
  heat.fill(1, 0, 30);
  heat.fill(1, 50, 60);
  const raster = { width: 10, height: 10, heat };
  const count = (boxes, specks) => boxesOf(raster, { boxes, cut: 0.5, specks }).length;
  assert.equal(count("largest", LOOK.specks), 1);
  assert.equal(count("all", LOOK.specks), 2);
  assert.equal(count("all", { area: 0.2, heat: 0 }), 1);
});
