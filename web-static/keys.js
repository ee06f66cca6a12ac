// keys: a key in this browser, an owner's or one that an owner delegated to, for simulated apps only. It cannot be copied out, but whoever sends this page can use it:
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

// What an owner lets this browser's key sign for an app: the text that redoubt keys delegate wrote, or null.
export const delegationOf = async (app) => (await store("readonly", (keys) => keys.get("delegation:" + app))) ?? null;
export const keepDelegation = (app, text) => store("readwrite", (keys) => (text ? keys.put(text, "delegation:" + app) : keys.delete("delegation:" + app)));
