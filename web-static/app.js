// app: the frame around the pages, the router, keys and the search box.
import { h, icon, brandMark, shape, toast, ageText } from "./dom.js";
import { resume, session, logout, connect, disconnect, onStatus, list } from "./api.js";
import { loginPage } from "./pages/login.js";
import { appsPage } from "./pages/apps.js";
import { appPage } from "./pages/app.js";
import { deployPage } from "./pages/deploy.js";
import { instancePage } from "./pages/instance.js";
import { invokePage } from "./pages/invoke.js";
import { hostsPage } from "./pages/hosts.js";

const root = document.getElementById("app");
const ROUTES = [
  [/^\/(?:apps)?$/, appsPage, "apps"], [/^\/apps\/(app_[a-z2-7]{52})$/, appPage, "apps"], [/^\/deploy$/, deployPage, "apps"],
  [/^\/instances\/(ins_[a-z2-7]{26})$/, instancePage, "apps"], [/^\/invoke\/(app_[a-z2-7]{52})$/, invokePage, "apps"], [/^\/hosts$/, hostsPage, "hosts"],
];

function themeButton() {
  return h("button.btn.quiet", { type: "button", "aria-label": "Switch between light and dark", onclick: () => {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("redoubt.theme", document.documentElement.dataset.theme); } catch { /* not remembered, still switched */ }
  } }, icon("theme"));
}

let current = { stop: null };
const main = h("main", { id: "main", tabindex: "-1" });
const crumbs = h("nav.crumbs", { "aria-label": "Where you are" });
const link = h("span.link-state");
const nav = h("ul.nav");

function drawNav(active) {
  const item = (key, href, label) => h("li", {}, h("a", { href, "aria-current": key === active ? "page" : null }, icon(key), label));
  nav.replaceChildren(item("apps", "/apps", "Apps"), h("li.nav-title", {}, "Operate"), item("hosts", "/hosts", "Hosts"));
}

function drawLink({ status, since }) {
  const word = { live: "Live", reconnecting: "Reconnecting", stale: `Stale since ${since ? new Date(since).toLocaleTimeString() : ""}` }[status];
  link.replaceChildren(status === "live" ? h("span.dot", { "aria-hidden": "true" }) : shape(status === "stale" ? "stale" : "checking"), word);
}

function frame() {
  const who = session();
  const side = h("aside.side", { id: "side", "aria-label": "Redoubt" }, h("a.brand", { href: "/apps" }, brandMark(), "Redoubt"), h("p.org", {}, who.organisation?.name || ""), h("nav", { "aria-label": "Main" }, nav),
    h("div.side-foot", {}, h("p", {}, `${who.user?.name || ""}, ${who.role}`), h("button.link", { type: "button", onclick: signOut }, "Sign out"), h("p", {}, "These pages come from the plane: what they show is ", h("em", {}, "reported by the plane"), ".")));
  const menu = h("button.btn.quiet.menu", { type: "button", "aria-label": "Menu", "aria-controls": "side", "aria-expanded": "false", onclick: () => { const open = side.classList.toggle("open"); menu.setAttribute("aria-expanded", String(open)); } }, icon("menu"));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && side.classList.contains("open")) { side.classList.remove("open"); menu.setAttribute("aria-expanded", "false"); menu.focus(); } });
  main.addEventListener("click", () => side.classList.remove("open"));
  root.replaceChildren(h("div.frame", {}, side, h("div.page", {}, h("header.top", {}, menu, crumbs, h("div.top-right", {}, link, h("button.btn.search", { type: "button", onclick: palette, "aria-label": "Search or run a command" }, icon("search"), h("span", {}, "Search or run…"), h("kbd", {}, "/")), themeButton())), main)));
}

async function signOut() {
  try { await logout(); } catch (problem) { toast(problem.message, "bad"); }
  disconnect();
  root.dataset.frame = "";
  go.to("/login");
}

// A search box over pages, apps and hosts: arrows and Enter.
async function palette() {
  if (document.querySelector("dialog.palette")) return;
  const entries = [["Apps", "/apps"], ["Deploy an app", "/deploy"], ["Hosts", "/hosts"]];
  const input = h("input", { type: "search", "aria-label": "Search or run a command", placeholder: "An app, a host, a page", role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list" });
  const results = h("ul", { id: "palette-list", role: "listbox" });
  let chosen = 0;
  const shown = () => entries.filter(([label]) => label.toLowerCase().includes(input.value.trim().toLowerCase())).slice(0, 12);
  const draw = () => results.replaceChildren(...(shown().length ? shown().map(([label, href], i) => h("li", { role: "option", id: `palette-${i}`, "aria-selected": String(i === chosen), onclick: () => pick(href) }, label)) : [h("li", { role: "option", "aria-selected": "false", "aria-disabled": "true" }, "Nothing by that name")]));
  const box = h("dialog.palette", { "aria-label": "Search" }, input, results);
  const pick = (href) => { box.close(); go.to(href); };
  box.addEventListener("close", () => box.remove());
  input.addEventListener("input", () => { chosen = 0; draw(); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); chosen = Math.max(0, Math.min(shown().length - 1, chosen + (event.key === "ArrowDown" ? 1 : -1))); draw(); input.setAttribute("aria-activedescendant", `palette-${chosen}`); }
    if (event.key === "Enter" && shown()[chosen]) { event.preventDefault(); pick(shown()[chosen][1]); }
  });
  draw();
  document.body.append(box);
  box.showModal();
  try {
    for (const app of await list("/v1/apps")) entries.push([`App: ${app.name}`, `/apps/${app.id}`]);
    for (const host of await list("/v1/hosts")) entries.push([`Host: ${host.name || host.id}`, `/hosts#${host.id}`]);
    draw();
  } catch { /* pages and commands remain */ }
}

function keySheet() {
  const rows = [["/ or Ctrl K", "search and commands"], ["?", "this sheet"], ["g then a", "apps"], ["g then h", "hosts"], ["g then d", "deploy"], ["Esc", "closes dialogs and the menu"]];
  const box = h("dialog", { "aria-label": "Keys" }, h("h2", {}, "Keys"), h("dl.facts", {}, rows.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])), h("form", { method: "dialog" }, h("button.btn", {}, "Close")));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

let pendingG = 0;
document.addEventListener("keydown", (event) => {
  if (!session()) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "k") { event.preventDefault(); palette(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  if (event.key === "/") { event.preventDefault(); palette(); }
  else if (event.key === "?") keySheet();
  else if (event.key === "g") pendingG = Date.now();
  else if (Date.now() - pendingG < 1200) { const to = { a: "/apps", h: "/hosts", d: "/deploy" }[event.key]; pendingG = 0; if (to) go.to(to); }
});

function problemView(problem) {
  return h("section.empty", {}, shape("refused"), h("h1", {}, problem.status === 404 ? "Not there" : "This could not be shown"), h("p", {}, problem.message), problem.hint ? h("p", {}, problem.hint) : null, problem.requestId ? h("p.sub", {}, h("code", {}, problem.requestId)) : null,
    h("button.btn.primary", { type: "button", onclick: () => go.refresh() }, icon("reload"), "Try again"));
}

let turn = 0;
async function show(keepFocus) {
  const mine = ++turn;
  if (!session()) {
    current.stop?.();
    current = { stop: null };
    document.title = "Sign in · Redoubt";
    root.replaceChildren(loginPage(() => { history.replaceState(null, "", "/apps"); begin(); }, themeButton()));
    return;
  }
  const [, page, section, match] = ROUTES.map(([pattern, p, s]) => [pattern, p, s, location.pathname.match(pattern)]).find(([, , , m]) => m) || [];
  drawNav(section);
  let view;
  try {
    view = page ? await page({ id: match[1], query: new URLSearchParams(location.search), go }) : { title: "Not there", content: [problemView({ status: 404, message: "No page has this address." })] };
  } catch (problem) {
    if (problem.status === 401) { location.assign("/login"); return; }
    view = { title: "Problem", content: [problemView(problem)] };
  }
  if (mine !== turn) { view.stop?.(); return; }
  current.stop?.();
  current = view;
  document.title = `${view.title} · Redoubt`;
  crumbs.replaceChildren(...(view.crumbs || [[view.title]]).flatMap(([label, href], i) => [i ? h("span", { "aria-hidden": "true" }, "/") : null, href ? h("a", { href }, label) : h("span", { "aria-current": "page" }, label)]).filter(Boolean));
  main.replaceChildren(...view.content.flat(Infinity).filter(Boolean));
  if (!keepFocus) { main.focus({ preventScroll: true }); scrollTo(0, 0); if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView(); }
}

let refreshing = null;
const go = {
  to(path) { history.pushState(null, "", path); show(false); },
  // Many events in a row cost one redraw; what is being typed or pressed is left alone.
  refresh() {
    clearTimeout(refreshing);
    refreshing = setTimeout(() => { if (!document.querySelector("dialog[open]") && !main.contains(document.activeElement?.closest("input, textarea, select"))) show(true); }, 60);
  },
};

document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[href]");
  if (!anchor || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || anchor.hasAttribute("download")) return;
  const url = new URL(anchor.href, location.href);
  if (url.origin !== location.origin || url.pathname.startsWith("/v1/") || url.pathname.startsWith("/problems/") || anchor.classList.contains("skip")) return;
  event.preventDefault();
  go.to(url.pathname + url.search + url.hash);
});
addEventListener("popstate", () => show(false));

function begin() {
  frame();
  onStatus(drawLink);
  connect();
  show(false);
}

try {
  if (location.pathname !== "/login" || location.hash.length <= 1) await resume();
} catch (problem) {
  toast(problem.message, "bad");
}
if (session() && location.pathname !== "/login") begin();
else if (session()) { history.replaceState(null, "", "/apps"); begin(); }
else show(false);
