// app: starts the dashboard: sign-in or the frame with side bar and top bar, keys, theme.
import { h, icon, themeIcon } from "./dom.js";
import { brandMark, shape } from "./marks.js";
import { toastProblem } from "./widgets.js";
import { resume, session, isLocal, logout, onSessionEnd, list } from "./api.js";
import { connect, disconnect, onStatus, onEvent } from "./live.js";
import { setUp, show, leave, go, catchLinks } from "./router.js";
import { palette, keySheet } from "./palette.js";
import { loginPage } from "./pages/login.js";
import { appsPage } from "./pages/apps.js";
import { appPage } from "./pages/app.js";
import { deployPage } from "./pages/deploy.js";
import { instancePage } from "./pages/instance.js";
import { invokePage } from "./pages/invoke.js";
import { receiptsPage } from "./pages/receipts.js";
import { hostsPage } from "./pages/hosts.js";
import { hostPage } from "./pages/host.js";

const ROUTES = [
  [/^\/(?:apps)?$/, appsPage], [/^\/apps\/(app_[a-z2-7]{52})$/, appPage], [/^\/deploy$/, deployPage], [/^\/instances\/(ins_[a-z2-7]{26})$/, instancePage],
  [/^\/invoke\/(app_[a-z2-7]{52})$/, invokePage], [/^\/receipts$/, receiptsPage], [/^\/hosts$/, hostsPage], [/^\/hosts\/(hst_[a-z2-7]{26})$/, hostPage],
];
const SECTIONS = [["apps", "Apps", "/apps"], ["receipt", "Receipts", "/receipts"], ["hosts", "Hosts", "/hosts"]];

const root = document.getElementById("app");
const main = h("main", { id: "main", tabindex: "-1" });
const crumbs = h("ol.crumbs");
const bar = h("div");
const link = h("span.link-state", { role: "status" });
const nav = { apps: h("span.count"), hosts: h("span.count") };
let isFramed = false;

function switchTheme() {
  const shown = document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = shown === "dark" ? "light" : "dark";
  try { localStorage.setItem("redoubt.theme", document.documentElement.dataset.theme); } catch { /* not remembered, still switched */ }
}
const themeButton = () => h("button.btn.quiet.only", { type: "button", "aria-label": "Switch between light and dark", onclick: switchTheme }, themeIcon());
const search = () => palette([["terminal", "Switch between light and dark", switchTheme], ["key", "Keys", keySheet], ["leave", "Sign out", signOut]]);

function drawLink({ status, since, attempt }) {
  const word = { live: "Live", reconnecting: attempt ? `Reconnecting, try ${attempt}` : "Reconnecting", stale: `Stale since ${since ? new Date(since).toLocaleTimeString() : ""}` }[status];
  link.className = `link-state ${status}`;
  link.replaceChildren(shape({ live: "live", reconnecting: "checking", stale: "stale" }[status]), h("span.word", {}, word));
}

function drawSection(section = "apps") {
  for (const anchor of document.querySelectorAll(".nav a")) anchor.toggleAttribute("aria-current", false);
  document.querySelector(`.nav a[href="/${section}"]`)?.setAttribute("aria-current", "page");
  closeMenu();
}
async function drawCounts() {
  try { for (const key of ["apps", "hosts"]) nav[key].textContent = (await list(`/v1/${key}`)).length || ""; } catch { /* the page itself says what is wrong */ }
}

function closeMenu() {
  document.body.classList.remove("nav-open");
  document.querySelector(".burger")?.setAttribute("aria-expanded", "false");
}

function frame() {
  const { organisation, user, role } = session();
  const item = ([name, label, href]) => h("li", {}, h("a", { href }, icon(name), label, nav[name] || null));
  const side = h("aside.side", { id: "side", "aria-label": "Redoubt" }, h("a.brand", { href: "/apps" }, brandMark(), "Redoubt"),
    h("p.org", {}, icon("people"), organisation?.name || "–"),
    h("nav", { "aria-label": "Main" }, h("ul.nav", {}, item(SECTIONS[0]), item(SECTIONS[1])), h("p.nav-title", {}, "Operate"), h("ul.nav", {}, item(SECTIONS[2]))),
    h("div.side-foot", {}, isLocal() ? h("p", {}, "This page came with the command line on this machine. What is marked ", h("b", {}, "proved here"), " was checked by it; everything else is reported by the plane at ", h("code", {}, session().local.api), ".")
      : h("p", {}, "This page comes from the plane. What it shows is reported; proofs are checked by ", h("code", {}, "redoubt verify"), ", or in ", h("code", {}, "redoubt dashboard"), "."),
      h("p.row.between", {}, h("span", {}, user?.name || "token", ", ", role), isLocal() ? h("span", {}, "Ctrl-C ends it") : h("button.linked", { type: "button", onclick: signOut }, "Sign out"))));
  const burger = h("button.btn.quiet.only.burger", { type: "button", "aria-label": "Menu", "aria-controls": "side", "aria-expanded": "false", onclick: () => {
    const isOpen = document.body.classList.toggle("nav-open");
    burger.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) side.querySelector("a").focus();
  } }, icon("menu"));
  const top = h("header.top", {}, burger, h("nav", { "aria-label": "Where you are" }, crumbs), link,
    h("button.find", { type: "button", onclick: search, "aria-label": "Search or run a command" }, icon("search"), h("span", {}, "Search or run…"), h("kbd", {}, "/")), themeButton());
  root.replaceChildren(h("div.frame", {}, side, top, h("div.content", {}, bar, main)));
  main.addEventListener("pointerdown", closeMenu);
}

// note: why the reader must sign in again.
function signIn(note) {
  disconnect();
  leave();
  isFramed = false;
  document.title = "Sign in · Redoubt";
  root.replaceChildren(loginPage({ theme: themeButton(), note, done: () => {
    if (location.pathname === "/login") history.replaceState(null, "", "/apps");
    begin();
  } }));
}
async function signOut() {
  try { await logout(); } catch (problem) { if (problem.status !== 401) { toastProblem(problem); return; } }
  sessionStorage.clear();
  history.pushState(null, "", "/login");
  signIn("Signed out.");
}

function begin() {
  frame();
  isFramed = true;
  connect();
  drawCounts();
  show(false);
}

let pendingG = 0;
document.addEventListener("keydown", (event) => {
  if (!isFramed) return;
  if (event.key === "Escape" && document.body.classList.contains("nav-open")) { closeMenu(); document.querySelector(".burger").focus(); return; }
  if ((event.ctrlKey || event.metaKey) && event.key === "k") { event.preventDefault(); search(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, dialog")) return;
  const isSecond = Date.now() - pendingG < 1200;
  pendingG = event.key === "g" ? Date.now() : 0;
  if (event.key === "/") { event.preventDefault(); search(); }
  else if (event.key === "?") keySheet();
  else if (isSecond) {
    const to = { a: "/apps", d: "/deploy", h: "/hosts", r: "/receipts" }[event.key];
    if (to) go.to(to);
  }
});

setUp({ routes: ROUTES, place: { main, bar, crumbs, isReady: () => isFramed, onSection: drawSection } });
catchLinks();
onStatus(drawLink);
onEvent((kind) => { if (isFramed && ["app", "host", "gap"].includes(kind)) drawCounts(); });
onSessionEnd(() => signIn("Your session has ended. Sign in again: you come back to this page, and what you typed in the wizard is kept."));

const isLink = location.pathname === "/login" && location.hash.length > 1;
try {
  if (!isLink) await resume();
} catch (problem) {
  toastProblem(problem);
}
if (session()) {
  if (location.pathname === "/login") history.replaceState(null, "", "/apps");
  begin();
} else signIn();
