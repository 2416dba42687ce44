// ---------------------------------------------------------------- the panel: the current image, the classes, the keys

function drawCount() {
  const done = labels.filter(Boolean).length;
  $("done").style.width = `${(100 * done) / items.length}%`;
  $("bar").setAttribute("aria-valuemax", items.length);
  $("bar").setAttribute("aria-valuenow", done);
  $("count").textContent = `${done} of ${items.length} labeled${keeps ? "" : "; this browser does not save labels: download before you leave"}`;
  drawGuesses();
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
  const typed = $("search").value.trim().toLowerCase();
  if (!typed) return classes;
  const rank = (name) => (name.toLowerCase().startsWith(typed) ? 0 : name.toLowerCase().includes(typed) ? 1 : 2);
  return classes.filter((name) => rank(name) < 2).sort((a, b) => rank(a) - rank(b));
}

function classButtons() {
  const about = targets();
  const all = (has) => about.every(has);
  const found = matches();
  const buttons = found.slice(0, 60).map((name) => button(
    name, keyed() ? keyOf.get(name) : "", all((i) => labels[i] === name), all((i) => items[i].suggested === name),
  ));
  const typed = $("search").value.trim();
  if (data.allowNew && typed && !classes.includes(typed) && !(typed in OUT)) {
    const made = element("button", { type: "button" }, `new class: ${typed}`);
    made.addEventListener("click", () => { addClass(typed); $("grid").focus({ preventScroll: true }); });
    buttons.push(made);
  }
  const rest = found.length > 60 ? [element("span", { className: "hint" }, `and ${found.length - 60} more: type`)] : [];
  const outs = Object.keys(OUT).map((name) =>
    button(name, keyed() ? name[0] : name === "skip" ? "-" : "?", all((i) => labels[i] === name), false));
  return [...buttons, ...rest, ...outs];
}

function drawClasses() {
  $($("zoom").open ? "view-classes" : "classes").replaceChildren(...classButtons());
}

function counts(about) {  // "ok 50, dent 2", of the predictions
  const names = about.map((i) => items[i].suggested).filter((name) => name !== null);
  return [...new Set(names)].map((name) => `${name} ${names.filter((other) => other === name).length}`).join(", ");
}

function aboutLines(item) {
  const lines = [];
  if (relabels) lines.push(element("div", {}, "given: ", element("b", {}, item.given), `, ${percent(Number(item.cells.confidence))} sure`));
  if (item.cells.votes) lines.push(element("div", {}, item.cells.votes));
  if (item.suggested !== null) {
    const sure = item.confidence === null ? "" : `, ${percent(item.confidence)} sure`;
    const score = item.score === null ? "" : `; score ${Number(item.score).toPrecision(3)}`;
    lines.push(element("div", {}, relabels ? "suspected: " : "predicted: ", element("b", {}, item.suggested), `${sure}${score}`));
  }
  const path = item.file == null ? item.path : element("a", { href: item.file, target: "_blank", rel: "noopener" }, item.path);
  lines.push(element("div", { className: "path", title: "open the file" }, path));
  return lines;
}

function drawCurrent() {
  const item = items[current];
  if ($("zoom").open) drawView();
  $("stage").replaceChildren(picture(item));
  const about = targets();
  const several = about.length > 1;
  $("about").classList.toggle("several", several);
  $("about").replaceChildren(
    element("div", {}, several ? element("b", {}, `${about.length} images selected`) : `${current + 1} of ${items.length}`),
    ...(several ? [element("div", {}, counts(about) && `${relabels ? "suspected" : "predicted"}: ${counts(about)}`)] : aboutLines(item)),
  );
  drawClasses();
}

function drawKeys() {
  const keys = [
    [["←", "→", "↑", "↓"], "another image"],
    [["Shift", "→"], "several images; also Shift or Ctrl + click"],
    [["Ctrl", "A"], "all blank images that are shown"],
    ...(guesses.length > 1 ? [[[",", "."], `show one ${relabels ? "suspected" : "predicted"} class`]] : []),
    ...(relabels
      ? [[["Enter"], "the suspected class is right"], [["="], "the given label is right"]]
      : [
        ...(predicts ? [[["Enter"], "accept the prediction"]] : []),
        [keyed() ? ["s", "-"] : ["-"], "skip: not usable"],
        [keyed() ? ["u", "?"] : ["?"], "unsure: cannot tell"],
      ]),
    [["Backspace"], "clear"],
    [["Ctrl", "Z"], "undo"],
    [["Space"], "enlarge; then + − zoom, arrows pan"],
    [["/"], data.allowNew ? "type a class, known or new" : "type a class"],
    [["Ctrl", "S"], "download"],
  ];
  $("keys").replaceChildren(...keys.flatMap(([names, what]) => [
    element("dt", {}, ...names.flatMap((name, i) => [i ? " " : "", element("kbd", {}, name)])), element("dd", {}, what),
  ]));
}

// ---------------------------------------------------------------- answers

function answer(label) {
  answerEach(() => label);
}

function answerEach(labelOf) {  // an image without an answer keeps its label
  const about = targets();
  const changes = about.map((i) => [i, labelOf(items[i])]).filter(([, label]) => label !== null);
  if (!changes.length) return;
  change(changes);
  about.forEach((i) => selected.delete(i));
  next();
  filter();
}

function addClass(name) {
  admit(name);
  drawKeys();
  answer(name);
}

function clear() {
  const changes = targets().filter((i) => labels[i]).map((i) => [i, ""]);
  if (!changes.length) return;
  change(changes);
  drawCurrent();
  filter();
}

function undo() {
  const last = history.pop();
  if (!last) return;
  put(last);
  const [[first]] = last;
  if (!isWanted(first)) show(0);
  go(first);
  if (last.length > 1 && !$("zoom").open) {
    last.forEach(([i]) => selected.add(i));
    move(first);
  }
  filter();
}
