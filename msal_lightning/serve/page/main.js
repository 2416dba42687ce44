// The page: draws itself after each change, and listens to keys.

import { browser, onPause, run, unsaved } from "./api.js";
import { $ } from "./dom.js";
import * as grid from "./grid.js";
import { classOf, keyed } from "./keys.js";
import * as map from "./map.js";
import { drawMessage } from "./message.js";
import { drawHeader, drawKeys, drawPanel, drawTrouble, matches } from "./panel.js";
import { frame, prefetch, small } from "./pictures.js";
import { answer, classNames, current, isWord, onChange, show, step, undo, work } from "./work.js";
import * as zoom from "./zoom.js";

let staged = null;
function drawOne() {
  const image = current();
  if (staged !== (image?.index ?? null)) $("stage").replaceChildren(...(image ? [frame(image)] : []));
  staged = image?.index ?? null;
}

let nextShown = "";
function drawNext() {  // after the image that a person waits for
  const next = work.images.filter((image) => image !== current()).slice(0, 5);
  const key = next.map(({ index }) => index).join();
  if (key !== nextShown) $("next").replaceChildren(...next.map(small));
  nextShown = key;
  prefetch(work.images.slice(0, 12));
}

let later = 0;
function draw() {
  ["one", "grid", "map"].forEach((view) => {
    $(view).hidden = work.view !== view;
    $(`to-${view}`).setAttribute("aria-pressed", work.view === view);
  });
  if (work.view === "one") drawOne();
  if (work.view === "grid") grid.drawGrid();
  if (work.view === "map") map.draw();
  zoom.draw();
  drawPanel();
  drawHeader();
  drawTrouble();
  drawMessage();
  cancelAnimationFrame(later);
  later = requestAnimationFrame(() => setTimeout(drawNext));
}

// ---------------------------------------------------------------- keys

function onKey(event) {
  if (event.ctrlKey || event.metaKey) return onShortcut(event);
  if (event.altKey || event.isComposing || event.target === $("annotator")) return;
  if (event.target === $("search")) return onSearchKey(event);
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.target.matches("button") && !work.zoomed && [" ", "Enter"].includes(key)) return;  // the browser's own keys
  if (event.repeat && !key.startsWith("Arrow") && !"+-".includes(key)) return event.preventDefault();  // a key that is held down answers once
  const action = (work.zoomed ? inZoom() : moves(event.shiftKey))[key] ?? actions()[key] ?? named(key);
  if (!action) return;
  event.preventDefault();
  action();
}

const actions = () => ({
  Enter: () => answer((image) => image.suggested),
  s: () => answer(() => "skip"), u: () => answer(() => "unsure"),
  z: undo, Backspace: undo,
  g: () => show(work.view === "grid" ? "one" : "grid"), m: () => show(work.view === "map" ? "one" : "map"),
  "+": zoom.open, " ": zoom.open,
  "/": search, n: work.state?.allow_new ? search : undefined,
});

const moves = (extend) => {
  const by = (n) => () => (work.view === "grid" ? (extend ? grid.extend : grid.go)(work.cursor + n) : step(n));
  const row = work.view === "grid" ? grid.columns() : 1;
  return {
    ArrowLeft: by(-1), ArrowRight: by(1), ArrowUp: by(-row), ArrowDown: by(row),
    Escape: () => { work.selected.clear(); draw(); },
  };
};

const inZoom = () => {
  const far = (x, y, n) => () => (zoom.isClose() ? zoom.pan(x, y) : step(n));
  return {
    "+": () => zoom.zoomBy(1.5), "-": () => zoom.zoomBy(1 / 1.5), " ": zoom.close, Escape: zoom.close,
    ArrowLeft: far(120, 0, -1), ArrowRight: far(-120, 0, 1), ArrowUp: far(0, 120, -1), ArrowDown: far(0, -120, 1),
    g: () => {}, m: () => {}, "/": () => {}, n: () => {},
  };
};

function named(key) {
  if (keyed()) { const name = classOf(key); return name === undefined ? undefined : () => answer(() => name); }
  if (key.length === 1) return () => { search(); $("search").value = key; draw(); };
}

function search() {
  $("search").focus();
  $("search").select();
}

function onShortcut(event) {
  const key = event.key.toLowerCase();
  if (event.target.matches("input")) return;
  if (key === "z") { event.preventDefault(); undo(); }
  if (key === "a" && work.view === "grid") { event.preventDefault(); grid.selectAll(); }
}

function onSearchKey(event) {
  const leave = () => { $("search").value = ""; $("search").blur(); draw(); };
  if (event.key === "Escape") return leave();
  if (event.key !== "Enter") return;
  event.preventDefault();
  const typed = $("search").value.trim();
  const exact = [...classNames(), "skip", "unsure"].find((name) => name.toLowerCase() === typed.toLowerCase());
  const word = exact ?? (work.state?.allow_new && typed && !matches().length ? typed : typed ? matches()[0] : undefined);
  leave();
  if (word !== undefined && (isWord(word) || work.state?.allow_new)) answer(() => word);
}

// ---------------------------------------------------------------- start

function listen() {
  document.addEventListener("keydown", onKey);
  const on = (id, call) => $(id).addEventListener("click", (event) => { call(); event.currentTarget.blur(); });
  on("to-one", () => show("one"));
  on("to-grid", () => show("grid"));
  on("to-map", () => show("map"));
  on("accept", () => answer((image) => image.suggested));
  on("skip", () => answer(() => "skip"));
  on("unsure", () => answer(() => "unsure"));
  on("undo", undo);
  on("zoom-in", zoom.open);
  $("stage").addEventListener("click", zoom.open);
  $("search").addEventListener("input", draw);
  try { $("annotator").value = localStorage.getItem("msal:annotator") ?? ""; } catch { $("who").hidden = true; }
  $("annotator").addEventListener("change", () => { try { localStorage.setItem("msal:annotator", $("annotator").value.trim()); } catch { /* not kept */ } });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) run(); });
  zoom.listen(draw);
  map.listen(draw);
  grid.onSelect(draw);
  onChange(draw);
  // short pauses while somebody waits for images
  onPause(() => (work.state?.phase === "done" ? 5000 : work.images.length ? 2000 : 250));
}

if (location.search) window.history.replaceState(null, "", "/");  // the token need not stay in sight
document.body.dataset.browser = browser;
drawKeys();
listen();
draw();
if (unsaved.length) draw();
run();
