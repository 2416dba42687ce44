// Requests to the server, one at a time, and the answers that are not on disk yet.

const kept = (name, otherwise) => {
  try { return JSON.parse(sessionStorage.getItem(`msal:${name}`)) ?? otherwise; } catch { return otherwise; }
};
const keep = (name, value) => {
  try { sessionStorage.setItem(`msal:${name}`, JSON.stringify(value)); } catch { /* the page works without, until a reload */ }
};

const drawn = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// A tab that is duplicated gets a copy of the storage, and must not be taken for the first one, which holds the lock.
const isFree = (id) => !navigator.locks || new Promise((resolve) => {
  navigator.locks.request(`msal:${id}`, { ifAvailable: true }, (lock) => { resolve(Boolean(lock)); return lock && new Promise(() => {}); });
});
const before = kept("browser", null);
const isMine = Boolean(before) && await isFree(before);
export const browser = isMine ? before : drawn();
if (!isMine) isFree(browser);
keep("browser", browser);

export const unsaved = isMine ? kept("unsaved", []) : [];  // [{index, word}], the oldest first
export const history = isMine ? kept("history", []) : [];  // [[{image, word}, ...], ...] of each answer
const keepAll = () => { keep("unsaved", unsaved); keep("history", history.slice(-200)); };

export const wait = { busy: false, failures: 0, gone: "" };
let listener = () => {};
export const onReply = (call) => { listener = call; };

async function post(path, body) {
  const reply = await fetch(path, { method: "POST", body: JSON.stringify({ browser, ...body }), headers: { "content-type": "application/json" } });
  if (!reply.ok) throw Object.assign(new Error((await reply.text()).trim()), { status: reply.status });
  return reply.json();
}

export function put(words) {  // [{index, word}]
  unsaved.push(...words);
  keepAll();
  run();
}

export function withdraw(index) {  // an answer that has not been sent yet
  const at = unsaved.findLastIndex((one) => one.index === index);
  if (at < sending || at < 0) return false;
  unsaved.splice(at, 1);
  keepAll();
  return true;
}

export function remember(group) { history.push(group); keepAll(); }
export function forgetThese(indices) {  // an answer that did not count needs no undo
  history.forEach((group) => group.splice(0, group.length, ...group.filter(({ image }) => !indices.has(image.index))));
  keepAll();
}
export function forget() { const group = history.pop(); keepAll(); return group; }

let sending = 0;  // answers at the front that are on their way
let wish = () => ({ want: 0 });
export const onWish = (call) => { wish = call; };

function firstWords() {  // up to the second answer about the same image, so that their order stays
  const words = {};
  let count = 0;
  for (const { index, word } of unsaved) {
    if (index in words || count >= 100) break;
    words[index] = word;
    count += 1;
  }
  return [words, count];
}

let again = false;
export async function run() {  // one request at a time: a late reply cannot bring an answered image back
  if (wait.busy) { again = true; return; }
  wait.busy = true;
  again = false;
  clearTimeout(timer);
  try {
    const [words, count] = firstWords();
    sending = count;
    const reply = await post(count ? "/answer" : "/sync", count ? { ...wish(), words } : wish());
    unsaved.splice(0, count);
    Object.assign(wait, { failures: 0, gone: "" });
    sending = 0;
    keepAll();
    listener(reply);
  } catch (error) {
    const count = sending;
    sending = 0;
    if (error.status === 400 && count) { unsaved.splice(0, count); keepAll(); }  // it would be refused for ever
    wait.failures += 1;
    wait.gone = error.status ? error.message : "the server does not answer";
    listener(null);
  }
  wait.busy = false;
  if (unsaved.length && !wait.failures) return run();
  if (again && !wait.failures) return run();
  timer = setTimeout(run, wait.failures ? Math.min(3000, 250 * 2 ** (wait.failures - 1)) : pause());
}
let timer;
let pause = () => 2000;
export const onPause = (call) => { pause = call; };

window.addEventListener("pagehide", () => navigator.sendBeacon("/leave", JSON.stringify({ browser })));
window.addEventListener("beforeunload", (event) => { if (unsaved.length) event.preventDefault(); });
window.addEventListener("pageshow", (event) => { if (event.persisted) run(); });

export async function getMap() {
  const reply = await fetch("/map");
  if (!reply.ok) throw new Error((await reply.text()).trim());
  return reply.json();
}
