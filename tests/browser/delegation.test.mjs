// A browser's key deploys for an owner who let it, for as long as he said: from the app's settings, and in the wizard.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack } from "../support/stack.mjs";
import { launch, open, signIn, visit, axe, assertClean } from "../support/browser.mjs";

const open64 = (text) => JSON.parse(Buffer.from(text, "base64url"));
const source = (word) => `export default { fetch: () => new Response("${word}") };`;

let stack, browser, page, app;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  app = (await stack.deploy("shared-work", source("by the owner"), { open: true, resources: { cpu_m: 1000 } })).app;
  browser = await launch();
  page = await open(browser, stack.api);
  await signIn(page, stack.token);
}, { timeout: 180000 });
after(async () => { await browser?.close(); await stack?.close(); });

// Seen from the top: what lies beneath the bar while one scrolls is no small target.
async function accessible() {
  await page.evaluate(() => scrollTo(0, 0));
  assert.deepEqual(await axe(page), []);
}

async function deployInBrowser(word) {
  await page.evaluate(() => sessionStorage.clear());
  await visit(page, "/deploy?name=shared-work");
  await page.fill("#field-source", source(word));
  for (const next of ["Proof and place", "Limits", "Review and sign"]) await page.click(`main form button:has-text("${next}")`);
  await page.click("text=Sign here and deploy");
}

test("without a delegation the wizard says whose signature it takes, and what else would do", { timeout: 180000 }, async () => {
  await deployInBrowser("by nobody");
  await page.waitForSelector("text=have the owner delegate to this browser");
});

test("settings take the owner's delegation, refuse another's, and forget it", { timeout: 180000 }, async () => {
  await visit(page, `/apps/${app}?tab=settings`);
  const command = await page.locator(".terminal:has-text('keys delegate')").textContent();
  const key = /keys delegate shared-work (\S+) --held-in browser/.exec(command)[1];
  const keep = async (text) => { await page.fill("#delegation", text); await page.click("text=Keep it"); };
  await keep("nonsense");
  await page.waitForSelector(".problem:has-text('not what redoubt keys delegate prints')");
  const stranger = await stack.cli("keys", "delegate", "shared-work", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
  await keep(stranger.stdout.trim());
  await page.waitForSelector(".problem:has-text('another key')");
  await accessible();
  const given = await stack.cli("keys", "delegate", "shared-work", key, "--held-in", "browser", "--days", "3");
  assert.equal(given.code, 0, given.stderr);
  await keep(given.stdout.trim());
  await page.waitForSelector("h3:has-text('Its key signs until')");
  await accessible();
});

test("then the wizard signs, and everybody sees by whose right", { timeout: 180000 }, async () => {
  await deployInBrowser("by the browser");
  await page.waitForSelector("main h1:text-is('shared-work')");
  const [newest] = (await stack.rest("GET", `/v1/apps/${app}/heads`)).items, head = open64(newest.document), [signature] = newest.signatures;
  const delegation = open64(open64(signature.delegation).document);
  assert.deepEqual([head.seq, delegation.held_in, head.expires], [2, "browser", delegation.not_after]);
  await page.waitForSelector(".stages li:nth-child(6).done", { timeout: 60000 });
  const called = await stack.cli("invoke", "shared-work");
  assert.equal(called.code, 0, called.stderr);
  assert.match(called.stdout, /by the browser/);
  await visit(page, `/apps/${app}?tab=settings`);
  await page.click("text=Forget");
  await page.waitForSelector("#delegation");
  assertClean(page);
});
