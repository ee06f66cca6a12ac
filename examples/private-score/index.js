// A credit score computed where nobody but this code sees the applicant. Nothing is stored and nothing is logged.
import { readApplicant } from './applicant.js';
import { score } from './score.js';

export default {
  async fetch(request, env) {
    if (request.method !== 'POST') {
      return Response.json({ error: 'send an applicant by POST' }, { status: 405, headers: { allow: 'POST' } });
    }
    let applicant;
    try {
      applicant = readApplicant(await request.json());
    } catch (e) {
      return Response.json({ error: e.message }, { status: 400 });
    }
    return Response.json({ model: env.MODEL ?? 'v1', ...score(applicant) }, { headers: { 'cache-control': 'no-store' } });
  },
};
