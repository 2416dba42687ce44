// The learning curve of the run as a small picture.

const NAMESPACE = "http://www.w3.org/2000/svg";

function shape(tag, properties, text = "") {
  const made = document.createElementNS(NAMESPACE, tag);
  Object.entries(properties).forEach(([name, value]) => made.setAttribute(name, value));
  made.textContent = text;
  return made;
}

export function curve(points, accuracy) {  // [[labels, accuracy], ...], and the interval of the last one
  const [width, height, left, bottom, margin] = [innerWidth < 600 ? 380 : 640, 300, 52, 34, 14];
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "accuracy over labels" });
  const values = [...points.map(([, value]) => value), ...(accuracy?.low == null ? [] : [accuracy.low, accuracy.high])];
  const step = Math.max(...values) - Math.min(...values) > 0.4 ? 0.2 : Math.max(...values) - Math.min(...values) > 0.15 ? 0.1 : 0.05;
  const low = Math.max(0, Math.floor(Math.min(...values) / step) * step);
  const high = Math.min(1, Math.ceil(Math.max(...values) / step) * step) || 1;
  const [first, last] = [points[0][0], points.at(-1)[0]];
  const x = (labels) => left + ((labels - first) / Math.max(1, last - first)) * (width - left - margin - 10);
  const y = (value) => height - bottom - ((value - low) / Math.max(1e-9, high - low)) * (height - bottom - margin);
  for (let value = low; value <= high + 1e-9; value += step) {
    svg.append(shape("line", { class: "rule", x1: left, x2: width - margin, y1: y(value), y2: y(value) }));
    svg.append(shape("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, `${Math.round(100 * value)} %`));
  }
  const shown = points.filter((_, k) => k === 0 || k === points.length - 1 || k % Math.ceil(points.length / 8) === 0);
  shown.forEach(([labels], k) => {
    if (k < shown.length - 1 && x(last) - x(labels) < 40 && k) return;
    svg.append(shape("text", { x: x(labels), y: height - 12, "text-anchor": "middle" }, labels.toLocaleString("en")));
  });
  if (accuracy?.low != null) svg.append(shape("line", { class: "band", x1: x(last), x2: x(last), y1: y(accuracy.low), y2: y(accuracy.high) }));
  svg.append(shape("polyline", { class: "line", points: points.map(([labels, value]) => `${x(labels)},${y(value)}`).join(" ") }));
  points.forEach(([labels, value]) => svg.append(shape("circle", { cx: x(labels), cy: y(value), r: 3.5 })));
  return svg;
}
