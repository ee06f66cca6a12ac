import { h, icon, mark, shape, WORDS, age, short, shortDigest, verdictOf, worst, table, panel, copyable, confirmName, toast, facts } from "../dom.js";
import { call, get, list, post, onEvent } from "../api.js";

export const STAGES = ["accepted", "planned", "placed", "launching", "attested", "serving"];

// Six stages as a line: done is an ink dot, current a turning arc, ahead a dotted ring, failed the octagon.
export function timeline(deployment) {
  const reached = new Map((deployment.stages || []).map((stage) => [stage.name, stage.at]));
  const failed = ["failed", "reverted"].includes(deployment.state);
  const current = STAGES.findIndex((name) => !reached.get(name));
  let before = null;
  return h("ol.stages", { "aria-label": "Stages of the deployment" }, STAGES.map((name, i) => {
    const at = reached.get(name);
    const state = at ? "done" : i === current && !["superseded", "ended"].includes(deployment.state) ? (failed ? "failed" : "current") : "ahead";
    const took = at && before ? `${Math.max(0, Date.parse(at) - Date.parse(before))} ms` : at ? new Date(at).toLocaleTimeString() : state === "current" ? "waiting" : "";
    before = at || before;
    return h(`li.${state}`, {}, state === "failed" ? shape("refused") : h("span.dot", { "aria-hidden": "true" }), h("strong", {}, name), h("span", {}, took), h("span.hidden", {}, { done: "done", current: "in progress", ahead: "not yet", failed: "failed" }[state]));
  }));
}

export function pendingPanel(deployment) {
  const reason = deployment.reason;
  if (!reason || !reason.counts?.length) return reason?.summary ? h("p.notice", {}, shape("stale"), reason.summary) : null;
  return panel("No host fits yet", null, h("ul.why", {}, reason.counts.map((row) => h("li", {}, h("strong.num", {}, row.hosts), row.constraint))));
}

function leadPanel(app, instances) {
  const serving = instances.filter((instance) => instance.serving);
  const kinds = serving.map(verdictOf);
  const kind = serving.length ? worst(kinds) : "unverified";
  const titles = {
    simulated: `Simulated on all ${serving.length} instance${serving.length === 1 ? "" : "s"}`, reported: `Accepted on ${serving.length} instances, reported by the plane`,
    unverified: app.head ? "No instance serves" : "Nothing deployed yet", stale: `${kinds.filter((k) => k === "stale").length} of ${serving.length} stale`, refused: `${kinds.filter((k) => k === "refused").length} of ${serving.length} refused`,
  };
  const texts = {
    simulated: "Everything is checked, nothing is confidential: the evidence ends in a simulation root.", reported: "The plane checked this evidence. This page came from the plane, so it is not proof: run the command below.",
    unverified: "There is no evidence to show until an instance serves.", stale: "The last proof is older than its period allows.", refused: "A check failed. Open the instance to see which.",
  };
  return h(`section.lead-panel.${kind}`, {}, shape(kind), h("div", {}, h("h2", {}, titles[kind]), h("p", {}, texts[kind])),
    serving.length ? h("a.btn", { href: `/instances/${serving[0].id}` }, "Evidence") : null);
}

function instanceRows(instances) {
  return table("Instances", ["Instance", "Proof", "Phase", "Host", "Since"], instances.map((instance) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: `/instances/${instance.id}` }, short(instance.id)), h("span.sub", {}, `epoch ${instance.epoch}`)),
    h("td", {}, mark(verdictOf(instance)), instance.verdict ? h("span.sub", {}, age(instance.verdict.verified_at)) : null), h("td", {}, instance.phase || "planned"), h("td", {}, h("a", { href: `/hosts#${instance.host}` }, short(instance.host))), h("td", {}, age(instance.granted_at)))));
}

function deploymentRows(deployments) {
  return table("Deployments", ["Deployment", "Kind", "Ended as", "Release", "When"], deployments.map((item) => h("tr", {}, h("th", { scope: "row" }, short(item.id), h("span.sub", {}, `generation ${item.generation}`)),
    h("td", {}, item.kind), h("td", {}, item.state, item.reason?.summary ? h("span.sub", {}, item.reason.summary) : null), h("td.mono", {}, shortDigest(item.release)), h("td", {}, age(item.created_at)))));
}

function logsPanel(app) {
  const box = h("pre.log", { tabindex: "0", role: "log", "aria-label": "Log lines" });
  const source = new EventSource(`/v1/apps/${app.id}/logs`);
  const add = (event) => {
    let line;
    try { line = JSON.parse(event.data); } catch { return; }
    const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 20;
    box.append(h(`span.${line.level || "info"}`, {}, `${line.at || ""}  ${(line.level || "").padEnd(5)} ${line.text || ""}\n`));
    while (box.children.length > 2000) box.firstChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  };
  source.addEventListener("log", add);
  source.addEventListener("message", add);
  return { stop: () => source.close(), content: panel("Logs", h("span.sub", {}, "what the function wrote with console"), box) };
}

export async function appPage({ id, query, go }) {
  const [app, instances, deployments] = await Promise.all([get(`/v1/apps/${id}`), list(`/v1/apps/${id}/instances`), list(`/v1/apps/${id}/deployments`)]);
  const tab = query.get("tab") || "overview";
  const tabs = [["overview", "Overview"], ["instances", `Instances ${instances.length}`], ["deployments", `Deployments ${deployments.length}`], ["logs", "Logs"], ["settings", "Settings"]];
  const nav = h("nav.tabs", { "aria-label": "App" }, tabs.map(([key, label]) => h("a", { href: `/apps/${id}${key === "overview" ? "" : "?tab=" + key}`, "aria-current": key === tab ? "page" : null }, label)));
  const latest = deployments[0];
  let stopLogs = null;
  const parts = {
    overview: () => [leadPanel(app, instances), latest ? panel("Deployment", h("span.sub", {}, `${short(latest.id)} · ${shortDigest(latest.release)} · ${latest.state}`), timeline(latest)) : null, latest ? pendingPanel(latest) : null,
      instances.length ? panel("Instances", null, instanceRows(instances)) : null, copyable(`redoubt verify ${app.name}`)],
    instances: () => [instances.length ? panel("Instances", null, instanceRows(instances)) : h("p.none", {}, "No instances. Deploy a release to get one.")],
    deployments: () => [deployments.length ? panel("Deployments", null, deploymentRows(deployments)) : h("p.none", {}, "No deployments yet."), copyable(`redoubt deployments list ${app.name}`)],
    logs: () => { const logs = logsPanel(app); stopLogs = logs.stop; return [logs.content, copyable(`redoubt logs ${app.name} -f`)]; },
    settings: () => [panel("Facts", null, facts([["Id", h("code", {}, app.id)], ["Address", app.url ? h("a", { href: app.url, rel: "noreferrer" }, app.url) : "–"], ["Head", app.head ? `number ${app.head.seq}, ${app.head.class}` : "–"], ["Created", age(app.created_at)]])),
      panel("Stop or delete", null, h("div.row", {}, h("p", {}, "Stopping ends all instances; a deploy starts them again. Deleting cannot be undone."),
        h("button.btn", { type: "button", onclick: () => stopApp(app, latest, go) }, "Stop…"), h("button.btn.danger", { type: "button", onclick: () => deleteApp(app, go) }, "Delete…")))],
  };
  const content = [app.head?.class === "simulated" ? h("p.simulated-bar", { role: "note" }, shape("simulated"), "Simulated: everything is checked, nothing is confidential.") : null,
    h("div.title", {}, h("div", {}, h("h1", {}, app.name), h("p.sub", {}, h("span.tag", {}, "Function"), h("code", {}, short(app.id)))),
      h("div.actions", {}, h("a.btn", { href: `/invoke/${id}` }, icon("send"), "Send a request"), h("a.btn.primary", { href: `/deploy?name=${encodeURIComponent(app.name)}` }, icon("up"), "Deploy"))), nav, (parts[tab] || parts.overview)()];
  const stop = onEvent((kind, data) => { if (data.app === id && tab !== "logs" && tab !== "settings") go.refresh(); });
  return { title: app.name, crumbs: [["Apps", "/apps"], [app.name]], content, stop: () => { stop(); stopLogs?.(); } };
}

async function stopApp(app, latest, go) {
  if (!latest || !(await confirmName(`Stop ${app.name}?`, "All its instances end; callers get 503 until the next deploy.", app.name, "Stop"))) return;
  try { await post(`/v1/apps/${app.id}/deployments`, { release: latest.release, min: 0, max: 0, kind: "stop" }); toast(`Stopping ${app.name}`); go.refresh(); } catch (problem) { toast(problem.message, "bad"); }
}

async function deleteApp(app, go) {
  if (!(await confirmName(`Delete ${app.name}?`, "All its instances end and its name becomes free. This cannot be undone.", app.name, "Delete"))) return;
  try { await call("DELETE", `/v1/apps/${app.id}`, undefined, { headers: { "If-Match": "*" } }); toast(`Deleting ${app.name}`); go.to("/apps"); } catch (problem) { toast(problem.message, "bad"); }
}
