"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const items = data.items;
const classes = [...data.classes];
const relabels = data.columns.includes("given");  // every image has a label, and a person says which ones are wrong
const OUT = Object.assign(Object.create(null), relabels ? {} : { skip: "not usable", unsure: "cannot tell" });
// s and u stand for skip and unsure; if there are more classes than keys, letters go to the search field
const KEYS = [..."1234567890qwertyiopadfghjklzxcvbnm"];
const keyed = () => classes.length <= KEYS.length;
const keyOf = new Map();

function giveKeys(names) {  // class 7 gets the key 7; other classes get the free keys
  const free = (key) => KEYS.includes(key) && ![...keyOf.values()].includes(key);
  const rest = names.filter((name) => !free(name.toLowerCase()) || !keyOf.set(name, name.toLowerCase()));
  rest.forEach((name) => keyOf.set(name, KEYS.find(free)));
}

// ---------------------------------------------------------------- saved labels

const labels = new Array(items.length).fill("");  // a class, skip, unsure or blank
const history = [];
let current = 0;
let keeps = true;

function keep() {
  try {
    localStorage.setItem(`msal:${data.key}`, JSON.stringify({ labels, classes }));
  } catch {
    keeps = false;
  }
}

function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(`msal:${data.key}`) ?? "null");
    if (!kept || kept.labels.length !== items.length) return;
    kept.classes.forEach((name) => classes.includes(name) || admit(name));
    kept.labels.forEach((label, i) => { if (label in OUT || classes.includes(label)) labels[i] = label; });
  } catch {
    keeps = false;
  }
}

// ---------------------------------------------------------------- drawing; names reach the document as text only

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function picture(item, large = false) {
  if (!item.image) return element("div", { className: "unreadable" }, `cannot be read: ${item.path}`);
  const image = element("img", { alt: "", decoding: "async", className: item.small ? "small" : "" });
  if (large) image.onerror = () => { image.onerror = null; image.src = item.image; };  // the file may have moved
  else image.loading = "lazy";
  image.src = large ? item.large ?? (item.original ? item.file : item.image) : item.image;
  const frame = element("div", { className: item.ratio < 1 ? "frame tall" : "frame" }, image);
  frame.style.aspectRatio = item.ratio;
  if (item.seen) {  // the part that the model sees, as fractions of the image
    const seen = element("div", { className: "seen", title: "part that the model sees" });
    ["left", "top", "width", "height"].forEach((side, i) => { seen.style[side] = `${100 * item.seen[i]}%`; });
    frame.append(seen);
  }
  return frame;
}

const percent = (share) => `${Math.round(100 * share)} %`;
const guess = (item) => (item.suggested === null ? "" : `${item.suggested}${item.confidence === null ? "" : ` ${percent(item.confidence)}`}`);

const figures = items.map((item, i) => {
  const figure = element(
    "figure", { id: `image-${i}`, title: item.path },
    element("div", { className: "box" }, picture(item)),
    element("figcaption", {}, element("div", { className: "label" }), element("div", { className: "guess" }, guess(item))),
  );
  if (relabels) figure.querySelector("figcaption").prepend(element("div", { className: "given" }, `given: ${item.given}`));
  figure.setAttribute("role", "option");
  figure.addEventListener("click", () => { go(i); $("grid").focus({ preventScroll: true }); });
  figure.addEventListener("dblclick", zoom);
  return figure;
});

function drawLabel(i) {
  const line = figures[i].querySelector(".label");
  line.textContent = OUT[labels[i]] ?? (labels[i] || "\u00a0");
  line.classList.toggle("out", labels[i] in OUT);
  figures[i].setAttribute("aria-label", `${i + 1}, ${items[i].path}, ${labels[i] || "blank"}`);
}

function drawCount() {
  const done = labels.filter(Boolean).length;
  $("done").style.width = `${(100 * done) / items.length}%`;
  $("bar").setAttribute("aria-valuemax", items.length);
  $("bar").setAttribute("aria-valuenow", done);
  $("count").textContent = `${done} of ${items.length} labeled${keeps ? "" : "; this browser does not save labels: download before you leave"}`;
  const blank = items.length - done;
  $("download").textContent = blank ? `Download CSV (${blank} blank)` : "Download CSV";
}

function button(name, key, chosen, suggested) {
  const made = element("button", { type: "button", tabIndex: -1 });
  if (key) made.append(element("kbd", {}, key));
  made.append(OUT[name] ?? name);
  made.setAttribute("aria-pressed", chosen);
  made.classList.toggle("suggested", suggested);
  made.addEventListener("click", () => { answer(name); $("grid").focus({ preventScroll: true }); });
  return made;
}

function matches() {
  const wanted = $("search").value.trim().toLowerCase();
  if (!wanted) return classes;
  const rank = (name) => (name.toLowerCase().startsWith(wanted) ? 0 : name.toLowerCase().includes(wanted) ? 1 : 2);
  return classes.filter((name) => rank(name) < 2).sort((a, b) => rank(a) - rank(b));
}

function drawClasses() {
  const item = items[current];
  const shown = matches();
  const buttons = shown.slice(0, 60).map((name) =>
    button(name, keyed() ? keyOf.get(name) : "", labels[current] === name, item.suggested === name));
  const wanted = $("search").value.trim();
  if (data.allowNew && wanted && !classes.includes(wanted) && !(wanted in OUT)) {
    const made = element("button", { type: "button" }, `new class: ${wanted}`);
    made.addEventListener("click", () => { addClass(wanted); $("grid").focus({ preventScroll: true }); });
    buttons.push(made);
  }
  const rest = shown.length > 60 ? [element("span", { className: "hint" }, `and ${shown.length - 60} more: type`)] : [];
  $("classes").replaceChildren(
    ...buttons, ...rest,
    ...Object.keys(OUT).map((name) => button(name, keyed() ? name[0] : name === "skip" ? "-" : "?", labels[current] === name, false)),
  );
}

function drawCurrent() {
  const item = items[current];
  $("stage").replaceChildren(picture(item));
  const about = [element("div", {}, `${current + 1} of ${items.length}`)];
  if (relabels) about.push(element("div", {}, "given: ", element("b", {}, item.given), `, ${percent(Number(item.cells.confidence))} sure`));
  if (item.suggested !== null) {
    const text = item.confidence === null ? "" : `, ${percent(item.confidence)} sure`;
    const score = item.score === null ? "" : `; score ${Number(item.score).toPrecision(3)}`;
    about.push(element("div", {}, relabels ? "suspected: " : "predicted: ", element("b", {}, item.suggested), `${text}${score}`));
  }
  const path = item.file == null ? item.path : element("a", { href: item.file, target: "_blank", rel: "noopener" }, item.path);
  about.push(element("div", { className: "path", title: "open the file" }, path));
  $("about").replaceChildren(...about);
  $("grid").setAttribute("aria-activedescendant", `image-${current}`);
  drawClasses();
}

function drawKeys() {
  const keys = [
    [["←", "→", "↑", "↓"], "select another image"],
    ...(relabels
      ? [[["Enter"], "the suspected class is right"], [["="], "the given label is right"]]
      : [
        [["Enter"], "accept the prediction"],
        [keyed() ? ["s", "-"] : ["-"], "skip: not usable"],
        [keyed() ? ["u", "?"] : ["?"], "unsure: cannot tell"],
      ]),
    [["Backspace"], "clear"],
    [["Ctrl", "Z"], "undo"],
    [["Space"], "enlarge"],
    [["/"], data.allowNew ? "type a class, known or new" : "type a class"],
    [["Ctrl", "S"], "download"],
  ];
  $("keys").replaceChildren(...keys.flatMap(([names, what]) => [
    element("dt", {}, ...names.flatMap((name, i) => [i ? " " : "", element("kbd", {}, name)])), element("dd", {}, what),
  ]));
}

// ---------------------------------------------------------------- moving and answering

const visible = (i) => !figures[i].classList.contains("hidden");

function go(i) {
  figures[current].setAttribute("aria-selected", "false");
  current = i;
  figures[i].setAttribute("aria-selected", "true");
  figures[i].scrollIntoView({ block: "nearest" });
  $("search").value = "";
  drawCurrent();
}

function step(by) {
  for (let i = current + by; i >= 0 && i < items.length; i += Math.sign(by)) if (visible(i)) return go(i);
}

function row(by) {
  const shown = figures.map((_, i) => i).filter(visible);
  const place = shown.indexOf(current);
  const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
  const next = shown[place + by * columns];
  if (next !== undefined) go(next);
}

function set(i, label) {
  labels[i] = label;
  drawLabel(i);
  keep();
  drawCount();
}

function answer(label) {
  history.push([current, labels[current]]);
  set(current, label);
  for (let k = 1; k < items.length; k++) {  // go to the next blank image; after the last one, start over
    const i = (current + k) % items.length;
    if (!labels[i]) { go(i); return filter(); }
  }
  $("search").value = "";
  drawCurrent();
  filter();
}

function admit(name) {
  classes.push(name);
  giveKeys([name]);
}

function addClass(name) {
  admit(name);
  drawKeys();
  answer(name);
}

function undo() {
  const last = history.pop();
  if (!last) return;
  set(...last);
  filter();
  go(last[0]);
}

function clear() {
  if (!labels[current]) return;
  history.push([current, labels[current]]);
  set(current, "");
  drawCurrent();
}

function filter() {
  const only = $("only-blank").checked;
  figures.forEach((figure, i) => figure.classList.toggle("hidden", only && Boolean(labels[i]) && i !== current));
}

function zoom() {
  $("zoom").replaceChildren(picture(items[current], true));
  $("zoom").showModal();
}

// ---------------------------------------------------------------- the file

const quoted = (field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);

// same rule as io/csv_cells.py: an apostrophe before text that a spreadsheet would run; a number is no formula
const isRun = (text) =>
  /^[\s'"\ufeff\u200b\0]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) && !/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text);
const guarded = (text) => (isRun(text) ? `'${text}` : text);

function csv() {
  const cell = (item, rank, name) =>
    name === "path" ? item.cells.path : guarded(name === "label" ? labels[rank] ?? "" : item.cells[name]);
  const lines = items.map((item, rank) => data.columns.map((name) => cell(item, rank, name)));
  return [data.columns, ...lines].map((fields) => `${fields.map(quoted).join(",")}\n`).join("");
}

function download() {
  const url = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  element("a", { href: url, download: data.file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

// ---------------------------------------------------------------- keys

function onKey(event) {
  if (event.ctrlKey || event.metaKey) {
    const what = { s: download, z: undo }[event.key.toLowerCase()];
    if (what) { event.preventDefault(); what(); }
    return;
  }
  if (event.altKey || event.isComposing) return;
  if ($("zoom").open) {
    if (event.key === " " || event.key === "Escape") { event.preventDefault(); $("zoom").close(); return; }
    $("zoom").close();
  }
  if (event.target === $("search")) return onSearchKey(event);
  if (event.target.matches("header button, header input") && [" ", "Enter"].includes(event.key)) return;
  const moves = {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => row(-1), ArrowDown: () => row(1),
    Home: () => step(-current), End: () => go(items.length - 1),
    Enter: () => items[current].suggested !== null && answer(items[current].suggested),
    ...(relabels ? { "=": () => answer(items[current].given) } : { "-": () => answer("skip"), "?": () => answer("unsure") }),
    Backspace: clear, Delete: clear, " ": zoom, "/": () => $("search").focus(),
  };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key in moves) { event.preventDefault(); return moves[key](); }
  if (!keyed()) {
    if (event.key.length === 1) $("search").focus();  // the letter goes into the search field
    return;
  }
  const out = Object.keys(OUT).find((name) => name[0] === key);
  if (out) return answer(out);
  const named = classes.find((name) => keyOf.get(name) === key);
  if (named !== undefined) { event.preventDefault(); answer(named); }
}

function onSearchKey(event) {
  if (event.key === "Escape") { $("search").value = ""; drawClasses(); return $("grid").focus({ preventScroll: true }); }
  if (event.key !== "Enter") return;
  event.preventDefault();
  const wanted = $("search").value.trim();
  const exact = classes.find((name) => name.toLowerCase() === wanted.toLowerCase());
  const found = wanted in OUT ? wanted : exact ?? (wanted ? matches()[0] : undefined);
  if (found !== undefined) { answer(found); return $("grid").focus({ preventScroll: true }); }
  if (data.allowNew && wanted) { addClass(wanted); $("grid").focus({ preventScroll: true }); }
}

// ---------------------------------------------------------------- start

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
  element("code", {}, `python -m msal_lightning ${data.command} RUN ${data.file}`),
  ...(relabels ? [". Images without a new label keep theirs."] : [", or replace the file in ", element("code", {}, data.folder), "."]),
);
$("only-blank").addEventListener("change", filter);
$("download").addEventListener("click", download);
$("search").addEventListener("input", drawClasses);
$("zoom").addEventListener("click", () => $("zoom").close());
document.addEventListener("keydown", onKey);
go(Math.max(0, labels.findIndex((label) => !label)));
$("grid").focus({ preventScroll: true });
