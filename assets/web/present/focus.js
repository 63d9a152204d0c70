// @ts-check
/* The keyboard, given back to what had it before the projector was opened. */

const FRAMES_UNTIL_SEEN = 60; // that are waited for; themes fade the page in again in a few

/**
 * Focuses an element as soon as it is seen, unless something else was focused meanwhile.
 *
 * @param {Element|null} node
 */
export function focusWhenSeen(node) {
  if (!(node instanceof HTMLElement) || node === document.body) return;
  const left = new Set([document.body, document.activeElement]); // what loses the keyboard
  let frames = FRAMES_UNTIL_SEEN;
  const attempt = () => {
    node.focus();
    if (left.has(document.activeElement) && --frames > 0) requestAnimationFrame(attempt);
  };
  attempt();
}
