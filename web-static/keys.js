// keys: an owner key in this browser, for simulated apps only. It cannot be copied out, but whoever sends this page can use it:
// that is why hardware apps are approved in the terminal instead.
import * as formats from "./formats.js";

function open() {
  return new Promise((done, failed) => {
    const request = indexedDB.open("redoubt", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("keys");
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}
async function store(mode, act) {
  const database = await open();
  return new Promise((done, failed) => {
    const request = act(database.transaction("keys", mode).objectStore("keys"));
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}

export async function ownerKey(make) {
  const known = await store("readonly", (keys) => keys.get("owner"));
  if (known || !make) return known || null;
  const pair = await formats.newKey(false);
  await store("readwrite", (keys) => keys.put(pair, "owner"));
  return pair;
}
