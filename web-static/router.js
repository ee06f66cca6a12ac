// router: which page an address shows, and how pages change the address. A page is an async function of {id, query} that answers
// {title, section, crumbs, content, simulated, stop, expires, concerns, isPinned}; it is drawn anew when an event concerns(kind, data) it,
// unless it is pinned by then: what it shows now must not be drawn away.
import { h } from "./dom.js";
import { simulatedBar } from "./marks.js";
import { problemNote } from "./widgets.js";
import { onEvent } from "./live.js";

let routes = [], place = null, current = {}, turn = 0, refreshing = null, expiring = null, address = null, hasShown = false, isLoading = false, isDue = false, missed = [];
const MISSED_MAX = 256;

// place: {main, bar, crumbs, isReady(), onSection(name)}
export function setUp(given) {
  ({ routes, place } = given);
  onEvent(arrived);
}

const isConcerned = (view, kind, data) => Boolean(view.concerns && (kind === "gap" || view.concerns(kind, data)));

// What happens while a page is being loaded may or may not be in what it has read: it is asked once it is there.
function arrived(kind, data) {
  if (!isLoading) { if (isConcerned(current, kind, data)) go.refresh(); }
  else if (missed.length < MISSED_MAX) missed.push([kind, data]);
  else missed = [["gap", {}]];
}

function failed(problem) {
  const isMissing = problem.status === 404;
  return { title: isMissing ? "Not there" : "Problem", content: [h("h1", {}, isMissing ? "Not there" : "This could not be shown"), problemNote(problem, () => show(true)), h("p", {}, h("a", { href: "/apps" }, "All apps"))] };
}

// Which element holds the focus, in words that still hold after a redraw.
function focused() {
  const at = place.main.contains(document.activeElement) ? document.activeElement : null;
  if (!at || at === place.main) return null;
  if (at.id) return () => document.getElementById(at.id);
  const same = (other) => other.tagName === at.tagName && other.textContent === at.textContent && other.getAttribute("href") === at.getAttribute("href");
  const order = [...place.main.querySelectorAll(at.tagName)].filter(same).indexOf(at);
  return () => [...place.main.querySelectorAll(at.tagName)].filter(same)[order];
}

export async function show(isRefresh) {
  if (!place.isReady()) return;
  // A page under way is finished first: were it begun anew by each event, its own end, good or bad, might never be seen.
  if (isRefresh && isLoading) { isDue = true; return; }
  isLoading = true;
  missed = [];
  const mine = ++turn;
  address = location.pathname + location.search;
  const [pattern, page] = routes.find(([p]) => p.test(location.pathname)) || [];
  const id = pattern ? location.pathname.match(pattern)[1] : null;
  if (!isRefresh) place.main.setAttribute("aria-busy", "true");
  let view;
  try {
    view = page ? await page({ id, query: new URLSearchParams(location.search) }) : failed({ status: 404, message: "No page has this address" });
  } catch (problem) {
    if (!place.isReady()) return;
    view = failed(problem);
    if (problem.status === undefined) console.error(problem);
  }
  if (mine !== turn) { view.stop?.(); return; }
  isLoading = false;
  if (isDue || missed.some(([kind, data]) => isConcerned(view, kind, data))) go.refresh();
  isDue = false;
  if (isRefresh && current.isPinned) { view.stop?.(); return; }
  place.main.removeAttribute("aria-busy");
  current.stop?.();
  current = view;
  document.title = `${view.title} · Redoubt`;
  place.onSection(view.section);
  place.crumbs.replaceChildren(...(view.crumbs || [[view.title]]).map(([label, href]) => h("li", {}, href ? h("a", { href }, label) : h("span", { "aria-current": "page" }, label))));
  place.bar.replaceChildren(...(view.simulated ? [simulatedBar(view.simulated === true ? undefined : view.simulated)] : []));
  const focus = isRefresh ? focused() : null;
  place.main.replaceChildren(...view.content.flat(Infinity).filter(Boolean));
  focus?.()?.focus({ preventScroll: true });
  place.main.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  clearTimeout(expiring);
  if (Number.isFinite(view.expires)) expiring = setTimeout(() => go.refresh(), Math.min(view.expires - Date.now() + 200, 2 ** 31 - 1));
  if (isRefresh) return;
  // After loading, the first Tab leads to "Skip to content"; after a link, on into the new page.
  if (hasShown) place.main.focus({ preventScroll: true });
  hasShown = true;
  scrollTo(0, 0);
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView({ block: "center" });
}
export function leave() { turn++; isLoading = isDue = false; current.stop?.(); current = {}; clearTimeout(expiring); }

const isBusy = () => document.querySelector("dialog[open]") || place.main.contains(document.activeElement?.closest("input, textarea, select"));

export const go = {
  to(path) { history.pushState(null, "", path); show(false); },
  // What the address says of filters and tabs, without a new entry and without a redraw.
  note(query) {
    const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
    history.replaceState(null, "", location.pathname + (text ? `?${text}` : "") + location.hash);
    address = location.pathname + location.search;
  },
  // Many events in a row cost one redraw; what is being typed is left alone and drawn later.
  refresh() {
    clearTimeout(refreshing);
    refreshing = setTimeout(() => (isBusy() ? go.refresh() : show(true)), isBusy() ? 1000 : 80);
  },
};

// Links inside the dashboard change the page without loading it.
export function catchLinks() {
  document.addEventListener("click", (event) => {
    const anchor = event.target.closest?.("a[href]");
    if (!anchor || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || anchor.hasAttribute("download") || anchor.target) return;
    const url = new URL(anchor.href, location.href);
    if (url.origin !== location.origin || url.pathname.startsWith("/v1/") || url.pathname.startsWith("/problems/") || anchor.classList.contains("skip")) return;
    event.preventDefault();
    go.to(url.pathname + url.search + url.hash);
  });
  addEventListener("popstate", () => { if (location.pathname + location.search !== address) show(false); });
}
