// Small helpers; names reach the document as text only.

export const $ = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
export const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
export const OUT = Object.assign(Object.create(null), { skip: "not usable", unsure: "cannot tell" });
