import { h, icon, sizeText, plural } from "../dom.js";
import { mark, verdictOf, worst } from "../marks.js";
import { panel, checks, note, pretty, problemNote, terminal, download, copyButton, roleButton } from "../widgets.js";
import { get, list, may, isLocal } from "../api.js";
import { invokeHere, provedMark, provedChecks } from "../here.js";
import * as f from "../formats.js";
import * as example from "../example.js";
import { send, check, keep, fileText } from "../receipts.js";

const WAIT_MS = 35000, CALM_MS = 10000;
const TYPES = ["application/json", "text/plain; charset=utf-8", "application/octet-stream"];

function waiting(cancel) {
  const text = h("span", {}, mark("checking", "Waiting for the enclave"));
  const calm = setTimeout(() => text.replaceChildren(mark("unverified", `No answer after ${CALM_MS / 1000} s`), h("span.sub", {}, `It may take up to the release's own limit; this page gives up after ${WAIT_MS / 1000} s.`)), CALM_MS);
  return { stop: () => clearTimeout(calm), content: panel("Response", null, h("div.pad.row.between", {}, text, h("button.btn", { type: "button", onclick: cancel }, "Cancel"))) };
}

function response(app, sent, result) {
  const body = new TextDecoder().decode(sent.body);
  const kind = result.ok ? (result.isSimulated ? "simulated" : "reported") : "refused";
  return panel("Response", h("span.help.num", {}, `${sent.status} · ${sent.elapsed.toFixed(1)} ms · ${sizeText(sent.body.length)}`),
    h("div.pad", {}, h("div.code", {}, h("pre", { tabindex: "0", "aria-label": "Body of the answer" }, h("code", {}, result.ok ? pretty(body) : "The body is withheld: its receipt does not verify.")), result.ok ? copyButton(body) : null),
      h("details", {}, h("summary.help", {}, `${plural(sent.headers.length, "header")}`), h("dl.facts", {}, sent.headers.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value.length > 120 ? `${value.slice(0, 120)}…` : value)])))),
    checks(result.steps, result.isSimulated ? "simulated" : "reported", true),
    h("footer.row.between", {}, mark(kind, result.ok ? (result.isSimulated ? "Receipt checks, simulated" : "Receipt checked by this page") : "The receipt does not verify"),
      h("div.row", {}, h("button.btn", { type: "button", onclick: () => download(`${app.name}-${result.claims?.seq ?? "receipt"}.receipt.json`, fileText(sent.saved)) }, icon("download"), "Save receipt"), h("a.btn", { href: "/receipts" }, "Open"))));
}

function responseHere(answer) {
  return panel("Response", h("span.help.num", {}, `${answer.status} · ${answer.elapsed.toFixed(1)} ms`),
    h("div.pad", {}, h("div.code", {}, h("pre", { tabindex: "0", "aria-label": "Body of the answer" }, h("code", {}, answer.ok ? answer.text : "The body is withheld: it does not verify.")), answer.ok ? copyButton(answer.text) : null)),
    provedChecks(answer.steps, answer.isSimulated, true),
    h("footer.row.between", {}, provedMark(answer.ok, answer.isSimulated), h("button.btn", { type: "button", onclick: () => download("answer.json", JSON.stringify(answer.document, null, 1)) }, icon("download"), "Save")));
}

export async function invokePage({ id }) {
  const [app, instances, version] = await Promise.all([get(`/v1/apps/${id}`), list(`/v1/apps/${id}/instances`), get("/v1/version")]);
  const serving = instances.filter((instance) => instance.serving);
  const key = `redoubt.request.${id}`;
  let draft = { target: "/", type: TYPES[0], body: app.name === example.name ? example.request : "{}" };
  try { draft = { ...draft, ...JSON.parse(sessionStorage.getItem(key) || "{}") }; } catch { /* a spoiled draft starts anew */ }
  const target = h("input.mono", { id: "path", value: draft.target, spellcheck: "false", autocomplete: "off", "aria-describedby": "path-problem" });
  const targetProblem = h("p.problem", { id: "path-problem" });
  const type = h("select", { id: "type" }, TYPES.map((name) => h("option", { value: name, selected: name === draft.type }, name.split(";")[0])));
  const body = h("textarea", { id: "body", rows: "12", spellcheck: "false", value: draft.body, "aria-describedby": "body-size" });
  const size = h("p.help", { id: "body-size" });
  const store = () => {
    size.textContent = `${sizeText(f.bytes(body.value).length)} of 1 MiB`;
    sessionStorage.setItem(key, JSON.stringify({ target: target.value, type: type.value, body: body.value }));
  };
  const judge = () => {
    const text = target.value.startsWith("/") && !/[\s#]/.test(target.value) ? "" : "A path starts with / and has no blanks";
    targetProblem.replaceChildren(...(text ? [icon("warn"), h("span", {}, text)] : []));
    target.setAttribute("aria-invalid", String(Boolean(text)));
    return !text;
  };
  for (const input of [target, type, body]) input.addEventListener("input", store);
  target.addEventListener("blur", judge);
  store();
  const result = h("div", { "aria-live": "polite" }, panel("Response", null, h("p.none", {}, "Send the request to see the answer, and its receipt checked against the enclave's evidence.")));
  const isAllowed = may("developer"), sleeps = app.deployment?.min === 0;
  const button = isAllowed ? h("button.btn.primary.wide", { type: "submit", disabled: !serving.length && !sleeps }, icon("send"), "Send") : roleButton("button.btn.primary.wide", false, "Sending from here needs the developer role", {}, icon("send"), "Send");
  const submit = async (event) => {
    event.preventDefault();
    if (!isAllowed || !judge()) { target.focus(); return; }
    const stopper = new AbortController();
    const wait = waiting(() => stopper.abort());
    button.disabled = true;
    view.isPinned = true;
    result.replaceChildren(wait.content);
    if (isLocal()) {
      try { result.replaceChildren(responseHere(await invokeHere(app, target.value, type.value, body.value))); } catch (problem) {
        result.replaceChildren(panel("Response", null, h("div.pad", {}, problemNote(problem, () => button.click()))));
      }
      wait.stop();
      button.disabled = false;
      return;
    }
    try {
      const sent = await send(app, target.value, type.value, body.value, { ms: WAIT_MS, signal: stopper.signal });
      const checked = await check(sent.saved, version.simulation_root);
      keep(sent.saved, app.name, checked);
      result.replaceChildren(response(app, sent, checked));
    } catch (problem) {
      result.replaceChildren(panel("Response", null, h("div.pad", {}, problemNote(problem, () => button.click()))));
    }
    wait.stop();
    button.disabled = false;
  };
  const kinds = serving.map(verdictOf), kind = worst(kinds);
  const proof = serving.length ? note(kind, { simulated: "Simulated before sending", reported: "Evidence reported by the plane", stale: "Evidence is stale", refused: "Evidence was refused" }[kind], `${serving.length} of ${instances.length} instances serve release ${(app.deployment?.release || "").slice(7, 15)}… on accepted evidence.`, h("a.btn", { href: `/instances/${serving[0].id}` }, "Evidence"))
    : sleeps ? note("stale", "Asleep", "No instance runs. The first request wakes one, and waits for it.")
    : note("stale", "No instance serves", "Requests would be answered with 503.", h("a.btn", { href: app.head ? `/apps/${id}` : `/deploy?name=${app.name}` }, app.head ? "See why" : "Deploy"));
  const view = { title: `Invoke ${app.name}`, section: "apps", crumbs: [["Apps", "/apps"], [app.name, `/apps/${id}`], ["Invoke"]], simulated: app.class === "simulated",
    concerns: (event, data) => event === "instance" && data.app === id && !serving.length,
    content: [h("div.title", {}, h("div", {}, h("h1", {}, "Send a request"), h("p.lead", {}, isLocal() ? "Sealed: the program that serves this page verifies the enclave first, seals to it alone, and verifies the receipt of the answer. The relay sees neither." : "Plain: the relay sees request and answer, and a release that takes sealed requests alone refuses it: use redoubt invoke. The receipt shows which code in which enclave answered, and that nobody changed a byte."))), proof,
      h("div.cols", {}, panel("Request", h("span.tag", {}, isLocal() ? "sealed" : "plain"), h("form.pad.stack", { onsubmit: submit, novalidate: true },
        h("div.cols", {}, h("div.field", {}, h("label", { for: "path" }, "POST to path"), target, targetProblem), h("div.field", {}, h("label", { for: "type" }, "Content type"), type)), h("div.field", {}, h("label", { for: "body" }, "Body"), body, size), button)), result),
      terminal(`redoubt invoke ${app.name} --data @request.json --save answer.json`)] };
  return view;
}
