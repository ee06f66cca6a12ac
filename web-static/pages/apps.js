import { h, icon, mark, age, short, empty, table, panel } from "../dom.js";
import { list, onEvent } from "../api.js";

export async function appsPage({ go, query }) {
  const apps = await list("/v1/apps");
  if (!apps.length) {
    return { title: "Apps", content: [h("div.title", {}, h("h1", {}, "Apps")),
      empty("No apps yet", "An app is code that an owner key owns. Deploy one: the wizard starts with an example that works.", h("a.btn.primary", { href: "/deploy" }, icon("plus"), "Deploy an app"), "redoubt deploy examples/private-score")] };
  }
  const filter = h("input", { type: "search", id: "filter", value: query.get("q") || "", placeholder: "Filter by name", "aria-label": "Filter by name" });
  const body = h("div");
  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const shown = apps.filter((app) => app.name.includes(wanted));
    body.replaceChildren(shown.length ? table("Apps", ["App", "Proof", "Serving", "Deployment", "Created"], shown.map(row)) : h("p.none", {}, `No app is called “${filter.value}”. `, h("button.link", { type: "button", onclick: () => { filter.value = ""; draw(); } }, "Show all")));
    const address = wanted ? `?q=${encodeURIComponent(wanted)}` : "";
    history.replaceState(history.state, "", "/apps" + address);
  };
  const row = (app) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: `/apps/${app.id}` }, app.name), h("span.sub", {}, short(app.id))),
    h("td", {}, !app.head ? mark("unverified", "Nothing deployed") : app.head.class === "simulated" ? mark("simulated") : mark("reported")),
    h("td.num", {}, `${app.instances.serving} of ${app.instances.wanted}`), h("td", {}, app.deployment ? app.deployment.state : "–"), h("td", {}, age(app.created_at)));
  filter.addEventListener("input", draw);
  draw();
  const stop = onEvent((kind) => { if (kind === "app" || kind === "deployment") go.refresh(); });
  return { title: "Apps", stop, content: [h("div.title", {}, h("h1", {}, "Apps"), h("div.actions", {}, h("a.btn.primary", { href: "/deploy" }, icon("up"), "Deploy"))),
    panel(`${apps.length} app${apps.length === 1 ? "" : "s"}`, filter, body)] };
}
