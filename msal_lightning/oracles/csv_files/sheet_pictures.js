// ---------------------------------------------------------------- pictures; names reach the document as text only

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function picture(item, large = false) {
  if (!item.image) return element("div", { className: "unreadable" }, `cannot be read: ${item.path}`);
  const image = element("img", { alt: "", decoding: "async", draggable: false, className: item.small ? "small" : "" });
  if (large) image.onerror = () => { image.onerror = null; image.src = item.image; };  // the file may have moved
  else image.loading = "lazy";
  image.src = large ? item.large ?? (item.original ? item.file : item.image) : item.image;
  const frame = element("div", { className: item.ratio < 1 ? "frame tall" : "frame" }, image);
  frame.style.aspectRatio = item.ratio;
  frame.style.setProperty("--ratio", item.ratio);
  if (item.seen) {  // the part that the model sees, as fractions of the image
    const seen = element("div", { className: "seen", title: "part that the model sees" });
    ["left", "top", "width", "height"].forEach((side, i) => { seen.style[side] = `${100 * item.seen[i]}%`; });
    frame.append(seen);
  }
  return frame;
}

function input(item, image) {  // an image as the model gets it: its part, in its few pixels
  const { size, fit, padding, grey } = data.model;
  const canvas = element("canvas", { width: size, height: size });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.filter = grey ? "grayscale(1)" : "none";
  context.fillStyle = padding;
  context.fillRect(0, 0, size, size);
  const [left, top, width, height] = item.seen ?? [0, 0, 1, 1];
  const across = fit === "letterbox" ? size * Math.min(1, item.ratio) : size;
  const down = fit === "letterbox" ? size * Math.min(1, 1 / item.ratio) : size;
  context.drawImage(
    image, left * image.naturalWidth, top * image.naturalHeight, width * image.naturalWidth, height * image.naturalHeight,
    (size - across) / 2, (size - down) / 2, across, down,
  );
  return canvas;
}

const percent = (share) => `${Math.round(100 * share)} %`;
const sureness = (item) => (item.confidence === null ? "" : ` ${percent(item.confidence)}`);
const guess = (item) => (item.suggested === null ? "" : `${item.suggested}${sureness(item)}`);
