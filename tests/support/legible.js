// What cannot be read, and what has no name: texts on the page whose contrast with their ground is
// below WCAG's AA (4.5 to 1, large ones 3 to 1), and controls that say nothing.
() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgba = color => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, ground) => top.slice(0, 3).map(
    (value, i) => value * top[3] / 255 + ground[i] * (1 - top[3] / 255));
  const light = color => color.map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = node => {
    const grounds = [];
    let opacity = 1;
    for (let each = node; each; each = each.parentElement) {
      const style = getComputedStyle(each);
      opacity *= Number(style.opacity);
      grounds.unshift(rgba(style.backgroundColor));
    }
    const ground = grounds.reduce((under, color) => over(color, under), [255, 255, 255]);
    const [r, g, b, a] = rgba(getComputedStyle(node).color);
    const [dark, bright] = [light(over([r, g, b, a * opacity], ground)), light(ground)]
      .sort((one, other) => one - other);
    return (bright + 0.05) / (dark + 0.05);
  };
  const wrong = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const words = texts.currentNode.data.trim(), node = texts.currentNode.parentElement;
    if (!words || node.closest("script, style, [disabled], [aria-disabled=true]")) continue;
    const {width, height} = node.getBoundingClientRect();
    if (width < 2 || height < 2) continue; // it is read out only
    if (!node.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    const {fontSize, fontWeight} = getComputedStyle(node);
    const size = parseFloat(fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(fontWeight) >= 700);
    const found = contrast(node);
    if (found < (large ? 3 : 4.5)) wrong.push(`${found.toFixed(2)} to 1: ${words}`);
  }
  for (const node of document.querySelectorAll(
    "button, a, input, select, summary, [role=tab], [role=radio], [role=button]")) {
    if (node.checkVisibility() && node.type !== "file" && !(node.ariaLabel || node.title
      || node.textContent.trim() || node.closest("label") || node.labels?.length
      || node.getAttribute("aria-labelledby") || node.querySelector("img[alt]")))
      wrong.push(`no name: ${node.outerHTML.slice(0, 200)}`);
  }
  return wrong;
}
