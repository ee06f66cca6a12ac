// here: what the dashboard does when it came with the command line (`redoubt dashboard`): proofs, calls and signatures are made
// by that program on the reader's machine, and are the only ones that are marked "proved here".
import { h, icon } from "./dom.js";
import { panel, checks, dialog, note, problemNote } from "./widgets.js";
import { mark } from "./marks.js";
import { here } from "./api.js";

const kindOf = (isProved, isSimulated) => (!isProved ? "refused" : isSimulated ? "simulated" : "proved");
const wordOf = { refused: "Does not verify", simulated: "Proved here, simulated", proved: "Proved here" };
export const provedMark = (isProved, isSimulated) => { const kind = kindOf(isProved, isSimulated); return mark(kind, wordOf[kind]); };
export const provedChecks = (steps, isSimulated, isNarrow) => checks(steps.map((step) => ({ ...step, name: step.name.replaceAll("_", " ") })), isSimulated ? "simulated" : "proved", isNarrow);
const said = (answer) => answer.said.trim().replace(/^error: /, "") || `redoubt ended with ${answer.exit}`;

// `redoubt verify` for an app: each serving instance with its steps; only the one named, if any.
export function provePanel(app, instance = null) {
  const out = h("div", { role: "status" });
  const button = h("button.btn.primary", { type: "button", onclick: async () => {
    button.disabled = true;
    out.replaceChildren(note("checking", "Checking on this machine", "Fresh evidence for a nonce of its own, chain, revocation, TCB, policy, release."));
    try {
      const answer = await here("verify", { app: app.id });
      const found = (answer.result || []).filter((one) => !instance || one.instance === instance);
      out.replaceChildren(...(found.length ? found.flatMap((one) => [h("div.row.between.pad", {}, h("code", {}, one.instance), provedMark(one.verified, one.simulated)), provedChecks(one.steps, one.simulated)])
        : [note("unverified", "Nothing was proved", said(answer))]));
    } catch (problem) { out.replaceChildren(problemNote(problem, () => button.click())); }
    button.disabled = false;
  } }, icon("reload"), "Prove it here");
  return panel("Proof on this machine", button, h("div.stack.tight", {}, h("p.pad.help", {}, "Runs redoubt verify of the program that serves this page; the plane has no part in it but to carry the evidence."), out));
}

// A call through `redoubt invoke`: {ok, status, text, steps, isSimulated, elapsed, document} or throws.
export async function invokeHere(app, path, type, body) {
  const answer = await here("invoke", { app: app.id, path, type, body });
  if (!answer.result) throw new Error(said(answer));
  const { result } = answer;
  return { ok: result.verified, status: result.status, text: typeof result.body === "string" ? result.body : JSON.stringify(result.body, null, 2), steps: result.steps, isSimulated: result.simulated, elapsed: result.elapsed_us / 1000, document: result };
}

// Sealed log lines as the plane gave them, opened with the log key of this machine: the same lines, in their order.
export async function openLines(app, lines) {
  const answer = await here("logs", { app: app.id, lines });
  if (answer.exit !== 0 || answer.result.length !== lines.length) throw new Error(said(answer));
  return answer.result;
}

// `redoubt secrets`: the value is sealed by the program that serves this page, and the head that lists it is signed there.
async function secret(app, action, name, value = "") {
  const answer = await here("secret", { app: app.id, action, name, value });
  if (answer.exit !== 0) throw new Error(said(answer));
}

// name null: it is asked for. Resolves to whether a secret was sealed.
export async function setSecret(app, name = null) {
  const called = h("input.mono", { id: "secret-name", autocomplete: "off", spellcheck: "false", value: name ?? "", readonly: name !== null, pattern: "[A-Z_][A-Z0-9_]*", placeholder: "API_KEY" });
  const value = h("textarea.mono", { id: "secret-value", rows: "3", autocomplete: "off", spellcheck: "false" });
  const isSet = await dialog(name ? `Another value for ${name}` : "Set a secret", [h("p", {}, "It is sealed to this app on this machine; the plane stores what it cannot read. Instances read it at their start: the plane replaces those that run, new ones first. One that it kept would end with its grant, within six hours unless the head says otherwise."),
    h("div.field", {}, h("label", { for: "secret-name" }, "Name"), called, h("p.help", {}, "Capital letters, digits and _.")), h("div.field", {}, h("label", { for: "secret-value" }, "Value"), value)],
  [{ label: name ? "Replace it" : "Seal and sign", value: true, enabled: () => called.value !== "" && called.checkValidity() && value.value !== "" }]);
  if (isSet) await secret(app, name ? "rotate" : "set", called.value, value.value);
  value.value = "";
  return isSet === true;
}

export async function unsetSecret(app, name) {
  const isWanted = await dialog(`Remove ${name}?`, h("p", {}, "Instances that start from now on do not have it. Those that run keep what they have read; the plane replaces them, and one that it kept would end with its grant."), [{ label: "Remove it", value: true, kind: "danger" }]);
  if (isWanted) await secret(app, "unset", name);
  return isWanted === true;
}

// The owner's signature: first what would change, then `redoubt deploy`. onDone(app id).
export function signBox(manifest, source, onDone) {
  const out = h("div", { role: "status" });
  const run = (plan) => async (event) => {
    const button = event.target.closest("button");
    button.disabled = true;
    out.replaceChildren(note("checking", plan ? "Comparing with what is current" : "Signing and sending", plan ? "The head that the owner signed last, verified here." : "The code, a release and a head, by the owner key of this machine."));
    try {
      const answer = await here("deploy", { manifest, source, plan });
      const isDone = plan ? [0, 10].includes(answer.exit) && answer.result : answer.exit === 0 && answer.result?.app;
      if (isDone && !plan) onDone(answer.result.app);
      else out.replaceChildren(isDone ? changes(answer.result) : note("refused", plan ? "It cannot be compared" : "It was not deployed", said(answer)));
    } catch (problem) { out.replaceChildren(problemNote(problem)); }
    button.disabled = false;
  };
  return h("section.box", {}, h("h3.row", {}, icon("key"), "On this machine"), h("p", {}, "The owner key signs in the program that serves this page. Nothing goes over the plane before it is signed."),
    h("div.row", {}, h("button.btn", { type: "button", onclick: run(true) }, "Show what changes"), h("button.btn.primary", { type: "button", onclick: run(false) }, icon("key"), "Sign and deploy")), out);
}
function changes(plan) {
  const rows = (plan.changes || []).map((one) => [one.module ? `${one.member} ${one.module}` : one.member, one.module ? `+${one.added} −${one.removed} lines` : `${JSON.stringify(one.from)} → ${JSON.stringify(one.to)}`]);
  const notes = (plan.policy || []).map((one) => [`policy${one.member}`, `${one.effect}: ${one.text}`]);
  return h("dl.facts", {}, [["release", plan.number], ["class", plan.class], ["code", plan.code], ...(plan.app ? [] : [["changes", "a first version"]]), ...(rows.length || !plan.app ? rows : [["changes", "none"]]), ...notes].map(([name, value]) => [h("dt", {}, String(name)), h("dd", {}, String(value))]));
}
