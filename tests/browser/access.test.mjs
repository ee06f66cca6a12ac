// The dashboard for everyone: no violation that axe knows on any page, in light and dark, at 1440 and 320 px; nothing scrolls
// sideways; all by keyboard; no motion for who asked for none; theme remembered.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack } from "../support/stack.mjs";
import { launch, open, signIn, visit, axe, assertClean } from "../support/browser.mjs";

let stack, browser, page, app, instance, host;
before(async () => {
  stack = await Stack.start({ hosts: 1, kms: true });
  browser = await launch();
  page = await open(browser, stack.api);
}, { timeout: 180000 });
after(async () => { await browser?.close(); await stack?.close(); });

const LOOKS = [["light", 1440], ["dark", 1440], ["light", 320], ["dark", 320]];

async function inEveryLook(name) {
  const wrong = [];
  for (const [colorScheme, width] of LOOKS) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const violation of await axe(page)) wrong.push(`${name}, ${colorScheme} ${width}: ${violation}`);
    const excess = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (excess > 0) wrong.push(`${name}, ${width}: ${excess} px too wide`);
  }
  assert.deepEqual(wrong, []);
}

test("sign-in and empty pages", { timeout: 180000 }, async () => {
  await page.goto(`${stack.api}/login`);
  await inEveryLook("sign-in");
  await page.fill("#token", "rdt_wrong");
  await page.click("main button[type=submit]");
  await page.waitForSelector("#login-problem span");
  await inEveryLook("refused sign-in");
  await page.setViewportSize({ width: 1440, height: 900 });
  await signIn(page, stack.token);
  await inEveryLook("no apps");
});

test("every page", { timeout: 280000 }, async (t) => {
  assert.equal((await stack.cli("kms", "trust", await stack.kmsId(), "--yes")).code, 0);
  await stack.deploy("seen", 'export default { async fetch() { console.warn("a line"); return Response.json({ seen: true }); } };', { resources: { cpu_m: 1000, memory_bytes: 64 << 20 } });
  const set = await stack.cli("secrets", "set", "seen", "API_KEY", { input: "not to be seen" });
  assert.equal(set.code, 0, set.stderr);
  [app] = (await stack.rest("GET", "/v1/apps")).items;
  [instance] = (await stack.rest("GET", `/v1/apps/${app.id}/instances`)).items;
  [host] = await stack.hosts();
  await visit(page, `/invoke/${app.id}`);
  await page.click("main form button[type=submit]");
  await page.waitForSelector(".checks, .cols .note.refused");
  assert.ok(await page.locator(".checks").count(), await page.locator("main").textContent());
  await t.test("invoke", () => inEveryLook("invoke"));
  const paths = ["/apps", ...["overview", "instances", "deployments", "releases", "secrets", "logs", "settings"].map((tab) => `/apps/${app.id}?tab=${tab}`), `/instances/${instance.id}`, "/receipts",
    ...[1, 2, 3, 4].map((step) => `/deploy?step=${step}`), "/hosts", "/hosts?show=free", `/hosts/${host.id}`, "/nothing-here"];
  for (const path of paths) {
    await t.test(path, async () => {
      await visit(page, path);
      if (path.endsWith("tab=secrets")) assert.match(await page.locator("[aria-label=Grants] tbody tr").first().textContent(), /keys given, until .*number \d+/);
      await inEveryLook(path);
    });
  }
  await t.test("search, keys, a dialog", async () => {
    await visit(page, `/apps/${app.id}?tab=settings`);
    await page.click("text=Delete…");
    await inEveryLook("dialog");
    await page.keyboard.press("Escape");
    await page.locator("main").focus();
    await page.keyboard.press("?");
    await inEveryLook("keys");
    await page.keyboard.press("Escape");
    await page.keyboard.press("/");
    await page.waitForSelector(".palette [role=option]:has-text('seen')");
    await inEveryLook("search");
    await page.keyboard.press("Escape");
  });
  assertClean(page);
});

test("by keyboard alone: in, deploy, find, menu", { timeout: 180000 }, async () => {
  const own = await open(browser, stack.api, { reducedMotion: "reduce" });
  const press = async (...keys) => { for (const key of keys) await own.keyboard.press(key); };
  const focus = () => own.evaluate(() => { const at = document.activeElement; return at === document.body ? "" : (at.id || at.getAttribute("aria-label") || at.textContent).trim(); });
  // Tabs on to what is named; every stop on the way shows its focus and lies in the window.
  const tabTo = async (name) => {
    for (let i = 0; i < 60; i++) {
      await press("Tab");
      const seen = await own.evaluate(() => { const at = document.activeElement, box = at.getBoundingClientRect(), style = getComputedStyle(at); return at === document.body || (style.outlineStyle !== "none" && box.bottom > 0 && box.top < innerHeight); });
      assert.ok(seen, `focus shows on ${await focus()}`);
      if ((await focus()) === name) return;
    }
    assert.fail(`no way by Tab to ${name}`);
  };
  await own.goto(`${stack.api}/login`);
  await tabTo("token");
  await own.keyboard.type(stack.token);
  await press("Enter");
  await own.waitForSelector("main h1:text-is('Apps')");
  await own.reload();
  await own.waitForSelector("main h1:text-is('Apps')");
  await own.evaluate(() => document.activeElement.blur());
  await press("Tab");
  assert.equal(await focus(), "Skip to content", "the first stop");
  await press("Enter");
  await own.waitForFunction(() => document.activeElement.id === "main");
  await press("g", "d");
  await own.waitForSelector("#field-name");
  await tabTo("field-name");
  await press("Control+a");
  await own.keyboard.type("by-keyboard");
  await press("Enter");
  for (const next of ["Limits", "Review and sign"]) { await own.waitForSelector(`main form button:has-text("${next}")`); await tabTo(next); await press("Enter"); }
  await own.waitForSelector("text=What is signed");
  await tabTo("Sign here and deploy");
  await press("Enter");
  await own.waitForSelector("main h1:text-is('by-keyboard')");
  await own.waitForSelector(".stages li:nth-child(6).done");
  await press("g", "h");
  await own.waitForSelector("main h1:text-is('Hosts')");
  await press("/");
  await own.waitForSelector(".palette [role=option]:has-text('by-keyboard')");
  await own.keyboard.type("by-key");
  await press("Enter");
  await own.waitForSelector("main h1:text-is('by-keyboard')");
  await own.setViewportSize({ width: 320, height: 800 });
  await own.locator(".burger").focus();
  await press("Enter");
  await own.waitForSelector(".nav-open .side");
  await press("Escape");
  await own.waitForFunction(() => !document.body.classList.contains("nav-open") && document.activeElement.classList.contains("burger"));
  assertClean(own);
  await own.context().close();
});

test("no motion for who asked for none; the chosen theme is remembered", async () => {
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  await visit(page, "/apps");
  const moving = await page.evaluate(() => [...document.querySelectorAll("*")].filter((element) => { const style = getComputedStyle(element); return style.animationName !== "none" || style.transitionDuration.split(",").some((time) => parseFloat(time) > 0); }).length);
  assert.equal(moving, 0);
  await page.click("[aria-label='Switch between light and dark']");
  await page.reload();
  await page.waitForSelector("main h1");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).colorScheme), "dark");
});
