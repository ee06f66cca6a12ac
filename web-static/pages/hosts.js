import { h, icon, mark, shape, age, short, empty, table, panel, copyable, dialog, confirmName, toast, copy } from "../dom.js";
import { list, post, onEvent, session } from "../api.js";

const mayOperate = () => ["owner", "operator"].includes(session()?.role);

async function enrol() {
  try {
    const made = await post("/v1/enrol-tokens", {});
    await dialog("Enrol a machine", h("div", {}, h("p", {}, "Run this on the machine once, before ", new Date(made.expires).toLocaleTimeString(), ". The token is shown only here."), h("pre.well.wrap", { tabindex: "0" }, h("code", {}, made.command)),
      h("p.help", {}, "The machine's key is made there and never leaves it. Without TEE hardware the agent refuses, unless it is told to enrol as simulated.")), [{ label: "Copy and close", value: true }]).then((yes) => yes && copy(made.command));
  } catch (problem) { toast(problem.message, "bad"); }
}

async function drain(host, go) {
  if (!(await confirmName(`Drain ${host.name}?`, `Its ${host.used?.slots ?? 0} instances move to other hosts; no request is lost. It takes no new work until you undrain it.`, host.name, "Drain"))) return;
  try { await post(`/v1/hosts/${host.id}/drain`); toast(`Draining ${host.name}`); go.refresh(); } catch (problem) { toast(problem.message, "bad"); }
}
async function undrain(host, go) {
  try { await post(`/v1/hosts/${host.id}/undrain`); toast(`${host.name} takes work again`); go.refresh(); } catch (problem) { toast(problem.message, "bad"); }
}

function capacityCell(host) {
  const total = host.capacity?.slots || 0, used = host.used?.slots || 0;
  return h("td", {}, h("meter", { min: 0, max: Math.max(1, total), value: used, "aria-label": `${used} of ${total} slots used` }), h("span.sub.num", {}, `${used} of ${total} slots`));
}

export async function hostsPage({ go }) {
  const hosts = await list("/v1/hosts");
  const button = h("button.btn.primary", { type: "button", "aria-disabled": mayOperate() ? null : "true", title: mayOperate() ? null : "Needs the operator role", onclick: () => (mayOperate() ? enrol() : toast("Enrolling needs the operator role. Ask an owner of your organisation")) }, icon("plus"), "Enrol a host");
  const stop = onEvent((kind) => { if (kind === "host") go.refresh(); });
  if (!hosts.length)
    return { title: "Hosts", stop, content: [h("div.title", {}, h("h1", {}, "Hosts")), empty("No hosts yet", "A host is a TEE machine with a running agent. It dials out, so it may stand behind NAT.", button, "redoubt enroll-token")] };
  const draining = (host) => ["draining", "drained", "cordoned"].includes(host.state);
  const rows = hosts.map((host) => h("tr", { id: host.id }, h("th", { scope: "row" }, host.name || short(host.id), h("span.sub", {}, short(host.id))), h("td", {}, host.simulated ? mark("simulated") : mark("reported", (host.tee || "").toUpperCase()), h("span.sub", {}, host.region || "")),
    h("td", {}, host.state, h("span.sub", {}, `link ${host.link}`)), capacityCell(host), h("td", {}, age(host.enrolled_at)),
    h("td", {}, mayOperate() ? h("button.btn.small", { type: "button", onclick: () => (draining(host) ? undrain(host, go) : drain(host, go)) }, icon("out"), draining(host) ? "Undrain" : "Drain…") : null)));
  const ready = hosts.filter((host) => host.state === "ready" && host.link === "up").length;
  return { title: "Hosts", stop, content: [hosts.some((host) => host.simulated) ? h("p.simulated-bar", { role: "note" }, shape("simulated"), "Some hosts are simulated: what runs there is checked, not confidential.") : null,
    h("div.title", {}, h("h1", {}, "Hosts"), h("div.actions", {}, button)), panel(`${ready} of ${hosts.length} ready`, null, table("Hosts", ["Host", "TEE", "State", "Capacity", "Enrolled", "Action"], rows)), copyable("redoubt hosts list")] };
}
