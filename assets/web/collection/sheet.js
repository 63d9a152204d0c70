// @ts-check
/* The arithmetic of a contact sheet: which pictures, in which order, and which of them are to be
   seen. Plain functions of numbers and arrays, without the page. */

import { clamp } from "../viewer/maps.js";

/**
 * What is known of every picture of a run, as `camviz.ui.collection.RunValue`.
 *
 * @typedef {object} RunValue
 * @property {string} key          what tells it from others
 * @property {string[]} names      of classes
 * @property {number[]} explained  by picture: which of `names` was explained
 * @property {number[]} answers    which the network says
 * @property {number[]} truths     which the source says; -1: nothing
 * @property {Record<string, (number|null)[]>} figures  thousandths, by name
 * @property {Record<string, [string, string]>} titles  title and meaning of each figure
 * @property {number} side         cells of a side of a mean map
 * @property {number} least        pictures of a class, below which they are not grouped
 * @property {number} groups       how many groups at first
 * @property {number} most_groups
 * @property {Record<string, Group[]>} grouped  by class and number of groups, as far as known
 * @property {boolean} opens       whether a picture can be opened on the page
 */

/**
 * Maps that are alike: numbers of pictures, base64 of the mean map's bytes, the mean cosine.
 *
 * @typedef {{members: number[], mean: string, likeness: number}} Group
 */

/**
 * What is asked for.
 *
 * @typedef {object} Choice
 * @property {number} label    place in `names`; -1: all
 * @property {string} sort     a figure, or "" for the order of the run
 * @property {number} from     the least value of that figure, in thousandths
 * @property {boolean} mistaken  only where the best class is not the truth
 * @property {number[]|null} members  only these, in their order unless sorted
 */

/**
 * The numbers of the pictures that are asked for, in their order: the greatest figure first.
 *
 * @param {RunValue} value
 * @param {Choice} choice
 */
export function chosenPlaces(value, { label, sort, from, mistaken, members }) {
  const figure = value.figures[sort];
  const found = (members ?? [...value.explained.keys()]).filter(place =>
    (label < 0 || value.explained[place] === label)
    && (!mistaken || isMistaken(value, place))
    && (!figure || !from || (figure[place] ?? -1) >= from));
  if (figure) found.sort((a, b) => (figure[b] ?? -1) - (figure[a] ?? -1) || a - b);
  return found;
}

/**
 * Whether the network's best class is not what the source says.
 *
 * @param {RunValue} value
 * @param {number} place
 */
export function isMistaken(value, place) {
  return value.truths[place] >= 0 && value.truths[place] !== value.answers[place];
}

/**
 * How tiles are laid out: columns, and the height of all rows.
 *
 * @param {number} width
 * @param {number} count
 * @param {{wide: number, tall: number, gap: number}} tile
 */
export function sheetLayout(width, count, { wide, tall, gap }) {
  const columns = Math.max(2, Math.floor((width + gap) / (wide + gap)));
  const across = Math.max(1, (width - (columns - 1) * gap) / columns);
  const row = across + tall + gap;
  return { columns, across, row, height: Math.ceil(count / columns) * row };
}

/**
 * The tiles that are to be seen, and some rows around: from the first to before the last.
 *
 * @param {{columns: number, row: number}} layout
 * @param {number} count
 * @param {number} top
 * @param {number} tall
 * @param {number} around  rows
 * @returns {[number, number]}
 */
export function tilesSeen({ columns, row }, count, top, tall, around) {
  const first = Math.floor(top / row) - around;
  const last = Math.ceil((top + tall) / row) + around;
  return [clamp(first * columns, 0, count), clamp(last * columns, 0, count)];
}

/**
 * Where a key goes from a tile; null: the key has no meaning here.
 *
 * @param {string} key
 * @param {number} at
 * @param {number} count
 * @param {number} columns
 * @param {number} page  rows that are to be seen
 */
export function stepToTile(key, at, count, columns, page) {
  const step = {
    ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns,
    PageDown: columns * page, PageUp: -columns * page, Home: -Infinity, End: Infinity,
  }[key];
  if (step === undefined || !count) return null;
  if (Math.abs(step) === columns && (at + step < 0 || at + step >= count)) return at;
  return clamp(at + step, 0, count - 1);
}

/**
 * A share of a thousand in words.
 *
 * @param {number|null|undefined} thousandths
 */
export function inPercent(thousandths) {
  if (thousandths == null) return "not known";
  return thousandths && thousandths < 10
    ? `${(thousandths / 10).toFixed(1)} %` : `${Math.round(thousandths / 10)} %`;
}
