import { h, icon, idCode, plural } from "../dom.js";
import { shape, mark } from "../marks.js";
import { empty, table, panel, segments, terminal, command, meter, roleButton, toastProblem, funnel } from "../widgets.js";
import { list, post, may, session } from "../api.js";
import { go } from "../router.js";
import { kindOfHost, isLeaving, stateText, hostActions, NEEDS_OPERATOR } from "../fleet.js";

// The command with its one-time token: shown to the session that made it until the tab goes elsewhere, never stored.
// The panel is one and stays over redraws: whatever answers late finds it, and what was typed is kept.
let made = null, box = null;
const region = h("input", { id: "enrol-region", value: "local", autocomplete: "off", maxlength: "64" });

async function make(event) {
  event.preventDefault();
  try {
    made = { ...await post("/v1/enrol-tokens", { region: region.value.trim() || "local" }), session: session() };
    enrolPanel().querySelector("pre")?.focus();
  } catch (problem) { toastProblem(problem); }
}
function another() {
  made = null;
  enrolPanel();
}

function enrolPanel() {
  box ??= h("section.panel", { id: "enrol", "aria-label": "Enrol a host" });
  if (made && made.session !== session()) made = null;
  const left = made ? Math.max(0, Math.round((Date.parse(made.expires) - Date.now()) / 60000)) : 0;
  const key = h("p.help", {}, "The machine's key is made there and never leaves it. A machine without a TEE is refused, unless it enrols as simulated.");
  box.replaceChildren(h("header", {}, h("h2", {}, "Enrol a host"), made ? h("span.help", {}, `for ${plural(made.uses, "machine")}, ${left} min left`) : null),
    made ? h("div.pad.stack.tight", {}, h("p", {}, "Run this on the machine, once:"), command(made.command), h("p.help", {}, "The token is shown here only, and works once."), key, h("div.row", {}, h("button.btn.small", { type: "button", onclick: another }, "Another")))
      : h("form.pad.stack", { onsubmit: make }, h("p", {}, "A machine enrols by a one-time token. It dials out, so it may stand behind NAT."), h("div.field", {}, h("label", { for: "enrol-region" }, "Region"), region),
        may("operator") ? h("button.btn.primary", { type: "submit" }, icon("plus"), "Make the command") : roleButton("button.btn", false, NEEDS_OPERATOR, {}, "Make the command"), key));
  return box;
}

function freeStep(host) {
  const { slots } = host.capacity;
  const free = slots ? (slots - host.used.slots) / slots : 0;
  return free <= 0 ? 0 : Math.min(4, 1 + Math.floor(free * 4));
}
const FREE = ["full", "under a quarter free", "up to half free", "up to three quarters free", "mostly free"];

function fleet(hosts, view) {
  const regions = [...new Set(hosts.map((host) => host.region || "–"))].sort();
  const cell = (host) => {
    const kind = kindOfHost(host), leaving = isLeaving(host) ? ".leaving" : "";
    const label = `${host.name}, ${host.region}: ${stateText(host)}, ${host.used.slots} of ${host.capacity.slots} slots used`;
    return h(view === "free" ? `a.cell.free-${freeStep(host)}${leaving}` : `a.cell.v.${kind}${leaving}`, { href: `/hosts/${host.id}`, "aria-label": label, title: label }, view === "free" ? null : shape(kind));
  };
  const kinds = ["simulated", "reported", "unverified", "stale", "refused"].map((kind) => [kind, hosts.filter((host) => kindOfHost(host) === kind).length]).filter(([, count]) => count);
  const legend = { simulated: "simulated TEE", reported: "accepted, as the plane reports", unverified: "not proved yet", stale: "link lost", refused: "refused, quarantined or revoked" };
  return panel("Fleet", segments("What the cells show", [["Proof", "/hosts", view !== "free"], ["Free capacity", "/hosts?show=free", view === "free"]]),
    h("div.fleet", {}, regions.map((region) => { const here = hosts.filter((host) => (host.region || "–") === region); return h("div.zone", {}, h("div", {}, h("strong", {}, region), h("span.sub", {}, `${plural(here.length, "host")}, ${here.filter((host) => host.capacity.slots > host.used.slots && host.state === "ready").length} with room`)), h("div.cells", {}, here.map(cell))); })),
    h("footer", {}, h("ul.key", {}, view === "free" ? FREE.map((text, i) => h("li", {}, h(`span.cell.free-${i}`, { "aria-hidden": "true" }), text)) : kinds.map(([kind, count]) => h("li", {}, h(`span.cell.v.${kind}`, { "aria-hidden": "true" }, shape(kind)), `${legend[kind]} · ${count}`)))));
}

export async function hostsPage({ query }) {
  const hosts = await list("/v1/hosts");
  const concerns = (kind) => kind !== "app";
  const enrol = roleButton("button.btn.primary", may("operator"), NEEDS_OPERATOR, { onclick: () => { document.getElementById("enrol").scrollIntoView({ block: "center" }); document.querySelector("#enrol :is(input, button)").focus(); } }, icon("plus"), "Enrol a host");
  const title = h("div.title", {}, h("div", {}, h("h1", {}, "Hosts"), h("p.lead", {}, hosts.length ? `${plural(hosts.length, "machine")}. Each proves itself before it carries anything.` : "Machines that carry enclaves.")), h("div.row", {}, enrol));
  if (query.get("enrol")) requestAnimationFrame(() => document.querySelector("#enrol :is(input, button)")?.focus());
  if (!hosts.length)
    return { title: "Hosts", section: "hosts", concerns, crumbs: [["Hosts"]], content: [title, h("div.split", {}, empty("No hosts yet", "A host is a TEE machine with a running agent. Until one is enrolled, deployments wait.", null, "redoubt enroll-token"), h("aside", { "aria-label": "Enrolment" }, enrolPanel()))] };
  const filter = h("input", { type: "search", id: "filter", value: query.get("q") || "", placeholder: "Filter: name, region, state", "aria-label": "Filter hosts" });
  const body = h("div");
  const row = (host) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: `/hosts/${host.id}` }, host.name || "unnamed"), h("span.sub", {}, idCode(host.id))),
    h("td", {}, mark(kindOfHost(host), { reported: host.tee.toUpperCase() }[kindOfHost(host)]), h("span.sub", {}, `${host.tee.toUpperCase()}, ${host.region}`)), h("td.hide-s", {}, stateText(host), h("span.sub", {}, `link ${host.link}`)),
    h("td.hide-s", {}, meter(host.used.slots, host.capacity.slots, `${host.used.slots} of ${host.capacity.slots} slots used`), h("span.sub.num", {}, `${host.used.slots} of ${host.capacity.slots} slots`)), h("td.right.hide-s", {}, hostActions(host, true)));
  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const shown = hosts.filter((host) => `${host.name} ${host.region} ${host.state} ${host.id} ${host.tee}`.toLowerCase().includes(wanted));
    body.replaceChildren(shown.length ? table("Hosts", ["Host", "Proof", ["State", "hide-s"], ["Used", "hide-s"], ["Action", "right hide-s"]], shown.map(row)) : h("p.none", {}, `No host fits “${filter.value}”.`));
  };
  filter.addEventListener("input", () => { draw(); go.note({ show: query.get("show") || "", q: filter.value.trim() }); });
  draw();
  const ready = hosts.filter((host) => host.state === "ready" && host.link === "up");
  const away = Object.entries(Object.groupBy(hosts.filter((host) => !ready.includes(host)), stateText));
  return { title: "Hosts", section: "hosts", concerns, simulated: hosts.some((host) => host.simulated) ? "what runs on simulated hosts is checked, not confidential." : false,
    content: [title, fleet(hosts, query.get("show")), h("div.split", {}, h("div.stack", {}, panel(`${ready.length} of ${hosts.length} ready`, h("div", {}, filter), body), terminal("redoubt hosts list")),
      h("aside.stack", { "aria-label": "Enrolment and states" }, enrolPanel(), away.length ? panel("Why hosts take no work", null, h("div.pad", {}, funnel(hosts.length, away.map(([state, group]) => [group.length, state])))) : null))] };
}
