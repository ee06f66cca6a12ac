// The promises that hold whatever broke, read from PostgreSQL by queries of their own (specification: invariants I1-I14).
import assert from "node:assert/strict";
import { until } from "./stack.mjs";

// A row's bound is for a machine that does nothing else; this suite shares its own with other work.
const SLACK = 6;

const QUERIES = [
  ["I3 one live lease an instance", "SELECT instance_id FROM leases WHERE live GROUP BY 1 HAVING count(*) > 1"],
  ["I3 a live lease has the newest epoch", "SELECT l.instance_id FROM leases l JOIN leases n USING (instance_id) WHERE l.live AND n.epoch > l.epoch"],
  ["I4 serving has an accepted verdict of its epoch", "SELECT s.instance_id FROM lease_status s LEFT JOIN lease_verdicts v USING (instance_id, epoch) WHERE s.phase = 4 AND v.instance_id IS NULL"],
  ["I5 used is what is held", `SELECT h.host_id FROM hosts h LEFT JOIN (SELECT host_id, sum(cpu_m) c, sum(mem) m, sum(slots) s FROM leases WHERE held GROUP BY 1) l USING (host_id)
     WHERE (h.used_cpu_m, h.used_mem, h.used_slots) <> (coalesce(l.c, 0), coalesce(l.m, 0), coalesce(l.s, 0))`],
  ["I5 used within granted", "SELECT host_id FROM hosts WHERE used_cpu_m > granted_cpu_m OR used_mem > granted_mem OR used_slots > granted_slots"],
  ["I10 quota is the sum of holds", `SELECT q.org_id FROM org_quota q LEFT JOIN (SELECT org_id, sum(inst) i FROM app_holds GROUP BY 1) h USING (org_id) WHERE q.inst_used <> coalesce(h.i, 0)`],
  ["I13 every deployment has an audit row", "SELECT d.deployment_id FROM deployments d WHERE NOT EXISTS (SELECT 1 FROM audit a WHERE a.org_id = d.org_id AND a.at >= d.at - interval '1 second')"],
];

export function checkInvariants(stack) {
  for (const [name, query] of QUERIES) assert.deepEqual(stack.sql(query), [], name);
}

// Serving instances of an app as every reader counts them.
export const serving = (stack, app) => Number(stack.sql(`SELECT count(*) FROM leases l JOIN lease_status s USING (instance_id, epoch) JOIN lease_verdicts v USING (instance_id, epoch)
  JOIN apps a USING (app_id) WHERE a.name = '${app}' AND l.live AND l.want = 1 AND s.phase = 4 AND v.valid_until > clock_timestamp()`)[0][0]);

// Waits for what must come to be within the row's bound, and says how long it took.
export async function converges(t, boundMs, what, condition) {
  const began = performance.now();
  await until(`${what}, bound ${boundMs} ms`, condition, boundMs * SLACK);
  t.diagnostic(`${what}: ${Math.round(performance.now() - began)} ms, bound ${boundMs} ms`);
}

// I3 by the agents' own logs: no epoch of an instance is launched on two hosts.
export function launchedOnce(stack) {
  const hosts = new Map();
  for (const name of stack.processes.keys()) {
    if (!name.startsWith("agent-")) continue;
    for (const [, lease] of stack.processes.get(name).log().matchAll(/"event":"instance_phase","instance":"(\w+","epoch":\d+),"phase":"launching"/g))
      hosts.set(lease, new Set([...(hosts.get(lease) || []), name]));
  }
  for (const [lease, names] of hosts) assert.equal(names.size, 1, `I3: ${lease} was launched by ${[...names]}`);
  assert.ok(hosts.size > 0, "launches are in the logs");
}
