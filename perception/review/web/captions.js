"use strict";
// Where captions stand over a picture, as visualization/captions.py places them: none covers
// another, and they cover objects only if they must. All in pixels of the screen.

const CAPTION = { px: 13, line: 18, pad: 4, least: 18, steps: 6 }; // capitals of 13 px are 9 px high

const captionPen = document.createElement("canvas").getContext("2d");

function captionSize(text) {
  captionPen.font = `${CAPTION.px}px system-ui, sans-serif`;
  return [Math.ceil(captionPen.measureText(text).width) + 2 * CAPTION.pad, CAPTION.line];
}

// rows: [{text, box: [x0, y0, x1, y1]}], the important first; returns [x, y, width, height] or null.
function placeCaptions(rows, width, height) {
  const placed = [];
  return rows.map((row, own) => {
    const [w, h] = captionSize(row.text);
    let found = null;
    captionCorners(row.box, w, h, width).forEach(([x, y], order) => {
      if (x < 0 || y < 0 || x + w > width || y + h > height) return;
      if (placed.some((other) => shared([x, y, w, h], other) > 0)) return;
      let cost = 0.02 * order * w * h;
      rows.forEach((other, i) => {
        const [x0, y0, x1, y1] = other.box;
        if (i !== own) cost += shared([x, y, w, h], [x0, y0, x1 - x0, y1 - y0]);
      });
      if (found === null || cost < found.cost) found = { cost, at: [x, y, w, h] };
    });
    if (found) placed.push(found.at);
    return found && found.at;
  });
}

function shared([ax, ay, aw, ah], [bx, by, bw, bh]) {
  const across = Math.min(ax + aw, bx + bw) - Math.max(ax, bx);
  const down = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  return Math.max(across, 0) * Math.max(down, 0);
}

function captionCorners([x0, y0, x1, y1], w, h, width) {
  const left = Math.max(Math.min(x0, width - w), 0);
  const right = Math.max(x1 - w, 0);
  const corners = [];
  for (let step = 0; step < CAPTION.steps; step++) {
    const away = step * h;
    for (const x of [left, right]) corners.push([x, y0 - h - away], [x, y1 + away]);
    for (const y of [y0 + away, y1 - h - away]) corners.push([x1, y], [x0 - w, y], [left, y]);
  }
  return corners;
}
