import { h, age, plural, sizeText } from "../dom.js";
import { shape } from "../marks.js";
import { panel, facts, checks, meter, stats, terminal } from "../widgets.js";
import { get } from "../api.js";
import { kindOfHost, stateText, hostActions } from "../fleet.js";

const share = (used, total, text) => h("div.stack.tight", {}, meter(used, total, text), h("span.help.num", {}, text));

export async function hostPage({ id }) {
  const host = await get(`/v1/hosts/${id}`);
  const kind = kindOfHost(host), { tcb = {}, steps = [], hint } = host.verdict;
  const says = { simulated: ["Simulated", "No TEE stands behind this host: what runs there is checked, not confidential."], reported: ["Reported by the plane", "The plane accepted this machine's evidence when it enrolled. Each launch on it is judged anew, by the app's own policy."],
    stale: ["Stale", ": the link is lost. Its instances are moved when their leases end."], unverified: ["Unverified", "It has enrolled and has not attached yet."], refused: host.quarantine ? ["Quarantined", `${host.quarantine.detail} (${host.quarantine.code}, ${age(host.quarantine.since)}). Nothing is placed here and what runs moves elsewhere, until its operator releases it.`] : ["Refused", `It carries nothing: ${host.state}.`] }[kind];
  const { capacity, used } = host;
  return { title: host.name, section: "hosts", crumbs: [["Hosts", "/hosts"], [host.name]], simulated: host.simulated ? "what runs on this host is checked, not confidential." : false,
    concerns: (event, data) => event === "host" && data.subject === id,
    content: [h("div.title", {}, h("div", {}, h("h1", {}, host.name), h("p.row", {}, h("span.tag", {}, host.tee.toUpperCase()), h("span.tag", {}, host.region), h("code.break", {}, host.id))), h("div.row", {}, hostActions(host, false))),
      h("section.panel.framed", {}, h(`div.verdict.v.${kind}`, {}, shape(kind), h("div.stack.tight", {}, h("h2.says", {}, h("b", {}, says[0])), h("p", {}, says[1], hint ? ` ${hint}` : null))),
        steps.length ? h("details", {}, h("summary.pad", {}, `${steps.filter((step) => step.ok).length} of ${plural(steps.length, "check")} when it enrolled`), checks(steps.map((step) => ({ name: step.name.replaceAll("_", " "), ok: step.ok, detail: step.detail })), kind === "simulated" ? "simulated" : "reported")) : null,
        h("p.by", {}, "These checks ran in the plane. They are reported, not proved.")),
      stats([["State", stateText(host)], ["Link", host.link], ["TCB", tcb.status || "–"], ["Instances", used.slots]]),
      h("div.cols", {}, panel("Capacity", null, h("div.pad.stack", {}, share(used.slots, capacity.slots, `${used.slots} of ${capacity.slots} slots`), share(used.cpu_m, capacity.cpu_m, `${used.cpu_m / 1000} of ${capacity.cpu_m / 1000} cores`), share(used.memory_bytes, capacity.memory_bytes, `${sizeText(used.memory_bytes)} of ${sizeText(capacity.memory_bytes)}`))),
        panel("Facts", null, h("div.pad", {}, facts([["Enrolled", age(host.enrolled_at)], ["Agent", host.agent_version || "–"], ["Engines", host.engines.join(", ") || "–"], ["Platform", h("code.break", {}, host.platform)], ["TCB date", tcb.date ? tcb.date.slice(0, 10) : "–"], ["Advisories", tcb.advisories?.length ? tcb.advisories.join(", ") : "none"], ["Labels", Object.entries(host.labels).map(([name, value]) => `${name}=${value}`).join(", ") || "none"]])))),
      terminal(`redoubt hosts show ${host.id}`)] };
}
