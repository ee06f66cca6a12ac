import { h, icon, age, idCode, digestCode } from "../dom.js";
import { mark, guilloche } from "../marks.js";
import { panel, table, facts, checks, note, terminal, download, toast } from "../widgets.js";
import { get } from "../api.js";
import * as f from "../formats.js";
import { parseSaved, check, kept, fileText } from "../receipts.js";

const FILE_MAX = 8 << 20;
const kindOf = (result) => (!result.ok ? "refused" : result.isSimulated ? "simulated" : "reported");
const words = { refused: "Does not verify", simulated: "Simulated", reported: "Checked by this page" };

function card(saved, result) {
  const kind = kindOf(result), claims = result.claims || {};
  const text = kind === "refused" ? "A check failed: believe nothing that this receipt says." : kind === "simulated" ? `Release ${result.release} gave this answer to this request, in a simulated enclave: checked, not confidential.` : `Release ${result.release} gave this answer to this request. Checked by code that the plane sent; the command below needs no trust in it.`;
  return h(`section.panel.framed.receipt.v.${kind}`, { "aria-label": "Receipt" }, guilloche(), h("div.row.between", {}, h("h2", {}, claims.seq === undefined ? "Receipt" : `Receipt ${claims.seq}`), mark(kind, words[kind])), h("p", {}, text),
    facts([["App", idCode(saved.app)], ["Release", digestCode(claims.release)], ["Request", `${saved.method} ${saved.target}, ${f.unb64u(saved.request_body).length} bytes`], ["Answer", `${saved.status}, ${f.unb64u(saved.response_body).length} bytes`], ["Enclave", h("code", {}, saved.instance?.split(".")[0]?.slice(0, 16) || "–", "…")], ["Host time", claims.host_time || "–"], ["Evidence", digestCode(claims.evidence)], ["Signed by", h("code", {}, `${(claims.instance || "–").slice(0, 16)}…`)]]),
    h("div.row", {}, h("button.btn", { type: "button", onclick: () => download(`receipt-${claims.seq ?? "unread"}.json`, fileText(saved)) }, icon("download"), "Save")));
}

export async function receiptsPage() {
  const version = await get("/v1/version");
  const shown = h("div.stack", { "aria-live": "polite" });
  const open = async (text, from) => {
    try {
      const saved = parseSaved(text);
      const result = await check(saved, version.simulation_root);
      shown.replaceChildren(card(saved, result), panel("Checks", h("span.help", {}, "ran in this page"), checks(result.steps, result.isSimulated ? "simulated" : "reported", true)), panel("The enclave's proof", null, checks(result.evidenceSteps, result.isSimulated ? "simulated" : "reported", true)));
      shown.scrollIntoView({ block: "nearest" });
    } catch (problem) {
      shown.replaceChildren(note("refused", `${from} can't be checked`, problem.message));
    }
  };
  const readFile = async (file) => {
    if (!file) return;
    if (file.size > FILE_MAX) { shown.replaceChildren(note("refused", `${file.name} can't be checked`, "Larger than 8 MiB")); return; }
    await open(await file.text(), file.name);
  };
  const input = h("input", { type: "file", id: "receipt-file", accept: "application/json,.json", onchange: () => readFile(input.files[0]) });
  const pasted = h("textarea", { id: "receipt-text", rows: "5", spellcheck: "false", placeholder: '{"type":"redoubt/saved-receipt/v1", …}' });
  const drop = h("div.drop", { ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); }, ondragleave: () => drop.classList.remove("over"), ondrop: (event) => { event.preventDefault(); drop.classList.remove("over"); readFile(event.dataTransfer.files[0]); } },
    h("label.legend", { for: "receipt-file" }, "Choose a file, or drop one here"), input);
  const entries = kept();
  const rows = entries.map((entry) => h("tr", {}, h("th", { scope: "row" }, h("button.linked", { type: "button", onclick: () => open(fileText(entry.saved), "This receipt") }, `Receipt ${entry.seq ?? "–"}`), h("span.sub", {}, entry.name)),
    h("td", {}, mark(kindOf(entry), words[kindOf(entry)])), h("td.hide-s", {}, entry.release ? `Release ${entry.release}` : "–"), h("td.right", {}, age(entry.at))));
  const mine = panel("In this tab", h("span.help", {}, "kept until it closes"), entries.length ? table("Receipts of this tab", ["Number", "Verdict", ["Code", "hide-s"], ["Time", "right"]], rows)
    : h("p.none", {}, "None yet. Send a request to an app: its receipt is kept here until the tab closes."));
  shown.append(note("unverified", "No receipt is open", "Choose one of this tab, or check a file."));
  if (entries.length) await open(fileText(entries[0].saved), "This receipt");
  return { title: "Receipts", section: "receipts", content: [h("div.title", {}, h("div", {}, h("h1", {}, "Receipts"), h("p.lead", {}, "One signed statement for each answer: which code, which request, which enclave. The plane keeps none: who asked has it."))),
    h("div.split.wide", {}, h("div.stack.loose", {}, mine, panel("Check a receipt", null, h("form.pad.stack", { onsubmit: (event) => { event.preventDefault(); if (pasted.value.trim()) open(pasted.value, "The pasted text"); else { toast("Paste a receipt first"); pasted.focus(); } } }, drop,
      h("div.field", {}, h("label", { for: "receipt-text" }, "Or paste it"), pasted), h("div.row", {}, h("button.btn.primary", { type: "submit" }, "Check it")))), terminal("redoubt verify answer.json", "Check it without us")), shown)] };
}
