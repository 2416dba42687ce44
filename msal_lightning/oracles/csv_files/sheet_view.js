// ---------------------------------------------------------------- one image, enlarged: the original, zoom and pan

const view = { scale: 1, x: 0, y: 0, frame: null };  // x and y in pixels, from the middle
const MOST = 32;  // times the size that fits

function zoom() {
  Object.assign(view, { scale: 1, x: 0, y: 0 });
  $("zoom").showModal();
  $("viewport").focus();
  drawView();
}

function drawView() {
  const item = items[current];
  const shape = picture(item, true);
  const image = shape.querySelector("img");
  view.frame = image ? shape : null;
  $("viewport").replaceChildren(shape);
  $("sees").replaceChildren();
  if (image) {
    image.addEventListener("load", () => {
      if (view.frame !== shape) return;  // another image is shown by now
      if (data.model) $("sees").replaceChildren(input(item, image), element("div", {}, `about what the model sees: ${data.model.size}×${data.model.size} pixels`));
      place();
    });
    place();
  }
  const label = labels[current];
  $("view-about").replaceChildren(
    element("div", {}, `${current + 1} of ${items.length}`), ...aboutLines(item),
    element("div", { className: label in OUT ? "label out" : label ? "label" : "label none" }, label ? OUT[label] ?? label : relabels ? "no new label" : "no label yet"),
  );
  drawClasses();
}

function place() {
  if (!view.frame) return;
  const { clientWidth, clientHeight } = $("viewport");
  const ratio = items[current].ratio;
  const width = Math.min(clientWidth, clientHeight * ratio);
  const height = width / ratio;
  const within = (value, size, room) => {
    const most = Math.max(0, (size * view.scale - room) / 2);
    return Math.min(most, Math.max(-most, value));
  };
  view.x = within(view.x, width, clientWidth);
  view.y = within(view.y, height, clientHeight);
  Object.assign(view.frame.style, {
    width: `${width}px`, height: `${height}px`, transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})`,
  });
  view.frame.style.setProperty("--line", `${1.5 / view.scale}px`);
  const pixels = view.frame.querySelector("img").naturalWidth;
  $("scale").textContent = pixels ? `zoom ${Math.round((100 * width * view.scale) / pixels)} %` : "";
}

function zoomBy(factor, x = 0, y = 0) {  // what lies at (x, y) from the middle stays there
  const scale = Math.min(MOST, Math.max(1, view.scale * factor));
  view.x = x - ((x - view.x) * scale) / view.scale;
  view.y = y - ((y - view.y) * scale) / view.scale;
  view.scale = scale;
  place();
}

function pan(x, y) {
  view.x += x;
  view.y += y;
  place();
}

function fromMiddle(event) {
  const box = $("viewport").getBoundingClientRect();
  return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
}

function onWheel(event) {
  event.preventDefault();
  const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
  zoomBy(Math.exp((-event.deltaY * lines) / 400), ...fromMiddle(event));
}

function onDrag(event) {
  if (event.buttons & 1) pan(event.movementX, event.movementY);
}

// moves of the enlarged view; undefined for keys that mean the same as elsewhere
function viewMoves() {
  const far = view.scale > 1;
  const by = 120;
  return {
    "+": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), " ": () => $("zoom").close(), Escape: () => $("zoom").close(),
    PageUp: () => step(-1), PageDown: () => step(1),
    ArrowLeft: () => (far ? pan(by, 0) : step(-1)), ArrowRight: () => (far ? pan(-by, 0) : step(1)),
    ArrowUp: () => (far ? pan(0, by) : step(-1)), ArrowDown: () => (far ? pan(0, -by) : step(1)),
  };
}
