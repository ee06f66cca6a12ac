// widgets: what pages are put together from: panels, tables, terminal lines, notes, checks, dialogs, toasts.
import { h, svg, icon } from "./dom.js";
import { shape, plan } from "./marks.js";

export const panel = (title, aside, ...children) => h("section.panel", {}, h("header", {}, h("h2", {}, title), aside), ...children);
export const facts = (pairs) => h("dl.facts", {}, pairs.filter(Boolean).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value ?? "–")]));
export const stats = (pairs) => h("dl.stats", {}, pairs.filter(Boolean).map(([name, value, unit]) => h("div", {}, h("dt", {}, name), h("dd", {}, value, unit ? h("small", {}, " ", unit) : null))));
export const segments = (label, items) => h("nav.seg", { "aria-label": label }, items.map(([text, href, isCurrent]) => h("a", { href, "aria-current": isCurrent ? "true" : null }, text)));

// heads: names, or [name, class]; cells carry their own class. A wide table scrolls inside itself and takes focus.
export const table = (caption, heads, rows) => h("div.scroll", { tabindex: "0", role: "region", "aria-label": caption }, h("table", {}, h("caption.for-readers", {}, caption),
  h("thead", {}, h("tr", {}, heads.map((head) => { const [text, kind] = [head].flat(); return h(kind ? `th.${kind.replaceAll(" ", ".")}` : "th", { scope: "col" }, text); }))), h("tbody", {}, rows)));
export const object = (iconName, name, sub) => h("div.obj", {}, h("span.tile", {}, icon(iconName)), name, h("span.sub", {}, sub));

export const meter = (used, total, label) => svg("svg", { class: "meter bar full", viewBox: "0 0 100 6", preserveAspectRatio: "none", role: "img", "aria-label": label },
  svg("rect", { class: "rest", width: 100, height: 6 }), svg("rect", { width: total ? Math.min(100, (100 * used) / total) : 0, height: 6 }));
// Counts as bars under one whole: [[count, text, isLast]].
export const funnel = (whole, rows) => h("ul.funnel", {}, rows.map(([count, text, isLast]) => h("li", {}, h("b", {}, count), text,
  svg("svg", { class: isLast ? "bar full" : "bar", viewBox: "0 0 100 5", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "rest", width: 100, height: 5 }), svg("rect", { width: whole ? (100 * count) / whole : 0, height: 5 })))));

export const copyButton = (text) => h("button.btn.small", { type: "button", onclick: () => copy(typeof text === "function" ? text() : text) }, icon("copy"), "Copy");
export const codeBlock = (text, title) => h("div.code", {}, title ? h("div.code-title", {}, title) : null, h("pre", { tabindex: "0" }, h("code", {}, text)), copyButton(text));
export const command = (line) => h("div.code", {}, h("pre", { tabindex: "0" }, h("code", {}, h("span.prompt", { "aria-hidden": "true" }, "$ "), line)), copyButton(line));
export const terminal = (line, label = "The same in the terminal") => h("div.terminal", {}, h("p.label", {}, icon("terminal"), label), command(line));
// JSON with keys and texts told apart; anything else as it is.
export function pretty(text) {
  try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { return [text]; }
  return text.split(/("(?:[^"\\]|\\.)*"(?:\s*:)?)/).map((piece, i) => (i % 2 ? h(piece.endsWith(":") ? "span.c-key" : "span.c-str", {}, piece) : piece));
}

export const note = (kind, title, text, action) => h(`div.note.v.${kind}`, {}, shape(kind === "plain" ? "unverified" : kind), h("div", {}, title ? h("strong", {}, title) : null, text ? h("p", {}, text) : null), action);
export const empty = (title, text, action, line) => h("section.panel", {}, h("div.empty", {}, plan(true), h("h2", {}, title), h("p.lead", {}, text), action, line ? terminal(line) : null));

// A failed request as a note: what it said, what to do, the request id, and another try.
export function problemNote(problem, retry) {
  const words = [problem.message, problem.hint].filter(Boolean).map((text) => text.replace(/\.?$/, ".")).join(" ");
  return note("refused", null, [words, problem.requestId ? [" ", h("code", {}, problem.requestId)] : null], retry ? h("button.btn.small", { type: "button", onclick: retry }, icon("reload"), "Try again") : null);
}

// Checks, one row each: {name, ok (null: not done here), detail, took}; kind is what a pass looks like.
export const checks = (steps, kind, isNarrow) => h(isNarrow ? "ul.checks.narrow" : "ul.checks", {}, steps.map((step) => {
  const shown = step.ok === null ? "unverified" : step.ok ? kind : "refused";
  return h(`li.v.${shown}`, {}, shape(shown), h("b", {}, step.name), h("span.why", {}, step.detail, h("span.for-readers", {}, step.ok === null ? ", not checked here" : step.ok ? ", passed" : ", failed")),
    h("span.when", {}, step.took === undefined ? "" : `${step.took.toFixed(1)} ms`));
}));

// --- told to the reader ---

export function toast(message, kind = "said") {
  const box = document.querySelector(".toasts");
  const item = h(`p.toast.${kind}`, {}, message);
  box.append(item);
  while (box.children.length > 4) box.firstChild.remove();
  setTimeout(() => item.remove(), 8000);
}
export const toastProblem = (problem) => toast([problem.message, problem.requestId ? ` (${problem.requestId})` : ""].join(""), "bad");

export async function copy(text) {
  try { await navigator.clipboard.writeText(text); toast("Copied"); } catch { toast("This browser did not allow copying. Select the text instead", "bad"); }
}
export function download(name, data, type = "application/json") {
  const link = h("a", { href: URL.createObjectURL(new Blob([data], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// A modal dialog; resolves with the pressed action's value, or null. An action may wait until enabled() says yes.
export function dialog(title, content, actions) {
  return new Promise((done) => {
    const before = document.activeElement;
    const box = h("dialog", { "aria-labelledby": "dialog-title" });
    let answer = null;
    const close = (value) => { answer = value; box.close(); };
    const buttons = actions.map(({ label, value, kind }) => h(`button.btn.${kind || "primary"}`, { type: "submit", value: label, onclick: () => close(value) }, label));
    const judge = () => actions.forEach(({ enabled }, i) => { buttons[i].disabled = enabled ? !enabled() : false; });
    box.append(h("form", { method: "dialog", oninput: judge, onsubmit: (event) => event.preventDefault() }, h("div.say", {}, h("h2", { id: "dialog-title" }, title), content),
      h("footer", {}, h("button.btn", { type: "button", onclick: () => close(null) }, "Cancel"), buttons)));
    box.addEventListener("close", () => { box.remove(); before?.focus?.(); done(answer); });
    judge();
    document.body.append(box);
    box.showModal();
  });
}

// Type the name to go on.
export function confirmName(title, effect, name, label) {
  const input = h("input.mono", { id: "confirm-name", autocomplete: "off", spellcheck: "false" });
  return dialog(title, [h("p", {}, effect), h("div.field", {}, h("label", { for: "confirm-name" }, "Type ", h("code", {}, name), " to go on"), input)],
    [{ label, value: true, kind: "danger", enabled: () => input.value === name }]);
}

// A button that a role may be missing for: shown, and explains itself when pressed.
export function roleButton(tag, isAllowed, why, attributes, ...children) {
  if (isAllowed) return h(tag, { type: "button", ...attributes }, ...children);
  return h(tag, { ...attributes, type: "button", "aria-disabled": "true", title: why, onclick: () => toast(why) }, ...children);
}
