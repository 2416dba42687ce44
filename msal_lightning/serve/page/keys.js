// Keys of the classes: class 7 has the key 7, the others get the first free ones.

import { classNames } from "./work.js";

// s, u, z, n, g and m have a meaning; if there are more classes than keys, letters go to the search field
const KEYS = [..."1234567890qwertyiopadfhjklxcvb"];
const given = new Map();

export const keyed = () => classNames().length <= KEYS.length;

export function keyOf(name) {
  if (!keyed()) return "";
  for (const one of classNames()) if (!given.has(one)) give(one);
  return given.get(name) ?? "";
}

function give(name) {
  const used = new Set(given.values());
  const own = name.toLowerCase();
  // all classes that are their own key come first
  const taken = new Set([...used, ...classNames().map((other) => other.toLowerCase()).filter((key) => KEYS.includes(key))]);
  given.set(name, KEYS.includes(own) && !used.has(own) ? own : KEYS.find((key) => !taken.has(key)) ?? KEYS.find((key) => !used.has(key)));
}

export const classOf = (key) => (keyed() ? classNames().find((name) => keyOf(name) === key) : undefined);
