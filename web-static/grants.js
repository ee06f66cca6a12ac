// Whom a key service gave an app's keys, and whom it refused them, as the plane kept what it signed. Nothing is verified here: `redoubt records grants` does.
import { h, age, idCode } from "./dom.js";
import { panel, table } from "./widgets.js";

export const SHOWN = 20;

const given = (grant) => (grant.until ? ["keys given, until ", h("time", { datetime: grant.until }, grant.until.slice(0, 16).replace("T", " "))] : "keys given");

export const grantsPanel = (grants) => panel("Who was given its keys", h("span.help", {}, "signed records of the key service, newest first"), grants.length
  ? table("Grants", ["Instance", "Decision", ["Record", "right hide-s"], ["When", "right"]], grants.map((grant) => h("tr", {},
    h("th", { scope: "row" }, h("a", { href: `/instances/${grant.instance}` }, idCode(grant.instance)), h("span.sub.hide-s", {}, `epoch ${grant.epoch}`)),
    h("td", {}, grant.kind === "grant" ? given(grant) : ["refused: ", h("code", {}, grant.reason)]), h("td.right.hide-s.num", {}, `number ${grant.number}`), h("td.right", {}, age(grant.at)))))
  : h("p.none", {}, "Nobody yet: an instance asks when it starts."));
