import { h, icon, idCode, age, plural } from "../dom.js";
import { marks, mark } from "../marks.js";
import { empty, table, panel, object, segments, note, terminal, roleButton } from "../widgets.js";
import { list, may } from "../api.js";
import { go } from "../router.js";

// What the list knows of each instance: it serves on accepted evidence, or it does not yet.
const kindsOf = (app) => [...Array(app.instances.serving).fill(app.class === "simulated" ? "simulated" : "reported"), ...Array(Math.max(0, app.instances.wanted - app.instances.serving)).fill("unverified")];
const isFailed = (app) => ["failed", "reverted"].includes(app.deployment?.state);
const needsLook = (app) => isFailed(app) || app.paused || app.instances.serving < app.instances.wanted;

function proof(app) {
  const { serving, wanted } = app.instances;
  if (app.state === "deleting") return [mark("unverified", "Deleting")];
  if (isFailed(app)) return [mark("refused", `Deployment ${app.deployment.state}`)];
  if (!app.head) return [mark("unverified", "Nothing deployed")];
  if (!serving) return [mark("unverified", wanted ? "Not serving yet" : "Stopped")];
  return app.class === "simulated" ? [mark("simulated"), h("span.sub", {}, "everything checked, nothing confidential")] : [mark("reported"), h("span.sub", {}, "prove it by redoubt verify")];
}

const row = (app) => h("tr", {},
  h("th", { scope: "row" }, object("function", h("a", { href: `/apps/${app.id}` }, app.name), idCode(app.id))),
  h("td", {}, proof(app)), h("td.hide-s", {}, marks(kindsOf(app))), h("td.right", {}, `${app.instances.serving} of ${app.instances.wanted}`),
  h("td.hide-m", {}, app.paused ? "paused" : app.deployment ? app.deployment.state : "–", app.deployment ? h("span.sub", {}, `generation ${app.deployment.generation}`) : null), h("td.hide-s", {}, age(app.created_at)));

export async function appsPage({ query }) {
  const apps = await list("/v1/apps");
  const concerns = (kind) => kind !== "host";
  const mayDeploy = may("developer");
  const deploy = (label) => (mayDeploy ? h("a.btn.primary", { href: "/deploy" }, icon("plus"), label) : roleButton("button.btn.primary", false, "Deploying needs the developer role. Ask an owner of your organisation", {}, icon("plus"), label));
  const title = (text) => h("div.title", {}, h("div", {}, h("h1", {}, "Apps"), h("p.lead", {}, text)), h("div.row", {}, apps.length ? deploy("Deploy an app") : null));
  if (!apps.length) {
    return { title: "Apps", section: "apps", concerns, content: [title("Functions, each in its own enclaves."),
      empty("No apps yet", "An app is code that an owner key owns. Deploy one: the wizard starts with an example that works.", deploy("Deploy the example"), "redoubt deploy examples/private-score")] };
  }
  const show = ["look", "simulated"].includes(query.get("show")) ? query.get("show") : "all";
  const filter = h("input", { type: "search", id: "filter", value: query.get("q") || "", placeholder: "Filter by name or id", "aria-label": "Filter by name or id" });
  const body = h("div");
  const sets = { all: apps, look: apps.filter(needsLook), simulated: apps.filter((app) => app.class === "simulated") };
  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const shown = sets[show].filter((app) => app.name.includes(wanted) || app.id.startsWith(wanted));
    body.replaceChildren(shown.length ? table("Apps", ["App", "Proof", ["Instances", "hide-s"], ["Serving", "right"], ["Deployment", "hide-m"], ["Created", "hide-s"]], shown.map(row))
      : h("p.none", {}, wanted ? `No app here is called “${filter.value}”. ` : "None. ", h("button.linked", { type: "button", onclick: () => { filter.value = ""; go.to("/apps"); } }, "Show all")));
  };
  filter.addEventListener("input", () => { draw(); go.note({ show: show === "all" ? "" : show, q: filter.value.trim() }); });
  draw();
  const failed = apps.filter(isFailed);
  const serving = apps.reduce((sum, app) => sum + app.instances.serving, 0);
  return { title: "Apps", section: "apps", concerns, content: [title("Functions, each in its own enclaves."),
    failed.length ? note("refused", `${failed[0].name}: deployment ${failed[0].deployment.state}`, failed.length > 1 ? `And ${plural(failed.length - 1, "other app")}.` : "No release of it has taken over.", h("a.btn", { href: `/apps/${failed[0].id}` }, "See why")) : null,
    h("div.row.between", {}, segments("Which apps", [[`All ${apps.length}`, "/apps", show === "all"], [`Needs a look ${sets.look.length}`, "/apps?show=look", show === "look"], [`Simulated ${sets.simulated.length}`, "/apps?show=simulated", show === "simulated"]]),
      h("p.help", {}, `${plural(serving, "instance")} serving, as the plane reports`)),
    panel(plural(apps.length, "app"), h("div", {}, filter), body), terminal("redoubt apps list")] };
}
