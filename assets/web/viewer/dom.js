// @ts-check
/* Elements: made, found, filled. Whatever comes from the server becomes text, never markup. */

/**
 * An element with a class and a text.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text != null) node.textContent = text;
  return node;
}

/**
 * An element of a component by its name.
 *
 * @param {HTMLElement} root
 * @param {string} name
 * @returns {HTMLElement}
 */
export function part(root, name) {
  const found = root.querySelector(`[data-part="${name}"]`);
  if (!(found instanceof HTMLElement)) throw new Error(`there is no part "${name}"`);
  return found;
}

/**
 * Fills a menu.
 *
 * @param {HTMLSelectElement} select
 * @param {[string, [string, string][]][]} groups  label of a group, "" for none, and its
 *   (value, text) pairs
 */
export function fillSelect(select, groups) {
  select.replaceChildren();
  for (const [label, entries] of groups) {
    const home = label ? select.appendChild(make("optgroup")) : select;
    if (home instanceof HTMLOptGroupElement) home.label = label;
    for (const [value, text] of entries) {
      const option = make("option", "", text);
      option.value = value;
      home.append(option);
    }
  }
}

/**
 * The nearest element around a target that a selector fits, the target included.
 *
 * @param {EventTarget|null} target
 * @param {string} selector
 * @returns {HTMLElement|null}
 */
export function closest(target, selector) {
  return target instanceof Element ? target.closest(selector) : null;
}

/** @param {EventTarget|null} target */
export const asNode = target => (target instanceof Node ? target : null);

/** @param {Element|null} node */
export function focusOn(node) {
  if (node instanceof HTMLElement) node.focus();
}

/**
 * Moves an element to stand before another one of its parent, at the end if that is null. What has
 * the focus in it keeps it.
 *
 * @param {Element} node
 * @param {Element|null} next
 */
export function moveBefore(node, next) {
  if (node === next || node.nextElementSibling === next) return;
  const focused = document.activeElement;
  node.parentElement?.insertBefore(node, next);
  if (node.contains(focused)) focusOn(focused);
}

/**
 * Gives children of an element an order, behind all others. None is moved that stands right: one
 * that leaves the document even for a moment loses the click that is under way.
 *
 * @param {Element[]} nodes
 */
export function putInOrder(nodes) {
  /** @type {Element|null} */
  let next = null;
  for (const node of [...nodes].reverse()) {
    moveBefore(node, next);
    next = node;
  }
}
