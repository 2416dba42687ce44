// The map of the embeddings: pool, labeled and open images; a lasso selects some.

import { getMap, run } from "./api.js";
import { $, counted, element } from "./dom.js";
import { colour } from "./panel.js";
import { small } from "./pictures.js";
import { work } from "./work.js";

const SHOWN = 60;  // thumbnails
let points = null;  // {index, x, y, word, open}
let cards = new Map();  // open images without an answer, by index
let lasso = [];
let picked = [];  // places in points
let asked = 0;
let says = "";
let redraw = () => {};

export function draw() {
  const now = `${work.state?.given}:${work.state?.phase}:${work.state?.open}`;
  if (asked !== now) { asked = now; load(); }
  paint();
}

async function load() {
  try {
    const reply = await getMap();
    says = reply.why ?? "";
    if (reply.points) {
      points = reply.points;
      cards = new Map(reply.cards.map((card) => [card.index, card]));
      picked = picked.filter((k) => k < points.index.length);
    } else if (reply.waits) setTimeout(load, 700);
  } catch (error) { says = error.message; }
  paint();
}

const place = (k, box) => {
  const side = Math.min(box.width, box.height) - 24;
  return [box.width / 2 + (points.x[k] - 0.5) * side, box.height / 2 + (points.y[k] - 0.5) * side];
};

function paint() {
  const plane = $("plane");
  const box = plane.getBoundingClientRect();
  if (!box.width) return;
  const ratio = devicePixelRatio || 1;
  if (plane.width !== Math.round(box.width * ratio)) plane.width = Math.round(box.width * ratio);
  if (plane.height !== Math.round(box.height * ratio)) plane.height = Math.round(box.height * ratio);
  const pen = plane.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, box.width, box.height);
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), faint = style.getPropertyValue("--faint"), mark = style.getPropertyValue("--mark");
  if (points) {
    const chosen = new Set(picked);
    const order = points.index.map((_, k) => k).sort((a, b) => rank(a) - rank(b));
    order.forEach((k) => {
      const [x, y] = place(k, box);
      const isOpen = cards.has(points.index[k]);
      pen.globalAlpha = rank(k) ? 1 : chosen.has(k) ? 0.8 : 0.35;
      pen.fillStyle = points.word[k] ? colour(points.word[k]) : isOpen || chosen.has(k) ? ink : faint;
      pen.beginPath();
      pen.arc(x, y, isOpen ? 4.5 : points.word[k] ? 4 : 2.2, 0, 7);
      pen.fill();
      if (isOpen || (chosen.has(k) && points.word[k])) {
        pen.globalAlpha = 1;
        pen.strokeStyle = chosen.has(k) ? ink : mark;
        pen.lineWidth = isOpen ? 2.5 : 1.2;
        pen.beginPath();
        pen.arc(x, y, isOpen ? 7.5 : 5.5, 0, 7);
        pen.stroke();
      }
    });
  }
  if (lasso.length > 1) {
    pen.globalAlpha = 1;
    pen.strokeStyle = mark;
    pen.lineWidth = 1.5;
    pen.setLineDash([5, 4]);
    pen.beginPath();
    lasso.forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.stroke();
    pen.setLineDash([]);
  }
  $("map-says").textContent = says || (points ? legend() : "computing the map…");
}

const rank = (k) => (cards.has(points.index[k]) ? 2 : points.word[k] ? 1 : 0);

function legend() {
  if (!picked.length) {
    const labeled = points.word.filter(Boolean).length;
    return `${counted(points.index.length, "image")}: ${labeled} labeled (coloured), ${cards.size} next (ringed). Draw a loop around images; keys label the next ones in it.`;
  }
  const open = picked.filter((k) => cards.has(points.index[k])).length;
  const words = picked.map((k) => points.word[k]).filter(Boolean);
  const named = [...new Set(words)].map((word) => `${word} ${words.filter((other) => other === word).length}`).join(", ");
  return `${picked.length} selected: ${open} next${words.length ? `, labeled ${named}` : ""}, ${picked.length - open - words.length} in the pool${open ? ". Keys label the next ones together." : ""}`;
}

function isInside([x, y]) {  // even number of edges to the left: outside
  let inside = false;
  for (let i = 0, j = lasso.length - 1; i < lasso.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [lasso[i], lasso[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

function select() {
  const box = $("plane").getBoundingClientRect();
  picked = points ? points.index.map((_, k) => k).filter((k) => isInside(place(k, box))).sort((a, b) => rank(b) - rank(a)) : [];
  const open = picked.map((k) => cards.get(points.index[k])).filter(Boolean);
  const there = new Set(work.images.map(({ index }) => index));
  work.images.push(...open.filter(({ index }) => !there.has(index)));  // the server refuses those that another person has
  work.selected = new Set(open.map(({ index }) => index));
  $("chosen").replaceChildren(...picked.slice(0, SHOWN).map((k) => {
    const caption = points.word[k] || (cards.has(points.index[k]) ? "next" : "pool");
    return element("figure", { className: cards.has(points.index[k]) ? "open" : "" }, small({ index: points.index[k] }), element("figcaption", {}, caption));
  }));
  redraw(true);
}

export function listen(call) {
  redraw = call;
  const plane = $("plane");
  const at = (event) => { const box = plane.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  plane.addEventListener("pointerdown", (event) => { plane.setPointerCapture(event.pointerId); lasso = [at(event)]; });
  plane.addEventListener("pointermove", (event) => { if (lasso.length) { lasso.push(at(event)); paint(); } });
  ["pointerup", "pointercancel"].forEach((name) => plane.addEventListener(name, () => {
    if (!lasso.length) return;
    select();
    lasso = [];
    paint();
    run();
  }));
  addEventListener("resize", () => { if (work.view === "map") paint(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}
