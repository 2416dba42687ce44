// ---------------------------------------------------------------- the grid: images, the selection, what is shown

let current = 0;
let anchor = 0;  // where a range begins
const selected = new Set();  // several images; otherwise the current one alone is meant

const figures = items.map((item, i) => {
  const figure = element(
    "figure", { id: `image-${i}`, title: item.path },
    element("div", { className: "box" }, picture(item)),
    element("figcaption", {}, element("div", { className: "label" }), element("div", { className: "guess" }, `${relabels ? "suspected: " : ""}${guess(item)}`)),
  );
  if (relabels) figure.querySelector("figcaption").prepend(element("div", { className: "given" }, `given: ${item.given}`));
  figure.setAttribute("role", "option");
  figure.addEventListener("click", (event) => {
    if (event.shiftKey) range(i);
    else if (event.ctrlKey || event.metaKey) toggle(i);
    else go(i);
    $("grid").focus({ preventScroll: true });
  });
  figure.addEventListener("dblclick", zoom);
  return figure;
});

function drawLabel(i) {
  const line = figures[i].querySelector(".label");
  line.textContent = OUT[labels[i]] ?? (labels[i] || "\u00a0");
  line.classList.toggle("out", labels[i] in OUT);
  figures[i].setAttribute("aria-label", `${i + 1}, ${items[i].path}, ${labels[i] || "blank"}`);
}

function drawSelection() {
  figures.forEach((figure, i) => {
    figure.classList.toggle("current", i === current);
    figure.setAttribute("aria-selected", selected.size ? selected.has(i) : i === current);
  });
  $("grid").setAttribute("aria-activedescendant", `image-${current}`);
}

// what an answer is about: in the enlarged view a person sees one image only
const targets = () => (selected.size && !$("zoom").open ? [...selected] : [current]);
const visible = (i) => !figures[i].classList.contains("hidden");
const shown = () => items.map((_, i) => i).filter(visible);

function move(i) {
  current = i;
  $("search").value = "";
  drawSelection();
  figures[i].scrollIntoView({ block: "nearest" });
  drawCurrent();
}

function go(i) {
  if (!$("zoom").open) selected.clear();
  anchor = i;
  move(i);
}

function range(to) {
  const [first, last] = [Math.min(anchor, to), Math.max(anchor, to)];
  selected.clear();
  shown().filter((i) => i >= first && i <= last).forEach((i) => selected.add(i));
  move(to);
}

function toggle(i) {
  if (!selected.size) selected.add(current);
  if (!selected.delete(i)) selected.add(i);
  anchor = i;
  move(i);
}

function selectShown() {  // labels that were given one by one are safe from the next answer
  const blank = shown().filter((i) => !labels[i]);
  const all = blank.length ? blank : shown();
  if (!all.length) return;
  selected.clear();
  all.forEach((i) => selected.add(i));
  move(all[0]);
}

function step(by, extend = false) {
  for (let i = current + by; i >= 0 && i < items.length; i += Math.sign(by)) if (visible(i)) return extend ? range(i) : go(i);
}

function row(by, extend = false) {
  const all = shown();
  const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
  const next = all[all.indexOf(current) + by * columns];
  if (next !== undefined) (extend ? range : go)(next);
}

function edge(last, extend) {
  const all = shown();
  if (all.length) (extend ? range : go)(last ? all.at(-1) : all[0]);
}

function next() {  // the next blank image; after the last one, start over
  const order = items.map((_, k) => (current + 1 + k) % items.length);
  const blank = order.find((i) => !labels[i] && isWanted(i));
  if (blank !== undefined) return go(blank);
  if (!$("zoom").open) selected.clear();
  move(current);
}

// ---------------------------------------------------------------- which images are shown

const guesses = [...new Set(items.map((item) => item.suggested).filter((name) => name !== null))]
  .sort((a, b) => classes.indexOf(a) - classes.indexOf(b));
let wanted = null;  // the predicted class to show; null for all
const isWanted = (i) => wanted === null || items[i].suggested === wanted;

function filter() {
  const only = $("only-blank").checked;
  figures.forEach((figure, i) => {
    const isDone = only && labels[i] && i !== current && !selected.has(i);
    figure.classList.toggle("hidden", !isWanted(i) || Boolean(isDone));
  });
  const blank = shown().filter((i) => !labels[i]).length;
  $("select-shown").textContent = `Select ${blank ? `${blank} blank` : `all ${shown().length}`}`;
}

function drawGuesses() {
  $("predicted").parentElement.hidden = guesses.length < 2;
  $("kind").textContent = relabels ? "suspected" : "predicted";
  const state = (has) => {
    const all = items.map((_, i) => i).filter(has);
    const blank = all.filter((i) => !labels[i]).length;
    return `${all.length}${blank === all.length ? "" : blank ? `, ${blank} blank` : " ✓"}`;
  };
  $("predicted").replaceChildren(
    element("option", { value: "" }, `all (${state(() => true)})`),
    ...guesses.map((name, k) => element("option", { value: String(k + 1) }, `${name} (${state((i) => items[i].suggested === name)})`)),
  );
  $("predicted").value = wanted === null ? "" : String(guesses.indexOf(wanted) + 1);
}

function show(k) {  // 0: all images; k: the k-th predicted class
  wanted = k ? guesses[k - 1] : null;
  selected.clear();
  filter();
  const all = shown();
  go(all.find((i) => !labels[i]) ?? all[0] ?? items.findIndex((_, i) => isWanted(i)));
  filter();
  drawGuesses();
}

function showNext(by) {
  const count = guesses.length + 1;
  if (count > 2) show((guesses.indexOf(wanted) + 1 + by + count) % count);
}
