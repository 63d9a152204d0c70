// @ts-check
/* A payload as it is worked with: bytes in place of text, and every map with its row. */

import { bytesOf, clamp, summitOf, upsample } from "./maps.js";

/** @typedef {import("./schema.js").Absent} Absent */
/** @typedef {import("./schema.js").Panel} Panel */
/** @typedef {import("./schema.js").Payload} Payload */
/** @typedef {import("./schema.js").Row} Row */

/**
 * A whole pixel of the picture.
 *
 * @typedef {{x: number, y: number}} Place
 */

/**
 * @typedef {object} Unpacked
 * @property {string} id        unique among the maps of a payload
 * @property {MapRow} row
 * @property {Uint8Array} bytes  the positive part
 * @property {Uint8Array|null} below  the negative part
 * @property {Uint8Array[]|null} channels  red, green and blue in place of heat
 * @property {import("./maps.js").View} view
 * @property {number} summit    highest value at any pixel of the picture, as a share of `peak`
 */

/** @typedef {Panel & Unpacked} MapPanel */
/**
 * @typedef {object} Rows
 * @property {MapPanel[]} panels
 * @property {boolean} signed   a map has values below zero, other than a difference
 */

/** @typedef {Omit<Row, "panels"> & Rows} MapRow */

/**
 * Whether a map is one of heat, which has boxes and contours: no difference, and not of colours.
 *
 * @param {MapPanel} panel
 */
export const isHeat = panel => panel.ends === null && panel.channels === null;

export class ViewerModel {
  /** @param {Payload} payload */
  constructor(payload) {
    this.payload = payload;
    const { width, height } = payload.picture ?? { width: 1, height: 1 };
    /** Size of the picture itself. */
    this.width = width;
    this.height = height;
    this.rows = payload.rows.map(row => unpackRow(row, width, height));
    this.panels = this.rows.flatMap(row => row.panels);
  }

  /**
   * @param {string|null|undefined} id
   * @returns {MapPanel|null}
   */
  find(id) {
    return this.panels.find(panel => panel.id === id) ?? null;
  }

  /**
   * The nearest place that is on the picture.
   *
   * @param {Place} place
   * @returns {Place}
   */
  inside({ x, y }) {
    return { x: clamp(x, 0, this.width - 1), y: clamp(y, 0, this.height - 1) };
  }

  /** What is known to be in the picture and is the class that is explained. */
  get explained() {
    return this.payload.truth.find(thing => thing.explained)?.label ?? null;
  }

  /**
   * Where on the picture a map is highest.
   *
   * @param {MapPanel} panel
   */
  peakOf(panel) {
    const scale = Math.min(256 / this.width, 256 / this.height);
    const width = Math.max(1, Math.round(this.width * scale));
    const height = Math.max(1, Math.round(this.height * scale));
    const heat = upsample(panel.bytes, panel, panel.view, width, height);
    let best = 0;
    for (let i = 1; i < heat.length; i++) if (heat[i] > heat[best]) best = i;
    return this.inside({
      x: Math.floor((best % width + 0.5) * this.width / width),
      y: Math.floor((Math.floor(best / width) + 0.5) * this.height / height),
    });
  }
}

/**
 * @param {Row} row
 * @param {number} width
 * @param {number} height
 * @returns {MapRow}
 */
function unpackRow(row, width, height) {
  /** @type {MapRow} */
  const unpacked = { ...row, panels: [], signed: false };
  unpacked.panels = row.panels.map(panel => {
    const bytes = bytesOf(panel.data);
    const view = { ...panel.scene, width, height };
    return {
      ...panel,
      id: `${row.key}/${panel.key}`,
      row: unpacked,
      words: panel.words ?? row.words,
      bytes,
      below: panel.against === null ? null : bytesOf(panel.against),
      channels: panel.colors && panel.colors.map(bytesOf),
      view,
      summit: summitOf(bytes, panel, view),
    };
  });
  unpacked.signed = unpacked.panels.some(panel => panel.below !== null && panel.ends === null);
  return unpacked;
}
