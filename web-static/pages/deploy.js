// The deploy wizard: four steps over one draft, which lives in this tab and survives errors and reload.
import { h, icon, plural, sizeText } from "../dom.js";
import { shape } from "../marks.js";
import { panel, command, terminal, toast, problemNote, funnel, note, copyButton } from "../widgets.js";
import { get, list, post, may, isLocal } from "../api.js";
import { signBox } from "../here.js";
import { onEvent } from "../live.js";
import { go } from "../router.js";
import * as f from "../formats.js";
import * as example from "../example.js";
import { bundleOf, deployHere, DEFAULTS } from "../sign.js";

const KEY = "redoubt.deploy";
const MIB = 1048576;
const STEPS = [["Code", "what runs"], ["Proof and place", "where it may run"], ["Limits", "what it may use"], ["Review and sign", "your key, your word"]];
const fresh = () => ({ name: example.name, source: example.source, class: "simulated", instances: 1, time_ms: DEFAULTS.time_ms, heap_mib: DEFAULTS.heap_bytes / MIB, memory_mib: DEFAULTS.memory_bytes / MIB, cpu_m: DEFAULTS.cpu_m, open: false, plain: !isLocal(), env: "" });

function load(query) {
  let draft = fresh();
  try { draft = { ...draft, ...JSON.parse(sessionStorage.getItem(KEY) || "{}") }; } catch { /* a spoiled draft starts anew */ }
  for (const name of ["name", "class"]) if (query.get(name)) draft[name] = query.get(name);
  if (!["simulated", "hardware"].includes(draft.class)) draft.class = "simulated";
  return draft;
}
const save = (draft) => sessionStorage.setItem(KEY, JSON.stringify(draft));

function envOf(lines) {
  const env = {};
  for (const line of lines.split("\n").map((l) => l.trim()).filter(Boolean)) {
    const [, name, value] = /^([A-Z_][A-Z0-9_]{0,63})=(.*)$/.exec(line) || [];
    if (!name) throw new Error(`“${line.slice(0, 40)}” is not NAME=value with a name in capitals`);
    env[name] = value;
  }
  return env;
}
const within = (low, high, unit = "") => (value) => (Number.isInteger(value) && value >= low && value <= high ? "" : `A whole number from ${low} to ${high}${unit}`);
// One rule a field, the step that it stands on, and the last parts of the API's pointers that mean it.
const FIELDS = {
  name: { step: 1, rule: (v) => (/^[a-z][a-z0-9-]{0,62}$/.test(v) ? "" : "A lower-case letter, then letters, digits and dashes, at most 63"), pointers: ["name"] },
  source: { step: 1, rule: (v) => (!v.trim() ? "There is no code" : !/export\s+default/.test(v) ? "The code needs an export default with a fetch handler" : f.bytes(v).length > 4000000 ? "At most 4 MB" : ""), pointers: ["code", "digest", "size", "source"] },
  instances: { step: 2, rule: within(1, 1000), pointers: ["min", "max", "instances"] },
  time_ms: { step: 3, rule: within(1, 30000, " ms"), pointers: ["time_ms"] },
  heap_mib: { step: 3, rule: within(1, 256, " MiB"), pointers: ["heap_bytes"] },
  memory_mib: { step: 3, rule: within(16, 1024, " MiB"), pointers: ["memory_bytes"] },
  cpu_m: { step: 3, rule: within(10, 4000), pointers: ["cpu_m"] },
  env: { step: 3, rule: (v) => { try { envOf(v); return ""; } catch (error) { return error.message; } }, pointers: ["env"] },
};
const fieldOf = (pointer) => Object.keys(FIELDS).find((name) => String(pointer || "").split(/[/.]/).some((part) => FIELDS[name].pointers.includes(part)));
const firstWrong = (draft, before = 5) => Object.keys(FIELDS).find((name) => FIELDS[name].step < before && FIELDS[name].rule(draft[name]));

const limitsOf = (d) => ({ time_ms: d.time_ms, heap_bytes: d.heap_mib * MIB, request_bytes: DEFAULTS.request_bytes, response_bytes: DEFAULTS.response_bytes });
const resourcesOf = (d) => ({ cpu_m: d.cpu_m, memory_bytes: d.memory_mib * MIB });
function yamlOf(d) {
  let env = {};
  try { env = envOf(d.env); } catch { /* its field says so */ }
  return [`name: ${d.name}`, "main: index.js", "kind: function", `class: ${d.class}`, ...(Object.keys(env).length ? ["env:", ...Object.entries(env).map(([name, value]) => `  ${name}: ${JSON.stringify(value)}`)] : []), `open: ${d.open}`, `plain: ${d.plain}`,
    "limits:", `  time_ms: ${d.time_ms}`, `  heap_bytes: ${d.heap_mib * MIB}`, "resources:", `  cpu_m: ${d.cpu_m}`, `  memory_bytes: ${d.memory_mib * MIB}`, "instances:", `  min: ${d.instances}`, `  max: ${d.instances}`].join("\n");
}

// Inputs that write into the draft, judge themselves on leaving, and know where the API's complaint belongs.
function makeFields(draft, onChange, complaint) {
  const all = new Map();
  const field = (name, label, input, help) => {
    const problem = h("p.problem", { id: `problem-${name}` });
    const say = (text) => { problem.replaceChildren(...(text ? [icon("warn"), h("span", {}, text)] : [])); input.setAttribute("aria-invalid", String(Boolean(text))); return !text; };
    const judge = () => say(FIELDS[name].rule(draft[name]));
    for (const [key, value] of Object.entries({ id: `field-${name}`, "aria-describedby": `${help ? `help-${name} ` : ""}problem-${name}` })) input.setAttribute(key, value);
    input.addEventListener("blur", judge);
    input.addEventListener("input", () => {
      draft[name] = input.type === "number" ? (input.value === "" ? NaN : Number(input.value)) : input.value;
      save(draft);
      if (input.getAttribute("aria-invalid") === "true") judge();
      onChange();
    });
    all.set(name, { input, judge, say });
    if (complaint?.field === name) say(complaint.text);
    return h("div.field", {}, h("label", { for: `field-${name}` }, label), input, help ? h("p.help", { id: `help-${name}` }, help) : null, problem);
  };
  return { field, all };
}
const text = (value) => h("input.mono", { value, spellcheck: "false", autocomplete: "off" });
const number = (value) => h("input", { type: "number", value: Number.isFinite(value) ? String(value) : "" });
const area = (value, rows) => h("textarea", { rows: String(rows), spellcheck: "false", value });

let complaint = null; // what the API said of a field, until the field is shown

export async function deployPage({ query }) {
  const draft = load(query);
  const [hosts, version] = await Promise.all([list("/v1/hosts"), get("/v1/version")]);
  const measurements = version.runtime_measurements || [];
  let step = Math.min(4, Math.max(1, Number(query.get("step")) || 1));
  const wrong = firstWrong(draft, step);
  if (wrong) step = FIELDS[wrong].step; // a link into the middle of a spoiled draft
  const title = h("div.title", {}, h("div", {}, h("h1", {}, "Deploy"), h("p.lead", {}, "Four steps. Nothing leaves this page until the last one.")));
  let unwatch = null;
  const watch = (listener) => { unwatch?.(); unwatch = onEvent(listener); };
  const page = { title: "Deploy", section: "apps", crumbs: [["Apps", "/apps"], ["Deploy"]], stop: () => unwatch?.() };
  if (!may("developer")) return { ...page, content: [title, note("unverified", "Deploying needs the developer role", "Ask an owner of your organisation.")] };

  const spec = h("div", {});
  const drawSpec = () => spec.replaceChildren(h("div.code", {}, h("div.code-title", {}, "redoubt.yaml"), h("pre.keep", { tabindex: "0" }, h("code", {}, yamlOf(draft).split("\n").map((line) => { const at = line.indexOf(":"); return [h("span.c-key", {}, line.slice(0, at)), line.slice(at), "\n"]; }))), copyButton(() => yamlOf(draft))));
  const { field, all } = makeFields(draft, drawSpec, complaint);
  drawSpec();

  const place = h("div", {});
  const drawPlace = () => {
    const ready = hosts.filter((host) => host.state === "ready" && host.link === "up");
    const kind = ready.filter((host) => host.simulated === (draft.class === "simulated"));
    const room = kind.filter((host) => host.capacity.slots > host.used.slots && host.capacity.memory_bytes - host.used.memory_bytes >= draft.memory_mib * MIB && host.capacity.cpu_m - host.used.cpu_m >= draft.cpu_m);
    place.replaceChildren(panel("Where it can run", h("span.help", {}, "now"), h("div.pad.stack", {}, funnel(hosts.length, [[hosts.length, "hosts enrolled"], [ready.length, "ready, with a link"], [kind.length, draft.class], [room.length, "with room: fit", true]]),
      room.length ? null : h("p.help", {}, "No host fits now. The deployment waits until one does, and says why."))));
  };
  drawPlace();
  const choice = (value, name, detail) => h(value === "simulated" ? "label.choice.hatched" : "label.choice", {}, h("input", { type: "radio", name: "class", value, checked: draft.class === value, onchange: () => { draft.class = value; save(draft); drawSpec(); drawPlace(); } }), h("b", {}, name), h("span.sub", {}, detail));
  const next = (label) => h("div.row.between", {}, step > 1 ? h("a.btn", { href: `/deploy?step=${step - 1}` }, "Back") : h("button.btn", { type: "button", onclick: () => { sessionStorage.removeItem(KEY); complaint = null; go.to("/deploy"); } }, "Start from the example"), label ? h("button.btn.primary", { type: "submit" }, label, icon("next")) : null);

  const forms = {
    1: () => [field("name", "Name", text(draft.name), "An app of this name gets a new release; otherwise it is made."), field("source", "index.js", area(draft.source, 20), "A module with an export default that has a fetch handler: the web's own Request and Response. The code is public: callers can read what they trust."), next("Proof and place")],
    2: () => [h("fieldset", {}, h("legend", {}, "What counts as proof"), choice("hardware", "hardware", "TDX, TCB up to date, debug off. Signed in your terminal."), choice("simulated", "simulated (for trying out)", "Runs anywhere. Everything is checked, nothing is confidential.")),
      field("instances", "Instances", number(draft.instances), "Each in an enclave of its own."), next("Limits")],
    3: () => [h("div.cols", {}, field("time_ms", "Time a request, ms", number(draft.time_ms)), field("cpu_m", "CPU, thousandths of a core", number(draft.cpu_m))), h("div.cols", {}, field("heap_mib", "JavaScript heap, MiB", number(draft.heap_mib)), field("memory_mib", "Memory of the enclave, MiB", number(draft.memory_mib))),
      field("env", "Environment, one NAME=value a line", area(draft.env, 4), "Public: these stand in the signed release, for everyone to read."),
      h("label.check-box", {}, h("input", { type: "checkbox", checked: draft.open, onchange: (event) => { draft.open = event.target.checked; save(draft); drawSpec(); } }), "Open", h("span.help", {}, "Callers need no token of your organisation.")),
      h("label.check-box", {}, h("input", { type: "checkbox", checked: draft.plain, onchange: (event) => { draft.plain = event.target.checked; save(draft); drawSpec(); } }), "Plain requests", h("span.help", {}, isLocal() ? "The relay can read those. Without: sealed ones alone, as this page and redoubt invoke send them." : "This page sends those, and the relay can read them. Without: sealed ones alone, which redoubt invoke sends.")), next("Review and sign")],
    4: () => review(draft, measurements, watch),
  };
  const form = h("form.stack.loose", { novalidate: true, onsubmit: (event) => {
    event.preventDefault();
    const isGood = [...all.values()].map(({ judge }) => judge()).every(Boolean);
    if (isGood) { complaint = null; go.to(`/deploy?step=${step + 1}`); } else form.querySelector('[aria-invalid="true"]')?.focus();
  } }, h("h2", {}, STEPS[step - 1][0]), forms[step]());
  if (step === 4) form.append(next(null));
  if (complaint && all.has(complaint.field)) requestAnimationFrame(() => all.get(complaint.field)?.input.focus());
  return { ...page, content: [title,
    h("ol.steps", {}, STEPS.map(([name, detail], i) => h("li", {}, h(i + 1 < step ? "a.done" : "a", { href: `/deploy?step=${i + 1}`, "aria-current": i + 1 === step ? "step" : null }, h("b", {}, i + 1), h("strong", {}, name), h("span.sub", {}, detail))))),
    h("div.split", {}, form, h("aside.stack", { "aria-label": "The same as files" }, place, terminal("redoubt deploy ."), spec))] };
}

// A complaint that names a field leads back to it; everything else stays where it was caused.
function refuse(problem, box, retry) {
  const name = problem.pointer ? fieldOf(problem.pointer) : null;
  if (name) {
    complaint = { field: name, text: problem.message };
    go.to(`/deploy?step=${FIELDS[name].step}`);
  } else box.replaceChildren(problemNote(problem, retry));
}

function review(draft, measurements, watch) {
  const isSimulated = draft.class === "simulated";
  const said = h("div", { role: "status" }), saidHere = h("div", { role: "status" });
  const limits = limitsOf(draft), resources = resourcesOf(draft), env = envOf(draft.env);
  const prepare = async (event) => {
    const button = event.target.closest("button");
    const find = async () => (await get(`/v1/apps?name=${encodeURIComponent(draft.name)}`)).items[0];
    button.disabled = true;
    try {
      const before = (await find())?.deployment?.id;
      const prepared = await post("/v1/prepared", { kind: "deploy", name: draft.name, app: null, code: f.b64u(bundleOf(draft.source)), settings: { class: draft.class, open: draft.open, plain: draft.plain, env, limits, resources, instances: { min: draft.instances, max: draft.instances } } });
      const state = h("p.help", {}, "Waiting for your terminal. The code is valid until ", new Date(prepared.expires).toLocaleTimeString(), ".");
      said.replaceChildren(h("div.stack.tight", {}, h("p", {}, "Prepared. Your terminal shows the code and what changes, and signs:"), command(`redoubt approve ${prepared.code}`), state));
      watch(async (kind) => {
        if (kind !== "deployment" && kind !== "gap") return;
        try {
          const app = await find();
          if (!state.isConnected || !app?.deployment || app.deployment.id === before) return;
          sessionStorage.removeItem(KEY);
          toast(`${draft.name} was signed and is being deployed`);
          go.to(`/apps/${app.id}`);
        } catch { /* the next event asks again */ }
      });
    } catch (problem) { refuse(problem, said, null); }
    button.disabled = false;
  };
  const here = h(isSimulated ? "button.btn.primary" : "button.btn", { type: "button", disabled: !isSimulated || !measurements.length, onclick: async () => {
    here.disabled = true;
    saidHere.replaceChildren(note("checking", "Signing and sending", "The code, a release and a head."));
    try {
      const { app } = await deployHere(draft.name, draft.source, { ...limits, ...resources, open: draft.open, plain: draft.plain, env, instances: draft.instances }, measurements);
      sessionStorage.removeItem(KEY);
      toast(`${draft.name} is being deployed`);
      go.to(`/apps/${app.id}`);
    } catch (problem) {
      here.disabled = false;
      saidHere.replaceChildren();
      refuse(problem, saidHere, () => here.click());
    }
  } }, icon("key"), "Sign here and deploy");
  const summary = [["name", draft.name], ["code", `${sizeText(f.bytes(draft.source).length)}, public`], ["class", draft.class], ["instances", draft.instances], ["limits", `${draft.time_ms} ms, ${draft.heap_mib} MiB heap`], ["resources", `${draft.cpu_m / 1000} cores, ${draft.memory_mib} MiB`], ["environment", Object.keys(env).length ? Object.keys(env).join(", ") : "none"], ["callers", draft.open ? "anyone" : "with a token"], ["requests", draft.plain ? "sealed or plain" : "sealed alone"]];
  const manifest = { name: draft.name, main: "index.js", kind: "function", class: draft.class, open: draft.open, plain: draft.plain, env, limits, resources, instances: { min: draft.instances, max: draft.instances } };
  const done = (app) => { sessionStorage.removeItem(KEY); toast(`${draft.name} was signed here and is being deployed`); go.to(`/apps/${app}`); };
  return [panel("What is signed", h("span.help", {}, plural(draft.instances, "instance")), h("div.pad", {}, h("dl.facts", {}, summary.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])))),
    isLocal() ? signBox(manifest, draft.source, done) : null,
    isSimulated && !isLocal() ? h("section.box.hatched", {}, h("h3.row", {}, shape("simulated"), "In this browser, simulated only"), h("p", {}, "An owner key is made here that cannot be copied out; whoever sends this page could use it. Good for trying out, and for nothing else."), measurements.length ? null : h("p.problem", {}, icon("warn"), "The plane names no runtime measurement, so no policy can be written here"), here, saidHere) : null,
    isLocal() ? null : h("section.box", {}, h("h3.row", {}, icon("terminal"), "In your terminal"), h("p", {}, "The owner key stays on your machine. The terminal shows the code before it signs; what this page says is not trusted."), h(isSimulated ? "button.btn" : "button.btn.primary", { type: "button", onclick: prepare }, "Prepare for approval"), said)];
}
