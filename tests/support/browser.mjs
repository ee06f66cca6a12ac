// Debian's Chromium driven by playwright-core, and what every browser test watches: errors, violations of the content security
// policy, and requests that leave the dashboard's own origin.
import { readFileSync, existsSync } from "node:fs";
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PROGRAM = process.env.CHROMIUM || ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export async function launch() {
  if (!PROGRAM) throw new Error("no Chromium: apt-get install chromium, or CHROMIUM=/path");
  return chromium.launch({ executablePath: PROGRAM, args: FLAGS });
}

// A page of its own context (cookies, storage) that records what must not happen.
export async function open(browser, origin, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
  const page = await context.newPage();
  page.setDefaultTimeout(60000);
  page.wrong = [];
  page.on("pageerror", (error) => page.wrong.push(`error: ${error.message}`));
  // A refused request is a console error of its own; those are the tests' business.
  page.on("console", (message) => { if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) page.wrong.push(`console: ${message.text()}`); });
  page.on("request", (request) => { if (!request.url().startsWith(origin) && !request.url().startsWith("data:") && !request.url().startsWith("blob:")) page.wrong.push(`foreign request: ${request.url()}`); });
  page.origin = origin;
  return page;
}
export const assertClean = (page) => assert.deepEqual(page.wrong, []);

export async function signIn(page, token) {
  await page.goto(`${page.origin}/login`);
  await page.fill("#token", token);
  await page.click("main button[type=submit]");
  await page.waitForSelector("main h1:text-is('Apps')");
}

// Goes to an address inside the dashboard, as a link would, and waits for its page.
export async function visit(page, path) {
  await page.evaluate((to) => { history.pushState(null, "", to); dispatchEvent(new PopStateEvent("popstate")); }, path);
  await page.waitForFunction((to) => location.pathname + location.search === to && !document.querySelector("main[aria-busy]") && document.querySelector("main h1"), path);
}

// Violations of the rules of accessibility, in words: "rule: element".
export async function axe(page) {
  if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(AXE);
  return page.evaluate(async () => {
    // A colour on its way between two is neither.
    await Promise.all(document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime < Infinity).map((one) => one.finished.catch(() => {})));
    const found = await window.axe.run(document, { runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] } });
    return found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)} ${node.any[0]?.message || ""}`));
  });
}
