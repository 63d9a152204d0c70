// @ts-check
/* A run in files that open without a server: tiles lie in scripts, because a browser reads no other
   file from a disk for a page. */

import { defineRunCollection } from "./run-collection.js";

/** @typedef {import("./run-collection.js").RunCollection} RunCollection */
/** @typedef {import("./run-collection.js").Tile} Tile */

const data = JSON.parse(document.getElementById("data")?.textContent ?? "{}");
/** @type {Map<number, Promise<Tile[]>>} */
const files = new Map();
/** @type {Map<number, (tiles: Tile[]) => void>} */
const waiting = new Map();

/* What each of the scripts calls. */
Object.assign(window, {
  camvizTiles(/** @type {number} */ number, /** @type {Tile[]} */ tiles) {
    waiting.get(number)?.(tiles);
  },
});

/**
 * The tiles of one script; none if it cannot be read.
 *
 * @param {number} number
 */
function load(number) {
  let found = files.get(number);
  if (!found) {
    found = new Promise(resolve => {
      waiting.set(number, resolve);
      const script = document.createElement("script");
      script.src = `tiles/${String(number).padStart(5, "0")}.js`;
      script.onerror = () => resolve([]);
      document.head.append(script);
    });
    files.set(number, found);
  }
  return found;
}

defineRunCollection();
const collection = /** @type {RunCollection} */ (document.querySelector("run-collection"));
collection.configuration = data.configuration;
collection.source = /** @type {import("./run-collection.js").Source} */ ({
  async tiles(places) {
    const numbers = new Set(places.map(place => Math.floor(place / data.tiles)));
    const found = (await Promise.all([...numbers].map(load))).flat();
    const wanted = new Set(places);
    return found.filter(tile => wanted.has(tile.place));
  },
  groups: async (label, count) => data.value.grouped[`${label}:${count}`] ?? [],
});
collection.value = data.value;
