// link: rd_data
/* What the schema itself holds: tenancy by forced row security, and each rule that must not depend on any program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/data/migrate.h"
#include "common/data/retention.h"
#include "common/model/instance_state.h"
#include "tests/support/private_pg.h"
#include "tests/support/private_sql.h"

static private_pg server;
static private_sql *root; /* superuser: no row security, but every constraint */

#define ORG1 "'00000000-0000-7000-8000-000000000001'"
#define ORG2 "'00000000-0000-7000-8000-000000000002'"
#define HOST "'00000000-0000-7000-8000-0000000000aa'"
#define INS  "'00000000-0000-7000-8000-dddd00000000'"
#define APP1 "decode(repeat('a1', 32), 'hex')"
#define APP2 "decode(repeat('a2', 32), 'hex')"
#define D32  "decode(repeat('dd', 32), 'hex')"

static void seed(void)
{
    private_sql_run(root, "INSERT INTO orgs (org_id, name) VALUES (" ORG1 ", 'one'), (" ORG2 ", 'two')");
    private_sql_run(root, "INSERT INTO org_quota (org_id, inst_limit, cpu_m_limit, mem_limit) SELECT org_id, 10, "
                          "10000, 1 << 30 FROM orgs");
    private_sql_run(root, "INSERT INTO apps (app_id, org_id, name, genesis) VALUES (" APP1 ", " ORG1
                          ", 'app', 'g'), (" APP2 ", " ORG2 ", 'app', 'g')");
    private_sql_run(root,
                    "INSERT INTO hosts (host_id, shard, state, granted_cpu_m, granted_mem, granted_slots, job_seq)"
                    " VALUES (" HOST ", 0, 3, 1000, 1000, 10, 5)");
    private_sql_run(root, "INSERT INTO leases (instance_id, epoch, org_id, app_id, deployment_gen, slot, shard, "
                          "host_id, job_seq, release_digest,"
                          " class, cpu_m, mem, plan_no) VALUES (" INS ", 10, " ORG1 ", " APP1 ", 1, 0, 0, " HOST
                          ", 5, " D32 ", 1, 100, 100, 1)");
}

static int group_setup(void **state)
{
    (void)state;
    private_pg_start(&server, NULL);
    rd_err err = RD_ERR_INIT;
    if (rd_migrate(server.conninfo, "migrations", 1000, NULL, &err) < 0)
        fail_msg("%s", err.text);
    root = private_sql_open(server.conninfo);
    seed();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    private_sql_close(root);
    private_pg_stop(&server);
    return 0;
}

/* --- tenancy --- */

#define TENANT_TABLES                                                                                                  \
    "(SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relispartition FROM pg_class c"              \
    " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND EXISTS (SELECT 1 FROM "            \
    "pg_attribute a"                                                                                                   \
    " WHERE a.attrelid = c.oid AND a.attname IN ('org_id', 'operator_org') AND NOT a.attisdropped)) t"

static void test_row_security_is_forced(void **state)
{
    (void)state;
    assert_true(private_sql_number(root, "SELECT count(*) FROM " TENANT_TABLES " WHERE NOT relispartition") >= 25);
    assert_string_equal(private_sql_text(root,
                                         "SELECT string_agg(relname, ' ') FROM " TENANT_TABLES
                                         " WHERE NOT relispartition AND NOT (relrowsecurity AND relforcerowsecurity)"),
                        "");
    assert_string_equal(
        private_sql_text(
            root, "SELECT string_agg(relname, ' ') FROM " TENANT_TABLES
                  " WHERE NOT relispartition AND NOT EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = t.oid)"),
        "");
    /* Those without an organisation of their own that tell of one. */
    assert_int_equal(private_sql_number(
                         root, "SELECT count(*) FROM pg_class WHERE relname IN ('hosts', 'host_links', 'lease_status',"
                               " 'lease_verdicts', 'lease_evidence', 'users') AND relforcerowsecurity"),
                     6);
}

static void test_partitions_have_no_grants(void **state)
{
    (void)state;
    assert_string_equal(
        private_sql_text(
            root, "SELECT string_agg(DISTINCT c.relname, ' ') FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r"
                  " ON r.oid = a.grantee WHERE c.relispartition AND r.rolname IN ('rd_api', 'rd_ingest', 'rd_sched')"),
        "");
}

/* A unique key that does not start with the organisation tells of foreign rows, unless it is random or certifies
 * itself. */
static void test_unique_keys_start_with_the_organisation(void **state)
{
    (void)state;
    assert_string_equal(
        private_sql_text(
            root,
            "SELECT string_agg(i.indexrelid::regclass::text, ' ' ORDER BY i.indexrelid::regclass::text) FROM pg_index i"
            " JOIN " TENANT_TABLES
            " ON t.oid = i.indrelid JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
            " WHERE i.indisunique AND NOT t.relispartition AND a.attname NOT IN ('org_id', 'operator_org', 'app_id',"
            " 'deployment_id', 'release_id', 'token_id', 'host_id', 'instance_id', 'hash', 'code_hash', 'platform_id', "
            "'at',"
            " 'period_start', 'ended_at') AND i.indkey[0] <> 0"),
        "");
}

/* Row security does not look at foreign keys: each between two tenants' tables must carry the organisation. */
static void test_foreign_keys_carry_the_organisation(void **state)
{
    (void)state;
    assert_string_equal(
        private_sql_text(
            root,
            "SELECT string_agg(c.conname, ' ') FROM pg_constraint c JOIN " TENANT_TABLES " ON t.oid = c.conrelid"
            " WHERE c.contype = 'f' AND NOT t.relispartition AND c.confrelid NOT IN ('orgs'::regclass, "
            "'users'::regclass)"
            " AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey)"
            " AND a.attname IN ('org_id', 'operator_org'))"),
        "");
    assert_string_equal(private_sql_state(root, "INSERT INTO app_holds VALUES (" APP2 ", " ORG1 ", 1, 1, 1, 1)"),
                        "23503");
}

static void test_rd_api_sees_one_organisation(void **state)
{
    (void)state;
    private_sql *api = private_sql_open(private_pg_as(&server, "rd_api"));
    assert_int_equal(private_sql_number(api, "SELECT count(*) FROM apps"), 0);
    private_sql_run(api, "BEGIN; SELECT set_config('rd.org', " ORG1 ", true)");
    assert_int_equal(private_sql_number(api, "SELECT count(*) FROM apps"), 1);
    assert_int_equal(private_sql_number(api, "SELECT count(*) FROM leases"), 1);
    assert_string_equal(
        private_sql_state(api, "INSERT INTO blobs (org_id, digest, size) VALUES (" ORG2 ", " D32 ", 1)"), "42501");
    /* The setting is gone with its transaction, and the empty text that stays behind is no error. */
    assert_int_equal(private_sql_number(api, "SELECT count(*) FROM apps"), 0);
    private_sql_run(api, "BEGIN; SELECT set_config('rd.org', " ORG2 ", true)");
    assert_int_equal(private_sql_number(api, "SELECT count(*) FROM leases"), 0);
    assert_string_equal(private_sql_state(api, "SELECT quota_take(" ORG1 ", " APP1 ", 1, 1, 1, 1)"), "42501");
    private_sql_close(api);
}

static void test_records_of_grants_are_the_organisations_own(void **state)
{
    (void)state;
    private_sql *ingest = private_sql_open(private_pg_as(&server, "rd_ingest"));
    private_sql_run(ingest, "INSERT INTO grant_log (org_id, app_id, instance_id, epoch, kms_id, replica, number, "
                            "is_grant, reason, record) VALUES (" ORG1 ", " APP1 ", " INS ", 10, " D32 ", " D32
                            ", 1, false, 'kms_nonce', 'r')");
    private_sql_close(ingest);
    private_sql *api = private_sql_open(private_pg_as(&server, "rd_api"));
    private_sql_run(api, "BEGIN; SELECT set_config('rd.org', " ORG1 ", true)");
    assert_int_equal(private_sql_number(api, "SELECT count(*) FROM grant_log"), 1);
    private_sql_run(api, "COMMIT; BEGIN; SELECT set_config('rd.org', " ORG2 ", true)");
    assert_int_equal(private_sql_number(api, "SELECT count(*) FROM grant_log"), 0);
    private_sql_close(api);
}

static void test_roles_write_only_what_is_theirs(void **state)
{
    (void)state;
    static const struct {
        const char *role;
        const char *sql;
    } rows[] = {
        { "rd_api", "UPDATE leases SET want = 3" },
        { "rd_api", "DELETE FROM lease_status" },
        { "rd_api", "UPDATE hosts SET state = 3" },
        { "rd_api", "DELETE FROM evaluations" },
        { "rd_api", "UPDATE deployments SET max = 1" },
        { "rd_api", "DELETE FROM audit" },
        { "rd_ingest", "SELECT hash FROM tokens" },
        { "rd_ingest", "SELECT hash FROM sessions" },
        { "rd_ingest", "UPDATE leases SET live = false" },
        { "rd_ingest", "UPDATE events SET kind = 'app'" },
        { "rd_api", "DELETE FROM grant_log" },
        { "rd_ingest", "UPDATE grant_log SET number = 1" },
        { "rd_sched", "SELECT record FROM grant_log" },
        { "rd_sched", "UPDATE lease_status SET phase = 4" },
        { "rd_sched", "INSERT INTO lease_verdicts (instance_id, epoch) VALUES (NULL, 1)" },
        { "rd_sched", "UPDATE org_quota SET inst_used = 0" },
        { "rd_sched", "SELECT hash FROM tokens" },
        { "rd_maint", "SELECT body FROM events" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        private_sql *sql = private_sql_open(private_pg_as(&server, rows[i].role));
        const char *got = private_sql_state(sql, "%s", rows[i].sql);
        if (strcmp(got, "42501") != 0)
            fail_msg("%s may do: %s (%s)", rows[i].role, rows[i].sql, got);
        private_sql_close(sql);
    }
}

/* --- rules --- */

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *want; /* SQLSTATE */
        const char *sql;
    } rows[] = {
        { "serving without a verdict", "23514",
          "INSERT INTO lease_status (instance_id, epoch, incarnation, seq, phase) VALUES (" INS ", 10, 1, 1, 4)" },
        { "serving with a verdict of another epoch", "23514",
          "INSERT INTO lease_status (instance_id, epoch, incarnation, seq, phase, verdict_epoch) VALUES (" INS
          ", 10, 1, 1, 4, 9)" },
        { "serving with a verdict that is not there", "23503",
          "INSERT INTO lease_status (instance_id, epoch, incarnation, seq, phase, verdict_epoch) VALUES (" INS
          ", 10, 1, 1, 4, 10)" },
        { "status of a lease that is not there", "23503",
          "INSERT INTO lease_status (instance_id, epoch, incarnation, seq, phase) VALUES (" INS ", 11, 1, 1, 1)" },
        { "verdict of a lease that is not there", "23503",
          "INSERT INTO lease_verdicts (instance_id, epoch, result, simulated, verified_at, valid_until) VALUES (" INS
          ", 11, 1, true, now(), now())" },
        { "used above granted, cpu", "23514", "UPDATE hosts SET used_cpu_m = 1001" },
        { "used above granted, memory", "23514", "UPDATE hosts SET used_mem = 1001" },
        { "used above granted, slots", "23514", "UPDATE hosts SET used_slots = 11" },
        { "used below zero", "23514", "UPDATE hosts SET used_slots = -1" },
        { "a host's job number back", "RD002", "UPDATE hosts SET job_seq = 4" },
        { "a host's state number back", "RD002", "UPDATE hosts SET state_gen = 0" },
        { "a second live lease", "23505",
          "INSERT INTO leases (instance_id, epoch, org_id, app_id, deployment_gen, slot, shard, host_id, job_seq, "
          "release_digest, class, cpu_m,"
          " mem, plan_no) VALUES (" INS ", 11, " ORG1 ", " APP1 ", 1, 0, 0, " HOST ", 6, " D32 ", 1, 100, 100, 2)" },
        { "a job number twice on a host", "23505",
          "INSERT INTO leases (instance_id, epoch, org_id, app_id, deployment_gen, slot, shard, host_id, job_seq, "
          "release_digest, class, cpu_m,"
          " mem, plan_no) VALUES (" HOST ", 11, " ORG1 ", " APP1 ", 1, 0, 0, " HOST ", 5, " D32 ", 1, 100, 100, 2)" },
        { "an epoch twice", "23505",
          "INSERT INTO leases (instance_id, epoch, org_id, app_id, deployment_gen, slot, shard, host_id, job_seq, "
          "release_digest, class, cpu_m,"
          " mem, plan_no, live, held, ended_at) VALUES (" INS ", 10, " ORG1 ", " APP1 ", 1, 0, 0, " HOST ", 6, " D32
          ", 1, 100, 100, 2,"
          " false, false, now())" },
        { "live without capacity", "23514", "UPDATE leases SET held = false" },
        { "ended without a time", "23514", "UPDATE leases SET live = false, held = false" },
        { "a lease on another host", "RD002", "UPDATE leases SET host_id = " INS },
        { "wanted again", "RD002", "UPDATE leases SET want = 2; UPDATE leases SET want = 1" },
        { "alive again", "RD002",
          "UPDATE leases SET live = false, held = false, ended_at = now(); UPDATE leases SET live = true, held = "
          "true" },
        { "the fence's epoch back", "RD002", "UPDATE shard_fence SET epoch = -1" },
        { "the plan number back", "RD002", "UPDATE shard_fence SET plan_no = 5; UPDATE shard_fence SET plan_no = 4" },
        { "a plan of a leader that is none", "RD001", "SELECT fence_plan(0, 7, 0, 1)" },
        { "the era back", "RD002", "UPDATE cluster SET era = 5; UPDATE cluster SET era = 4" },
        { "a second cluster row", "23505", "INSERT INTO cluster DEFAULT VALUES" },
        { "quota used below zero", "23514", "UPDATE org_quota SET inst_used = -1" },
        { "an app id of another size", "23514",
          "INSERT INTO apps (app_id, org_id, name, genesis) VALUES ('x', " ORG1 ", 'short', 'g')" },
        { "an app name twice in an organisation", "23505",
          "INSERT INTO apps (app_id, org_id, name, genesis) VALUES (" D32 ", " ORG1 ", 'app', 'g')" },
        { "a lease time below 10 s", "23514", "UPDATE apps SET lease_ttl_us = 9999999" },
        { "a link session back", "RD002",
          "INSERT INTO host_links (host_id, session) VALUES (" HOST ", 5); UPDATE host_links SET session = 4" },
        { "resynced before attached", "23514",
          "INSERT INTO host_links (host_id, session, reconciled_session) VALUES (" HOST ", 1, 2)" },
        { "an event body too long", "23514",
          "INSERT INTO events (kind, subject, body) VALUES ('app', '', jsonb_build_object('x', repeat('x', 5000)))" },
        { "a grant's record without a certificate", "23514",
          "INSERT INTO grant_log (org_id, app_id, instance_id, epoch, kms_id, replica, number, is_grant, record) "
          "VALUES "
          "(" ORG1 ", " APP1 ", " INS ", 10, " D32 ", " D32 ", 1, true, 'r')" },
        { "a refusal's record without a reason", "23514",
          "INSERT INTO grant_log (org_id, app_id, instance_id, epoch, kms_id, replica, number, is_grant, record) "
          "VALUES "
          "(" ORG1 ", " APP1 ", " INS ", 10, " D32 ", " D32 ", 1, false, 'r')" },
        { "a token's uses below zero", "23514",
          "INSERT INTO enrol_tokens (hash, org_id, uses_left, expires_at) VALUES (" D32 ", " ORG1 ", -1, now())" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        private_sql_run(root, "BEGIN");
        const char *got = private_sql_state(root, "%s", rows[i].sql);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: %s instead of %s", rows[i].name, got, rows[i].want);
        private_sql_run(root, "ROLLBACK");
    }
}

static void test_facts_never_change(void **state)
{
    (void)state;
    private_sql_run(root, "BEGIN");
    private_sql_run(root, "INSERT INTO releases (release_id, org_id, app_id, number, manifest, digest, signatures, "
                          "envelope, code_digest, cpu_m, mem)"
                          " VALUES (" INS ", " ORG1 ", " APP1 ", 1, 'm', " D32 ", '[]', 'e', " D32 ", 1, 1)");
    assert_string_equal(private_sql_state(root, "UPDATE releases SET number = 2"), "RD002");
    private_sql_run(root, "BEGIN");
    private_sql_run(root, "INSERT INTO heads (org_id, app_id, seq, head, digest, signatures, envelope, class)"
                          " VALUES (" ORG1 ", " APP1 ", 1, 'h', " D32 ", '[]', 'e', 'simulated')");
    assert_string_equal(private_sql_state(root, "UPDATE heads SET seq = 2"), "RD002");
    private_sql_run(root, "BEGIN");
    private_sql_run(root, "INSERT INTO heads (org_id, app_id, seq, head, digest, signatures, envelope, class)"
                          " VALUES (" ORG1 ", " APP1 ", 1, 'h', " D32 ", '[]', 'e', 'simulated')");
    assert_string_equal(
        private_sql_state(root, "INSERT INTO heads (org_id, app_id, seq, head, digest, signatures, envelope, class)"
                                " VALUES (" ORG1 ", " APP1 ", 1, 'h2', " D32 ", '[]', 'e', 'simulated')"),
        "23505");
}

static void test_quota_is_given_back_once(void **state)
{
    (void)state;
    private_sql_run(root, "BEGIN; SELECT set_config('rd.org', " ORG1 ", true)");
    assert_string_equal(private_sql_text(root, "SELECT quota_take(" ORG1 ", " APP1 ", 11, 100, 100, 1)"), "instances");
    assert_int_equal(private_sql_number(root, "SELECT inst_used FROM org_quota WHERE org_id = " ORG1), 0);
    assert_string_equal(private_sql_text(root, "SELECT quota_take(" ORG1 ", " APP1 ", 4, 400, 400, 1)"), "");
    assert_string_equal(private_sql_text(root, "SELECT quota_take(" ORG1 ", " APP1 ", 6, 600, 300, 2)"), "");
    assert_string_equal(
        private_sql_text(root,
                         "SELECT concat_ws(',', inst_used, cpu_m_used, mem_used) FROM org_quota WHERE org_id = " ORG1),
        "6,600,400");
    assert_string_equal(private_sql_text(root, "SELECT quota_give(" APP1 ", 1, 0, 0, 0)"),
                        "f"); /* a newer accept holds it */
    assert_string_equal(private_sql_text(root, "SELECT quota_give(" APP1 ", 2, 2, 200, 200)"), "t");
    assert_string_equal(private_sql_text(root, "SELECT quota_give(" APP1 ", 2, 0, 0, 0)"), "t");
    assert_string_equal(private_sql_text(root, "SELECT quota_give(" APP1 ", 2, 0, 0, 0)"), "f");
    assert_string_equal(
        private_sql_text(root,
                         "SELECT concat_ws(',', inst_used, cpu_m_used, mem_used) FROM org_quota WHERE org_id = " ORG1),
        "0,0,0");
    private_sql_run(root, "ROLLBACK");
}

/* An app in deletion ends in the transaction that gives back the last of its hold, and no other app does. */
static void test_deletion_ends_with_the_hold(void **state)
{
    (void)state;
    private_sql_run(root, "BEGIN; SELECT set_config('rd.org', " ORG1 ", true)");
    assert_string_equal(private_sql_text(root, "SELECT quota_take(" ORG1 ", " APP1 ", 4, 400, 400, 1)"), "");
    private_sql_run(root, "UPDATE apps SET state = 2 WHERE app_id = " APP1);
    assert_string_equal(private_sql_text(root, "SELECT quota_give(" APP1 ", 1, 2, 200, 200)"), "t");
    assert_int_equal(private_sql_number(root, "SELECT state FROM apps WHERE app_id = " APP1), 2);
    assert_string_equal(private_sql_text(root, "SELECT quota_give(" APP1 ", 1, 0, 0, 0)"), "t");
    assert_int_equal(private_sql_number(root, "SELECT state FROM apps WHERE app_id = " APP1), 3);
    assert_string_equal(
        private_sql_text(root, "SELECT body->>'state' FROM events WHERE kind = 'app' AND app_id = " APP1), "deleted");
    private_sql_run(root, "ROLLBACK; BEGIN; SELECT set_config('rd.org', " ORG1 ", true)");
    assert_string_equal(private_sql_text(root, "SELECT quota_take(" ORG1 ", " APP1 ", 4, 400, 400, 1)"), "");
    assert_string_equal(private_sql_text(root, "SELECT quota_give(" APP1 ", 1, 0, 0, 0)"), "t");
    assert_int_equal(private_sql_number(root, "SELECT state FROM apps WHERE app_id = " APP1), 1);
    private_sql_run(root, "ROLLBACK");
}

static void test_phases_are_the_models(void **state)
{
    (void)state;
    for (int from = RD_PHASE_NONE; from < RD_PHASE_COUNT; from++)
        for (int to = RD_PHASE_DELIVERED; to < RD_PHASE_COUNT; to++) {
            long long got = private_sql_number(root, "SELECT phase_ok(%d::smallint, %d::smallint)::int", from, to);
            if (got != rd_phase_ok((rd_phase)from, (rd_phase)to))
                fail_msg("%s to %s: %lld in SQL", rd_phase_name((rd_phase)from), rd_phase_name((rd_phase)to), got);
        }
}

static void test_partitions_reach_ahead(void **state)
{
    (void)state;
    assert_true(private_sql_number(root, "SELECT partitions_ahead()") > 13 * 86400);
    assert_int_equal(private_sql_number(root, "SELECT partitions_make()"), 0);
    private_sql_run(root, "DROP TABLE %s",
                    private_sql_text(root,
                                     "SELECT max(c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                                     " WHERE i.inhparent = 'events'::regclass"));
    private_sql *sched = private_sql_open(private_pg_as(&server, "rd_sched"));
    assert_int_equal(private_sql_number(sched, "SELECT partitions_make()"), 1);
    private_sql_close(sched);
}

static void make_old(const char *parent, const char *day)
{
    private_sql_run(root,
                    "CREATE TABLE %s_%s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS);"
                    "ALTER TABLE %s_%s OWNER TO rd_owner;"
                    "ALTER TABLE %s ATTACH PARTITION %s_%s FOR VALUES FROM ('%s') TO (date '%s' + 1)",
                    parent, day, parent, parent, day, parent, parent, day, day, day);
}

static void test_old_partitions_go(void **state)
{
    (void)state;
    make_old("events", "20200101");
    make_old("evidence_log", "20200102");
    private_sql_run(
        root, "CREATE TABLE events_20200103 (n int); ALTER TABLE events_20200103 OWNER TO rd_owner"); /* detached, not
                                                                                                         dropped */
    rd_err err = RD_ERR_INIT;
    assert_int_equal(private_sql_number(root, "SELECT count(*) FROM partitions_due"), 3);
    int dropped = rd_retention_run(server.conninfo, &err);
    if (dropped != 3)
        fail_msg("%d: %s", dropped, err.text);
    assert_int_equal(rd_retention_run(server.conninfo, &err), 0);
    assert_int_equal(private_sql_number(root, "SELECT count(*) FROM pg_class WHERE relname ~ '_2020010[123]$'"), 0);
    /* A reader that holds on makes it wait, not the others. */
    make_old("events", "20200105");
    private_sql *reader = private_sql_open(server.conninfo);
    private_sql_run(reader, "BEGIN; SELECT count(*) FROM events_20200105");
    assert_int_equal(rd_retention_run(server.conninfo, &err), -1);
    assert_int_equal(private_sql_number(root, "SELECT count(*) FROM events WHERE at < now()") >= 0, 1);
    private_sql_run(reader, "COMMIT");
    private_sql_close(reader);
    assert_int_equal(rd_retention_run(server.conninfo, &err), 1);
    assert_int_equal(private_sql_number(root, "SELECT count(*) FROM partitions_due"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_security_is_forced),
        cmocka_unit_test(test_partitions_have_no_grants),
        cmocka_unit_test(test_unique_keys_start_with_the_organisation),
        cmocka_unit_test(test_foreign_keys_carry_the_organisation),
        cmocka_unit_test(test_rd_api_sees_one_organisation),
        cmocka_unit_test(test_records_of_grants_are_the_organisations_own),
        cmocka_unit_test(test_roles_write_only_what_is_theirs),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_facts_never_change),
        cmocka_unit_test(test_quota_is_given_back_once),
        cmocka_unit_test(test_deletion_ends_with_the_hold),
        cmocka_unit_test(test_phases_are_the_models),
        cmocka_unit_test(test_partitions_reach_ahead),
        cmocka_unit_test(test_old_partitions_go),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
