// live: server-sent events over fetch. The browser's own EventSource hides the server's heartbeat; here a stream that is silent
// for longer than the heartbeat allows counts as lost, so that "live" is true.
import { sessionEnded, localHeaders } from "./api.js";

const SILENCE_MS = 25000;
const STALE_AFTER_MS = 10000;
const WAITS_MS = [500, 1000, 2000, 4000, 8000];

// Reads one stream until it ends or falls silent; calls onEvent(name, data, id) and onOpen().
async function read(path, headers, signal, onOpen, onEvent) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const response = await fetch(path, { credentials: "same-origin", cache: "no-store", headers: { accept: "text/event-stream", ...localHeaders(), ...headers }, signal: AbortSignal.any([signal, silence.signal]) });
    if (response.status === 401) sessionEnded();
    if (!response.ok) return;
    onOpen();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let pending = "", event = {};
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      const lines = (pending + value).split("\n");
      pending = lines.pop();
      if (pending.length > 1 << 20) return;
      for (const line of lines) {
        if (line === "") {
          if (event.data !== undefined) onEvent(event.event || "message", event.data, event.id);
          event = {};
        } else if (!line.startsWith(":")) {
          const at = line.indexOf(":");
          event[line.slice(0, at)] = line.slice(at + 1).replace(/^ /, "");
        }
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

// Keeps a stream open until stop(); onStatus({status, since, attempt}): live, reconnecting, stale since.
// Events: onEvent(name, parsed data). onOpen tells whether the place was kept (an id went along).
export function follow(path, { onEvent, onStatus = () => {}, onOpen = () => {} }) {
  const stopper = new AbortController();
  let last = null, attempt = 0, lostAt = null, staleTimer = null;
  const lost = () => {
    lostAt ??= new Date().toISOString();
    onStatus({ status: Date.now() - Date.parse(lostAt) >= STALE_AFTER_MS ? "stale" : "reconnecting", since: lostAt, attempt });
    staleTimer ??= setTimeout(() => { if (lostAt) onStatus({ status: "stale", since: lostAt, attempt }); }, STALE_AFTER_MS);
  };
  const found = () => {
    clearTimeout(staleTimer);
    staleTimer = lostAt = null;
    attempt = 0;
    onStatus({ status: "live" });
    onOpen(last !== null);
  };
  (async () => {
    while (!stopper.signal.aborted) {
      try {
        await read(path, last ? { "Last-Event-ID": last } : {}, stopper.signal, found, (name, data, id) => {
          if (id) last = id;
          let value = null;
          try { value = JSON.parse(data); } catch { return; }
          onEvent(name, value);
        });
      } catch { /* cut or unreachable: try again below */ }
      if (stopper.signal.aborted) return;
      lost();
      const wait = WAITS_MS[Math.min(attempt++, WAITS_MS.length - 1)];
      await new Promise((done) => setTimeout(done, wait * (0.75 + Math.random() / 2)));
    }
  })();
  return () => { stopper.abort(); clearTimeout(staleTimer); };
}

// --- the one stream of changes that all pages share ---

const listeners = new Set(), watchers = new Set();
let stop = null, status = { status: "reconnecting", attempt: 0 };
export const onStatus = (watcher) => { watchers.add(watcher); watcher(status); };
// listener(kind, data); kind "gap" after the stream lost its place: look at everything again.
export const onEvent = (listener) => { listeners.add(listener); return () => listeners.delete(listener); };
const tell = (kind, data) => listeners.forEach((listener) => listener(kind, data));
export function connect() {
  stop ??= follow("/v1/events", {
    onEvent: (name, data) => tell(["deployment", "instance", "host", "app"].includes(name) ? name : "gap", data),
    onOpen: (hasPlace) => { if (!hasPlace) tell("gap", {}); },
    onStatus: (next) => { status = next; watchers.forEach((watcher) => watcher(status)); },
  });
}
export function disconnect() { stop?.(); stop = null; }
