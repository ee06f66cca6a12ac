import { h, icon, shape, panel, copyable, toast, stepList } from "../dom.js";
import { get, list, post } from "../api.js";
import * as f from "../formats.js";
import * as example from "../example.js";
import { bundleOf, deployHere, DEFAULTS } from "../sign.js";

const KEY = "redoubt.deploy";
const STEPS = [["Code", "what runs"], ["Proof and place", "where it may run"], ["Limits", "what it may use"], ["Review and sign", "your key, your word"]];
const fresh = () => ({ name: example.name, source: example.source, class: "simulated", instances: 1, open: false, env: "", ...DEFAULTS });

function load(query) {
  let draft = fresh();
  try { draft = { ...draft, ...JSON.parse(sessionStorage.getItem(KEY) || "{}") }; } catch { /* a spoiled draft starts anew */ }
  const name = query.get("name");
  return name ? { ...draft, name } : draft;
}

function envOf(textual) {
  const env = {};
  for (const line of textual.split("\n").map((l) => l.trim()).filter(Boolean)) {
    const [, name, value] = /^([A-Z_][A-Z0-9_]{0,63})=(.*)$/.exec(line) || [];
    if (!name) throw new Error(`“${line}” is not NAME=value with a name in capitals`);
    env[name] = value;
  }
  return env;
}

const RULES = {
  name: (v) => (/^[a-z][a-z0-9-]{0,62}$/.test(v) ? "" : "A lower-case letter, then letters, digits and dashes, at most 63"),
  source: (v) => (!v.trim() ? "There is no code" : !/export\s+default/.test(v) ? "The code needs an export default with a fetch handler" : f.bytes(v).length > 4000000 ? "At most 4 MB" : ""),
  instances: (v) => (Number.isInteger(v) && v >= 1 && v <= 1000 ? "" : "A number from 1 to 1000"),
  time_ms: (v) => (Number.isInteger(v) && v >= 1 && v <= 30000 ? "" : "1 to 30000"),
  heap_bytes: (v) => (Number.isInteger(v) && v >= 1048576 && v <= 268435456 ? "" : "1 MiB to 256 MiB"),
  env: (v) => { try { envOf(v); return ""; } catch (error) { return error.message; } },
};

const yamlOf = (d) => [`name: ${d.name}`, "main: index.js", "kind: function", `class: ${d.class}`, `open: ${d.open}`,
  `limits: { time_ms: ${d.time_ms}, heap_bytes: ${d.heap_bytes} }`, `resources: { cpu_m: ${d.cpu_m}, memory_bytes: ${d.memory_bytes} }`, `instances: { min: ${d.instances}, max: ${d.instances} }`,
  ...(d.env.trim() ? ["env:", ...d.env.trim().split("\n").map((l) => `  ${l.split("=")[0]}: ${JSON.stringify(l.split("=").slice(1).join("="))}`)] : [])].join("\n");

export async function deployPage({ query, go }) {
  const draft = load(query);
  const [hosts, version] = await Promise.all([list("/v1/hosts"), get("/v1/version")]);
  const measurements = version.runtime_measurements || [];
  const step = Math.min(4, Math.max(1, Number(query.get("step")) || 1));
  const save = () => sessionStorage.setItem(KEY, JSON.stringify(draft));
  const errors = {};

  const field = (name, label, make, help) => {
    const input = make(`field-${name}`);
    const message = h("p.problem", { id: `problem-${name}` });
    const check = () => {
      const text = RULES[name] ? RULES[name](draft[name]) : "";
      message.textContent = text;
      errors[name] = text;
      input.setAttribute("aria-invalid", text ? "true" : "false");
      return !text;
    };
    input.setAttribute("aria-describedby", `problem-${name}`);
    input.addEventListener("blur", check);
    input.addEventListener("input", () => { draft[name] = input.type === "number" ? Number(input.value) : input.type === "checkbox" ? input.checked : input.value; save(); if (errors[name]) check(); });
    checks.push(check);
    return h("div.field", {}, h("label", { for: `field-${name}` }, label), input, help ? h("p.help", {}, help) : null, message);
  };
  const checks = [];
  const text = (value) => (id) => h("input", { id, value, spellcheck: "false" });
  const number = (value) => (id) => h("input", { id, type: "number", value: String(value) });
  const area = (value, rows) => (id) => h("textarea", { id, rows: String(rows), spellcheck: "false", value });
  const choice = (value, title, detail, hatched, disabled) => h(`label.choice${hatched ? ".hatched" : ""}`, {}, h("input", { type: "radio", name: "class", value, checked: draft.class === value, disabled, onchange: () => { draft.class = value; save(); } }), h("span", {}, h("strong", {}, title), h("span.sub", {}, detail)));

  const fits = hosts.filter((host) => host.state === "ready" && (draft.class === "simulated" ? host.simulated : !host.simulated));
  const funnel = panel("Where it can run", h("span.sub", {}, "now"), h("ul.why", {}, h("li", {}, h("strong.num", {}, hosts.length), "hosts enrolled"), h("li", {}, h("strong.num", {}, hosts.filter((x) => x.state === "ready").length), "ready"),
    h("li", {}, h("strong.num", {}, fits.length), `${draft.class}: fit`)), fits.length ? null : h("p.help", {}, "No host fits today. The deployment waits until one does."));
  const aside = h("aside", {}, funnel, copyable("redoubt deploy ."), panel("redoubt.yaml", null, h("pre.well", { tabindex: "0" }, h("code", {}, yamlOf(draft)))));

  const next = (to) => h("div.actions.between", {}, step > 1 ? h("a.btn", { href: `/deploy?step=${step - 1}` }, "Back") : h("span"),
    to ? h("button.btn.primary", { type: "submit" }, to, icon("right")) : null);
  const settings = () => ({ open: draft.open, env: envOf(draft.env), instances: draft.instances, time_ms: draft.time_ms, heap_bytes: draft.heap_bytes, request_bytes: draft.request_bytes, response_bytes: draft.response_bytes, cpu_m: draft.cpu_m, memory_bytes: draft.memory_bytes });

  const approval = h("div", { role: "status" });
  const prepare = async () => {
    const s = settings();
    try {
      const prepared = await post("/v1/prepared", { kind: "deploy", name: draft.name, app: null, code: f.b64u(bundleOf(draft.source)), settings: { class: draft.class, open: s.open, env: s.env,
        limits: { time_ms: s.time_ms, heap_bytes: s.heap_bytes, request_bytes: s.request_bytes, response_bytes: s.response_bytes }, resources: { cpu_m: s.cpu_m, memory_bytes: s.memory_bytes }, instances: { min: s.instances, max: s.instances } } });
      approval.replaceChildren(h("p", {}, "Prepared. Your terminal shows the code and signs it:"), copyable(`redoubt approve ${prepared.code}`));
    } catch (problem) { approval.replaceChildren(h("p.notice.bad", {}, shape("refused"), problem.message)); }
  };
  const here = h("button.btn", { type: "button", disabled: draft.class !== "simulated" || !measurements.length, onclick: async () => {
    here.disabled = true;
    try {
      const { app } = await deployHere(draft.name, draft.source, settings(), measurements);
      sessionStorage.removeItem(KEY);
      toast(`${draft.name} is being deployed`);
      go.to(`/apps/${app.id}`);
    } catch (problem) { here.disabled = false; approval.replaceChildren(h("p.notice.bad", {}, shape("refused"), problem.message)); }
  } }, "Sign in this browser");

  const bodies = {
    1: () => [field("name", "Name", text(draft.name)), field("source", "index.js", area(draft.source, 18), "A module with an export default that has a fetch handler: the web's own Request and Response."), next("Proof and place")],
    2: () => [h("fieldset", {}, h("legend", {}, "What counts as proof"), choice("hardware", "hardware", "TDX, TCB up to date, debug off. Signed in your terminal.", false, false), choice("simulated", "simulated (for trying out)", "Runs anywhere. Everything is checked, nothing is confidential.", true, false)), field("instances", "Instances", number(draft.instances)), next("Limits")],
    3: () => [h("div.two", {}, field("time_ms", "Time a request, ms", number(draft.time_ms)), field("heap_bytes", "JavaScript heap, bytes", number(draft.heap_bytes))), field("env", "Environment, one NAME=value a line", area(draft.env, 4), "Public: these stand in the signed release. Secrets come with sealed releases."),
      h("label.check", {}, h("input", { type: "checkbox", checked: draft.open, onchange: (event) => { draft.open = event.target.checked; save(); } }), " Open: callers need no token"), next("Review and sign")],
    4: () => [h("p", {}, "What is signed: ", h("code", {}, draft.name), `, ${f.bytes(draft.source).length} bytes of public code, ${draft.instances} instance${draft.instances === 1 ? "" : "s"}, class `, h("strong", {}, draft.class), "."),
      h("div.choice-box", {}, h("h3", {}, "In your terminal"), h("p", {}, "The owner key stays on your machine. The terminal shows the code before it signs."), h("button.btn.primary", { type: "button", onclick: prepare }, "Prepare for approval"), approval),
      h("div.choice-box.hatched", {}, h("h3", {}, "In this browser, simulated only"), h("p", {}, draft.class === "simulated" ? "A key is made here and cannot be copied out; whoever sends this page could use it. Good for trying out." : "Not for hardware apps: a page that the plane sends may not hold the keys that matter."), here), next(null)],
  };
  const form = h("form", { novalidate: true, onsubmit: (event) => {
    event.preventDefault();
    const good = checks.map((check) => check()).every(Boolean);
    if (good) go.to(`/deploy?step=${step + 1}`); else form.querySelector('[aria-invalid="true"]')?.focus();
  } }, h("h2", {}, STEPS[step - 1][0]), bodies[step]());
  return { title: "Deploy", crumbs: [["Apps", "/apps"], ["Deploy"]], content: [h("div.title", {}, h("div", {}, h("h1", {}, "Deploy"), h("p.lead", {}, "Four steps. Nothing leaves this page until the last one."))),
    h("ol.steps", {}, STEPS.map(([title, detail], i) => h(`li${i + 1 < step ? ".done" : i + 1 === step ? ".now" : ""}`, {}, h("a", { href: `/deploy?step=${i + 1}`, "aria-current": i + 1 === step ? "step" : null }, h("span.n", {}, i + 1), h("span", {}, h("strong", {}, title), h("span.sub", {}, detail)))))), h("div.split", {}, form, aside)] };
}
