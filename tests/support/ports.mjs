// Ports for servers of tests. Below those that the kernel hands out: no connection of another process gets one by chance between a look and
// its use, or while the server on it is started again.
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { randomInt } from "node:crypto";

const LOWEST = 10000;
const handedOut = new Set();

async function isFree(port) {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch { return false; }
  server.close();
  await once(server, "close");
  return true;
}

// The first of so many free ports in a row.
export async function freePort(count = 1) {
  const [end] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s+/).map(Number);
  if (end < LOWEST + 1000) throw new Error(`ports from ${end} on are the kernel's to give (net.ipv4.ip_local_port_range): tests need some below`);
  for (let tries = 0; tries < 1000; tries++) {
    const row = Array.from({ length: count }, ((first) => (_, i) => first + i)(randomInt(LOWEST, end - count)));
    if (row.some((port) => handedOut.has(port))) continue;
    let areFree = true;
    for (const port of row) areFree &&= await isFree(port);
    if (!areFree) continue;
    for (const port of row) handedOut.add(port);
    return row[0];
  }
  throw new Error("no free port");
}
