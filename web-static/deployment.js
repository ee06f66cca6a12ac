// deployment: how a deployment stands: six stages, the words for its state, and why it is not placed.
import { h, age, clock, short, shortDigest } from "./dom.js";
import { shape } from "./marks.js";
import { panel, funnel, note } from "./widgets.js";

export const STAGES = ["accepted", "planned", "placed", "launching", "attested", "serving"];
const OVER = ["superseded", "ended", "stopping"];
const LOST = ["failed", "reverted"];

const spanText = (ms) => (ms < 10000 ? `${ms} ms` : ms < 120000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60000)} min`);
const millis = (from, to) => Math.max(0, Date.parse(to) - Date.parse(from));

// Done is an ink dot, current a turning arc (a dotted ring once it has waited for ten seconds), ahead a dotted ring, failed the octagon.
export function timeline(deployment) {
  const reached = new Map(deployment.stages.map((stage) => [stage.name, stage.at]));
  const current = STAGES.findIndex((name) => !reached.get(name));
  let before = null;
  const stage = (name, i) => {
    const at = reached.get(name);
    const isCurrent = i === current && !OVER.includes(deployment.state);
    const state = at ? "done" : !isCurrent ? "ahead" : LOST.includes(deployment.state) ? "failed" : "now";
    const isLong = state === "now" && before && Date.now() - Date.parse(before) > 10000;
    const took = at ? (before ? spanText(millis(before, at)) : clock(at)) : state === "now" ? (isLong ? ["waiting, ", age(before)] : "waiting") : "";
    before = at || before;
    return h(`li.${state}`, {}, shape({ done: "done", now: isLong ? "ahead" : "checking", ahead: "ahead", failed: "failed" }[state]), name,
      h("span", {}, took || " ", h("span.for-readers", {}, { done: ", done", now: ", in progress", ahead: ", not yet", failed: ", failed" }[state])));
  };
  return h("ol.stages", { "aria-label": "Stages of the deployment" }, STAGES.map(stage));
}

export function tookText(deployment) {
  const times = new Map(deployment.stages.map((stage) => [stage.name, stage.at]));
  return times.get("serving") ? `Serving after ${spanText(millis(times.get("accepted"), times.get("serving")))}` : null;
}

export const isOpen = (deployment) => ["accepted", "progressing", "reverting", "stopping"].includes(deployment.state);
export const title = (deployment) => `${{ deploy: "Deploy", scale: "Scale", stop: "Stop", rollback: "Roll back" }[deployment.kind] || deployment.kind} ${deployment.generation}`;
export const facts = (deployment) => [h("code", { title: deployment.id }, short(deployment.id)), deployment.release ? [" · ", h("code", { title: deployment.release }, shortDigest(deployment.release))] : null];

// Why it is not placed, in hosts for each constraint; or what its launches failed of.
export function why(deployment, hostCount) {
  const reason = deployment.reason;
  if (!reason?.summary) return null;
  const isFailed = LOST.includes(deployment.state);
  if (!reason.counts?.length) return note(isFailed ? "refused" : "stale", isFailed ? "The deployment failed" : "Not there yet", reason.summary);
  const whole = Math.max(hostCount || 0, ...reason.counts.map((row) => row.hosts));
  return panel("Why it is not placed", h("span.sub", {}, "tried again as soon as a host changes"), h("div.pad.stack.tight", {}, h("p", {}, reason.summary.replace(/^n/, "N"), ". Hosts that each rule leaves out:"), funnel(whole, reason.counts.map((row) => [row.hosts, row.constraint]))));
}
