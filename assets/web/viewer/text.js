// @ts-check
/* Numbers and formulas as people read them. */

import { make } from "./dom.js";

/**
 * A share as people read it: 73%, 4.6%, 0%.
 *
 * @param {number} share
 */
export function percent(share) {
  const size = Math.abs(100 * share);
  const text = size < 0.05 ? "0" : size.toFixed(size < 9.95 && size % 1 > 0.05 ? 1 : 0);
  return `${share < 0 && text !== "0" ? "−" : ""}${text}%`;
}

/**
 * A value in three digits.
 *
 * @param {number} value
 */
export function digits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 0.001 && size < 10000 ? value.toPrecision(3) : value.toExponential(2);
  return text.replaceAll("-", "−");
}

/**
 * Writes a text with a_b as subscript and a^(b) as superscript.
 *
 * @param {HTMLElement} node
 * @param {string} text
 */
export function typeset(node, text) {
  node.replaceChildren();
  let rest = 0;
  for (const found of text.matchAll(/_(\w+)|\^\(([^)]*)\)/g)) {
    node.append(
      text.slice(rest, found.index),
      make(found[1] ? "sub" : "sup", "", found[1] || found[2]),
    );
    rest = found.index + found[0].length;
  }
  node.append(text.slice(rest));
}
