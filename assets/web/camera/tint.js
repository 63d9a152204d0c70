// @ts-check
/* A map as a picture to lay over another: opaque where it is hot. Pure. */

/**
 * Colours of a map, whose opacity follows the heat as in the viewer: opacity * min(1, heat / hot).
 *
 * @param {Float32Array} heat  in [0, 1]
 * @param {Uint8Array} table   256 colours, RGB
 * @param {number} opacity
 * @param {number} hot
 * @param {Uint8ClampedArray} pixels  RGBA, as many as there is heat; written
 */
export function tint(heat, table, opacity, hot, pixels) {
  for (let i = 0, at = 0; i < heat.length; i++, at += 4) {
    const level = Math.round(255 * Math.min(1, Math.max(0, heat[i])));
    pixels[at] = table[3 * level];
    pixels[at + 1] = table[3 * level + 1];
    pixels[at + 2] = table[3 * level + 2];
    pixels[at + 3] = 255 * opacity * Math.min(1, level / 255 / hot);
  }
}
