"use strict";
// Names come from anybody's folders and files, so they are only set as textContent.
const data = JSON.parse(document.getElementById("data").textContent);
const SHOWN_AT_FIRST = 8;

function html(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const colour = (i) => `var(--c${i % 7})`;
const percent = (value) => (100 * value).toFixed(1) + " %";
const byId = (id) => document.getElementById(id);

function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const values = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) values.push(Number((k * step).toPrecision(12)));
  return values;
}

/* Budget curves ------------------------------------------------------------------------------------------------- */

const lines = data.methods.filter((method) => !method.isFull).map((method, i) => ({
  ...method, colour: colour(method.colour), shown: i < SHOWN_AT_FIRST,
}));
const baseline = lines.find((line) => line.name.startsWith("Random"));
if (baseline) baseline.shown = true;

function drawCurves() {
  const box = byId("curves");
  const width = Math.max(280, box.clientWidth), height = Math.min(420, Math.max(260, width * 0.5));
  const margin = { left: 46, right: 22, top: 30, bottom: 40 };
  const shown = lines.filter((line) => line.shown && line.curve.length);
  const points = shown.flatMap((line) => line.curve);
  const ceilings = data.full.map((full) => full.accuracy);
  const xs = (points.length ? points : lines.flatMap((line) => line.curve)).map((p) => p[0]);
  let low = Math.min(...points.map((p) => p[2]), ...(points.length ? [] : [0]));
  let high = Math.max(...points.map((p) => p[3]), ...ceilings, ...(points.length ? [] : [1]));
  const pad = (high - low) * 0.04 || 0.01;
  low = Math.max(0, low - pad);
  high = Math.min(1, high + pad);
  const left = Math.min(...xs), right = Math.max(...xs);
  const x = (labels) => margin.left + (width - margin.left - margin.right) * (right > left ? (labels - left) / (right - left) : 0.5);
  const y = (accuracy) => height - margin.bottom - (height - margin.top - margin.bottom) * (accuracy - low) / (high - low);

  const plot = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "img", "aria-label": "Budget curves: test accuracy over labels" });
  for (const value of ticks(low, high, 6)) {
    const label = svg("text", { x: margin.left - 7, y: y(value) + 4, "text-anchor": "end" });
    label.textContent = high - low < 0.1 ? value.toFixed(3) : value.toFixed(2);
    plot.append(svg("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: y(value), y2: y(value) }), label);
  }
  for (const value of ticks(left, right, width < 500 ? 4 : 8)) {
    const label = svg("text", { x: x(value), y: height - margin.bottom + 17, "text-anchor": "middle" });
    label.textContent = value.toLocaleString("en");
    plot.append(svg("line", { class: "axis", x1: x(value), x2: x(value), y1: height - margin.bottom, y2: height - margin.bottom + 4 }), label);
  }
  plot.append(svg("line", { class: "axis", x1: margin.left, x2: width - margin.right, y1: height - margin.bottom, y2: height - margin.bottom }));
  const title = svg("text", { x: (margin.left + width - margin.right) / 2, y: height - 5, "text-anchor": "middle", class: "strong" });
  title.textContent = "labels";
  const side = svg("text", { x: 0, y: 11, class: "strong" });
  side.textContent = "test accuracy";
  plot.append(title);

  const path = (list) => list.map(([a, b], k) => `${k ? "L" : "M"}${x(a).toFixed(1)},${y(b).toFixed(1)}`).join("");
  for (const line of shown) {
    if (line.seeds.length > 1) {
      const band = path([...line.curve.map((p) => [p[0], p[3]]), ...[...line.curve].reverse().map((p) => [p[0], p[2]])]) + "Z";
      plot.append(svg("path", { class: "band", d: band, style: `fill: ${line.colour}` }));
    }
  }
  for (const full of data.full) {
    const label = svg("text", { x: width - margin.right - 2, y: y(full.accuracy) - 5, "text-anchor": "end", class: "halo" });
    label.textContent = `${full.name} ${full.accuracy.toFixed(4)}`;
    plot.append(svg("line", { class: "ceiling", x1: margin.left, x2: width - margin.right, y1: y(full.accuracy), y2: y(full.accuracy) }), label);
  }
  for (const line of [...shown].reverse()) {  // the best on top
    plot.append(svg("path", { class: "line", d: path(line.curve.map((p) => [p[0], p[1]])), style: `stroke: ${line.colour}`, "stroke-dasharray": line.dash }));
    if (line.curve.length === 1) plot.append(svg("circle", { cx: x(line.curve[0][0]), cy: y(line.curve[0][1]), r: 3, style: `fill: ${line.colour}` }));
  }
  plot.append(side);

  const cursor = svg("g", { id: "cursor" });
  const tip = html("div", { className: "tip", hidden: true, id: "tip" });
  plot.append(cursor);
  box.replaceChildren(plot, tip);

  const counts = [...new Set(points.map((p) => p[0]))].sort((a, b) => a - b);
  let at = -1;
  const show = (k) => {
    at = k;
    cursor.replaceChildren();
    tip.hidden = k < 0;
    if (k < 0) return;
    const labels = counts[k];
    cursor.append(svg("line", { class: "axis", x1: x(labels), x2: x(labels), y1: margin.top, y2: height - margin.bottom }));
    const rows = shown.map((line) => [line, line.curve.find((p) => p[0] === labels)]).filter(([, p]) => p).sort((a, b) => b[1][1] - a[1][1]);
    tip.replaceChildren(html("div", {}, html("b", { textContent: `${labels.toLocaleString("en")} labels` })));
    for (const [line, [, mean, lowest, highest]] of rows) {
      cursor.append(svg("circle", { cx: x(labels), cy: y(mean), r: 3.5, style: `fill: ${line.colour}` }));
      const range = line.seeds.length > 1 ? ` (${lowest.toFixed(4)}–${highest.toFixed(4)})` : "";
      tip.append(html("div", {}, sample(line), html("span", { textContent: line.name }), html("b", { textContent: mean.toFixed(4) }), range));
    }
    const room = box.clientWidth - tip.offsetWidth;
    const wanted = x(labels) > width / 2 ? x(labels) - tip.offsetWidth - 10 : x(labels) + 10;
    tip.style.left = `${Math.max(0, Math.min(room, wanted))}px`;
    // on a phone it would hide the curves, so it hangs below them
    tip.style.top = `${width < 520 ? height : Math.max(0, height - margin.bottom - tip.offsetHeight - 8)}px`;
  };
  const point = (event) => {
    const here = event.clientX - plot.getBoundingClientRect().left;
    const distance = counts.map((labels) => Math.abs(x(labels) - here));
    show(distance.indexOf(Math.min(...distance)));
  };
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointerleave", () => show(-1));
  plot.addEventListener("blur", () => show(-1));
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !counts.length) return;
    event.preventDefault();
    show(Math.max(0, Math.min(counts.length - 1, at + step)));
  });
}

function sample(line) {
  const stroke = { x1: 0, x2: 26, y1: 5, y2: 5, "stroke-width": 2, "stroke-dasharray": line.dash, style: `stroke: ${line.colour}` };
  return svg("svg", { width: 26, height: 10, "aria-hidden": "true" }, svg("line", stroke));
}

function drawLegend() {
  const buttons = lines.map((line) => {
    const button = html("button", { type: "button" }, sample(line), html("span", { textContent: line.name }));
    button.setAttribute("aria-pressed", line.shown);
    button.addEventListener("click", () => toggle((other) => (other === line ? !line.shown : other.shown)));
    return button;
  });
  const toggle = (isShown) => {
    lines.forEach((line) => { line.shown = isShown(line); });
    lines.forEach((line, i) => buttons[i].setAttribute("aria-pressed", line.shown));
    drawCurves();
  };
  const choices = { all: () => true, none: () => false };
  const extra = Object.entries(choices).map(([name, choice]) => {
    const button = html("button", { type: "button", className: "choice", textContent: name });
    button.addEventListener("click", () => toggle(choice));
    return button;
  });
  byId("legend").replaceChildren(...buttons, ...(lines.length > 2 ? extra : []));
}

/* Tables -------------------------------------------------------------------------------------------------------- */

function sortable(columns, rows, marked = () => false, mark = "best") {
  const body = html("tbody");
  const lineOf = (row, i) => html("tr", {}, ...row.map((cell, j) => html("td", { textContent: cell.replace(" / ", "\n"), className: marked(i, j) ? mark : "" })));
  const made = rows.map((row, i) => ({ row, node: lineOf(row, i) }));
  body.append(...made.map((one) => one.node));
  const value = (text) => {
    const number = parseFloat(text.replace("< ", "").replace("−", "-"));
    return Number.isNaN(number) ? null : number;
  };
  const heads = columns.map((name, j) => {
    const head = html("th", { scope: "col" });
    const button = html("button", { type: "button", textContent: name });
    button.addEventListener("click", () => {
      const first = j === 0 ? "ascending" : "descending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      const sign = order === "ascending" ? 1 : -1;
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const compare = (a, b) => {
        if (j === 0) return sign * a.row[0].localeCompare(b.row[0]);
        const [x, y] = [value(a.row[j]), value(b.row[j])];
        return x === null || y === null ? (x === null) - (y === null) : sign * (x - y);  // missing values go last
      };
      body.append(...[...made].sort(compare).map((one) => one.node));
    });
    head.append(button);
    return head;
  });
  return html("table", {}, html("thead", {}, html("tr", {}, ...heads)), body);
}

function drawTables() {
  const best = new Set(data.table.bold.map(String));
  byId("results").append(sortable(data.table.columns, data.table.rows, (i, j) => best.has(`${i},${j}`)));
  byId("notes").append(...data.notes.map((note) => html("li", { textContent: note })));
  const p = (value) => (value === null ? "–" : value < 0.001 ? "< 0.001" : value.toFixed(3));
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(4);
  const rows = data.tests.map((t) => [`${t.first} − ${t.second}`, String(t.seeds), signed(t.difference), p(t.t), p(t.holm), p(t.wilcoxon)]);
  byId("tests").append(sortable(["pair", "seeds", "difference", "t-test p", "p by Holm", "Wilcoxon p"], rows));
  byId("tests-section").hidden = rows.length === 0;
}

function drawRanks() {
  byId("ranks-section").hidden = data.ranks === null;
  if (data.ranks === null) return;
  byId("ranks-said").textContent = data.ranks.said;
  byId("ranks").append(sortable(data.ranks.columns, data.ranks.rows));
  byId("ranks-notes").append(...data.ranks.notes.map((note) => html("li", { textContent: note })));
}

function heatmap(id, matrix, footer) {
  const names = data.contenders;
  const highest = Math.max(...matrix.flatMap((line, i) => line.filter((value, j) => i !== j && value !== null)), 0);
  const head = html("tr", {}, html("th"), ...names.map((name, j) => html("th", { textContent: j + 1, title: name, scope: "col" })));
  const body = matrix.map((line, i) => html("tr", {}, html("th", { textContent: `${i + 1} ${names[i]}`, title: names[i], scope: "row" }), ...line.map((value, j) => {
    const cell = html("td", { textContent: i === j || value === null ? "–" : value.toFixed(2), title: `${names[i]}, ${names[j]}` });
    if (!value) cell.className = "zero";
    if (i !== j && value) cell.style.background = `color-mix(in srgb, var(--heat) ${Math.round(65 * value / highest)}%, transparent)`;
    return cell;
  })));
  const foot = footer ? [html("tfoot", {}, html("tr", {}, html("th", { textContent: footer[0] }), ...footer[1].map((value) => html("td", { textContent: value === null ? "–" : value.toFixed(2) }))))] : [];
  byId(id).append(html("table", { className: "heat" }, html("thead", {}, head), html("tbody", {}, ...body), ...foot));
  byId(`${id}-section`).hidden = names.length < 2;
}

/* Classes ------------------------------------------------------------------------------------------------------- */

function drawClasses() {
  byId("classes-section").hidden = data.byClass.length === 0;
  if (!data.byClass.length) return;
  const columns = ["class", "test", "train", "labeled", "precision", "recall", "F1", "AUROC"];
  const show = (k) => {
    const f1 = (row) => (row[6] === null ? -1 : row[6]);
    const sorted = [...data.byClass[k].rows].sort((a, b) => f1(a) - f1(b));  // the worst first
    const text = (value, j) => (j === 0 ? value : value === null ? "–" : j > 3 ? value.toFixed(3) : String(Number(value.toFixed(1))));
    const missing = (i, j) => (j === 1 || j === 3) && sorted[i][j] === 0;
    byId("by-class").replaceChildren(sortable(columns, sorted.map((row) => row.map(text)), missing, "none"));
  };
  const choice = byId("classes-method");
  choice.append(...data.byClass.map((one, k) => html("option", { value: k, textContent: one.method })));
  choice.addEventListener("change", () => show(Number(choice.value)));
  show(0);
}

function drawWarnings() {
  byId("warnings").hidden = data.warnings.length === 0;
  byId("warnings").append(html("strong", { textContent: "WARNING" }), ...data.warnings.map((one) => html("p", { textContent: one })));
}

/* Bars ---------------------------------------------------------------------------------------------------------- */

function drawRuntime() {
  const box = byId("runtime"), width = Math.max(280, box.clientWidth), row = 22, top = 24;
  const names = Math.min(210, width * 0.38), end = 64;
  const total = (method) => method.seconds.reduce((a, b) => a + b, 0);
  const most = Math.max(...data.methods.map(total), 1e-9);
  const height = top + row * data.methods.length + 4;
  const plot = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Seconds per phase" });
  data.phases.forEach((phase, k) => {
    const label = svg("text", { x: names + 14 + 60 * k, y: 12 });
    label.textContent = phase;
    plot.append(svg("rect", { x: names + 60 * k, y: 3, width: 10, height: 10, style: `fill: ${colour(k)}` }), label);
  });
  data.methods.forEach((method, i) => {
    let left = names;
    const y = top + row * i;
    const name = svg("text", { x: names - 8, y: y + 13, "text-anchor": "end", class: "strong" });
    plot.append(name);
    name.textContent = method.name;
    const group = svg("g");
    const said = svg("title");
    said.textContent = method.name + ": " + method.seconds.map((s, k) => `${data.phases[k]} ${s.toFixed(1)} s`).join(", ");
    group.append(said);
    method.seconds.forEach((seconds, k) => {
      const length = (width - names - end) * seconds / most;
      group.append(svg("rect", { x: left, y: y + 3, width: length, height: row - 8, style: `fill: ${colour(k)}` }));
      left += length;
    });
    const sum = svg("text", { x: left + 6, y: y + 13 });
    sum.textContent = `${total(method) < 100 ? total(method).toFixed(1) : Math.round(total(method)).toLocaleString("en")} s`;
    plot.append(group, sum);
  });
  box.replaceChildren(plot);
  for (const text of plot.querySelectorAll("text.strong")) {  // a long name is cut; its title has it whole
    const whole = text.textContent;
    for (let cut = whole.length - 1; cut > 3 && text.getComputedTextLength() > names - 10; cut--) text.textContent = whole.slice(0, cut) + "…";
  }
}

function drawQueried() {
  const querying = data.methods.filter((method) => method.queried.some((count) => count > 0));
  byId("queried-section").hidden = querying.length === 0;
  const share = (method) => {
    const all = method.queried.reduce((a, b) => a + b, 0);
    return method.queried.map((count) => count / all);
  };
  const most = Math.max(...querying.flatMap(share), ...(data.available ?? []));
  byId("queried-hint").textContent = "Share of each class among the queried labels, mean over seeds, on the same scale for all methods." +
    (data.available ? " A tick marks the class’s share in the pool before the first query, which a random query would give." : "");
  const height = 90, width = 220;
  byId("queried").replaceChildren(...querying.map((method) => {
    const step = width / method.queried.length, bar = Math.max(step * 0.8, Math.min(step, 0.6));
    const plot = svg("svg", { viewBox: `0 0 ${width} ${height + 14}`, width: "100%", role: "img", "aria-label": "Queried labels per class" });
    share(method).forEach((part, c) => {
      const said = svg("title");
      said.textContent = `${data.classes[c]}: ${method.queried[c].toFixed(1)} labels, ${percent(part)}` + (data.available ? `; ${percent(data.available[c])} of the pool` : "");
      const group = svg("g", {}, said);
      group.append(svg("rect", { x: step * c, y: 0, width: step, height, fill: "transparent" }));
      group.append(svg("rect", { class: "bar", x: step * c + (step - bar) / 2, y: height * (1 - part / most), width: bar, height: height * part / most }));
      if (data.available) {
        const y = height * (1 - data.available[c] / most);
        group.append(svg("line", { class: "expected", x1: step * c, x2: step * (c + 1), y1: y, y2: y }));
      }
      plot.append(group);
      if (method.queried.length <= 12) {
        const number = svg("text", { x: step * (c + 0.5), y: height + 12, "text-anchor": "middle", style: "font-size: 9px" });
        number.textContent = c;
        plot.append(number);
      }
    });
    plot.append(svg("line", { class: "axis", x1: 0, x2: width, y1: height, y2: height }));
    return html("figure", {}, html("figcaption", { textContent: method.name }), plot);
  }));
  if (data.classes.length <= 30 && data.classes.some((name, c) => name !== String(c))) {
    byId("queried").before(html("div", { className: "key" }, ...data.classes.map((name, c) => html("span", { textContent: `${c} ${name}` }))));
  }
}

byId("title").textContent = data.title;
byId("verdict").textContent = data.verdict;
byId("forecast-section").hidden = data.forecast.length === 0;
byId("forecast").append(...data.forecast.map((line) => html("li", { textContent: line })));
drawLegend();
drawWarnings();
drawTables();
drawRanks();
drawClasses();
heatmap("penalty", data.penalties, ["mean (lower is better)", data.penalty]);
heatmap("overlap", data.overlap);
drawQueried();
drawCurves();
drawRuntime();
let width = byId("curves").clientWidth;
new ResizeObserver(() => {
  if (byId("curves").clientWidth === width) return;
  width = byId("curves").clientWidth;
  drawCurves();
  drawRuntime();
}).observe(byId("curves"));
