import { h, icon, age, clock, idCode, digestCode, short, sizeText } from "../dom.js";
import { shape, verdictOf, fuse, firstExpiry, mark } from "../marks.js";
import { panel, table, facts, checks, command, download, toast, toastProblem, problemNote } from "../widgets.js";
import { call, get, getBytes, isLocal } from "../api.js";
import { provePanel } from "../here.js";
import { go } from "../router.js";
import * as f from "../formats.js";
import { inspect, passed } from "../evidence.js";

const REGISTERS = [["MRTD", "runtime image"], ["RTMR0", "virtual firmware"], ["RTMR1", "kernel"], ["RTMR2", "command line"], ["RTMR3", "application"]];
const longHex = (value) => h("code", { title: value }, `${value.slice(0, 20)}…${value.slice(-8)}`);

const SAYS = {
  simulated: ["Simulated", "Every check runs, nothing is confidential: the evidence ends in a simulation root. The operator of this machine can read everything."],
  reported: ["Reported by the plane", "The plane accepted this evidence. Code that the plane sent can't prove it to you: run the command beside."],
  stale: ["Stale", "The last proof has run out. It gets no new requests until a newer one is accepted."],
  unverified: ["Unverified", "No evidence has been accepted yet. Nothing is claimed."],
};

function verdictPanel(instance, found) {
  const isBroken = found && !passed(found.steps);
  const kind = isBroken ? "refused" : verdictOf(instance), verdict = instance.verdict;
  const [word, text] = kind === "refused" ? ["Refused", isBroken ? "A check in this page failed, whatever the plane says." : verdict?.reason || instance.reason || "The plane refused this evidence."] : SAYS[kind];
  const done = found ? found.steps.filter((step) => step.ok !== null).length : 0;
  return h("section.panel.framed", {}, h(`div.verdict.v.${kind}`, {}, shape(kind), h("div.stack.tight", {}, h("h2.says", {}, h("b", {}, word), verdict?.verified_at ? [" ", age(verdict.verified_at)] : null), h("p", {}, text)),
    found ? h("div.row", {}, mark(kind, `${found.steps.filter((step) => step.ok).length} of ${done} checks here`)) : null),
  verdict?.verified_at ? fuse(kind, verdict) : null, found ? checks(found.steps, kind === "simulated" ? "simulated" : "reported") : null,
  h("p.by", {}, found ? [isLocal() ? "These steps ran in this page. " : "These steps ran in this page's code, which the plane sent. ", verdict ? "The plane's own verdict: " : ""] : null, verdict ? [h("strong", {}, verdict.result), `, TCB ${verdict.tcb_status || "unknown"}, collateral set ${verdict.collateral_evaluation}, evidence `, digestCode(verdict.evidence), "."] : null));
}

// What the evidence says beside the verdict: registers, the replayed log, statement.
function details(found) {
  const { quote, log, statement, docs } = found;
  const expected = docs ? docs.policy.measurements.some(({ mrtd }) => mrtd === quote.mrtd) : null;
  const same = [expected === null ? "–" : expected ? "in the policy" : "not in the policy", "not bound", "not bound", "not bound", log.at(-1)?.value === quote.rtmr[3] ? "replays" : "differs"];
  return [panel("Measurements", h("span.help", {}, "as the quote says"), table("Measurements", ["Register", "Value, SHA-384", ["Against", "hide-s"]], [quote.mrtd, ...quote.rtmr].map((value, i) => h("tr", {},
    h("th", { scope: "row" }, REGISTERS[i][0], h("span.sub", {}, REGISTERS[i][1])), h("td", {}, longHex(value)), h("td.hide-s", {}, same[i]))))),
  panel("Event log, replayed", null, h("ol.chain", {}, log.map((row) => h("li", {}, h("b", {}, row.name), row.payload.length === 96 ? h("code", {}, `${short(`app_${f.base32(row.payload.subarray(0, 32))}`)}, release ${f.hex(row.payload.subarray(32, 36))}…`) : h("span", {}, "nothing after this names the app"),
    h("code.reg", {}, `digest ${row.digest.slice(0, 8)}… → RTMR3 ${row.value.slice(0, 8)}…${row.value === quote.rtmr[3] ? " = the quote" : ""}`)))))];
}

export async function instancePage({ id }) {
  const instance = await get(`/v1/instances/${id}`);
  const [app, version, docs, stored] = await Promise.all([get(`/v1/apps/${instance.app}`), get("/v1/version"), instance.serving ? get(`/v1/instances/${id}/docs`).catch(() => null) : null, getBytes(`/v1/instances/${id}/evidence`).catch((problem) => problem)]);
  const verdict = instance.verdict;
  const options = { docs, simulationRoot: version.simulation_root, reported: verdict ? `TCB ${verdict.tcb_status}` : null };
  let bytes = stored instanceof Uint8Array ? stored : null, found = null, problem = bytes ? null : stored;
  if (bytes) try { found = await inspect(bytes, options); } catch (error) { problem = error; }

  const lead = h("div", {}), more = h("div.stack", {}), nonce = h("div.pad.stack.tight", {}), statement = h("div.pad", {});
  const draw = (own) => {
    lead.replaceChildren(verdictPanel(instance, found));
    more.replaceChildren(...(found ? details(found) : [problemNote(problem?.status === 404 ? new Error("No evidence is stored for this instance yet") : problem, () => go.refresh())]));
    nonce.replaceChildren(...(found ? [h("code.break", {}, own ? f.hex(own) : f.hex(f.unb64u(found.statement.nonce))), h("p.help", {}, own ? `Made in this browser. It leads to the signed report data, ${found.bundle.nonce_path?.siblings.length ? "in one quote with other callers' nonces" : "in a quote of its own"}.` : "Drawn by the plane. “Ask again now” sends one of your own.")] : [h("p.help", {}, "–")]));
    statement.replaceChildren(found ? facts([["Purpose", found.statement.purpose], ["Class", found.statement.class], ["App", h("a", { href: `/apps/${found.statement.app}` }, idCode(found.statement.app))], ["Release", digestCode(found.statement.release)], ["Head", digestCode(found.statement.head)], ["Epoch", found.statement.epoch], ["Receipt key", h("code", {}, `${(found.statement.keys.receipt || "–").slice(0, 12)}…`)]]) : h("p.help", {}, "–"));
  };
  draw(null);
  const ask = h("button.btn.primary", { type: "button", disabled: !instance.serving, title: instance.serving ? null : "Only a serving instance can answer", onclick: async () => {
    ask.disabled = true;
    try {
      const own = crypto.getRandomValues(new Uint8Array(32)), started = performance.now();
      bytes = await call("GET", `/v1/instances/${id}/evidence?nonce=${f.b64u(own)}`, undefined, { raw: true });
      found = await inspect(bytes, { ...options, nonce: own });
      draw(own);
      toast(`Answered this browser's nonce in ${Math.round(performance.now() - started)} ms`);
    } catch (error) { toastProblem(error); }
    ask.disabled = false;
  } }, icon("reload"), "Ask again now");
  const title = h("div.title", {}, h("div", {}, h("h1", {}, "Instance ", h("code", {}, short(id))), h("p.lead", {}, h("a", { href: `/apps/${app.id}` }, app.name), `, ${instance.phase || "planned"}, on `, h("a", { href: `/hosts/${instance.host}` }, short(instance.host)), `, lease epoch ${instance.epoch}, since `, age(instance.granted_at), ".")),
    h("div.row", {}, bytes ? h("button.btn", { type: "button", onclick: () => download(`${id}.evidence.json`, bytes) }, icon("download"), `Evidence, ${sizeText(bytes.length)}`) : null, ask));
  const tcb = panel("Platform (TCB)", h("span.tag", {}, verdict?.tcb_status || "unknown"), h("div.pad.stack.tight", {}, facts([["TEE", "Intel TDX, quote version 4"], ["TEE TCB SVN", found ? h("code", {}, found.quote.teeTcbSvn) : "–"], ["Debug", found ? (found.quote.isDebug ? "on" : "off") : "–"], ["Collateral", verdict ? `set ${verdict.collateral_evaluation}` : "–"], ["Valid until", verdict ? clock(verdict.valid_until) : "–"]]), h("p.help", {}, "Status and collateral are reported by the plane.")));
  const yourself = isLocal() ? null : panel("Verify it yourself", null, h("div.pad.stack.tight", {}, command(`redoubt verify ${app.name}`), h("p.help", {}, "Runs on your machine, with code that the plane did not send: chain, revocation, TCB, policy, release and freshness.")));
  return { title: `Instance ${short(id)}`, section: "apps", crumbs: [["Apps", "/apps"], [app.name, `/apps/${app.id}`], [short(id)]], simulated: Boolean(verdict?.simulated || app.class === "simulated"), expires: firstExpiry([instance]),
    concerns: (kind, data) => kind === "instance" && data.subject === id,
    content: [title, isLocal() ? provePanel(app, id) : null, lead, h("div.split", {}, more, h("aside.stack", { "aria-label": "Facts of the evidence" }, yourself, tcb, panel("Statement", null, statement), panel("Nonce", null, nonce)))] };
}
