// A points table in the usual shape: each factor gives a part from 0 to 1, weighted, onto 300 to 850.
const clamp = (x) => Math.min(1, Math.max(0, x));

const factors = [
  ['payment_history', 0.35, (a) => clamp(1 - a.late_payments_24m / 6)],
  ['utilisation', 0.3, (a) => (a.credit_limit === 0 ? 0.5 : clamp(1 - a.credit_used / a.credit_limit))],
  ['debt_to_income', 0.15, (a) => (a.income_month === 0 ? 0 : clamp(1 - a.debt_month / a.income_month / 0.6))],
  ['length_of_history', 0.12, (a) => clamp(a.years_of_history / 15)],
  ['new_credit', 0.08, (a) => clamp(1 - a.new_accounts_12m / 5)],
];

const bands = [[740, 'very good'], [670, 'good'], [580, 'fair'], [0, 'poor']];

export function score(applicant) {
  const parts = factors.map(([name, weight, rate]) => ({ name, weight, part: rate(applicant) }));
  const sum = parts.reduce((total, p) => total + p.weight * p.part, 0);
  const points = Math.round(300 + 550 * sum);
  const reasons = parts
    .map((p) => ({ name: p.name, lost: Math.round(550 * p.weight * (1 - p.part)) }))
    .filter((p) => p.lost > 0)
    .sort((a, b) => b.lost - a.lost)
    .slice(0, 3);
  return { score: points, band: bands.find(([from]) => points >= from)[1], reasons };
}
