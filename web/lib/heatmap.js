/** The picture of tags over time: a canvas with a pixel row per tag, names beside it and a time axis below it as text. */

import { clock } from "./decode.js";
import { Result } from "./result.js";

export const ROWS = 12;
const STOPS = ["000004", "3b0f70", "8c2981", "de4968", "fe9f6d", "fcfdbf"];
const COLOURS = palette();
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const LABEL_WIDTH = 48; // px that a time needs

/** 256 colours, each one number of four bytes as ImageData holds them. */
function palette() {
  const stops = STOPS.map((hex) => [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16)));
  const out = new Uint8Array(256 * 4).fill(255);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (stops.length - 1);
    const k = Math.min(Math.floor(place), stops.length - 2);
    for (let c = 0; c < 3; c++) out[4 * i + c] = Math.round(stops[k][c] + (place - k) * (stops[k + 1][c] - stops[k][c]));
  }
  return new Uint32Array(out.buffer);
}

/** The tags of the rows: the strongest anywhere. */
export function rowsOf(result) {
  return Result.largest(result.highest, ROWS);
}

/** The colours' upper end: the largest value, rounded up to a twentieth. */
export function scaleOf(result) {
  return Math.max(0.05, Math.ceil(20 * Math.max(...result.highest) - 1e-6) / 20);
}

/** Draw all of it; `parts`: { heat, rows, axis, legendMax, timeline } elements. */
export function draw(result, parts) {
  const { clientWidth } = parts.timeline; // read before anything is written: later it would lay the page out once more
  const chosen = rowsOf(result);
  const most = scaleOf(result);
  const width = Math.max(1, Math.min(2000, Math.round(clientWidth * (globalThis.devicePixelRatio || 1))));
  const picture = new ImageData(width, chosen.length);
  const pixels = new Uint32Array(picture.data.buffer);
  const bounds = result.bounds();
  let from = 0; // pixels from..to of a row are a window's
  for (let w = 0; w < result.scores.length; w++) {
    const to = w === result.scores.length - 1 ? width : Math.round((bounds[w + 1] / result.seconds) * width);
    if (to === from) continue; // more windows than pixels
    const scores = result.scores[w];
    for (let y = 0; y < chosen.length; y++) {
      const colour = Math.min(255, Math.max(0, Math.round((scores[chosen[y]] / most) * 255)));
      pixels.fill(COLOURS[colour], y * width + from, y * width + to);
    }
    from = to;
  }
  Object.assign(parts.heat, { width, height: chosen.length });
  parts.heat.getContext("2d").putImageData(picture, 0, 0);
  parts.timeline.style.height = `calc(var(--row) * ${chosen.length})`;
  setItems(parts.rows, chosen.map((k) => result.classes[k]));
  parts.legendMax.textContent = most.toFixed(2);
  drawAxis(result.seconds, parts.axis, clientWidth);
  const names = chosen.slice(0, 5).map((k) => result.classes[k]);
  parts.heat.setAttribute("aria-label", `Heat map of ${chosen.length} tags over ${clock(result.seconds)}; strongest: ${names.join(", ")}`);
}

/** The list's items, touched only where they change. */
function setItems(list, texts) {
  while (list.children.length > texts.length) list.lastChild.remove();
  texts.forEach((text, k) => {
    const li = list.children[k] ?? list.appendChild(document.createElement("li"));
    if (li.textContent !== text) li.textContent = li.title = text;
  });
}

function drawAxis(seconds, axis, width) {
  const most = Math.max(1, Math.floor(width / LABEL_WIDTH));
  const step = STEPS.find((one) => seconds / one <= most) ?? Math.ceil(seconds / most / 3600) * 3600;
  const ticks = [];
  for (let t = 0; t <= seconds; t += step) {
    if (t > 0 && (t / seconds) * width > width - LABEL_WIDTH / 3) break; // would stand out of the picture
    const tick = document.createElement("span");
    tick.textContent = clock(t);
    tick.style.left = `${(100 * t) / seconds}%`;
    ticks.push(tick);
  }
  axis.replaceChildren(...ticks);
}
