// logs: lines of an app as they come. Rows have one height and only those in view exist, so that 100,000 lines scroll smoothly.
import { h, icon } from "./dom.js";
import { panel, download, copy } from "./widgets.js";
import { follow } from "./live.js";
import { isLocal } from "./api.js";
import { openLines } from "./here.js";

const ROW = 24, MAX = 100000;
const LEVELS = ["all", "debug", "info", "warn", "error"];

const flat = (text) => String(text ?? "").replace(/\n/g, " ⏎ ");
const SHUT = (app) => `sealed to the owner's log key: redoubt logs ${app.name} opens it`;

export function logViewer(app) {
  let lines = [], shown = [], dropped = 0, isFollowing = true, isDue = false, linked = new URLSearchParams(location.search).get("line");
  const rows = h("ol", {});
  const box = h("div.log", { tabindex: "0", role: "region", "aria-label": "Log lines" }, rows);
  const search = h("input", { type: "search", placeholder: "Search the lines", "aria-label": "Search the lines" });
  const level = h("select", { "aria-label": "Level" }, LEVELS.map((name) => h("option", { value: name }, name === "all" ? "All levels" : `From ${name}`)));
  const count = h("span.help", {}, "");
  const pin = h("button.btn.small", { type: "button", "aria-pressed": "true", onclick: () => { isFollowing = !isFollowing; draw(); } }, "Following");
  const keyOf = (line) => line.at;
  const lineAddress = (line) => `${location.origin}/apps/${app.id}?tab=logs&line=${encodeURIComponent(keyOf(line))}`;
  const isWanted = (line) => (level.value === "all" || line.level === "sealed" || LEVELS.indexOf(line.level) >= LEVELS.indexOf(level.value)) && (!search.value || line.text.toLowerCase().includes(search.value.toLowerCase()));

  function drawRow(line, i) {
    const at = line.at ? new Date(line.at) : null;
    const item = h(`li.${line.level}`, {}, line.at ? h("a.at", { href: lineAddress(line), title: `${line.at}. Copies a link to this line`, onclick: (event) => { event.preventDefault(); event.stopPropagation(); copy(lineAddress(line)); } },
      `${at.toLocaleTimeString()}.${String(at.getMilliseconds()).padStart(3, "0")}`) : h("span.at", {}, "–"), h("span.level", {}, line.level), h("span", {}, line.text));
    item.style.top = `${i * ROW}px`;
    if (linked && keyOf(line) === linked) item.classList.add("linked-line");
    return item;
  }
  function draw() {
    isDue = false;
    rows.style.height = `${Math.max(shown.length, 1) * ROW}px`;
    if (isFollowing) box.scrollTop = box.scrollHeight;
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 10), last = Math.min(shown.length, first + Math.ceil(box.clientHeight / ROW) + 20);
    rows.replaceChildren(...(shown.length ? shown.slice(first, last).map((line, i) => drawRow(line, first + i)) : [h("li", {}, lines.length ? "No line fits the filter" : "No lines yet: what the function writes with console appears here")]));
    count.textContent = `${shown.length} of ${lines.length} lines${dropped ? `, ${dropped} dropped before they came here` : ""}`;
    pin.textContent = isFollowing ? "Following" : "Paused";
    pin.setAttribute("aria-pressed", String(isFollowing));
  }
  const later = () => { if (!isDue) { isDue = true; requestAnimationFrame(draw); } };
  function sieve() { shown = lines.filter(isWanted); later(); }
  function add(line) {
    lines.push(line);
    if (lines.length > MAX + 1000) { lines = lines.slice(-MAX); sieve(); return; }
    if (isWanted(line)) shown.push(line);
    later();
    if (linked && keyOf(line) === linked) { isFollowing = false; requestAnimationFrame(() => { box.scrollTop = Math.max(0, shown.indexOf(line) * ROW - 100); }); }
  }
  // Opened on this machine, a batch at a time and in order; numbers that are missing were lost on the way.
  const shut = [], newest = new Map();
  let isOpening = false;
  function opened(line, answer) {
    if (!answer || answer.level === "sealed") return;
    const next = newest.get(answer.instance);
    if (next !== undefined && answer.number > next) dropped += answer.number - next;
    newest.set(answer.instance, answer.number + 1);
    Object.assign(line, { level: answer.level, text: flat(answer.text) });
  }
  async function openShut() {
    if (isOpening || !isLocal()) return;
    isOpening = true;
    try {
      while (shut.length) {
        const batch = shut.splice(0, 100);
        const answers = await openLines(app, batch.map(({ sealed }) => sealed));
        batch.forEach(({ line }, i) => opened(line, answers[i]));
        sieve();
      }
    } catch { shut.length = 0; } finally { isOpening = false; } // they stay as they are, and say how to open them
  }
  function take(data) {
    const isShut = data.level === "sealed";
    const line = { at: data.at, level: data.level || "info", text: isShut ? SHUT(app) : flat(data.text), instance: data.instance };
    add(line);
    if (isShut && isLocal()) { shut.push({ line, sealed: data }); openShut(); }
  }
  search.addEventListener("input", sieve);
  level.addEventListener("input", sieve);
  box.addEventListener("scroll", () => {
    const isAtEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - ROW;
    if (isFollowing !== isAtEnd && shown.length * ROW > box.clientHeight) isFollowing = isAtEnd;
    later();
  });
  const state = h("span.tag", { role: "status" }, "connecting");
  const stop = follow(`/v1/apps/${app.id}/logs`, {
    // With its place kept the server goes on behind the last line; without it, it sends what it still has.
    onOpen: (hasPlace) => { if (!hasPlace) { lines = []; shown = []; dropped = 0; later(); } },
    onStatus: ({ status, since }) => { state.textContent = status === "stale" ? `stale since ${new Date(since).toLocaleTimeString()}` : status; },
    onEvent: (name, data) => {
      if (name === "dropped" || name === "gap") { dropped += data.dropped ?? data.lost ?? 0; later(); }
      else if (name === "log") take(data);
    },
  });
  const save = h("button.btn.small", { type: "button", onclick: () => download(`${app.name}.log`, shown.map((line) => `${line.at} ${line.level} ${line.text}\n`).join(""), "text/plain") }, icon("download"), "Download");
  requestAnimationFrame(draw);
  return { stop, content: panel("Logs", state, h("div.log-tools", {}, search, level, pin, save), box, h("footer", {}, count)) };
}
