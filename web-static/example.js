// example: what the deploy wizard starts with: a credit score that takes the request of examples/private-score.
export const name = "private-score";
export const source = `// A credit score computed where nobody but this code sees the applicant. Nothing is stored and nothing is logged.
const clamp = (x) => Math.min(1, Math.max(0, x));
const bands = [[740, "very good"], [670, "good"], [580, "fair"], [0, "poor"]];

export default {
  async fetch(request) {
    if (request.method !== "POST") {
      return Response.json({ error: "send an applicant by POST" }, { status: 405 });
    }
    const a = await request.json();
    const sum = 0.35 * clamp(1 - a.late_payments_24m / 6)
      + 0.30 * clamp(1 - a.credit_used / a.credit_limit)
      + 0.15 * clamp(1 - a.debt_month / a.income_month / 0.6)
      + 0.12 * clamp(a.years_of_history / 15)
      + 0.08 * clamp(1 - a.new_accounts_12m / 5);
    const score = Math.round(300 + 550 * sum);
    return Response.json({ score, band: bands.find(([from]) => score >= from)[1] });
  },
};
`;
export const request = JSON.stringify({ income_month: 4200, debt_month: 900, credit_limit: 12000, credit_used: 3100, years_of_history: 9, late_payments_24m: 1, new_accounts_12m: 1 }, null, 2);
