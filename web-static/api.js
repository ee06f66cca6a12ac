// api: requests to the API that served this page, and its event stream.

export class Problem extends Error {
  constructor(status, body, requestId) {
    super(body?.detail || body?.title || `The API answered ${status}`);
    Object.assign(this, { status, code: body?.code, hint: body?.hint, pointer: body?.pointer, requestId: body?.request_id || requestId });
  }
}

const state = { csrf: null, session: null };
export const session = () => state.session;

// One request; JSON in and out unless raw. Throws Problem for 4xx and 5xx, and after 15 s of silence.
export async function call(method, path, body, { headers = {}, raw = false } = {}) {
  const isBytes = body instanceof Uint8Array;
  let response;
  try {
    response = await fetch(path, {
      method, credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(15000),
      headers: { ...(body === undefined ? {} : { "content-type": isBytes ? "application/octet-stream" : "application/json" }),
        ...(method !== "GET" && state.csrf ? { "Redoubt-CSRF": state.csrf } : {}), ...headers },
      body: body === undefined ? undefined : isBytes ? body : JSON.stringify(body),
    });
  } catch (error) {
    throw new Problem(0, { detail: error.name === "TimeoutError" ? "The API did not answer within 15 s" : "The API cannot be reached" });
  }
  if (raw && response.ok) return new Uint8Array(await response.arrayBuffer());
  const text = await response.text();
  let value = null;
  try { value = text ? JSON.parse(text) : null; } catch { /* an empty or foreign body: the status says enough */ }
  if (!response.ok) throw new Problem(response.status, value, response.headers.get("request-id"));
  return value;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body, { headers: { "Idempotency-Key": crypto.randomUUID() } });

// All items of a list, at most 2,000.
export async function list(path) {
  const items = [];
  for (let cursor = null, page; items.length < 2000; cursor = page.next) {
    page = await get(`${path}${path.includes("?") ? "&" : "?"}limit=200${cursor ? "&cursor=" + encodeURIComponent(cursor) : ""}`);
    items.push(...page.items);
    if (!page.next) break;
  }
  return items;
}

function take(value) {
  state.session = value;
  state.csrf = value?.csrf ?? state.csrf;
  return value;
}
export async function resume() {
  try { return take(await get("/v1/session")); } catch (problem) { if (problem.status === 401 || problem.status === 403) return null; throw problem; }
}
export const login = async (credentials) => take(await call("POST", "/v1/login", credentials));
export async function logout() { await post("/v1/logout"); take(null); state.csrf = null; }

// The event stream: callbacks by page, one connection for all. status: live, reconnecting, stale.
const listeners = new Set();
const watchers = new Set();
let source = null;
export const stream = { status: "reconnecting", since: null };
function setStatus(status) {
  if (stream.status === status) return;
  stream.status = status;
  stream.since = new Date().toISOString();
  watchers.forEach((watcher) => watcher(stream));
}
export function onStatus(watcher) { watchers.add(watcher); watcher(stream); }
export function onEvent(listener) { listeners.add(listener); return () => listeners.delete(listener); }
export function connect() {
  if (source) return;
  source = new EventSource("/v1/events");
  let timer = null;
  source.addEventListener("open", () => { clearTimeout(timer); setStatus("live"); });
  source.addEventListener("error", () => {
    setStatus("reconnecting");
    clearTimeout(timer);
    timer = setTimeout(() => setStatus("stale"), 10000);
    if (source.readyState === EventSource.CLOSED) { source = null; setTimeout(connect, 3000); }
  });
  for (const kind of ["deployment", "instance", "host", "app"])
    source.addEventListener(kind, (event) => {
      let data = null;
      try { data = JSON.parse(event.data); } catch { return; }
      listeners.forEach((listener) => listener(kind, data));
    });
}
export function disconnect() { source?.close(); source = null; }
