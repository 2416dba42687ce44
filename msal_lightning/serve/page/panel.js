// The header and the panel: progress, accuracy, what is saved, the classes and their keys.

import { history, unsaved, wait } from "./api.js";
import { $, counted, element, OUT, percent } from "./dom.js";
import { keyed, keyOf } from "./keys.js";
import { answer, classNames, targets, work } from "./work.js";

const SHOWN = 60;  // classes
// Okabe and Ito's colours and Tableau's; with more classes they repeat
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#9467bd", "#8c564b", "#17becf", "#bcbd22"];
export const colour = (name) => COLOURS[Math.max(0, classNames().indexOf(name)) % COLOURS.length];

export function drawHeader() {
  const { state } = work;
  if (state?.budget) {  // the loop has been opened
    $("title").textContent = state.title;
    document.title = `${state.title}: ${state.given} of ${state.budget}`;
    const done = Math.min(state.given + pending(), state.budget);
    $("done").style.width = `${(100 * done) / Math.max(1, state.budget)}%`;
    $("bar").setAttribute("aria-valuemax", state.budget);
    $("bar").setAttribute("aria-valuenow", done);
    const round = state.round === null ? "" : ` · round ${state.round + 1} of ${state.rounds}`;
    $("count").textContent = `${done.toLocaleString("en")} of ${counted(state.budget, "label")}${round}${state.people > 1 ? ` · ${state.people} people` : ""}`;
    $("accuracy").replaceChildren(...accuracy(state.accuracy));
  }
  drawSaved();
}

const pending = () => {  // answers on their way, which the state does not count yet
  const last = new Map(unsaved.map(({ index, word }) => [index, word]));
  return [...last.values()].filter((word) => word && !(word in OUT)).length;
};

function accuracy(found) {
  if (!found) return [];
  const title = found.tested === null ? "" : `95 % interval, by ${counted(found.tested, "test image")}`;
  const range = found.low === null ? "" : ` ${(100 * found.low).toFixed(1)}–${(100 * found.high).toFixed(1)} %`;
  return [element("i", {}, "accuracy "), element("b", { title }, percent(found.value, 1)), element("span", { title }, range)];
}

function drawSaved() {
  const line = $("saved");
  const open = unsaved.length;
  line.className = wait.failures ? "failed" : open ? "saving" : "";
  line.textContent = wait.failures
    ? open ? `${counted(open, "answer")} not saved, trying again` : "no connection"
    : open ? `saving ${open}` : history.length ? "saved ✓" : "";
}

export function drawTrouble() {
  const { state, said } = work;
  const lines = [
    wait.failures > 1 ? `${wait.gone}: ${unsaved.length ? "answers stay on this page until they are saved; do not close it" : "trying again"}` : "",
    state?.trouble ?? "",
    said,
  ].filter(Boolean);
  $("trouble").hidden = !lines.length;
  $("trouble").textContent = lines.join("\n");
}

export function drawPanel() {
  const about = targets();
  const image = about[0];
  const isAlone = !work.state?.budget || ["done", "error"].includes(work.state.phase);  // there is nothing to label
  $("panel").hidden = document.querySelector("nav").hidden = isAlone;
  document.querySelector("main").classList.toggle("alone", isAlone);
  drawAbout(about);
  drawAccept(about);
  drawClasses(about);
  $("skip").disabled = $("unsure").disabled = $("zoom-in").disabled = !image;
  $("undo").disabled = !history.length;
  $("chosen-by").textContent = image && image.known !== null && work.state
    ? `chosen by a model that knows ${counted(image.known, "label")}; ${work.state.given + pending() - image.known} more are given by now${learned(work.state.learned_in)}`
    : "";
  $("forecast").textContent = work.state?.forecast ?? "";
  $("warnings").textContent = (work.state?.warnings ?? []).join("\n");
}

const learned = (seconds) => (seconds === null ? "" : `; the last one was ready ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s after its answers`);

function drawAbout(about) {
  const [image] = about;
  const lines = !image ? []
    : about.length > 1 ? [element("b", {}, `${about.length} images selected`), element("div", { className: "path" }, counts(about))]
      : [element("div", { className: "path" }, image.path), ...worth(image)];
  $("about").classList.toggle("several", about.length > 1);
  $("about").replaceChildren(...lines);
}

const worth = ({ suggested, score }) => {
  const lines = [suggested === null ? "no prediction yet" : "", score === null ? "" : `score ${Number(score).toPrecision(3)}`].filter(Boolean);
  return lines.length ? [element("div", { className: "path" }, lines.join("; "))] : [];
};

function counts(about) {  // "ok 50, dent 2", of the predictions
  const names = about.map(({ suggested }) => suggested).filter((name) => name !== null);
  return [...new Set(names)].map((name) => `${name} ${names.filter((other) => other === name).length}`).join(", ");
}

function drawAccept(about) {
  const able = about.filter(({ suggested }) => suggested !== null);
  $("accept").hidden = !able.length;
  if (!able.length) return;
  const one = about.length === 1 ? able[0] : null;
  $("accept").classList.toggle("many", !one);
  const sure = one && one.confidence !== null ? [element("span", { className: "sure" }, percent(one.confidence))] : [];
  $("accept").replaceChildren(element("kbd", {}, "Enter"), one ? one.suggested : `accept ${able.length} predictions`, ...sure);
}

let drawnClasses = "";
function drawClasses(about) {
  const typed = $("search").value.trim();
  const all = work.state?.allow_new;
  const suggested = about.length && about.every((image) => image.suggested === about[0].suggested) ? about[0].suggested : null;
  const key = JSON.stringify([classNames(), typed, suggested, all, work.view === "map"]);
  if (key === drawnClasses) return;  // most answers change nothing here
  drawnClasses = key;
  const found = matches();
  const buttons = found.slice(0, SHOWN).map((name) => button(name, keyOf(name), name === suggested));
  if (all && typed && !classNames().includes(typed) && !(typed in OUT)) {
    const made = element("button", { type: "button" }, `new class: ${typed}`);
    made.addEventListener("click", () => { $("search").value = ""; answer(() => typed); });
    buttons.push(made);
  }
  if (found.length > SHOWN) buttons.push(element("span", { className: "hint" }, `and ${found.length - SHOWN} more: type`));
  $("classes").replaceChildren(...buttons);
  $("search").placeholder = all ? "/ type a class, or n for a new one" : "/ type a class";
  $("search").classList.toggle("wanted", !keyed() || Boolean(all));
}

function button(name, key, isSuggested) {
  const made = element("button", { type: "button", tabIndex: -1 });
  if (key) made.append(element("kbd", {}, key));
  made.append(name);
  if (work.view === "map") {
    const mark = element("span", { className: "colour" });
    mark.style.background = colour(name);
    made.append(mark);
  }
  made.classList.toggle("suggested", isSuggested);
  made.addEventListener("click", () => { $("search").value = ""; answer(() => name); made.blur(); });
  return made;
}

export function matches() {
  const typed = $("search").value.trim().toLowerCase();
  if (!typed) return classNames();
  const rank = (name) => (name.toLowerCase().startsWith(typed) ? 0 : name.toLowerCase().includes(typed) ? 1 : 2);
  return classNames().filter((name) => rank(name) < 2).sort((a, b) => rank(a) - rank(b));
}

export function drawKeys() {
  const keys = [
    [["Enter"], "accept the prediction"],
    [["s"], "skip: not usable"], [["u"], "unsure: cannot tell"],
    [["z", "⌫"], "undo"],
    [["←", "→"], "another image"],
    [["+"], "zoom; then + − and drag"],
    [["/"], "type a class"],
    [["Shift", "→"], "grid: several; Ctrl A all"],
  ];
  $("keys").replaceChildren(...keys.flatMap(([names, what]) => [
    element("dt", {}, ...names.flatMap((name, k) => [k ? " " : "", element("kbd", {}, name)])), element("dd", {}, what),
  ]));
}

