/* From heat and picture to the pixels of a canvas. A look is what the settings say: show, opacity,
   table, threshold (of what is drawn), cut (of boxes and contours), contours, boxes. */

const HALO = "rgba(15, 15, 20, 0.85)";
const TRUTH = "#3df2e0";

/* The colours of a panel, RGBA as 32 bits a pixel, the first byte lowest. picture: its own pixels.
   A panel has heat (shares of its maximum); against, to be subtracted where it is signed; factor
   and lowest: what brings both to the colour scale; own: from that scale to shares of the panel's
   largest magnitude, which is what a threshold cuts of a signed one; seen: the lines that the
   network was shown. */
function compose(target, picture, panel, look) {
  const { heat, against, signed, factor, lowest, own, width, height, seen } = panel;
  const { table, show, threshold } = look;
  if (show === "picture" && !seen) {
    target.set(picture);
    return;
  }
  const cover = show === "map" ? 1 : show === "picture" ? 0 : look.opacity;
  // Fixed point, 16 bits behind it; the half makes cutting off a rounding.
  const reds = new Int32Array(256), greens = new Int32Array(256), blues = new Int32Array(256);
  const rest = new Int32Array(256);
  for (let i = 0; i < 256; i++) {
    rest[i] = Math.round((1 - cover) * i * 65536) + 32768;
    reds[i] = Math.round(cover * table[3 * i] * 65536);
    greens[i] = Math.round(cover * table[3 * i + 1] * 65536);
    blues[i] = Math.round(cover * table[3 * i + 2] * 65536);
  }
  const least = signed ? threshold / own : threshold;
  const bare = show === "map" ? 0 : -1;
  for (let y = 0, at = 0; y < height; y++) {
    const whole = !seen || seen.rows[y];
    for (let x = 0; x < width; x++, at++) {
      const under = picture[at];
      const red = under & 255, green = under >> 8 & 255, blue = under >> 16 & 255;
      if (!whole || (seen && !seen.columns[x])) {
        const dim = ((x + y) / 6 | 0) % 2 ? 0.75 : 0.45;
        const grey = (red + green + blue) / 3 * dim + 0.5 | 0;
        target[at] = 0xff000000 | grey << 16 | grey << 8 | grey;
        continue;
      }
      let size = heat[at];
      let level = size * factor * 255 + 0.5 | 0;
      if (signed) {
        const value = against ? size * factor - against[at] * lowest : size * factor;
        size = Math.abs(value);
        level = 128 + 127.5 * value | 0;
      }
      if (size < least) {
        target[at] = under & bare;
        continue;
      }
      target[at] = 0xff000000
        | rest[blue] + blues[level] & 0xff0000
        | (rest[green] + greens[level] & 0xff0000) >> 8
        | rest[red] + reds[level] >> 16;
    }
  }
}

/* A path in white with a dark edge, legible on any ground. */
function stroke(context, path, color, width, dashes = []) {
  context.setLineDash(dashes);
  context.lineJoin = "round";
  for (const [tint, wide] of [[HALO, width + 2], [color, width]]) {
    context.strokeStyle = tint;
    context.lineWidth = wide;
    context.stroke(path);
  }
}

function outline(heat, width, height, cut) {
  const path = new Path2D();
  contour(heat, width, height, cut, (x0, y0, x1, y1) => {
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  });
  return path;
}

/* Everything on a canvas of the panel's own raster. picture: its pixels at that size, 32 bits each. */
function paint(canvas, picture, panel, look) {
  const { width, height } = panel;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  compose(new Uint32Array(image.data.buffer), picture, panel, look);
  context.putImageData(image, 0, 0);
  const pen = clamp(Math.min(width, height) / 200, 1, 3);
  if (look.contours) stroke(context, outline(panel.heat, width, height, look.cut), "#fff", pen);
  if (panel.truth) stroke(context, outline(panel.truth, width, height, 0.5), TRUTH, pen * 1.3);
  if (look.boxes !== "none") {
    for (const part of boxesOf(panel, look)) {
      const path = new Path2D();
      path.rect(part.x0 + pen / 2, part.y0 + pen / 2,
        part.x1 - part.x0 - pen, part.y1 - part.y0 - pen);
      stroke(context, path, "#fff", pen);
    }
  }
}

function boxesOf(panel, look) {
  const all = look.boxes === "all";
  const parts = partsOf(panel.heat, panel.width, panel.height, look.cut, all);
  return all ? parts : parts.slice(0, 1);
}
