// The dashboard's main paths in Chromium against a real stack: sign in, empty states, wizard, live timeline, evidence, invoke and
// receipt, hosts, delete; no foreign request, no violation of the content security policy, no error on the way.
import { test, before, after, afterEach } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";
import { launch, open, signIn, visit, assertClean } from "../support/browser.mjs";

let stack, browser, page;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  browser = await launch();
  page = await open(browser, stack.api);
}, { timeout: 180000 });
after(async () => { await browser?.close(); await stack?.close(); });
afterEach(() => assertClean(page));

const text = (selector) => page.textContent(selector);
const verdict = () => text("main .verdict .says");
const appOf = async (name) => (await stack.rest("GET", `/v1/apps?name=${name}`)).items[0];

test("the page's headers allow nothing but its own files", async () => {
  const answer = await stack.request("GET", "/", undefined, { authorization: "" });
  const policy = answer.headers.get("content-security-policy");
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /require-trusted-types-for 'script'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe|http|\*/);
});

test("a login link signs in once; used again it says so, and so does a wrong token", async () => {
  const { url } = await stack.rest("POST", "/v1/login-links", {});
  await page.goto(url);
  await page.waitForSelector("main h1:text-is('Apps')");
  assert.equal(await page.evaluate(() => location.pathname + location.hash), "/apps", "the code does not stay in the address");
  const other = await open(browser, stack.api);
  await other.goto(url);
  await other.waitForSelector("#login-problem span");
  assert.match(await other.textContent("#login-problem"), /used already, or is older than ten minutes.*redoubt login-link/);
  await other.fill("#token", "rdt_wrong");
  await other.click("main button[type=submit]");
  await other.waitForSelector("#login-problem:has-text('does not know this token')");
  assertClean(other);
  await other.context().close();
});

test("an empty list says what it is, with one action and one command", async () => {
  assert.match(await text("main .empty"), /No apps yet.*redoubt deploy/s);
  assert.equal(await page.locator("main .btn.primary").count(), 1);
});

test("the wizard: prefilled, judges on leaving a field, survives a reload, puts the API's complaint on its field", async () => {
  await page.click("text=Deploy the example");
  await page.waitForSelector("#field-name");
  assert.equal(await page.inputValue("#field-name"), "private-score");
  await page.fill("#field-name", "Not A Name");
  await page.locator("#field-name").blur();
  assert.match(await text("#problem-name"), /lower-case/);
  await page.fill("#field-name", "wizard-made");
  assert.equal(await text("#problem-name"), "");
  await page.reload();
  await page.waitForSelector("#field-name");
  assert.equal(await page.inputValue("#field-name"), "wizard-made", "the draft survives");
  for (const next of ["Proof and place", "Limits", "Review and sign"]) await page.click(`main form button:has-text("${next}")`);
  await page.waitForSelector("text=What is signed");
  assert.match(await text("main aside .code-title ~ pre"), /name: wizard-made\nmain: index\.js/);
  await page.route("**/v1/prepared", (route) => route.fulfill({ status: 422, contentType: "application/problem+json",
    body: JSON.stringify({ title: "Out of range", status: 422, detail: "time_ms is too large here", code: "json_range", pointer: "/settings/limits/time_ms", request_id: "req_x" }) }));
  await page.click("text=Prepare for approval");
  await page.waitForSelector("#problem-time_ms:has-text('too large here')");
  await page.waitForFunction(() => document.activeElement.id === "field-time_ms");
  await page.unroute("**/v1/prepared");
  await page.click("main form button:has-text('Review and sign')");
  await page.waitForSelector("text=What is signed");
});

test("signed in the browser, the deployment's stages arrive by themselves; the key cannot be copied out", async () => {
  await page.click("text=Sign here and deploy");
  await page.waitForSelector("main h1:text-is('wizard-made')");
  await page.waitForSelector(".stages li:nth-child(6).done");
  assert.deepEqual(await page.locator(".stages li").evaluateAll((all) => all.map((item) => item.childNodes[1].textContent)), ["accepted", "planned", "placed", "launching", "attested", "serving"]);
  await page.waitForSelector("main .verdict.simulated");
  assert.match(await verdict(), /^Simulated/);
  assert.match(await text(".simulated-bar"), /nothing is confidential/);
  const isExtractable = await page.evaluate(() => new Promise((done) => {
    indexedDB.open("redoubt", 1).onsuccess = (opened) => { opened.target.result.transaction("keys").objectStore("keys").get("owner").onsuccess = (got) => done(got.target.result.privateKey.extractable); };
  }));
  assert.equal(isExtractable, false);
});

test("the evidence panel: checks of this page, fresh on asking, downloadable; never green", async () => {
  await page.click("main a:text-is('Evidence')");
  await page.waitForSelector("main h1:has-text('Instance')");
  const names = await page.locator(".checks li b").allTextContents();
  for (const name of ["Quote", "Chain", "Binding", "Application", "Release", "Runtime", "Debug", "Freshness", "Keys", "Platform"]) assert.ok(names.includes(name), name);
  assert.equal(await page.locator(".checks li.refused").count(), 0);
  assert.equal(await page.locator(".checks li.unverified b").first().textContent(), "Freshness", "the stored evidence answers no nonce of ours");
  await page.click("text=Ask again now");
  await page.waitForSelector(".checks li.simulated:has-text('Answers the nonce that this browser drew')");
  const [file] = await Promise.all([page.waitForEvent("download"), page.click("main button:has-text('Evidence,')")]);
  assert.equal(JSON.parse(readFileSync(await file.path())).type, "redoubt/evidence/v1");
  assert.match(await text("main aside"), /redoubt verify wizard-made/);
  assert.match(await text("main .by"), /which the plane sent/);
  const green = await page.evaluate(() => [...document.querySelectorAll("*")].filter((element) => {
    const style = getComputedStyle(element);
    return [style.color, style.backgroundColor, style.borderTopColor].some((colour) => { const [r, g, b, a = 1] = (colour.match(/[\d.]+/g) || []).map(Number); return a > 0 && g > r + 30 && g > b + 20; });
  }).length);
  assert.equal(green, 0);
});

test("spoiled evidence is refused in the page, whatever the plane says", async () => {
  await page.route("**/evidence", async (route) => {
    const answer = await route.fetch();
    const bundle = JSON.parse(await answer.text());
    const statement = Buffer.from(bundle.statement, "base64url").toString().replace(/"epoch":\d+/, '"epoch":7');
    await route.fulfill({ response: answer, body: JSON.stringify({ ...bundle, statement: Buffer.from(statement).toString("base64url") }) });
  });
  await page.reload();
  await page.waitForSelector("main .verdict.refused");
  assert.match(await text(".checks li.refused"), /Binding/);
  await page.unroute("**/evidence");
});

test("a request, its answer, its receipt checked in the page; the saved file verifies in the terminal", async () => {
  const app = await appOf("wizard-made");
  await visit(page, `/invoke/${app.id}`);
  await page.fill("#path", "no-slash");
  await page.click("main form button[type=submit]");
  assert.match(await text("#path-problem"), /starts with/);
  await page.fill("#path", "/");
  await page.fill("#body", JSON.stringify({ income_month: 4200, debt_month: 900, credit_limit: 12000, credit_used: 3100, years_of_history: 9, late_payments_24m: 1, new_accounts_12m: 1 }));
  await page.click("main form button[type=submit]");
  await page.waitForSelector("main .mark:has-text('Receipt checks, simulated')");
  assert.match(await text("main .code pre"), /"band": "good"/);
  assert.equal(await page.locator(".checks li.refused").count(), 0);
  const [file] = await Promise.all([page.waitForEvent("download"), page.click("text=Save receipt")]);
  const path = join(stack.dir, "answer.json");
  writeFileSync(path, readFileSync(await file.path()));
  assert.equal((await stack.cli("verify", path)).code, 0);
});

test("the receipts page: this tab's receipts, a pasted one, a spoiled one", async () => {
  const saved = readFileSync(join(stack.dir, "answer.json"), "utf8");
  await page.click("main a:text-is('Open')");
  await page.waitForSelector("main .receipt.simulated");
  const paste = async (value) => { await page.fill("#receipt-text", value); await page.click("text=Check it >> nth=0"); };
  const spoiled = JSON.parse(saved);
  spoiled.response_body = Buffer.from('{"score":850}').toString("base64url");
  await paste(JSON.stringify(spoiled));
  await page.waitForSelector("main .receipt.refused");
  assert.match(await text(".checks li.refused"), /This answer/);
  await paste(saved);
  await page.waitForSelector("main .receipt.simulated");
  await page.setInputFiles("#receipt-file", { name: "x.json", mimeType: "application/json", buffer: Buffer.from("{}") });
  await page.waitForSelector("main .note.refused:has-text('Not a saved receipt')");
});

test("receipts still verify once the instance's evidence was renewed", async () => {
  const app = await appOf("wizard-made");
  const verified = async () => (await stack.rest("GET", `/v1/apps/${app.id}/instances`)).items.find((instance) => instance.serving)?.verdict.verified_at;
  const first = await verified();
  // Evidence is renewed at half its term; a replica that starts later finds that time passed.
  stack.sql("UPDATE lease_verdicts SET valid_until = clock_timestamp() + interval '5 minutes'");
  await stack.apiProcess.restart();
  await stack.apiReady();
  await until("evidence is renewed", async () => { const now = await verified(); return now && now !== first; }, 60000);
  await visit(page, `/invoke/${app.id}`);
  await page.click("main form button[type=submit]");
  await page.waitForSelector("main .mark:has-text('Receipt checks, simulated')");
  const body = { income_month: 1, debt_month: 0, credit_limit: 1, credit_used: 0, years_of_history: 1, late_payments_24m: 0, new_accounts_12m: 0 };
  assert.equal((await stack.cli("invoke", "wizard-made", "--data", JSON.stringify(body))).code, 0);
});

test("prepared here, signed in the terminal, and the page goes on by itself", async () => {
  await visit(page, "/deploy?name=by-terminal&step=4");
  await page.click("text=Prepare for approval");
  const line = await page.waitForSelector("main form pre:has-text('redoubt approve')");
  const [, code] = /redoubt approve (\S+)/.exec(await line.textContent());
  const approved = await stack.cli("approve", code, "--yes");
  assert.equal(approved.code, 0, approved.stderr);
  await page.waitForSelector("main h1:text-is('by-terminal')");
});

test("why it is not placed: hosts by constraint; and it goes on when a host takes work", async () => {
  await visit(page, "/hosts");
  await page.click("main tbody th a");
  await page.click("text=Cordon");
  await page.waitForSelector("main button:has-text('Undrain')");
  const host = new URL(page.url()).pathname;
  await visit(page, "/deploy?name=waits&step=4");
  await page.click("text=Sign here and deploy");
  await page.waitForSelector("main h1:text-is('waits')");
  await page.waitForSelector("main .panel:has-text('Why it is not placed') .funnel b:text-is('1')");
  await page.waitForSelector(".stages .now");
  await visit(page, host);
  await page.click("main button:has-text('Undrain')");
  await visit(page, `/apps/${(await appOf("waits")).id}`);
  await page.waitForSelector(".stages li:nth-child(6).done");
});

test("hosts: the enrolment command with its one-time token; draining asks for the name", async () => {
  await visit(page, "/hosts");
  await page.click("text=Make the command");
  await page.waitForSelector("#enrol pre");
  assert.match(await text("#enrol pre"), /redoubt-agent enroll --api http\S+ --token rdt_enroll_\S+/);
  await page.click("main tbody button:has-text('Drain…')");
  await page.waitForSelector("dialog[open]");
  const go = page.locator("dialog button[type=submit]");
  assert.ok(await go.isDisabled());
  await page.fill("#confirm-name", "sim-1");
  assert.ok(await go.isEnabled());
  await page.keyboard.press("Escape");
  await page.waitForSelector("dialog", { state: "detached" });
});

test("a quarantined host says why, and its operator releases it by its name", async () => {
  const [{ id, name }] = await stack.hosts();
  const uuid = stack.sql(`SELECT host_id FROM host_identity WHERE name = '${name}'`)[0][0];
  await visit(page, `/hosts/${id}`);
  for (let i = 0; i < 3; i++) stack.sql(`SET ROLE rd_ingest; SELECT host_fault('${uuid}', 'quote_sig', 'the quote is not signed by its key', 3, false)`);
  await page.waitForSelector("main .says:has-text('Quarantined')");
  assert.match(await text("main .verdict"), /the quote is not signed by its key \(quote_sig/);
  await page.click("main button:has-text('Release…')");
  await page.fill("#confirm-name", name);
  await page.click("dialog button[type=submit]");
  await page.waitForSelector("main .says:has-text('Simulated')");
  await stack.hostsReady(1);
});

test("logs arrive while one looks; search and level sift them", async () => {
  await stack.deploy("talker", 'export default { async fetch() { console.log("plain line"); console.error("bad line"); return new Response("ok"); } };');
  const app = await appOf("talker");
  await visit(page, `/apps/${app.id}?tab=logs`);
  await page.waitForSelector("main .tag:text-is('live')");
  await stack.invoke(app.id);
  await page.waitForSelector(".log li:has-text('bad line')");
  await page.selectOption(".log-tools select", "error");
  await page.waitForSelector(".log li:has-text('plain line')", { state: "detached" });
  await page.selectOption(".log-tools select", "all");
  await page.fill(".log-tools input", "plain");
  await page.waitForSelector(".log li:has-text('bad line')", { state: "detached" });
  assert.equal(await page.locator(".log li").count(), 1);
});

test("live, reconnecting, stale since: what the mark says is true", async () => {
  await visit(page, "/apps");
  await page.waitForSelector(".link-state.live");
  await stack.apiProcess.kill();
  await page.waitForSelector(".link-state.reconnecting");
  await page.waitForSelector(".link-state.stale:has-text('Stale since')");
  stack.apiProcess.start();
  await page.waitForSelector(".link-state.live", { timeout: 90000 });
});

test("errors name the request and can be tried again; nothing waits for ever", async () => {
  await page.route("**/v1/hosts?*", (route) => route.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ title: "Busy", status: 503, detail: "The API is busy", hint: "Try again", code: "busy", request_id: "req_busy" }) }));
  await page.evaluate(() => { history.pushState(null, "", "/hosts"); dispatchEvent(new PopStateEvent("popstate")); });
  await page.waitForSelector("main .note.refused:has-text('req_busy')");
  await page.unroute("**/v1/hosts?*");
  await page.click("main button:has-text('Try again')");
  await page.waitForSelector("main h1:text-is('Hosts')");
  await page.route("**/v1/apps?*", () => {});
  await page.evaluate(() => { history.pushState(null, "", "/apps"); dispatchEvent(new PopStateEvent("popstate")); });
  await page.waitForSelector("main .note.refused:has-text('did not answer within 10 s')");
  await page.unroute("**/v1/apps?*");
});

test("a session that ended leads to sign-in and back to the page", async () => {
  await visit(page, "/hosts");
  await page.context().clearCookies();
  await page.evaluate(() => { history.pushState(null, "", "/hosts?show=free"); dispatchEvent(new PopStateEvent("popstate")); });
  await page.waitForSelector("main :text('Your session has ended')");
  await page.fill("#token", stack.token);
  await page.click("main button[type=submit]");
  await page.waitForSelector("main h1:text-is('Hosts')");
  assert.equal(new URL(page.url()).search, "?show=free");
});

test("deleting an app: its name typed, its effect stated, the list without it", async () => {
  const app = await appOf("waits");
  await visit(page, `/apps/${app.id}?tab=settings`);
  await page.click("text=Delete…");
  assert.match(await text("dialog"), /cannot be undone/);
  await page.fill("#confirm-name", "waits");
  await page.click("dialog button[type=submit]");
  await page.waitForSelector("main h1:text-is('Apps')");
  await page.waitForSelector("main tbody tr:has-text('waits')", { state: "detached" });
});

test("signing out ends the session", async () => {
  await page.click("text=Sign out");
  await page.waitForSelector("#token");
  assert.equal(await page.evaluate(async () => (await fetch("/v1/session")).status), 401);
  await signIn(page, stack.token);
});
