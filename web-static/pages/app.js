import { h, icon, age, clock, idCode, digestCode, short, shortDigest, plural, sizeText } from "../dom.js";
import { mark, shape, verdictOf, worst, marks, firstExpiry } from "../marks.js";
import { empty, table, panel, facts, stats, terminal, confirmName, dialog, toast, toastProblem, roleButton, note } from "../widgets.js";
import { get, isLocal, list, post, patch, remove, may } from "../api.js";
import { go } from "../router.js";
import * as f from "../formats.js";
import { giveUp, standing, take } from "../sign.js";
import { timeline, tookText, why, title as deploymentTitle, facts as deploymentFacts } from "../deployment.js";
import { logViewer } from "../logs.js";
import { grantsPanel, SHOWN } from "../grants.js";
import { setSecret, unsetSecret } from "../here.js";

const NEEDS_DEVELOPER = "This needs the developer role. Ask an owner of your organisation";

function lead(app, instances) {
  const serving = instances.filter((instance) => instance.serving);
  const kinds = serving.map(verdictOf), kind = worst(kinds);
  const count = (wanted) => `${kinds.filter((k) => k === wanted).length} of ${serving.length}`;
  const oldest = serving.map((instance) => instance.verdict?.verified_at).filter(Boolean).sort()[0];
  const all = serving.length === 1 ? " on its instance" : ` on all ${serving.length} instances`;
  const [word, rest, text] = {
    simulated: ["Simulated", all, "Everything is checked, nothing is confidential: the evidence ends in a simulation root. The operator of the machine can read everything."],
    reported: ["Reported by the plane", all, "The plane accepted this evidence. This page came from the plane, so it proves nothing by itself: run the command below."],
    unverified: ["Unverified", app.paused ? ": paused" : app.head ? ": no instance serves" : ": nothing deployed yet", "There is no evidence to show until an instance serves."],
    stale: ["Stale", `: ${count("stale")}`, "The last proof is older than its period allows."],
    refused: ["Refused", `: ${count("refused")}`, "A check failed. Open the instance to see which."],
  }[kind];
  return h("section.panel.framed", {}, h(`div.verdict.v.${kind}`, {}, shape(kind), h("div.stack.tight", {}, h("h2.says", {}, h("b", {}, word), rest), h("p", {}, oldest ? ["Oldest proof ", age(oldest), ". "] : null, text)),
    serving.length ? h("div.row", {}, h("a.btn", { href: `/instances/${serving[0].id}` }, "Evidence")) : null));
}

const instanceTable = (instances, hosts) => table("Instances", ["Instance", "Proof", ["Phase", "hide-s"], ["Host", "hide-s"], ["Since", "right"]], instances.map((instance) => h("tr", {},
  h("th", { scope: "row" }, h("a", { href: `/instances/${instance.id}` }, idCode(instance.id)), h("span.sub.hide-s", {}, `epoch ${instance.epoch}`)),
  h("td", {}, mark(verdictOf(instance)), h("span.sub", {}, instance.verdict ? age(instance.verdict.verified_at) : instance.reason || "no evidence yet")),
  h("td.hide-s", {}, instance.phase || "planned", instance.reason ? h("span.sub", {}, instance.reason) : null),
  h("td.hide-s", {}, h("a", { href: `/hosts/${instance.host}` }, hosts.get(instance.host)?.name || short(instance.host)), h("span.sub", {}, hosts.get(instance.host)?.region || "")), h("td.right", {}, age(instance.granted_at)))));

const deploymentTable = (deployments, releases) => table("Deployments", ["Deployment", "State", ["Release", "hide-s"], ["Instances", "right hide-s"], ["When", "right"]], deployments.map((item) => h("tr", {},
  h("th", { scope: "row" }, deploymentTitle(item), h("span.sub", {}, idCode(item.id))), h("td", {}, item.state, item.reason?.summary ? h("span.sub", {}, item.reason.summary) : null),
  h("td.hide-s", {}, releases.get(item.release) ? `Release ${releases.get(item.release)}` : "–", h("span.sub", {}, digestCode(item.release))), h("td.right.hide-s", {}, item.min === item.max ? item.max : `${item.min} to ${item.max}`), h("td.right", {}, age(item.created_at)))));

async function act(promise, said) {
  try { await promise; toast(said); go.refresh(); } catch (problem) { toastProblem(problem); }
}
async function stopApp(app) {
  if (await confirmName(`Stop ${app.name}?`, "All its instances end and callers get 503 until the next deploy. Its releases, head and name stay.", app.name, "Stop"))
    await act(post(`/v1/apps/${app.id}/deployments`, { kind: "stop" }), `Stopping ${app.name}`);
}
async function deleteApp(app) {
  if (!(await confirmName(`Delete ${app.name}?`, `${plural(app.instances.serving, "instance")} end, its address stops answering and its name becomes free. This cannot be undone.`, app.name, "Delete"))) return;
  try { await remove(`/v1/apps/${app.id}`); toast(`Deleting ${app.name}`); go.to("/apps"); } catch (problem) { toastProblem(problem); }
}
async function scaleApp(app, latest) {
  const count = h("input", { id: "scale-count", type: "number", min: "1", max: "1000", value: String(latest.max) });
  const isGood = () => Number.isInteger(Number(count.value)) && Number(count.value) >= 1 && Number(count.value) <= 1000;
  if (await dialog(`Scale ${app.name}`, [h("p", {}, `It wants ${plural(latest.max, "instance")} now. Each new one proves itself before it serves.`), h("div.field", {}, h("label", { for: "scale-count" }, "Instances"), count)], [{ label: "Scale", value: true, enabled: isGood }]))
    await act(post(`/v1/apps/${app.id}/deployments`, { kind: "scale", min: Number(count.value), max: Number(count.value) }), `Scaling ${app.name} to ${count.value}`);
}

// Releases that the current head lists may run: only these can be rolled back to.
function releasesPart(app, releases, head, running) {
  if (!releases.length) return h("p.none", {}, "No releases yet. Deploying makes and signs one.");
  const listed = head ? JSON.parse(f.text(f.unb64u(head.document))).releases : [];
  const rollBack = async (release) => {
    if (await dialog(`Roll back to release ${release.number}?`, h("p", {}, "Instances of it start and prove themselves; those of the release before end once they serve. Its owner listed it in the current head, so nothing is signed."), [{ label: `Roll back to ${release.number}`, value: true }]))
      await act(post(`/v1/apps/${app.id}/deployments`, { kind: "rollback", release: release.digest }), `Rolling back to release ${release.number}`);
  };
  return table("Releases", ["Release", ["Code", "hide-s"], "Standing", "Signed", ["Action", "right"]], releases.map((release) => {
    const document = JSON.parse(f.text(f.unb64u(release.document)));
    const isListed = listed.includes(release.digest), isRunning = running === release.digest;
    return h("tr", {}, h("th", { scope: "row" }, `Release ${release.number}`, h("span.sub", {}, digestCode(release.digest))), h("td.hide-s", {}, digestCode(document.code.digest), h("span.sub", {}, sizeText(document.code.size))),
      h("td", {}, isRunning ? "runs" : isListed ? "may run" : "not in the head"), h("td", {}, age(release.created_at)),
      h("td.right", {}, isListed && !isRunning ? roleButton("button.btn.small", may("developer"), NEEDS_DEVELOPER, { onclick: () => rollBack(release) }, icon("back"), "Roll back…") : null));
  }));
}

// What the plane stores of secrets: names, versions and ciphertexts; the key of sealed code is one of them. Values are sealed where the owner's key is.
function secretsPart(app, secrets, head, grants) {
  const document = head ? JSON.parse(f.text(f.unb64u(head.document))) : null, kms = document?.kms[0];
  const done = async (change, words) => { try { if (await change()) { toast(words); go.refresh(); } } catch (problem) { toastProblem(problem); } };
  const button = (tag, words, name, change, say) => h(tag, { type: "button", onclick: () => done(change, say) }, icon(name), words);
  const set = isLocal() ? button("button.btn.primary", "Set a secret…", "key", () => setSecret(app), "Sealed and signed here") : terminal(`redoubt secrets set ${app.name} NAME`);
  if (!kms) return [empty("No key service", "The owner's head names none, so this app has no secrets and its code is public. Trust a key service in the terminal, then set a secret.", isLocal() ? set : null, "redoubt kms list"), isLocal() ? null : set];
  const [keys, named] = [secrets.filter((secret) => secret.name.startsWith("redoubt.")), secrets.filter((secret) => !secret.name.startsWith("redoubt."))];
  const actions = (secret) => h("td.right", {}, secret.current ? [button("button.btn.small", "Replace…", "reload", () => setSecret(app, secret.name), `${secret.name} has another value`), " ", button("button.btn.small", "Remove…", "trash", () => unsetSecret(app, secret.name), `${secret.name} is gone`)] : null);
  return [panel("Secrets", isLocal() ? set : h("span.help", {}, "sealed on the owner's machine, opened in verified instances"), named.length
    ? table("Secrets", ["Name", "Version", "Standing", ["Size", "hide-s"], ["Sealed", "hide-s"], ...(isLocal() ? [["Action", "right"]] : [])], named.map((secret) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, secret.name)), h("td.num", {}, secret.version),
      h("td", {}, secret.current ? "in the current head" : "not in the current head"), h("td.hide-s.num", {}, sizeText(secret.size_bytes)), h("td.hide-s", {}, age(secret.created_at)), isLocal() ? actions(secret) : null)))
    : h("p.none", {}, "None yet."), h("footer", {}, h("dl.facts", {}, h("dt", {}, "Key service"), h("dd", {}, idCode(kms)), h("dt", {}, "Code"), h("dd", {}, keys.some((key) => key.current) ? "sealed" : "public")))),
  isLocal() ? null : set, grantsPanel(grants), terminal(`redoubt records grants ${app.name}`, "Check them without us")];
}

// An owner's key stays where it is; this browser's may sign for some days what the owner lets it.
async function signingPart(app) {
  if (isLocal() || app.class !== "simulated" || !app.head) return null;
  const problem = h("p.problem", { role: "alert" });
  const tried = async (change) => { try { await change(); go.refresh(); } catch (error) { problem.replaceChildren(icon("warn"), error instanceof SyntaxError ? "That is not what redoubt keys delegate prints" : error.message); } };
  const { key, isOwner, given } = await standing(app.id).catch(() => ({ isOwner: true }));
  if (isOwner) return null;
  const words = (given?.may ?? []).map((word) => `${word}s`), last = words.at(-1);
  if (given) return panel("Signing in this browser", null, h("div.pad.row.between", {}, h("div", {}, h("h3", {}, `Its key signs until ${given.not_after.slice(0, 10)}`), h("p.help", {}, `${[words.slice(0, -1).join(", "), last].filter(Boolean).join(" and ")}, as the owner lets it, under the owner's policy. Whoever sends this page could use it.`)),
    h("div.row", {}, h("button.btn", { type: "button", onclick: () => tried(() => giveUp(app.id)) }, icon("trash"), "Forget"))), problem);
  const text = h("textarea", { id: "delegation", rows: "4", spellcheck: "false", placeholder: '{"document":"…","signatures":[…]}' });
  return [panel("Signing in this browser", null, h("div.pad.stack.tight", {}, h("p.help", {}, "The owner of this app can let this browser's key deploy it for some days: run the command below, and paste what it prints."),
    h("label", { for: "delegation" }, "What the owner's terminal printed"), text, problem, h("div.row", {}, h("button.btn", { type: "button", onclick: () => tried(() => take(app.id, text.value)) }, icon("key"), "Keep it")))),
  terminal(`redoubt keys delegate ${app.name} ${key} --held-in browser`, "On the owner's machine")];
}

async function settings(app, latest) {
  const isDeveloper = may("developer");
  const line = (title, text, ...buttons) => h("div.pad.row.between", {}, h("div", {}, h("h3", {}, title), h("p.help", {}, text)), h("div.row", {}, buttons));
  return [panel("Facts", null, h("div.pad", {}, facts([["App id", h("code", {}, app.id)], ["Address", h("a", { href: app.url, rel: "noreferrer", target: "_blank" }, app.url)], ...(app.tls_url ? [["TLS that ends inside", h("code.break", {}, app.tls_url)]] : []), ["Class", app.class || "–"],
    ["Head", app.head ? ["number ", app.head.seq, ", ", digestCode(app.head.digest)] : "none yet"], ["Created", [age(app.created_at), ", ", clock(app.created_at)]]]))),
  panel("Running", null,
    line(app.paused ? "Resume" : "Pause", app.paused ? "Requests are answered with 503 app_paused." : "Requests are answered with 503 app_paused; instances stay warm.",
      roleButton("button.btn", isDeveloper, NEEDS_DEVELOPER, { onclick: () => act(patch(`/v1/apps/${app.id}`, { paused: !app.paused }), app.paused ? `${app.name} answers again` : `${app.name} is paused`) }, icon("pause"), app.paused ? "Resume" : "Pause")),
    latest ? line("Scale", `Wants ${latest.min} to ${latest.max} instances.`, roleButton("button.btn", isDeveloper, NEEDS_DEVELOPER, { onclick: () => scaleApp(app, latest) }, icon("plus"), "Scale…")) : null,
    latest && latest.kind !== "stop" ? line("Stop", "Ends all instances. A deploy starts them again.", roleButton("button.btn", isDeveloper, NEEDS_DEVELOPER, { onclick: () => stopApp(app) }, icon("stop"), "Stop…")) : null),
  await signingPart(app),
  panel("Delete", null, line("Delete this app", "Its instances end and its name becomes free. It cannot be undone.", roleButton("button.btn.danger", isDeveloper, NEEDS_DEVELOPER, { onclick: () => deleteApp(app) }, icon("trash"), "Delete…"))),
  terminal(`redoubt apps delete ${app.name}`)];
}

export async function appPage({ id, query }) {
  const base = `/v1/apps/${id}`;
  const [app, instances, deployments, releases, hosts] = await Promise.all([get(base), list(`${base}/instances`), list(`${base}/deployments`), list(`${base}/releases`), list("/v1/hosts")]);
  const tab = query.get("tab") || "overview";
  const latest = deployments[0] ? await get(`/v1/deployments/${deployments[0].id}`) : null;
  const numbers = new Map(releases.map((release) => [release.digest, release.number])), hostOf = new Map(hosts.map((host) => [host.id, host]));
  const serving = instances.filter((instance) => instance.serving);
  const tabs = [["overview", "Overview"], ["instances", "Instances", instances.length], ["deployments", "Deployments", deployments.length], ["releases", "Releases", releases.length], ["secrets", "Secrets"], ["logs", "Logs"], ["settings", "Settings"]];
  const nav = h("nav.tabs", { "aria-label": "Parts of the app" }, tabs.map(([key, label, count]) => h("a", { href: `/apps/${id}${key === "overview" ? "" : `?tab=${key}`}`, "aria-current": key === tab ? "page" : null }, label, count ? h("span.help", {}, " ", count) : null)));
  const current = latest ? panel(numbers.get(latest.release) ? `Release ${numbers.get(latest.release)}` : deploymentTitle(latest), [h("span.help", {}, deploymentFacts(latest)), h("span.tag", {}, latest.state)],
    timeline(latest), tookText(latest) ? h("footer", {}, tookText(latest), ". ", h("a", { href: `/apps/${id}?tab=deployments` }, "All deployments")) : null) : null;
  let logs = null;
  const parts = {
    overview: () => [lead(app, instances), stats([["Serving", app.instances.serving, `of ${app.instances.wanted}`], ["Release", numbers.get(app.deployment?.release) ?? "–"], ["Head", app.head?.seq ?? "–"], ["Generation", app.deployment?.generation ?? "–"], ["Class", app.class ?? "–"]]),
      current, latest ? why(latest, hosts.length) : null, instances.length ? panel("Instances", marks(instances.map(verdictOf)), instanceTable(instances, hostOf)) : null, terminal(`redoubt verify ${app.name}`, "Check it without us")],
    instances: () => [instances.length ? panel("Instances", marks(instances.map(verdictOf)), instanceTable(instances, hostOf)) : panel("Instances", null, h("p.none", {}, "None. Deploy a release to get one.")), terminal(`redoubt verify ${app.name}`, "Check them without us")],
    deployments: () => [current, latest ? why(latest, hosts.length) : null, panel("Deployments", null, deployments.length ? deploymentTable(deployments, numbers) : h("p.none", {}, "None yet.")), terminal(`redoubt deployments list ${app.name}`)],
    releases: async () => [panel("Releases", null, releasesPart(app, releases, app.head ? await get(`${base}/heads/current`) : null, app.deployment?.release)), terminal(`redoubt apps show ${app.name}`)],
    secrets: async () => secretsPart(app, await list(`${base}/secrets`), app.head ? await get(`${base}/heads/current`) : null, (await get(`${base}/grants?limit=${SHOWN}`)).items),
    logs: () => { logs = logViewer(app); return [logs.content, terminal(`redoubt logs ${app.name} --follow`)]; },
    settings: () => settings(app, latest),
  };
  const part = await (parts[tab] || parts.overview)();
  const deploy = may("developer") ? h("a.btn.primary", { href: `/deploy?name=${encodeURIComponent(app.name)}` }, icon("deploy"), "Deploy") : roleButton("button.btn.primary", false, NEEDS_DEVELOPER, {}, icon("deploy"), "Deploy");
  const content = [h("div.title", {}, h("div", {}, h("h1", {}, app.name), h("p.row", {}, h("span.tag", {}, icon("function"), "Function"), idCode(app.id), app.state === "live" ? h("a.break", { href: app.url, rel: "noreferrer", target: "_blank" }, new URL(app.url).host.replace(/^(app-.{4})[a-z2-7]+(.{4})\./, "$1…$2.")) : null)),
    h("div.row", {}, h("a.btn", { href: `/invoke/${id}` }, icon("send"), "Send a request"), releases.length > 1 ? h("a.btn", { href: `/apps/${id}?tab=releases` }, icon("back"), "Roll back…") : null, deploy)), nav,
  app.state !== "live" ? note("unverified", "This app is being deleted", "Its instances are ending.") : app.paused ? note("stale", "Paused", "Requests are answered with 503 app_paused until it is resumed in Settings.") : null, part];
  return { title: app.name, section: "apps", crumbs: [["Apps", "/apps"], [app.name]], content, simulated: app.class === "simulated", expires: firstExpiry(serving),
    concerns: (kind, data) => data.app === id && tab !== "logs", stop: () => logs?.stop() };
}
