// api: requests to the API that served this page. Every call ends: with an answer, a Problem, or after its time.

const TIME_MS = 10000;

export class Problem extends Error {
  constructor(status, body, requestId) {
    super(body?.detail || body?.title || `The API answered ${status}`);
    Object.assign(this, { status, code: body?.code, hint: body?.hint, pointer: body?.pointer, requestId: body?.request_id || requestId });
  }
}

// Of `redoubt dashboard`: the key that its address left behind the mark. It lives in this origin's storage, where no other port reads.
function takeLocalKey() {
  const [, given] = /^#local=([0-9a-f]{64})$/.exec(location.hash) || [];
  try {
    if (given) localStorage.setItem("redoubt.local", given);
    if (given) history.replaceState(null, "", location.pathname);
    return localStorage.getItem("redoubt.local");
  } catch { return given ?? null; }
}
const state = { csrf: null, session: null, onEnd: null, localKey: takeLocalKey() };
export const localHeaders = () => (state.localKey ? { "Redoubt-CSRF": state.localKey } : {});
export const session = () => state.session;
// True where these files came with the command line (redoubt dashboard): what it proves and signs happens on the reader's machine.
export const isLocal = () => Boolean(state.session?.local);
const RANK = { viewer: ["owner", "developer", "operator", "auditor", "viewer"], developer: ["owner", "developer"], operator: ["owner", "operator"], owner: ["owner"] };
export const may = (role) => RANK[role].includes(state.session?.role);
// Called when the API no longer knows the session.
export const onSessionEnd = (listener) => { state.onEnd = listener; };

function took(error, ms) {
  if (error.name === "TimeoutError") return new Problem(0, { detail: `The API did not answer within ${ms / 1000} s`, hint: "What you typed is kept" });
  if (error.name === "AbortError") return new Problem(0, { detail: "Cancelled" });
  return new Problem(0, { detail: "The API cannot be reached", hint: "What you typed is kept" });
}

// One request; JSON in and out, or bytes with raw.
export async function call(method, path, body, { headers = {}, raw = false, ms = TIME_MS, signal } = {}) {
  const isBytes = body instanceof Uint8Array;
  const limit = AbortSignal.timeout(ms);
  let response, bytes;
  try {
    response = await fetch(path, {
      method, credentials: "same-origin", redirect: "error", signal: signal ? AbortSignal.any([signal, limit]) : limit,
      headers: { ...(body === undefined ? {} : { "content-type": isBytes ? "application/octet-stream" : "application/json" }),
        ...localHeaders(), ...(method !== "GET" && state.csrf ? { "Redoubt-CSRF": state.csrf } : {}), ...headers },
      body: body === undefined ? undefined : isBytes ? body : JSON.stringify(body),
    });
    bytes = new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw took(error, ms);
  }
  if (raw && response.ok) return bytes;
  let value = null;
  try { value = bytes.length ? JSON.parse(new TextDecoder().decode(bytes)) : null; } catch { /* an empty or foreign body: the status says enough */ }
  if (response.ok) return value;
  const problem = new Problem(response.status, value, response.headers.get("request-id"));
  if (problem.status === 401 && state.session) end();
  throw problem;
}
function end() {
  take(null);
  state.onEnd?.();
}

export const get = (path) => call("GET", path);
export const getBytes = (path) => call("GET", path, undefined, { raw: true });
export const post = (path, body = {}) => call("POST", path, body, { headers: { "Idempotency-Key": crypto.randomUUID() } });
export const patch = (path, body) => call("PATCH", path, body, { headers: { "If-Match": "*" } });
export const remove = (path) => call("DELETE", path, undefined, { headers: { "If-Match": "*" } });

// All items of a list, at most 2,000.
export async function list(path) {
  const items = [];
  for (let cursor = null; items.length < 2000;) {
    const page = await get(`${path}${path.includes("?") ? "&" : "?"}limit=200${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    items.push(...page.items);
    cursor = page.next;
    if (!cursor) break;
  }
  return items;
}

function take(value) {
  state.session = value;
  state.csrf = value?.csrf ?? null;
  return value;
}
// A verb of the command line that serves this page: {exit, result, said}.
export const here = (verb, body) => call("POST", `/local/${verb}`, body, { ms: 100000 });
export async function resume() {
  try { return take(await get("/v1/session")); } catch (problem) { if (problem.status === 401 || problem.status === 403) return null; throw problem; }
}
export const login = async (credentials) => take(await call("POST", "/v1/login", credentials));
export async function logout() { await post("/v1/logout"); take(null); }
export const sessionEnded = end;
