// Pictures, fetched and decoded before they are needed.

import { element } from "./dom.js";
import { work } from "./work.js";

const FEW = 64;  // pixels of a side: such an image is enlarged without smoothing
const ready = new Map();  // the large pictures by index, the latest last
const MOST = 60;

export const address = (index, size) => `/image/${index}/${size}?${work.state?.version ?? ""}`;

function loaded(index, size, alt = "") {
  const image = element("img", { alt, decoding: "async", draggable: false });
  image.addEventListener("load", () => image.classList.toggle("few", Math.max(image.naturalWidth, image.naturalHeight) <= FEW));
  image.src = address(index, size);
  return image;
}

function large(index) {
  const found = ready.get(index) ?? { image: loaded(index, "large") };
  ready.delete(index);
  ready.set(index, found);
  if (ready.size > MOST) ready.delete(ready.keys().next().value);
  return found.image;
}

export function prefetch(images) {
  images.forEach(({ index }) => large(index).decode().catch(() => {}));
}

export function small(item) {
  const image = loaded(item.index, "small");
  image.loading = "lazy";
  const box = element("div", { className: "box" }, image);
  image.addEventListener("error", () => box.replaceChildren(element("div", { className: "unreadable" }, "cannot be read")));
  return box;
}

export function frame(item) {  // the large picture, with the part that the model sees
  const image = large(item.index);
  const made = element("div", { className: "frame" }, image);
  const shape = () => {
    const ratio = image.naturalWidth / image.naturalHeight || 1;
    made.style.setProperty("--ratio", ratio);
    const seen = part(ratio);
    if (!seen) return;
    const mark = element("div", { className: "seen", title: "part that the model sees" });
    ["left", "top", "width", "height"].forEach((side, k) => { mark.style[side] = `${100 * seen[k]}%`; });
    made.replaceChildren(image, mark);
  };
  if (image.complete && image.naturalWidth) shape();
  else image.addEventListener("load", shape, { once: true });
  image.onerror = () => made.replaceChildren(element("div", { className: "unreadable" }, `cannot be read: ${item.path}`));
  if (image.complete && !image.naturalWidth) image.onerror();
  return made;
}

function part(ratio) {  // as data/decoding.py
  const how = work.state?.seen;
  if (!how) return null;
  const [across, down] = how.fit === "crop" ? [Math.min(1, 1 / ratio), Math.min(1, ratio)] : [1, 1];
  const [width, height] = [across * how.part, down * how.part];
  return width > 0.999 && height > 0.999 ? null : [(1 - width) / 2, (1 - height) / 2, width, height];
}
