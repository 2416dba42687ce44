// The grid: many images at once, one of them current, several selected.

import { $, element } from "./dom.js";
import { small } from "./pictures.js";
import { current, work } from "./work.js";

const figures = new Map();  // by index
let anchor = null;  // index where a range begins
let redraw = () => {};
export const onSelect = (call) => { redraw = call; };

export function drawGrid() {
  const there = new Set(work.images.map(({ index }) => index));
  figures.forEach((figure, index) => { if (!there.has(index)) { figure.remove(); figures.delete(index); } });
  work.images.forEach((image, k) => {
    if (!figures.has(image.index)) figures.set(image.index, figureOf(image));
    const figure = figures.get(image.index);
    if ($("grid").children[k] !== figure) $("grid").insertBefore(figure, $("grid").children[k] ?? null);
    figure.classList.toggle("current", k === work.cursor);
    figure.setAttribute("aria-selected", work.selected.size ? work.selected.has(image.index) : k === work.cursor);
  });
  if (current()) figures.get(current().index).scrollIntoView({ block: "nearest" });
}

function figureOf(image) {
  const sure = image.confidence === null ? "" : ` ${Math.round(100 * image.confidence)} %`;
  const caption = image.suggested === null ? image.path : `${image.suggested}${sure}`;
  const figure = element("figure", { title: image.path }, small(image), element("figcaption", {}, caption));
  figure.setAttribute("role", "option");
  figure.addEventListener("click", (event) => {
    const k = work.images.findIndex(({ index }) => index === image.index);
    if (event.shiftKey) return extend(k);
    if (event.ctrlKey || event.metaKey || work.selected.size) return toggle(k);
    if (k === work.cursor && matchMedia("(pointer: coarse)").matches) return toggle(k);  // a second tap begins a selection
    go(k);
  });
  return figure;
}

export function go(k) {
  work.selected.clear();
  work.cursor = Math.max(0, Math.min(work.images.length - 1, k));
  anchor = current()?.index ?? null;
  redraw(true);
}

export function extend(k) {
  const to = Math.max(0, Math.min(work.images.length - 1, k));
  const from = Math.max(0, work.images.findIndex(({ index }) => index === (anchor ?? current()?.index)));
  work.selected = new Set(work.images.slice(Math.min(from, to), Math.max(from, to) + 1).map(({ index }) => index));
  work.cursor = to;
  redraw(true);
}

function toggle(k) {
  const { index } = work.images[k];
  if (!work.selected.delete(index)) work.selected.add(index);
  work.cursor = k;
  redraw(true);
}

export function selectAll() {
  work.selected = new Set(work.images.map(({ index }) => index));
  redraw(true);
}

export const columns = () => getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
