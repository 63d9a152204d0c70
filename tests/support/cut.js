// What a narrow window takes away: texts that something around them cuts off, or that lie beside
// the window, and controls that nothing can press, because they cannot be scrolled into sight or
// something covers them. Texts that end in "…" have their whole in a title or a name.
async () => {
  const wrong = [], range = document.createRange();
  const seen = node => node.checkVisibility({visibilityProperty: true, opacityProperty: true});
  const small = ({width, height}) => width < 2 || height < 2; // it is read out only
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !seen(node) || node.closest("script, style")) continue;
    range.selectNodeContents(texts.currentNode);
    const {left, right, width, height} = range.getBoundingClientRect();
    if (small({width, height})) continue;
    for (let each = node; each && each !== document.body; each = each.parentElement) {
      const {overflowX, textOverflow} = getComputedStyle(each), box = each.getBoundingClientRect();
      if (small(box)) break;
      if (!["hidden", "clip"].includes(overflowX)) continue;
      if (left >= box.left - 1 && right <= box.right + 1) continue;
      const whole = each.closest("[title], [aria-label]");
      if (textOverflow !== "ellipsis" || !whole) wrong.push(`cut off: ${texts.currentNode.data}`);
      break;
    }
  }
  const controls = "a[href], button, input:not([type=file]), select, summary, [tabindex='0']";
  for (const node of document.querySelectorAll(controls)) {
    if (!seen(node) || node.disabled || node.closest(".cv-skip, [hidden]")) continue;
    node.scrollIntoView({block: "center"});
    await new Promise(requestAnimationFrame);
    const box = (node.labels?.[0] ?? node).getBoundingClientRect();
    if (small(box)) continue;
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    const there = document.elementFromPoint(x, y);
    const own = there && (node.contains(there) || there.contains(node)
      || node.labels?.[0]?.contains(there) || node.closest("label")?.contains(there));
    if (!own || box.left < -1 || box.right > innerWidth + 1)
      wrong.push(`out of reach: ${node.outerHTML.slice(0, 120)}`);
  }
  return wrong;
}
