// fleet: how a host stands, in words and marks, and what an operator may do with it.
import { h, icon, plural } from "./dom.js";
import { confirmName, roleButton, toast, toastProblem } from "./widgets.js";
import { post, remove, may } from "./api.js";
import { go } from "./router.js";

export const NEEDS_OPERATOR = "This needs the operator role. Ask an owner of your organisation";

export const isLeaving = (host) => ["draining", "drained", "cordoned"].includes(host.state) || host.cordoned;
export function kindOfHost(host) {
  if (host.quarantine || ["revoked", "quarantined"].includes(host.state)) return "refused";
  if (host.link !== "up" || ["lost", "suspect"].includes(host.state)) return "stale";
  if (host.state === "enrolled") return "unverified";
  return host.simulated ? "simulated" : "reported";
}
const WORDS = { suspect: "silent for a moment", lost: "lost", enrolled: "enrolled, not yet attached", reconciling: "attaching", quarantined: "quarantined" };
export const stateText = (host) => (host.quarantine && host.state !== "quarantined" ? `${host.state}, quarantined` : null) || WORDS[host.state] || (host.link !== "up" && host.state === "ready" ? "link lost" : host.state);

async function act(path, said) {
  try { await post(path); toast(said); go.refresh(); } catch (problem) { toastProblem(problem); }
}
async function drain(host) {
  if (await confirmName(`Drain ${host.name}?`, `Its ${plural(host.used.slots, "instance")} move to other hosts within ten minutes, new ones first, so that no request is lost. It takes no new work until you undrain it.`, host.name, "Drain"))
    await act(`/v1/hosts/${host.id}/drain`, `Draining ${host.name}`);
}
async function revoke(host) {
  if (!(await confirmName(`Revoke ${host.name}?`, `Its certificate is worth nothing from now on: its link is cut and its ${plural(host.used.slots, "instance")} end and start elsewhere. This cannot be undone; the machine may enrol again.`, host.name, "Revoke"))) return;
  try { await remove(`/v1/hosts/${host.id}`); toast(`${host.name} is revoked`); go.to("/hosts"); } catch (problem) { toastProblem(problem); }
}

async function release(host) {
  if (await confirmName(`Release ${host.name}?`, `It was quarantined: ${host.quarantine.detail} (${host.quarantine.code}). It takes work again as soon as it is attached; its next fault counts anew.`, host.name, "Release"))
    await act(`/v1/hosts/${host.id}/release`, `${host.name} is released`);
}

export function hostActions(host, isShort) {
  const small = isShort ? ".small" : "";
  const button = (tag, run, ...children) => roleButton(`button.btn${small}${tag}`, may("operator"), NEEDS_OPERATOR, { onclick: run }, ...children);
  if (host.state === "revoked") return null;
  const back = () => act(`/v1/hosts/${host.id}/undrain`, `${host.name} takes work again`);
  if (host.quarantine) return [button("", () => release(host), icon("back"), "Release…"), isShort ? null : button(".danger", () => revoke(host), icon("cross"), "Revoke…")];
  if (isLeaving(host)) return [button("", back, icon("back"), "Undrain"), isShort ? null : button(".danger", () => revoke(host), icon("cross"), "Revoke…")];
  if (isShort) return button("", () => drain(host), icon("leave"), "Drain…");
  return h("div.row", {}, button("", () => act(`/v1/hosts/${host.id}/cordon`, `${host.name} takes no new work`), icon("pause"), "Cordon"), button("", () => drain(host), icon("leave"), "Drain…"), button(".danger", () => revoke(host), icon("cross"), "Revoke…"));
}
