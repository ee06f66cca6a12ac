// dom: elements, icons, marks, ages, toasts and dialogs. No markup from text anywhere (Trusted Types stay on).

const SVG = "http://www.w3.org/2000/svg";

// h("button.btn.primary", {type: "button", onclick}, "Deploy"): classes in the tag, handlers by on…, null children are skipped.
export function h(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const PATHS = {
  apps: ["M2.500 2.500h4.500v4.500h-4.500z", "M9 2.500h4.500v4.500h-4.500z", "M2.500 9h4.500v4.500h-4.500z", "M9 9h4.500v4.500h-4.500z"],
  hosts: ["M2.500 3h11v4h-11z", "M2.500 9h11v4h-11z", "M5 5h.01", "M5 11h.01"],
  plus: ["M8 3v10", "M3 8h10"],
  copy: ["M5.500 5.500h8v8h-8z", "M10.500 5.500v-3h-8v8h3"],
  search: ["M7 2.600a4.400 4.400 0 1 0 .01 0z", "M10.300 10.300l3.500 3.500"],
  theme: ["M8 2.300a5.700 5.700 0 1 0 .01 0z", "M8 2.300v11.400"],
  terminal: ["M2 3h12v10h-12z", "M4.500 6l2.200 2-2.200 2", "M8.500 10.300h3"],
  menu: ["M2.500 4.500h11", "M2.500 8h11", "M2.500 11.500h11"],
  right: ["M3 8h10", "M9.500 4.500l3.500 3.500-3.500 3.500"],
  reload: ["M13 8a5 5 0 1 1-1.600-3.700", "M13 2.500v3h-3"],
  download: ["M8 2.500v8", "M4.800 7.500l3.200 3.200 3.200-3.200", "M3 13.500h10"],
  up: ["M8 13v-9", "M4.500 7.200l3.500-3.500 3.500 3.500", "M3 13.500h10"],
  send: ["M2.500 8l11-5-4 11-2.500-4.500z"],
  out: ["M6 2.500h-3v11h3", "M7 8h6.500", "M10.500 5l3 3-3 3"],
  check: ["M3.500 8.500l3 3 6-7"],
  cross: ["M4 4l8 8", "M12 4l-8 8"],
};

export function icon(name) {
  return svg("svg", { class: "i", viewBox: "0 0 16 16", "aria-hidden": "true" }, ...PATHS[name].map((d) => svg("path", { d })));
}

// The plan of a star fort: five bastions around a point.
export function fortPath(cx, cy, radius, points = 5, depth = 0.58) {
  const list = [];
  for (let i = 0; i < points * 4; i++) {
    const angle = (-Math.PI / 2) + (i / (points * 4)) * 2 * Math.PI;
    const r = [1, 0.80, depth, 0.80][i % 4] * radius;
    list.push(`${(cx + r * Math.cos(angle)).toFixed(2)} ${(cy + r * Math.sin(angle)).toFixed(2)}`);
  }
  return "M" + list.join("L") + "Z";
}
export const brandMark = () => svg("svg", { viewBox: "0 0 32 32", "aria-hidden": "true", class: "mark" }, svg("path", { d: fortPath(16, 16, 15), fill: "currentColor" }),
  svg("circle", { cx: 16, cy: 14.5, r: 3, class: "hole" }), svg("path", { d: "M14.600 15h2.800l1 6.500h-4.800z", class: "hole" }));

// A mark: word, shape, line, then colour. kind: simulated, refused, stale, unverified, checking, reported.
const SHAPES = {
  simulated: "M8 1.500l6.500 6.500-6.500 6.500-6.500-6.500z",
  refused: "M5.200 1.500h5.600l3.700 3.700v5.600l-3.700 3.700h-5.600l-3.700-3.700v-5.600z",
  stale: "M8 1.700a6.300 6.300 0 1 0 .01 0z",
  unverified: "M8 2.200a5.800 5.800 0 1 0 .01 0z",
  checking: "M8 2.200a5.800 5.800 0 0 1 5.800 5.800",
  reported: "M2 3h12v8h-6.500l-3.500 3v-3h-2z",
};
export function shape(kind) {
  const extra = { refused: "M5.500 5.500l5 5M10.500 5.500l-5 5", stale: "M8 4.600v3.600l2.400 1.600", unverified: "M5.300 8h5.400", simulated: "", checking: "", reported: "M5 7h6" }[kind];
  return svg("svg", { class: "shape", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: SHAPES[kind], class: "body" }), ...(extra ? [svg("path", { d: extra, class: "line" })] : []));
}
export const WORDS = { simulated: "Simulated", refused: "Refused", stale: "Stale", unverified: "Unverified", checking: "Checking", reported: "Reported by the plane" };
export const mark = (kind, word) => h(`span.verdict.${kind}`, {}, shape(kind), word || WORDS[kind]);

// What the plane says of an instance, in our words: never green here, since this page came from the plane.
export function verdictOf(instance) {
  const verdict = instance.verdict;
  if (!verdict) return instance.phase === "failed" || instance.phase === "refused" ? "refused" : "unverified";
  if (verdict.result !== "accepted") return "refused";
  if (Date.parse(verdict.valid_until) < Date.now()) return "stale";
  return verdict.simulated ? "simulated" : "reported";
}
const ORDER = ["refused", "stale", "unverified", "checking", "simulated", "reported"];
export const worst = (kinds) => kinds.length ? ORDER[Math.min(...kinds.map((kind) => ORDER.indexOf(kind)))] : "unverified";

export const short = (id) => (id && id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id || "–");
export const shortDigest = (digest) => (digest ? `${digest.slice(0, 11)}…${digest.slice(-4)}` : "–");

export function ageText(time) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}
// Ticks each second; UTC on hover.
export const age = (time) => (time ? h("time", { datetime: time, title: new Date(time).toISOString(), "data-age": time }, ageText(time)) : "–");
setInterval(() => { for (const element of document.querySelectorAll("[data-age]")) element.textContent = ageText(element.dataset.age); }, 1000);

export function toast(message, kind = "note") {
  const box = document.querySelector(".toasts");
  const item = h(`p.toast.${kind}`, {}, message);
  box.append(item);
  while (box.children.length > 4) box.firstChild.remove();
  setTimeout(() => item.remove(), 8000);
}

export function copyable(command) {
  return h("div.terminal", {}, h("p.label", {}, icon("terminal"), "The same in the terminal"),
    h("div.well", {}, h("pre", { tabindex: "0" }, h("code", {}, h("span.prompt", { "aria-hidden": "true" }, "$ "), command)),
      h("button.btn.small", { type: "button", onclick: () => copy(command) }, icon("copy"), "Copy")));
}
export async function copy(text) {
  try { await navigator.clipboard.writeText(text); toast("Copied"); } catch { toast("This browser did not allow copying; select the text", "bad"); }
}

export function download(name, data, type = "application/json") {
  const link = h("a", { href: URL.createObjectURL(new Blob([data], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// A modal dialog; resolves with the pressed action's value, or null. An action may be disabled until enabled() says yes.
export function dialog(title, content, actions) {
  return new Promise((done) => {
    const close = (value) => { box.remove(); done(value); };
    const buttons = actions.map(({ label, value, kind }) => h(`button.btn.${kind || "primary"}`, { type: "submit", onclick: () => close(value) }, label));
    const check = () => actions.forEach(({ enabled }, i) => { buttons[i].disabled = enabled ? !enabled() : false; });
    const box = h("dialog", { "aria-labelledby": "dialog-title", oncancel: () => close(null), oninput: check },
      h("form", { method: "dialog", onsubmit: (event) => event.preventDefault() }, h("h2", { id: "dialog-title" }, title), content,
        h("div.actions", {}, h("button.btn", { type: "button", onclick: () => close(null) }, "Cancel"), buttons)));
    check();
    document.body.append(box);
    box.showModal();
  });
}

// Type the name to go on.
export function confirmName(title, effect, name, label) {
  const input = h("input", { id: "confirm-name", autocomplete: "off" });
  return dialog(title, h("div", {}, h("p", {}, effect), h("label", { for: "confirm-name" }, "Type ", h("code", {}, name), " to go on"), input),
    [{ label, value: true, kind: "danger", enabled: () => input.value === name }]);
}

export const empty = (title, text, action, command) => h("section.empty", {}, brandMark(), h("h2", {}, title), h("p", {}, text), action, command ? copyable(command) : null);
export const panel = (title, aside, ...children) => h("section.panel", {}, h("header", {}, h("h2", {}, title), aside), ...children);
export const table = (caption, heads, rows) => h("div.scroll", { tabindex: "0", role: "region", "aria-label": caption }, h("table", {}, h("caption.hidden", {}, caption),
  h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, rows)));
export const facts = (pairs) => h("dl.facts", {}, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
export const stepList = (steps) => h("ul.checks", {}, steps.map((step) => h(`li.${step.ok ? "ok" : "bad"}`, {}, icon(step.ok ? "check" : "cross"),
  h("strong", {}, step.name), h("span", {}, step.detail), h("span.hidden", {}, step.ok ? "passed" : "failed"))));
