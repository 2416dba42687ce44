// What the page shows where there is no image: the model learns, others have the rest, the run has finished.

import { curve } from "./curve.js";
import { $, counted, element, percent } from "./dom.js";
import { work } from "./work.js";

export function drawMessage() {
  const { state } = work;
  const says = !state?.budget && state?.phase !== "error" ? [element("div", { className: "busy" })]
    : state.phase === "done" ? finished(state)
      : state.phase === "error" ? [element("h2", {}, "The run has stopped"), element("p", {}, state.trouble)]
        : work.images.length || work.view === "map" ? null
          : state.phase === "label" && state.lent > 0 ? others(state)
            : learning(state);
  $("message").hidden = !says;
  if (!says) return;
  const key = JSON.stringify(says.map((one) => one.outerHTML));
  if ($("message").dataset.key === key) return;
  $("message").dataset.key = key;
  $("message").replaceChildren(...says);
}

const learning = (state) => [
  element("div", { className: "busy" }),
  element("h2", {}, "The model learns from your labels"),
  element("p", {}, `${counted(state.given, "label")} so far. The next images come by themselves.`),
  ...(state.learned_in > 2 ? [element("p", { className: "hint" }, `The last round took ${long(state.learned_in)}.`)] : []),
];

const long = (seconds) => (seconds < 100 ? `${Math.round(seconds)} seconds` : `${Math.round(seconds / 60)} minutes`);

const others = (state) => [
  element("h2", {}, "Somebody else has the last images"),
  element("p", {}, `${counted(state.lent, "image")} ${state.lent === 1 ? "is" : "are"} with other people; this page goes on by itself.`),
];

function finished(state) {
  const last = state.accuracy;
  const interval = last && last.low !== null ? ` (95 %: ${percent(last.low, 1)} to ${percent(last.high, 1)}, ${counted(last.tested, "test image")})` : "";
  return [
    element("h2", {}, "The run has finished"),
    ...(last ? [element("p", {}, element("b", {}, `${percent(last.value, 1)} accuracy`), ` with ${counted(state.labels, "label")}${interval}`)] : []),
    ...(state.curve.length > 1 ? [curve(state.curve, last)] : []),
    ...(state.forecast ? [element("p", { className: "hint" }, state.forecast)] : []),
    ...state.warnings.map((line) => element("p", { className: "hint" }, line)),
    element("p", {}, "For more labels, end the server with Ctrl-C and run"),
    element("p", {}, element("code", {}, `python -m msal_lightning extend ${quoted(state.run)} --labels 100 --later`)),
    element("p", {}, element("code", {}, `python -m msal_lightning serve ${quoted(state.run)}`)),
  ];
}

const quoted = (path) => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);
