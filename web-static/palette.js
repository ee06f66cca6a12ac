// palette: search over pages, actions, apps and hosts; and the sheet of keys.
import { h, icon } from "./dom.js";
import { list } from "./api.js";
import { go } from "./router.js";

const PAGES = [["apps", "Apps", "/apps"], ["deploy", "Deploy an app", "/deploy"], ["receipt", "Receipts: check one", "/receipts"], ["hosts", "Hosts", "/hosts"], ["plus", "Enrol a host", "/hosts?enrol=1"]];

export async function palette(actions) {
  if (document.querySelector("dialog[open]")) return;
  const before = document.activeElement;
  const entries = [...PAGES.map(([i, label, href]) => ({ i, label, kind: "page", run: () => go.to(href) })), ...actions.map(([i, label, run]) => ({ i, label, kind: "action", run }))];
  const input = h("input", { type: "text", "aria-label": "Search or run a command", placeholder: "An app, a host, a page, a command", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false" });
  const results = h("ul", { id: "palette-list", role: "listbox", "aria-label": "Results" });
  const box = h("dialog.palette", { "aria-label": "Search" }, h("label", {}, icon("search"), input), results);
  let chosen = 0, shown = [];
  const run = (entry) => { box.close(); entry.run(); };
  const draw = () => {
    const words = input.value.trim().toLowerCase().split(/\s+/);
    shown = entries.filter(({ label, id = "" }) => words.every((word) => `${label} ${id}`.toLowerCase().includes(word))).slice(0, 40);
    chosen = Math.max(0, Math.min(chosen, shown.length - 1));
    results.replaceChildren(...(shown.length ? shown.map((entry, i) => h("li", { role: "option", id: `palette-${i}`, "aria-selected": String(i === chosen), onclick: () => run(entry) }, icon(entry.i), entry.label, h("span.sub", {}, entry.kind)))
      : [h("li", { role: "option", "aria-selected": "false", "aria-disabled": "true" }, "Nothing by that name")]));
    if (shown.length) input.setAttribute("aria-activedescendant", `palette-${chosen}`); else input.removeAttribute("aria-activedescendant");
    document.getElementById(`palette-${chosen}`)?.scrollIntoView({ block: "nearest" });
  };
  input.addEventListener("input", () => { chosen = 0; draw(); });
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) { event.preventDefault(); chosen += step; draw(); }
    if (event.key === "Enter" && shown[chosen]) { event.preventDefault(); run(shown[chosen]); }
  });
  box.addEventListener("close", () => { box.remove(); if (before?.isConnected) before.focus?.(); });
  document.body.append(box);
  draw();
  box.showModal();
  input.focus();
  const add = async (path, make) => { try { entries.push(...(await list(path)).map(make)); draw(); } catch { /* pages and commands remain */ } };
  await Promise.all([
    add("/v1/apps", (app) => ({ i: "function", label: app.name, id: app.id, kind: "app", run: () => go.to(`/apps/${app.id}`) })),
    add("/v1/hosts", (host) => ({ i: "hosts", label: host.name || host.id, id: host.id, kind: "host", run: () => go.to(`/hosts/${host.id}`) })),
  ]);
}

const KEYS = [[["/"], "search and commands (also Ctrl K)"], [["?"], "this sheet"], [["g", "a"], "apps"], [["g", "d"], "deploy"], [["g", "r"], "receipts"], [["g", "h"], "hosts"], [["Esc"], "closes search, dialogs and the menu"], [["Tab"], "through everything; the first stop is “Skip to content”"]];

export function keySheet() {
  if (document.querySelector("dialog[open]")) return;
  const before = document.activeElement;
  const box = h("dialog", { "aria-labelledby": "keys-title" }, h("div.say", {}, h("h2", { id: "keys-title" }, "Keys"),
    h("dl.facts", {}, KEYS.map(([keys, what]) => [h("dt", {}, keys.map((key, i) => [i ? " then " : null, h("kbd", {}, key)])), h("dd", {}, what)]))), h("footer", {}, h("button.btn", { type: "button", onclick: () => box.close() }, "Close")));
  box.addEventListener("close", () => { box.remove(); before?.focus?.(); });
  document.body.append(box);
  box.showModal();
}
