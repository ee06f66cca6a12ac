import { h, icon, mark, shape, WORDS, age, short, shortDigest, verdictOf, panel, table, facts, stepList, copyable, download, toast } from "../dom.js";
import { call, get, onEvent } from "../api.js";
import * as f from "../formats.js";
import { readEvidence } from "../quote.js";

const REGISTERS = [["MRTD", "runtime image"], ["RTMR0", "virtual firmware"], ["RTMR1", "kernel"], ["RTMR2", "command line"], ["RTMR3", "application"]];
const evidenceOf = (id, nonce) => call("GET", `/v1/instances/${id}/evidence${nonce ? "?nonce=" + f.b64u(nonce) : ""}`, undefined, { raw: true });

function verdictPanel(instance, evidence, problem) {
  const kind = verdictOf(instance);
  const verdict = instance.verdict;
  const text = { simulated: "Everything is checked, nothing is confidential: the evidence ends in a simulation root.", reported: "The plane accepted this evidence. This page came from the plane: prove it with the command beside.",
    refused: instance.reason || verdict?.reason || "The plane refused this evidence.", stale: "The last verdict has run out.", unverified: problem ? problem.message : "No evidence has been accepted yet." }[kind];
  return h(`section.lead-panel.${kind}.tall`, {}, shape(kind), h("div", {}, h("h2", {}, WORDS[kind], verdict ? [" · ", age(verdict.verified_at)] : null), h("p", {}, text),
    verdict ? h("p.sub", {}, `TCB ${verdict.tcb_status ?? "–"} · collateral set ${verdict.collateral_evaluation ?? "–"} · valid until `, h("time", { title: verdict.valid_until }, new Date(verdict.valid_until).toLocaleTimeString())) : null),
    evidence ? stepList(evidence.steps) : null, h("p.by", {}, "The steps here ran in this page, which came from the plane. Signature chain, revocation and platform state are judged by ", h("code", {}, "redoubt verify"), "."));
}

export async function instancePage({ id, go }) {
  const instance = await get(`/v1/instances/${id}`);
  let bundle = null, evidence = null, problem = null;
  try { bundle = await evidenceOf(id); evidence = await readEvidence(bundle); } catch (error) { problem = error; }
  const lead = h("div", {}, verdictPanel(instance, evidence, problem));
  const nonceBox = h("p.mono.wrap", {}, evidence ? f.hex(f.unb64u(evidence.statement.nonce)) : "–");
  const ask = h("button.btn.primary", { type: "button", onclick: async () => {
    ask.disabled = true;
    try {
      const nonce = crypto.getRandomValues(new Uint8Array(32));
      const started = performance.now();
      bundle = await evidenceOf(id, nonce);
      evidence = await readEvidence(bundle, nonce);
      lead.replaceChildren(verdictPanel(instance, evidence, null));
      nonceBox.textContent = f.hex(nonce);
      toast(`Answered this browser's nonce in ${Math.round(performance.now() - started)} ms`);
    } catch (error) { toast(error.message, "bad"); }
    ask.disabled = false;
  } }, icon("reload"), "Ask again now");
  const registers = evidence ? [evidence.quote.mrtd, ...evidence.quote.rtmr] : [];
  const simulated = instance.verdict?.simulated;
  const content = [simulated ? h("p.simulated-bar", { role: "note" }, shape("simulated"), "Simulated: everything is checked, nothing is confidential.") : null,
    h("div.title", {}, h("div", {}, h("h1", {}, "Instance ", h("code", {}, short(id))), h("p.sub", {}, `on ${short(instance.host)}, lease epoch ${instance.epoch}, phase ${instance.phase || "planned"}`)),
      h("div.actions", {}, bundle ? h("button.btn", { type: "button", onclick: () => download(`${id}.evidence.json`, bundle) }, icon("download"), `Evidence, ${(bundle.length / 1000).toFixed(1)} kB`) : null, ask)),
    lead,
    h("div.split", {}, h("div", {},
      evidence ? panel("Measurements", h("span.sub", {}, "as the quote says"), table("Measurements", ["Register", "Value, SHA-384"], REGISTERS.map(([name, what], i) => h("tr", {}, h("th", { scope: "row" }, name, h("span.sub", {}, what)), h("td.mono", { title: registers[i] }, `${registers[i].slice(0, 20)}…${registers[i].slice(-8)}`))))) : null,
      evidence ? panel("Event log, replayed", null, h("ol.events", {}, evidence.log.map((row) => h("li", {}, h("strong", {}, row.name), h("span.mono", {}, `digest ${row.digest.slice(0, 8)}… → RTMR3 ${row.value.slice(0, 8)}…`), row.payload.length === 96 ? h("span.mono", {}, `app ${f.base32(row.payload.subarray(0, 32)).slice(0, 12)}… release ${f.hex(row.payload.subarray(32, 64)).slice(0, 12)}…`) : null)))) : null),
      h("aside", {},
        panel("Statement", null, facts(evidence ? [["Purpose", evidence.statement.purpose], ["Class", evidence.statement.class], ["App", h("a", { href: `/apps/${evidence.statement.app}` }, short(evidence.statement.app))], ["Release", h("code", {}, shortDigest(evidence.statement.release))], ["Head", h("code", {}, shortDigest(evidence.statement.head))], ["Receipt key", h("code", {}, (evidence.statement.keys.receipt || "–").slice(0, 12) + "…")]] : [["Evidence", problem ? problem.message : "none"]])),
        panel("Nonce", null, nonceBox),
        panel("Verify it yourself", null, copyable(`redoubt verify ${instance.app}`)))) ];
  const stop = onEvent((kind, data) => { if (kind === "instance" && data.subject === id) go.refresh(); });
  return { title: `Instance ${short(id)}`, crumbs: [["Apps", "/apps"], [short(instance.app), `/apps/${instance.app}`], [short(id)]], content, stop };
}
