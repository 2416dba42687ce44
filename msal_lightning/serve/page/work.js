// The images of this browser, and what happens to an answer.

import { forget, forgetThese, onReply, onWish, put, remember, run, unsaved, withdraw } from "./api.js";
import { OUT } from "./dom.js";

export const work = {
  images: [],  // without an answer, the next one first
  state: null,  // of the run
  cursor: 0,
  selected: new Set(),  // indices of several images; otherwise the current one alone is meant
  view: "one",
  zoomed: false,
  said: "",  // what the last reply refused
};
let draw = () => {};
export const onChange = (call) => { draw = call; };

const WANT = { one: 6, grid: 24, map: 6 };
const annotator = () => { try { return localStorage.getItem("msal:annotator") ?? ""; } catch { return ""; } };
onWish(() => ({ want: WANT[work.view], annotator: annotator() }));

onReply((reply) => {
  if (reply) {
    work.state = reply.state;
    merge(reply.images);
    const refused = Object.entries(reply.refused ?? {});
    if (refused.length) {
      work.said = `${refused.length > 1 ? `${refused.length} answers were` : "an answer was"} refused: ${refused[0][1]}`;
      forgetThese(new Set(refused.map(([index]) => Number(index))));
    }
  }
  draw(Boolean(reply));
});

const BLINK = 600;  // ms in which a person may still mean the image that was there before
let swapped = -Infinity;

function merge(given) {
  const before = current()?.index;
  const last = new Map(unsaved.map(({ index, word }) => [index, word]));
  const mine = new Map(given.filter(({ index }) => !last.get(index)).map((image) => [image.index, image]));
  const stay = work.images.filter(({ index }) => mine.has(index) || last.get(index) === "");
  const there = new Set(stay.map(({ index }) => index));
  work.images = [...stay.map((image) => mine.get(image.index) ?? image), ...[...mine.values()].filter(({ index }) => !there.has(index))];
  tidy();
  // somebody else has the image now: the next key may have been meant for it
  if (before !== undefined && current()?.index !== before) swapped = performance.now();
}

function tidy() {
  const there = new Set(work.images.map(({ index }) => index));
  work.selected.forEach((index) => { if (!there.has(index) && work.view === "grid") work.selected.delete(index); });
  work.cursor = Math.max(0, Math.min(work.cursor, work.images.length - 1));
}

export const current = () => work.images[work.cursor];

export function targets() {  // what an answer is about: in the enlarged view a person sees one image only
  if (work.selected.size && !work.zoomed) return work.images.filter(({ index }) => work.selected.has(index));
  return current() ? [current()] : [];
}

export function answer(wordOf, about = targets()) {  // an image without a word keeps waiting
  const group = about.map((image) => ({ image, word: wordOf(image) })).filter(({ word }) => word);
  if (!group.length) return;
  if (performance.now() - swapped < BLINK) {
    work.said = "another image is here now: look again";
    return draw(true);
  }
  const done = new Set(group.map(({ image }) => image.index));
  work.images = work.images.filter(({ index }) => !done.has(index));
  done.forEach((index) => work.selected.delete(index));
  work.said = "";
  tidy();
  remember(group);
  put(group.map(({ image, word }) => ({ index: image.index, word })));
  draw(true);  // after it, or the page would say that all is saved
}

export function undo() {
  const group = forget();
  if (!group) return;
  if (!group.length) return undo();
  const open = group.filter(({ image }) => !withdraw(image.index));
  const back = group.map(({ image }) => image);
  const there = new Set(back.map(({ index }) => index));
  work.images = [...back, ...work.images.filter(({ index }) => !there.has(index))];
  work.cursor = 0;
  work.selected = new Set(back.length > 1 ? there : []);
  work.said = "";
  if (open.length) put(open.map(({ image }) => ({ index: image.index, word: "" })));
  draw(true);
}

export function step(by) {
  work.cursor = Math.max(0, Math.min(work.images.length - 1, work.cursor + by));
  draw(true);
}

export function show(view) {
  work.view = view;
  work.selected.clear();
  draw(true);
  run();
}

export const classNames = () => work.state?.classes ?? [];
export const isWord = (name) => name in OUT || classNames().includes(name);
