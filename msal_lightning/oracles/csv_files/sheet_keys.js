// ---------------------------------------------------------------- keys

function onKey(event) {
  if (event.ctrlKey || event.metaKey) return onShortcut(event);
  if (event.altKey || event.isComposing) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if ($("zoom").open) {
    const moves = viewMoves();
    if (Object.hasOwn(moves, key)) { event.preventDefault(); return moves[key](); }
    if (key === "/" || (!keyed() && key.length === 1)) $("zoom").close();  // the search field lies below
  }
  if (event.target === $("search")) return onSearchKey(event);
  if (event.target.matches("button, [type=checkbox]") && [" ", "Enter"].includes(key)) return;  // the browser's own keys
  if (event.target.matches("select, [type=range]") && key !== "Escape") return;
  const extend = event.shiftKey;
  const moves = {
    ArrowLeft: () => step(-1, extend), ArrowRight: () => step(1, extend), ArrowUp: () => row(-1, extend),
    ArrowDown: () => row(1, extend), Home: () => edge(false, extend), End: () => edge(true, extend),
    Escape: () => { go(current); $("grid").focus({ preventScroll: true }); },
    Enter: () => answerEach((item) => item.suggested),
    ...(relabels ? { "=": () => answerEach((item) => item.given) } : { "-": () => answer("skip"), "?": () => answer("unsure") }),
    Backspace: clear, Delete: clear, " ": zoom, "/": () => $("search").focus(),
    ",": () => showNext(-1), ".": () => showNext(1),
  };
  if (Object.hasOwn(moves, key)) { event.preventDefault(); return moves[key](); }
  if (!keyed()) {
    if (event.key.length === 1) $("search").focus();  // the letter goes into the search field
    return;
  }
  const out = Object.keys(OUT).find((name) => name[0] === key);
  const named = out ?? classes.find((name) => keyOf.get(name) === key);
  if (named !== undefined) { event.preventDefault(); answer(named); }
}

function onShortcut(event) {
  const inField = event.target === $("search");
  const shortcuts = { s: download, z: undo, ...(inField ? {} : { a: selectShown }) };
  const key = event.key.toLowerCase();
  if (Object.hasOwn(shortcuts, key)) { event.preventDefault(); shortcuts[key](); }
}

function onSearchKey(event) {
  if (event.key === "Escape") { $("search").value = ""; drawClasses(); return $("grid").focus({ preventScroll: true }); }
  if (event.key !== "Enter") return;
  event.preventDefault();
  const typed = $("search").value.trim();
  const exact = classes.find((name) => name.toLowerCase() === typed.toLowerCase());
  const found = typed in OUT ? typed : exact ?? (typed ? matches()[0] : undefined);
  if (found !== undefined) { answer(found); return $("grid").focus({ preventScroll: true }); }
  if (data.allowNew && typed) { addClass(typed); $("grid").focus({ preventScroll: true }); }
}

// ---------------------------------------------------------------- start

function setSize() {
  document.documentElement.style.setProperty("--tile", `${$("size").value}rem`);
}

function listen() {
  const toGrid = () => $("grid").focus({ preventScroll: true });
  $("only-blank").addEventListener("change", () => { selected.clear(); filter(); move(current); toGrid(); });
  $("predicted").addEventListener("change", () => { show(Number($("predicted").value)); toGrid(); });
  $("select-shown").addEventListener("click", () => { selectShown(); toGrid(); });
  $("download").addEventListener("click", download);
  $("size").addEventListener("input", setSize);
  $("size").addEventListener("change", toGrid);
  $("search").addEventListener("input", drawClasses);
  $("viewport").addEventListener("wheel", onWheel, { passive: false });
  $("viewport").addEventListener("pointerdown", (event) => $("viewport").setPointerCapture(event.pointerId));
  $("viewport").addEventListener("pointermove", onDrag);
  $("viewport").addEventListener("dblclick", (event) => zoomBy(view.scale > 1 ? 0 : 4, ...fromMiddle(event)));
  $("close").addEventListener("click", () => $("zoom").close());
  $("zoom").addEventListener("close", () => { drawCurrent(); toGrid(); });
  window.addEventListener("resize", place);
  const header = document.querySelector("header");
  new ResizeObserver(() => document.documentElement.style.setProperty("--header", `${header.offsetHeight}px`)).observe(header);
  document.addEventListener("keydown", onKey);
}

giveKeys(classes);
recall();
$("title").textContent = document.title;
$("grid").append(...figures);
items.forEach((_, i) => drawLabel(i));
drawCount();
drawKeys();
$("how").textContent = data.about;
$("after").append(
  "Labels stay in this browser until you download them. Then import the file: ",
  element("code", {}, `python -m msal_lightning ${data.command} ${data.file}`),
  ...(relabels ? [". Images without a new label keep theirs."] : [", or replace the file in ", element("code", {}, data.folder), "."]),
);
$("size").value = items.length <= 6 ? 14 : items.length <= 24 ? 11 : 8.5;
setSize();
listen();
go(Math.max(0, labels.findIndex((label) => !label)));
filter();
$("grid").focus({ preventScroll: true });
