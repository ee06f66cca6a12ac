// example: what the deploy wizard starts with.
export const name = "private-score";
export const source = `// A credit score over a confidential request: pure computation, no state, no network.
export default {
  async fetch(request) {
    if (request.method !== "POST") {
      return Response.json({ error: "send a JSON body by POST" }, { status: 405 });
    }
    const { income_mu, debt_mu, history } = await request.json();
    const ratio = Number(debt_mu) / Math.max(1, Number(income_mu));
    const onTime = history.filter((paid) => paid === 1).length / Math.max(1, history.length);
    const score = Math.round(300 + 350 * onTime + 200 * (1 - Math.min(1, ratio)));
    const band = score >= 750 ? "A" : score >= 650 ? "B" : score >= 550 ? "C" : "D";
    return Response.json({ score, band });
  },
};
`;
export const request = JSON.stringify({ income_mu: 4200000000, debt_mu: 900000000, history: [1, 1, 0, 1, 1, 1] }, null, 2);
