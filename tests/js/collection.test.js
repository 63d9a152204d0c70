// The contact sheet of a run: which pictures, where they stand, and where keys go.

import assert from "node:assert/strict";
import test from "node:test";

const { chosenPlaces, inPercent, isMistaken, sheetLayout, tilesSeen, stepToTile } =
  await import("../../assets/web/collection/sheet.js");

const VALUE = {
  explained: [0, 1, 0, 1, 0], answers: [0, 1, 1, 1, 0], truths: [0, 1, 0, -1, 1],
  figures: { doubt: [100, 900, null, 900, 500] },
};
const ALL = { label: -1, sort: "", from: 0, mistaken: false, members: null };

test("all pictures in the order of the run", () => {
  assert.deepEqual(chosenPlaces(VALUE, ALL), [0, 1, 2, 3, 4]);
});

test("sorted: the greatest first, equal ones as they come, the unknown last", () => {
  assert.deepEqual(chosenPlaces(VALUE, { ...ALL, sort: "doubt" }), [1, 3, 4, 0, 2]);
  assert.deepEqual(chosenPlaces(VALUE, { ...ALL, sort: "doubt", from: 500 }), [1, 3, 4]);
  assert.deepEqual(chosenPlaces(VALUE, { ...ALL, sort: "no such" }), [0, 1, 2, 3, 4]);
});

test("every figure has an order of its own, of all pictures and of one class", () => {
  const orders = {
    doubt: [3, 0, 4, 1, 2], outside: [4, 3, 2, 1, 0], removed: [0, 2, 4, 1, 3],
    disagreement: [1, 2, 0, 4, 3],
  };
  const figures = Object.fromEntries(Object.entries(orders).map(([name, order]) =>
    [name, [0, 1, 2, 3, 4].map(place => 900 - 100 * order.indexOf(place))]));
  const value = { ...VALUE, figures };
  for (const [sort, order] of Object.entries(orders)) {
    assert.deepEqual(chosenPlaces(value, { ...ALL, sort }), order, sort);
    for (const label of [0, 1]) {
      const found = chosenPlaces(value, { ...ALL, sort, label });
      assert.deepEqual(found, order.filter(place => VALUE.explained[place] === label), sort);
    }
    const upper = chosenPlaces(value, { ...ALL, sort, from: 700 });
    assert.deepEqual(upper, order.slice(0, 3), `${sort}: what is below is left out`);
  }
});

test("of a class, of a group in its own order, and those that the network gets wrong", () => {
  assert.deepEqual(chosenPlaces(VALUE, { ...ALL, label: 0 }), [0, 2, 4]);
  assert.deepEqual(chosenPlaces(VALUE, { ...ALL, label: 0, members: [4, 0] }), [4, 0]);
  const sorted = { ...ALL, label: 0, members: [0, 4], sort: "doubt" };
  assert.deepEqual(chosenPlaces(VALUE, sorted), [4, 0]);
  assert.deepEqual(chosenPlaces(VALUE, { ...ALL, mistaken: true }), [2, 4]);
  assert.equal(isMistaken(VALUE, 3), false, "where no truth is known nothing is wrong");
});

test("columns fill the width, two at least", () => {
  const tile = { wide: 100, tall: 20, gap: 10 };
  const layout = sheetLayout(430, 10, tile);
  assert.deepEqual([layout.columns, layout.across, layout.row], [4, 100, 130]);
  assert.equal(layout.height, 3 * 130);
  assert.deepEqual([sheetLayout(90, 3, tile).columns, sheetLayout(90, 3, tile).across], [2, 40]);
});

test("of thousands only those that are to be seen are there", () => {
  const layout = { columns: 4, row: 100 };
  assert.deepEqual(tilesSeen(layout, 5000, 0, 350, 1), [0, 20]);
  assert.deepEqual(tilesSeen(layout, 5000, 50_000, 350, 1), [1996, 2020]);
  assert.deepEqual(tilesSeen(layout, 5000, 124_900, 350, 1), [4992, 5000]);
  assert.deepEqual(tilesSeen(layout, 0, 0, 350, 1), [0, 0]);
});

test("keys go through the sheet and stop at its ends", () => {
  assert.equal(stepToTile("ArrowRight", 3, 10, 4, 2), 4);
  assert.equal(stepToTile("ArrowRight", 9, 10, 4, 2), 9);
  assert.equal(stepToTile("ArrowDown", 5, 10, 4, 2), 9);
  assert.equal(stepToTile("ArrowDown", 7, 10, 4, 2), 7, "there is no tile below");
  assert.equal(stepToTile("ArrowUp", 2, 10, 4, 2), 2);
  assert.equal(stepToTile("PageDown", 1, 100, 4, 2), 9);
  assert.equal(stepToTile("Home", 50, 100, 4, 2), 0);
  assert.equal(stepToTile("End", 50, 100, 4, 2), 99);
  assert.equal(stepToTile("a", 1, 10, 4, 2), null);
  assert.equal(stepToTile("End", 0, 0, 4, 2), null);
});

test("thousandths in words", () => {
  assert.deepEqual([0, 4, 123, 1000, null].map(inPercent),
    ["0 %", "0.4 %", "12 %", "100 %", "not known"]);
});
