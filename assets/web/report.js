// @ts-check
// What the report does when it is opened: the viewer with what is embedded in the file.

import { define } from "./viewer/map-viewer.js";

/** @typedef {import("./viewer/map-viewer.js").MapViewer} MapViewer */

const { configuration, value, query } = JSON.parse(
  document.querySelector("#data")?.textContent ?? "");

const dark = matchMedia("(prefers-color-scheme: dark)");
const applyTheme = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", applyTheme);
applyTheme();

const picture = document.querySelector("#picture");
if (picture instanceof HTMLImageElement) picture.src = value.picture.src;

define();
const viewer = /** @type {MapViewer} */ (document.querySelector("map-viewer"));
viewer.configuration = configuration;
viewer.applyQuery(query);
viewer.value = value;
