// @ts-check
/* A histogram of a gradient with a cut in it: the slider moves the cut, and the map after it
   follows. All maps are here already. */

import { make } from "../viewer/dom.js";

/** @typedef {import("./model.js").CutSlider} CutValue */

const CUT_SVG = "http://www.w3.org/2000/svg";
const [CUT_WIDE, CUT_TALL, CUT_MIDDLE] = [400, 170, 85];

/**
 * The heights of bars, from 0 to 1, by the logarithms of their counts.
 *
 * @param {number[]} counts
 * @param {number} most  the largest count of all bars
 */
export function barHeights(counts, most) {
  return counts.map(count => (most > 0 ? Math.log1p(count) / Math.log1p(most) : 0));
}

/**
 * @param {string} tag
 * @param {Record<string, string|number>} given
 */
function svgPart(tag, given) {
  const node = document.createElementNS(CUT_SVG, tag);
  for (const [name, value] of Object.entries(given)) node.setAttribute(name, String(value));
  return node;
}

/** @param {CutValue} cut */
function histogramOf(cut) {
  const svg = svgPart("svg", {
    viewBox: `0 0 ${CUT_WIDE} ${CUT_TALL}`, role: "img", class: "sw-histogram",
  });
  svg.setAttribute("aria-label", "How many values of the gradient have which size");
  const most = Math.max(...cut.positive, ...cut.negative, 0);
  const width = CUT_WIDE / cut.positive.length;
  /** @type {(counts: number[], side: string, up: boolean) => void} */
  const draw = (counts, side, up) => barHeights(counts, most).forEach((share, i) => {
    const height = share * CUT_MIDDLE;
    const y = up ? CUT_MIDDLE - height : CUT_MIDDLE;
    svg.append(svgPart("rect", { class: side, x: i * width, y, width: width * 0.85, height }));
  });
  draw(cut.positive, "sw-for", true);
  draw(cut.negative, "sw-against", false);
  const middle = { y1: CUT_MIDDLE, y2: CUT_MIDDLE };
  svg.append(svgPart("line", { class: "sw-zero", x1: 0, x2: CUT_WIDE, ...middle }));
  return svg;
}

/**
 * Everything of a cut that can be moved.
 *
 * @param {CutValue} cut
 * @param {import("./figures.js").StoryFigures} figures
 * @param {(position: number) => void} moved  called with each new position
 * @param {number} [first]  the position that is shown first; absent: the chosen one
 */
export function makeCut(cut, figures, moved, first = cut.chosen) {
  const root = make("div", "sw-cut");
  const plot = make("div", "sw-plot");
  plot.dataset.symbol = "histogram";
  const svg = histogramOf(cut);
  const gone = svgPart("rect", { class: "sw-gone", x: 0, y: 0, height: CUT_MIDDLE });
  const line = svgPart("line", { class: "sw-line", y1: 0, y2: CUT_TALL });
  svg.append(gone, line);
  const label = make("label", "sw-slide");
  label.dataset.symbol = "cut";
  const slider = make("input");
  slider.type = "range";
  [slider.min, slider.max, slider.step] = ["0", String(cut.positions.length - 1), "1"];
  label.append(make("span", "", "Where it is cut"), slider);
  const text = make("p", "sw-cut-text");
  text.setAttribute("aria-live", "polite");
  const key = make("p", "sw-fine", "Above the line the positive values of the gradient, below it "
    + "the negative ones, larger ones further right; bars on a logarithmic scale. Q is the size "
    + "that such a share of them stays below.");
  plot.append(svg, key, label, text);
  const pair = make("div", "sw-pair");
  const after = figures.make(cut.after);
  pair.append(figures.make(cut.before), after);
  root.append(plot, pair);
  const show = () => {
    const position = cut.positions[slider.valueAsNumber];
    const at = Math.min(position.tau / cut.end, 1) * CUT_WIDE;
    gone.setAttribute("width", String(at));
    line.setAttribute("x1", String(at));
    line.setAttribute("x2", String(at));
    text.textContent = position.text;
    slider.setAttribute("aria-valuetext", position.text);
    const canvas = after.querySelector("canvas");
    if (canvas) figures.draw(canvas, cut.after, position.map);
  };
  slider.value = String(first);
  slider.addEventListener("input", () => {
    show();
    moved(slider.valueAsNumber);
  });
  show();
  return root;
}
