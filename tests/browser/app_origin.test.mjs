// R15: a page that an app answers with runs at the app's own origin, and reaches nothing of the dashboard's: not its session, not its cookies, not its
// storage, no service worker of it.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack } from "../support/stack.mjs";
import { launch, open, signIn, visit } from "../support/browser.mjs";

// Tries whatever a page can try, and says how each attempt ended.
const page = (api, domain) => `<!doctype html><title>hostile</title><script>
const said = {}, attempt = async (name, act) => { try { said[name] = String(await act()); } catch (error) { said[name] = "refused: " + error.name; } };
const through = (url, options) => fetch(url, { credentials: "include", ...options }).then(async (answer) => answer.status + " " + (await answer.text()).slice(0, 200));
const inFrame = (url) => new Promise((done) => { const frame = document.createElement("iframe"); frame.src = url;
  frame.onload = () => { try { done("read " + frame.contentDocument.title); } catch (error) { done("refused: " + error.name); } }; document.documentElement.append(frame); });
(async () => {
  await attempt("session", () => through("${api}/v1/session"));
  await attempt("change", () => through("${api}/v1/apps", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" }));
  await attempt("blind change", () => through("${api}/v1/logout", { method: "POST", mode: "no-cors" }).then((text) => "blind " + text));
  await attempt("frame", () => inFrame("${api}/apps"));
  document.cookie = "__Host-redoubt=mine; path=/; secure";
  document.cookie = "planted=1; domain=${domain}; path=/";
  await attempt("cookie", () => document.cookie);
  await attempt("storage", () => Object.keys(localStorage).length);
  await attempt("worker of the dashboard", () => navigator.serviceWorker.register("${api}/worker.js", { scope: "${api}/" }));
  await attempt("opener", () => opener && opener.document.title);
  document.title = "tried"; window.said = said;
})();
</script>`;

const source = (html) => `const html = ${JSON.stringify(html)};
export default { fetch: (request) => new URL(request.url).pathname === "/worker.js"
  ? new Response("self.addEventListener('fetch', () => {})", { headers: { "content-type": "text/javascript", "service-worker-allowed": "/" } })
  : new Response(html, { headers: { "content-type": "text/html", "set-cookie": "__Host-redoubt=theirs; Path=/; Secure", "access-control-allow-origin": "*" } }) };`;

let stack, browser, dashboard, host, id;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  id = (await stack.deploy("hostile-page", source(page(stack.api, "localhost")), { open: true, resources: { cpu_m: 1000 } })).app;
  host = `http://${id.replace("_", "-")}.localhost:${stack.ports.apps}`;
  browser = await launch();
  dashboard = await open(browser, stack.api);
}, { timeout: 180000 });
after(async () => { await browser?.close(); await stack?.close(); });

test("R15: an app's page acts for nobody at the dashboard", { timeout: 180000 }, async () => {
  await signIn(dashboard, stack.token);
  const context = dashboard.context(), session = await context.cookies(stack.api);
  assert.equal(session.length, 1);
  assert.deepEqual([session[0].httpOnly, session[0].sameSite], [true, "Strict"]);
  const [hostile] = await Promise.all([context.waitForEvent("page"), dashboard.evaluate((url) => { window.open(url); }, host)]);
  await hostile.waitForFunction(() => document.title === "tried", null, { timeout: 60000 });
  const said = await hostile.evaluate(() => window.said);
  for (const name of ["session", "change", "frame", "worker of the dashboard"]) assert.match(said[name], /^refused: /, `${name}: ${said[name]}`);
  assert.doesNotMatch(said["blind change"], /blind [1-9]/);
  assert.doesNotMatch(said.cookie, /planted/);
  assert.ok(said.opener === "null" || said.opener.startsWith("refused"), said.opener);
  assert.equal(said.storage, "0");
  assert.deepEqual(await context.cookies(stack.api), session, "the session is as it was");
  await dashboard.reload();
  await dashboard.waitForSelector("main h1:text-is('Apps')");
  assert.deepEqual(await dashboard.evaluate(async () => (await navigator.serviceWorker?.getRegistrations())?.length ?? 0), 0);
});

test("R15: what an app answers is never a page at the API's own origin", { timeout: 180000 }, async () => {
  await visit(dashboard, `/invoke/${id}`);
  await dashboard.click("main form button[type=submit]");
  await dashboard.waitForSelector(".checks, .cols .note");
  assert.equal(await dashboard.evaluate(() => document.title === "tried" || Boolean(window.said)), false);
  const answer = await fetch(`${stack.api}/v1/apps/${id}/invoke`, { method: "POST", headers: { authorization: `Bearer ${stack.token}`, "content-type": "text/plain" }, body: "x" });
  const text = await answer.text();
  assert.doesNotMatch(answer.headers.get("content-type"), /html|script/, text.slice(0, 200));
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  assert.equal(answer.headers.get("set-cookie"), null);
});
