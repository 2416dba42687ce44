// One image, enlarged: the original file, zoom and pan.

import { $, element } from "./dom.js";
import { address } from "./pictures.js";
import { current, work } from "./work.js";

const view = { scale: 1, x: 0, y: 0, index: null };  // x and y in pixels, from the middle
const MOST = 32;
const fingers = new Map();

export function open() {
  if (!current()) return;
  work.zoomed = true;
  $("zoom").showModal();
  draw();
}

export function close() {
  work.zoomed = false;  // at once: the next key is about the page again
  $("zoom").close();
}

export function draw() {
  if (!work.zoomed) return;
  const image = current();
  if (!image) return close();
  if (view.index !== image.index) {
    view.index = image.index;
    const shown = element("img", { alt: image.path, draggable: false });
    shown.addEventListener("load", () => { shown.classList.toggle("few", Math.max(shown.naturalWidth, shown.naturalHeight) <= 64); place(); });
    shown.src = address(image.index, "original");
    $("viewport").replaceChildren(shown);
  }
  place();
}

function place() {
  const image = $("viewport").querySelector("img");
  if (!image) return;
  const ratio = image.naturalWidth / image.naturalHeight || 1;
  const width = Math.min($("viewport").clientWidth, $("viewport").clientHeight * ratio);
  Object.assign(image.style, { width: `${width}px`, height: `${width / ratio}px` });
  const within = (value, size, room) => Math.max(-Math.max(0, (size * view.scale - room) / 2), Math.min(Math.max(0, (size * view.scale - room) / 2), value));
  view.x = within(view.x, image.offsetWidth, $("viewport").clientWidth);
  view.y = within(view.y, image.offsetHeight, $("viewport").clientHeight);
  image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  const { suggested, path } = current() ?? {};
  const size = image.naturalWidth ? ` · ${image.naturalWidth} × ${image.naturalHeight} pixels, ${Math.round((100 * image.offsetWidth * view.scale) / image.naturalWidth)} %` : "";
  $("zoom-says").textContent = `${suggested ? `predicted: ${suggested} · ` : ""}${path ?? ""}${size}`;
}

export function zoomBy(factor, x = 0, y = 0) {  // what lies at (x, y) from the middle stays there
  const scale = Math.min(MOST, Math.max(1, view.scale * factor));
  view.x = x - ((x - view.x) * scale) / view.scale;
  view.y = y - ((y - view.y) * scale) / view.scale;
  view.scale = scale;
  place();
}

export function pan(x, y) { view.x += x; view.y += y; place(); }
export const isClose = () => view.scale > 1;

const fromMiddle = ({ clientX, clientY }) => [clientX - innerWidth / 2, clientY - innerHeight / 2];

function onMove(event) {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {  // two fingers
    const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    zoomBy(apart(event) / Math.max(1, apart(before)), ...fromMiddle({ clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 }));
  } else pan(event.clientX - before.clientX, event.clientY - before.clientY);
  fingers.set(event.pointerId, { clientX: event.clientX, clientY: event.clientY });
}

export function listen(redraw) {
  const port = $("viewport");
  port.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(Math.exp((-event.deltaY * (event.deltaMode ? 16 : 1)) / 400), ...fromMiddle(event));
  }, { passive: false });
  port.addEventListener("pointerdown", (event) => { port.setPointerCapture(event.pointerId); fingers.set(event.pointerId, { clientX: event.clientX, clientY: event.clientY }); });
  port.addEventListener("pointermove", onMove);
  ["pointerup", "pointercancel"].forEach((name) => port.addEventListener(name, (event) => fingers.delete(event.pointerId)));
  port.addEventListener("dblclick", (event) => zoomBy(view.scale > 1 ? 1 / view.scale : 4, ...fromMiddle(event)));
  $("zoom-out").addEventListener("click", close);
  $("zoom").addEventListener("close", () => { work.zoomed = false; Object.assign(view, { scale: 1, x: 0, y: 0, index: null }); redraw(true); });
  addEventListener("resize", place);
}
