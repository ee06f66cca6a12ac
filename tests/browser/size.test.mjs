// The dashboard is small and plain: all its files together, gzipped, under the budget; no address but its own; no inline code.
import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { ROOT } from "../support/stack.mjs";

const BUDGET = 150000;
const folder = join(ROOT, "web-static");
const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath || entry.path, entry.name));
const texts = new Map(files.map((file) => [file.slice(folder.length + 1), readFileSync(file, "utf8")]));

test(`all files are under ${BUDGET} bytes gzipped`, () => {
  const total = [...texts.values()].reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0);
  assert.ok(total < BUDGET, `${total} bytes`);
});

test("no file names another origin", () => {
  for (const [name, text] of texts) {
    const hosts = [...text.matchAll(/https?:\/\/([^/"'`\s)]+)/g)].map(([, host]) => host).filter((host) => host !== "www.w3.org");
    assert.deepEqual(hosts, [], name);
  }
});

test("no inline script or style, no markup from text, no code from text", () => {
  assert.doesNotMatch(texts.get("index.html"), /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/);
  for (const [name, text] of texts) if (name.endsWith(".js")) assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|onmessage|addEventListener\("message"/, name);
});
