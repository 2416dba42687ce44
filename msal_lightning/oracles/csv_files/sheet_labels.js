"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const items = data.items;
const classes = [...data.classes];
const relabels = data.columns.includes("given");  // every image has a label, and a person says which ones are wrong
const predicts = items.some((item) => item.suggested !== null);
const OUT = Object.assign(Object.create(null), relabels ? {} : { skip: "not usable", unsure: "cannot tell" });

// ---------------------------------------------------------------- keys of the classes

// s and u stand for skip and unsure; if there are more classes than keys, letters go to the search field
const KEYS = [..."1234567890qwertyiopadfghjklzxcvbnm"];
const keyed = () => classes.length <= KEYS.length;
const keyOf = new Map();

function giveKeys(names) {  // class 7 gets the key 7; other classes get the free keys
  const free = (key) => KEYS.includes(key) && ![...keyOf.values()].includes(key);
  const rest = names.filter((name) => !free(name.toLowerCase()) || !keyOf.set(name, name.toLowerCase()));
  rest.forEach((name) => keyOf.set(name, KEYS.find(free)));
}

function admit(name) {
  classes.push(name);
  giveKeys([name]);
}

// ---------------------------------------------------------------- labels, and what undo takes back

const labels = new Array(items.length).fill("");  // a class, skip, unsure or blank
const history = [];  // [[image, former label], ...] of each answer
let keeps = true;

function put(changes) {  // [[image, label], ...]
  changes.forEach(([i, label]) => { labels[i] = label; drawLabel(i); });
  keep();
  drawCount();
}

function change(changes) {
  history.push(changes.map(([i]) => [i, labels[i]]));
  put(changes);
}

function keep() {
  try {
    localStorage.setItem(`msal:${data.key}`, JSON.stringify({ labels, classes }));
  } catch {
    keeps = false;
  }
}

function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(`msal:${data.key}`) ?? "null");
    if (!kept || kept.labels.length !== items.length) return;
    kept.classes.forEach((name) => classes.includes(name) || admit(name));
    kept.labels.forEach((label, i) => { if (label in OUT || classes.includes(label)) labels[i] = label; });
  } catch {
    keeps = false;
  }
}
