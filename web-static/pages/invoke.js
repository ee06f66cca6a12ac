import { h, icon, shape, mark, panel, stepList, copyable, download } from "../dom.js";
import { call, get, list } from "../api.js";
import * as f from "../formats.js";
import { readEvidence } from "../quote.js";
import * as example from "../example.js";

const fromBase64 = (encoded) => Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
const headerOf = (headers, name) => (headers.find(([key]) => key.toLowerCase() === name) || ["", ""])[1];

// Sends, then checks the receipt under the receipt key of the instance's evidence, in this page.
async function send(app, target, body) {
  const salt = crypto.getRandomValues(new Uint8Array(32));
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  const started = performance.now();
  const response = await fetch(`/v1/apps/${app.id}/invoke?path=${encodeURIComponent(target)}`, { method: "POST", credentials: "same-origin", body, signal: AbortSignal.timeout(35000),
    headers: { "content-type": "application/json", "Redoubt-Salt": f.b64u(salt), "Redoubt-Nonce": f.b64u(nonce), "Redoubt-CSRF": (await get("/v1/session")).csrf } });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail || answer.title);
  const elapsed = performance.now() - started;
  const evidence = await readEvidence(await call("GET", `/v1/instances/${answer.instance}/evidence`, undefined, { raw: true }));
  const bytes = fromBase64(answer.body);
  const steps = await f.checkReceipt(answer.receipt, { key: f.unb64u(evidence.statement.keys.receipt), statement: evidence.statementBytes, app: app.id, nonce, salt,
    exchange: { method: "POST", target, requestType: "application/json", requestBody: f.bytes(body), status: answer.status, responseType: headerOf(answer.headers, "content-type"), responseBody: bytes } });
  return { answer, bytes, steps, elapsed, salt };
}

export async function invokePage({ id }) {
  const app = await get(`/v1/apps/${id}`);
  const instances = (await list(`/v1/apps/${id}/instances`)).filter((instance) => instance.serving);
  const body = h("textarea", { id: "body", rows: "10", spellcheck: "false", value: sessionStorage.getItem(`redoubt.body.${id}`) ?? (app.name === example.name ? example.request : "{}") });
  const target = h("input", { id: "path", value: "/", spellcheck: "false" });
  const size = h("p.help", {});
  const measure = () => { size.textContent = `${f.bytes(body.value).length} bytes`; sessionStorage.setItem(`redoubt.body.${id}`, body.value); };
  body.addEventListener("input", measure);
  measure();
  const result = h("div", {}, panel("Response", null, h("p.none", {}, "Send the request to see the answer and its receipt.")));
  const button = h("button.btn.primary.wide", { type: "submit", disabled: !instances.length }, icon("send"), "Send");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    result.replaceChildren(panel("Response", null, h("p.none", {}, mark("checking", "Waiting for the enclave"))));
    try {
      const { answer, bytes, steps, elapsed } = await send(app, target.value.startsWith("/") ? target.value : "/" + target.value, body.value);
      const good = steps.every((step) => step.ok);
      result.replaceChildren(panel("Response", h("span.sub", {}, `${answer.status} · ${elapsed.toFixed(1)} ms · ${bytes.length} bytes`), h("pre.well", { tabindex: "0" }, h("code", {}, new TextDecoder().decode(bytes))), stepList(steps),
        h("div.row", {}, good ? mark(app.head?.class === "simulated" ? "simulated" : "reported", app.head?.class === "simulated" ? "Receipt checked, simulated" : "Receipt checked by this page") : mark("refused", "The receipt does not verify"),
          h("button.btn", { type: "button", onclick: () => download(`${app.name}.receipt.json`, JSON.stringify(answer, null, 1)) }, icon("download"), "Receipt"))));
    } catch (error) {
      result.replaceChildren(panel("Response", null, h("p.notice.bad", {}, shape("refused"), error.message)));
    }
    button.disabled = false;
  };
  const content = [app.head?.class === "simulated" ? h("p.simulated-bar", { role: "note" }, shape("simulated"), "Simulated: everything is checked, nothing is confidential.") : null,
    h("div.title", {}, h("div", {}, h("h1", {}, "Send a request"), h("p.lead", {}, "Plain: the relay sees request and answer. The receipt shows which enclave and which code answered."))),
    instances.length ? null : h("p.notice", {}, shape("stale"), "No instance serves. ", h("a", { href: `/deploy?name=${app.name}` }, "Deploy a release"), " first."),
    h("div.cols", {}, panel("Request", h("span.tag", {}, "plain"), h("form", { onsubmit: submit }, h("label", { for: "path" }, "Path"), target, h("label", { for: "body" }, "Body, sent by POST as application/json"), body, size, button)), result),
    copyable(`redoubt invoke ${app.name} --data @request.json`)];
  return { title: `Invoke ${app.name}`, crumbs: [["Apps", "/apps"], [app.name, `/apps/${id}`], ["Invoke"]], content };
}
