// The dashboard of `redoubt dashboard`, as a person uses it: it proves, calls and signs on this machine.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { BIN, Stack, until } from "../support/stack.mjs";
import { launch, open, visit, axe, assertClean } from "../support/browser.mjs";

const SHOTS = process.env.REDOUBT_SHOTS; // a folder for pictures
const shot = async (page, name) => { if (SHOTS) await page.screenshot({ path: join(SHOTS, `local-${name}.png`), fullPage: true }); };
let stack, dashboard, browser, page, app;
before(async () => {
  stack = await Stack.start({ hosts: 1, kms: true });
  app = (await stack.deploy("shown", "export default { async fetch(r) { const text = await r.text(); return new Response('got ' + text, { status: text === 'missing' ? 404 : 200 }); } }")).app;
  dashboard = spawn(join(BIN, "redoubt"), ["dashboard"], { env: { ...process.env, REDOUBT_PROFILE: stack.profile, HOME: stack.dir, XDG_CONFIG_HOME: "", XDG_STATE_HOME: "" } });
  let printed = "";
  dashboard.stdout.on("data", (data) => { printed += data; });
  await until("the address is printed", () => printed.includes("\n"));
  browser = await launch();
  page = await open(browser, new URL(printed.trim()).origin);
  await page.goto(printed.trim());
  await page.waitForSelector("main h1:text-is('Apps')");
});
after(async () => { await browser?.close(); dashboard?.kill("SIGINT"); await stack?.close(); });

test("the printed address leads to the apps, without a sign-in; the page says where it comes from", async () => {
  assert.match(await page.textContent(".side-foot"), /came with the command line on this machine/);
  await page.waitForSelector("main >> text=shown");
  assert.equal(await page.getByRole("button", { name: "Sign out" }).count(), 0);
});

test("an instance is proved here", async () => {
  const [instance] = (await stack.rest("GET", `/v1/apps/${app}/instances`)).items;
  await visit(page, `/instances/${instance.id}`);
  await page.getByRole("button", { name: "Prove it here" }).click();
  await page.waitForSelector(".mark:has-text('Proved here, simulated')");
  assert.equal(await page.locator("main .v.refused").count(), 0);
  await shot(page, "proof");
  assert.deepEqual(await axe(page), []);
});

test("a call is made and verified here", async () => {
  await visit(page, `/invoke/${app}`);
  await page.fill("#body", "hello");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.waitForSelector(".mark:has-text('Proved here, simulated')");
  assert.match(await page.textContent("main"), /got hello/);
  await shot(page, "call");
  await page.fill("#body", "missing");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.waitForSelector("main >> text=got missing");
  assert.equal(await page.locator("main .v.refused").count(), 0, "an answer of 404 verifies like any other");
  assert.deepEqual(await axe(page), []);
});

test("sealed log lines are opened here, with this machine's key; the plane's own page cannot", async () => {
  const { app: whisper } = await stack.deploy("whisper", "export default { async fetch(r) { console.warn('for the owner ' + await r.text()); return new Response('ok'); } }", { logs: "sealed" });
  for (const word of ["alone", "again"]) assert.equal((await stack.invoke(whisper, "/", { body: word })).status, 200);
  await visit(page, `/apps/${whisper}?tab=logs`);
  await page.waitForSelector(".log >> text=for the owner again");
  await page.waitForSelector(".log li.warn >> text=for the owner alone");
  await shot(page, "logs");
  assert.deepEqual(await axe(page), []);
});

const secrets = async () => (await stack.rest("GET", `/v1/apps/${app}/secrets`)).items.filter((one) => !one.name.startsWith("redoubt.") && one.current).map((one) => [one.name, one.version]);
test("a secret is sealed, replaced and removed here; the plane sees no value", async () => {
  const trusted = await stack.cli("kms", "trust", await stack.kmsId(), "--yes");
  assert.equal(trusted.code, 0, trusted.stderr);
  const sent = [];
  page.on("request", (request) => { if (!request.url().includes("/local/")) sent.push(request.postData() || ""); });
  await visit(page, `/apps/${app}?tab=secrets`);
  const fill = async (button, name, value) => {
    await page.getByRole("button", { name: button }).click();
    await page.waitForSelector("dialog[open]");
    if (name) await page.fill("#secret-name", name);
    await page.fill("#secret-value", value);
    await shot(page, "secret");
    assert.deepEqual(await axe(page), []);
    await page.locator("dialog[open] .btn.primary").click();
  };
  await fill("Set a secret…", "API_KEY", "first-value-7d1c");
  await page.waitForSelector("main td:has-text('in the current head')");
  assert.deepEqual(await secrets(), [["API_KEY", 1]]);
  await shot(page, "secrets");
  assert.deepEqual(await axe(page), []);
  await fill("Replace…", null, "second-value\nof two lines");
  await page.waitForSelector("main td.num:text-is('2')");
  assert.deepEqual(await secrets(), [["API_KEY", 2]]);
  await page.getByRole("button", { name: "Remove…" }).click();
  await page.locator("dialog[open] .btn.danger").click();
  await page.waitForSelector("main >> text=None yet.");
  assert.deepEqual(await secrets(), []);
  assert.equal(sent.some((text) => text.includes("-value")), false);
});

test("the wizard shows what changes, signs here, and nothing is prepared at the plane", async () => {
  await visit(page, "/deploy?step=4");
  assert.equal(await page.getByRole("button", { name: "Prepare for approval" }).count(), 0);
  await page.getByRole("button", { name: "Show what changes" }).click();
  await page.waitForSelector("main >> text=a first version");
  await shot(page, "sign");
  assert.deepEqual(await axe(page), []);
  await page.getByRole("button", { name: "Sign and deploy" }).click();
  await page.waitForURL(/\/apps\/app_/);
  await page.waitForSelector("main h1");
});

test("no errors, no foreign requests, no violations of the policy", () => assertClean(page));
