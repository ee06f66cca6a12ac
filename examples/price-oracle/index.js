/// <reference path="../redoubt.d.ts" />
// price-oracle: one price out of several sources, signed so that a contract can check it. TLS to each source ends inside the enclave;
// the host can block a source, not forge it, and below the quorum there is no answer at all.
const QUORUM = 2;
const TIMEOUT_MS = 4000;

// "3012.4" → 301240n: no floating point in a price.
function cents(text) {
  const match = /^(\d{1,12})(?:\.(\d{1,18}))?$/.exec(text);
  if (!match) throw new Error("no decimal number");
  return BigInt(match[1]) * 100n + BigInt((match[2] ?? "").padEnd(2, "0").slice(0, 2));
}

async function ask({ name, url, path }) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const value = path.reduce((part, step) => part[step], await response.json());
    return { name, price: cents(String(value)) };
  } catch (error) {
    return { name, error: error.message };
  }
}

function median(prices) {
  const sorted = prices.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2n;
}

const hex = (bytes) => "0x" + bytes.toHex();

// Without a grant of the key service there is no key; the receipt still says which code gave the answer.
async function sign(message) {
  try {
    return { signature: hex(await redoubt.sign(message, { scheme: "secp256k1" })), key: hex(await redoubt.publicKey({ scheme: "secp256k1" })) };
  } catch (error) {
    return { signature: null, why: error.message };
  }
}

export default {
  async fetch(request, env) {
    const answers = await Promise.all(JSON.parse(env.SOURCES).map(ask));
    const good = answers.filter((answer) => answer.price !== undefined);
    const sources = answers.map(({ name, price, error }) => (error === undefined ? { name, cents: String(price) } : { name, error }));
    if (good.length < QUORUM) return Response.json({ error: `fewer than ${QUORUM} sources answered`, sources }, { status: 502 });
    const price = String(median(good.map((answer) => answer.price))), time = new Date().toISOString();
    const message = `redoubt price oracle v1\n${env.PAIR}\n${price}\n${time}`;
    return Response.json({ pair: env.PAIR, cents: price, time, sources, message, ...(await sign(message)) });
  },
};
