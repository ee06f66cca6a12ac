// The applicant as the score wants it: every field checked, with a sentence that names the one that is wrong.
const fields = {
  income_month: [0, 1_000_000],
  debt_month: [0, 1_000_000],
  credit_limit: [0, 10_000_000],
  credit_used: [0, 10_000_000],
  years_of_history: [0, 80],
  late_payments_24m: [0, 240],
  new_accounts_12m: [0, 100],
};

export function readApplicant(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new Error('the applicant is no object');
  const applicant = {};
  for (const [name, [low, high]] of Object.entries(fields)) {
    const given = value[name];
    if (typeof given !== 'number' || !(given >= low && given <= high)) {
      throw new Error(`${name} must be a number from ${low} to ${high}`);
    }
    applicant[name] = given;
  }
  for (const name of Object.keys(value)) if (!(name in fields)) throw new Error(`unknown field ${name}`);
  return applicant;
}
