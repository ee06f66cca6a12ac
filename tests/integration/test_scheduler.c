// link: scheduler_core
// needs: redoubt-scheduler
/* The scheduler as a process between real servers, with hosts and reports that the test writes as ingest would. */
#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/data/migrate.h"
#include "tests/support/private_pg.h"
#include "tests/support/private_redis.h"
#include "tests/support/private_sql.h"

static private_pg server;
static private_redis redis;
static private_sql *sql;
static pid_t beater; /* a child that beats for the replica, as a living API would */
static pid_t schedulers[2];

#define ORG     "'00000000-0000-7000-8000-000000000001'::uuid"
#define REPLICA "'00000000-0000-7000-8000-00000000eeee'::uuid"

/* --- programs --- */

static pid_t start_scheduler(const char *failpoints)
{
    char program[512];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 64);
    assert_true(size > 0);
    program[size] = '\0';
    char *slash = strrchr(program, '/');
    (void)strcpy(slash, "/../bin/redoubt-scheduler");
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (failpoints)
        (void)setenv("REDOUBT_FAILPOINTS", failpoints, 1);
    if (!getenv("SCHED_LOG") && !freopen("/dev/null", "w", stderr))
        _exit(126);
    execl(program, program, "--database", private_pg_as(&server, "rd_sched"), "--redis", redis.address, (char *)NULL);
    _exit(127);
}

static void end(pid_t *pid, int signal_number)
{
    if (*pid <= 0)
        return;
    (void)kill(*pid, signal_number);
    (void)waitpid(*pid, NULL, 0);
    *pid = 0;
}

static void start_beater(void)
{
    beater = fork();
    if (beater != 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    private_sql *own = private_sql_open(server.conninfo);
    for (;;) {
        private_sql_run(own, "UPDATE replicas SET beat = beat + 1");
        (void)usleep(500000);
    }
}

/* What the API does after an accept. */
static void wake(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", redis.address + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    static const char command[] = "XADD wake:0 * t 1\r\n";
    char answer[64];
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && write(fd, command, sizeof command - 1) > 0)
        (void)!read(fd, answer, sizeof answer);
    (void)close(fd);
}

/* What the API does when a call comes for the app of this number, below 256. */
static void call(uint8_t app)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", redis.address + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    static const char head[] = "*5\r\n$4\r\nXADD\r\n$6\r\nwake:0\r\n$1\r\n*\r\n$1\r\nc\r\n$32\r\n";
    uint8_t command[sizeof head - 1 + 34] = { 0 };
    char answer[64];
    memcpy(command, head, sizeof head - 1);
    command[sizeof head - 1 + 31] = app;
    memcpy(command + sizeof head - 1 + 32, "\r\n", 2);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && write(fd, command, sizeof command) > 0)
        (void)!read(fd, answer, sizeof answer);
    (void)close(fd);
}

/* --- the world --- */

static const char world[] =
    "CREATE FUNCTION t_id(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), "
    "12, '0'))::uuid $$;"
    "CREATE FUNCTION t_app(n int) RETURNS bytea LANGUAGE sql AS $$ SELECT decode(lpad(to_hex(n), 64, '0'), 'hex') $$;"
    "INSERT INTO orgs (org_id, name) VALUES (" ORG ", 'one');"
    "INSERT INTO org_quota (org_id, inst_limit, cpu_m_limit, mem_limit) VALUES (" ORG ", 100000, 100000000, 1 << 30);"
    "UPDATE org_quota SET mem_limit = 1::bigint << 50;"
    "INSERT INTO replicas (replica_id) VALUES (" REPLICA ");"
    /* A host as enrolment and an attach leave it. */
    "CREATE FUNCTION t_host(n int, cpu bigint, mem bigint, slots bigint) RETURNS void LANGUAGE sql AS $$"
    " INSERT INTO host_identity (host_id, operator_org, platform_id, agent_key, tee, simulated)"
    "  VALUES (t_id(n), " ORG ", uuid_send(t_id(n)), decode(repeat('00', 32), 'hex'), 'tdx', true);"
    " INSERT INTO host_links (host_id, session, reconciled_session, replica_id, reported_cpu_m, reported_mem, "
    "reported_slots, state)"
    "  VALUES (t_id(n), 1, 1, " REPLICA ", cpu, mem, slots, 1);"
    " SELECT evaluate(0, 2::smallint, uuid_send(t_id(n)), 'attached') $$;"
    "CREATE FUNCTION t_make(n int, cpu bigint, mem bigint) RETURNS void LANGUAGE sql AS $$"
    " INSERT INTO apps (app_id, org_id, name, genesis) VALUES (t_app(n), " ORG ", 'app' || n, 'g');"
    " INSERT INTO heads (org_id, app_id, seq, head, digest, signatures, envelope, class)"
    "  VALUES (" ORG ", t_app(n), 1, 'h', t_app(n), '[]', 'e', 'simulated');"
    " INSERT INTO releases (release_id, org_id, app_id, number, manifest, digest, signatures, envelope, code_digest, "
    "cpu_m, mem)"
    "  SELECT gen_random_uuid(), " ORG
    ", t_app(n), r, 'm', t_app(n * 1000 + r), '[]', 'e', t_app(n), cpu, mem FROM generate_series(1, 3) r $$;"
    /* As T1: quota, wish, evaluation. */
    "CREATE FUNCTION t_deploy(n int, release int, count int, akind int) RETURNS text LANGUAGE plpgsql AS $$"
    " DECLARE refused text; agen bigint; rel releases; BEGIN"
    " PERFORM set_config('rd.org', (" ORG ")::text, true);"
    " SELECT * INTO rel FROM releases WHERE app_id = t_app(n) AND number = release;"
    " SELECT coalesce(max(gen), 0) + 1 INTO agen FROM deployments WHERE app_id = t_app(n);"
    " refused := quota_take(" ORG ", t_app(n), count, count * rel.cpu_m, count * rel.mem, agen);"
    " IF refused IS NOT NULL THEN RETURN refused; END IF;"
    " INSERT INTO deployments (deployment_id, org_id, app_id, gen, release_id, head_seq, min, max, kind)"
    "  VALUES (gen_random_uuid(), " ORG ", t_app(n), agen, rel.release_id, 1, count, count, akind);"
    " PERFORM evaluate(0, 1::smallint, t_app(n), 'deploy'); RETURN 'ok'; END $$;"
    /* Every live lease of an app reports that it serves, with a verdict. */
    "CREATE FUNCTION t_serve(n int) RETURNS void LANGUAGE sql AS $$"
    " INSERT INTO lease_verdicts (instance_id, epoch, result, simulated, verified_at, valid_until)"
    "  SELECT instance_id, epoch, 1, true, now(), now() + interval '1 hour' FROM leases WHERE app_id = t_app(n) AND "
    "live AND want = 1"
    "  ON CONFLICT DO NOTHING;"
    " INSERT INTO lease_status (instance_id, epoch, incarnation, seq, phase, verdict_epoch)"
    "  SELECT instance_id, epoch, 1, 1, 4, epoch FROM leases JOIN lease_verdicts USING (instance_id, epoch)"
    "  WHERE app_id = t_app(n) AND live AND want = 1 ON CONFLICT DO NOTHING;" /* not of one granted a moment ago */
    " SELECT evaluate(0, 1::smallint, t_app(n), 'status') $$;"
    /* Every held lease of an app in this want reports a final phase. */
    "CREATE FUNCTION t_final(n int, awant int, aphase int) RETURNS void LANGUAGE sql AS $$"
    " INSERT INTO lease_status AS s (instance_id, epoch, incarnation, seq, phase, reason)"
    "  SELECT instance_id, epoch, 1, 9, aphase, 'test' FROM leases WHERE app_id = t_app(n) AND held AND want = awant"
    "  ON CONFLICT (instance_id, epoch) DO UPDATE SET phase = excluded.phase, seq = 9, reason = 'test';"
    " SELECT evaluate(0, 1::smallint, t_app(n), 'status') $$;";

static int group_setup(void **state)
{
    (void)state;
    private_pg_start(&server, NULL);
    private_redis_start(&redis);
    rd_err err = RD_ERR_INIT;
    if (rd_migrate(server.conninfo, "migrations", 1000, NULL, &err) < 0)
        fail_msg("%s", err.text);
    sql = private_sql_open(server.conninfo);
    private_sql_run(sql, "%s", world);
    start_beater();
    schedulers[0] = start_scheduler(NULL);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    end(&schedulers[0], SIGTERM);
    end(&schedulers[1], SIGTERM);
    end(&beater, SIGKILL);
    private_sql_close(sql);
    private_redis_stop(&redis);
    private_pg_stop(&server);
    return 0;
}

/* I3, I5 and the books: what hosts say is used is what held leases carry. */
static void check_books(void)
{
    assert_int_equal(
        private_sql_number(
            sql, "SELECT count(*) FROM hosts h LEFT JOIN (SELECT host_id, sum(cpu_m) c, sum(mem) m, sum(slots) s"
                 " FROM leases WHERE held GROUP BY host_id) l USING (host_id)"
                 " WHERE used_cpu_m <> coalesce(c, 0) OR used_mem <> coalesce(m, 0) OR used_slots <> coalesce(s, 0)"),
        0);
    assert_int_equal(private_sql_number(
                         sql, "SELECT count(*) FROM leases l JOIN hosts h USING (host_id) WHERE l.job_seq > h.job_seq"),
                     0);
    assert_int_equal(
        private_sql_number(
            sql, "SELECT count(*) FROM (SELECT instance_id FROM leases WHERE live GROUP BY 1 HAVING count(*) > 1) x"),
        0);
}

static void deploy(int app, int release, int count, int kind)
{
    assert_string_equal(private_sql_text(sql, "SELECT t_deploy(%d, %d, %d, %d)", app, release, count, kind), "ok");
    wake();
}

/* bound_ms: what a machine with nothing else to do keeps; others may be slow without a fault. */
static void wait_for(int bound_ms, const char *what, const char *expression)
{
    int took_ms = private_sql_wait(sql, 30000, "%s", expression);
    if (took_ms < 0)
        fail_msg("never: %s", what);
    print_message("           %s: %d ms%s\n", what, took_ms, took_ms > bound_ms ? ", LATE" : "");
}

#define LIVE(app) "(SELECT count(*) FROM leases WHERE app_id = t_app(" app ") AND live AND want = 1)"

static void test_one_instance(void **state)
{
    (void)state;
    for (int i = 1; i <= 5; i++)
        private_sql_run(sql, "SELECT t_host(%d, 4000, 4000, 100)", i);
    wake();
    wait_for(8000, "five hosts are ready", "(SELECT count(*) FROM hosts WHERE state = 3) = 5");
    private_sql_run(sql, "SELECT t_make(1, 100, 100)");
    deploy(1, 1, 1, 1);
    wait_for(1000, "placed", LIVE("1") " = 1");
    print_message("           from accept to lease: %s ms\n",
                  private_sql_text(sql, "SELECT round(extract(epoch FROM l.granted_at - d.at) * 1000, 2) FROM leases l"
                                        " JOIN deployments d USING (app_id)"));
    wait_for(1000, "progressing", "(SELECT state FROM rollouts WHERE app_id = t_app(1)) = 1");
    private_sql_run(sql, "SELECT t_serve(1)");
    wake();
    wait_for(1000, "healthy", "(SELECT state FROM rollouts WHERE app_id = t_app(1)) = 2");
    assert_int_equal(
        private_sql_number(
            sql,
            "SELECT count(*) FROM leases WHERE instance_id = (SELECT instances_from(deployment_id) FROM deployments"
            " WHERE app_id = t_app(1))"),
        1);
    wait_for(1000, "nothing waits", "NOT EXISTS (SELECT 1 FROM evaluations)");
    check_books();
}

static void test_hundred_are_spread(void **state)
{
    (void)state;
    private_sql_run(sql, "SELECT t_make(2, 10, 10)");
    deploy(2, 1, 100, 1);
    wait_for(3000, "a hundred are placed", LIVE("2") " = 100");
    assert_int_equal(private_sql_number(sql, "SELECT count(DISTINCT host_id) FROM leases WHERE app_id = t_app(2)"), 5);
    assert_int_equal(
        private_sql_number(
            sql,
            "SELECT max(n) - min(n) FROM (SELECT count(*) n FROM leases WHERE app_id = t_app(2) GROUP BY host_id) x"),
        0);
    check_books();
}

static void test_blocked_says_why(void **state)
{
    (void)state;
    private_sql_run(sql, "SELECT t_make(3, 3000, 100)");
    deploy(3, 1, 8, 1);
    wait_for(2000, "blocked with a reason", "(SELECT reason IS NOT NULL FROM rollouts WHERE app_id = t_app(3))");
    long long placed = private_sql_number(sql, "SELECT %s", LIVE("3"));
    assert_true(placed >= 4 && placed < 8);
    assert_int_equal(
        private_sql_number(sql, "SELECT (reason->'counts'->0->>'hosts')::int FROM rollouts WHERE app_id = t_app(3)"),
        5);
    check_books();
    private_sql_run(sql, "SELECT t_host(6, 12000, 4000, 100)");
    wake();
    wait_for(2000, "a new host takes the rest", LIVE("3") " = 8");
    wait_for(1000, "and the reason goes", "(SELECT reason IS NULL FROM rollouts WHERE app_id = t_app(3))");
    check_books();
}

static void test_rollout_replaces(void **state)
{
    (void)state;
    private_sql_run(sql, "SELECT t_serve(1)");
    deploy(1, 2, 1, 1);
    wait_for(1000, "the new one starts beside the old",
             "(SELECT count(*) FROM leases WHERE app_id = t_app(1) AND live AND want = 1) = 2");
    private_sql_run(sql, "SELECT t_serve(1)");
    wake();
    wait_for(1000, "the old one drains",
             "(SELECT count(*) FROM leases WHERE app_id = t_app(1) AND held AND want = 2 AND deployment_gen = 1) = 1");
    private_sql_run(sql, "SELECT t_final(1, 2, 9)");
    wake();
    wait_for(1000, "healthy", "(SELECT state FROM rollouts WHERE app_id = t_app(1) AND gen = 2) = 2");
    assert_int_equal(private_sql_number(sql, "SELECT state FROM rollouts WHERE app_id = t_app(1) AND gen = 1"), 7);
    check_books();
}

static void test_scale_keeps_what_runs(void **state)
{
    (void)state;
    deploy(1, 2, 3, 3);
    wait_for(1000, "three", LIVE("1") " = 3");
    print_message(
        "           from accept to lease, warm: %s ms\n",
        private_sql_text(sql, "SELECT round(extract(epoch FROM max(l.granted_at) - max(d.at)) * 1000, 2) FROM leases l"
                              " JOIN deployments d USING (app_id) WHERE l.app_id = t_app(1)"));
    assert_int_equal(
        private_sql_number(sql, "SELECT count(*) FROM leases WHERE app_id = t_app(1) AND live AND deployment_gen = 2"),
        1);
    private_sql_run(sql, "SELECT t_serve(1)");
    wake();
    wait_for(1000, "healthy", "(SELECT state FROM rollouts WHERE app_id = t_app(1) AND gen = 3) = 2");
    check_books();
}

static void test_failed_is_replaced(void **state)
{
    (void)state;
    private_sql_run(sql, "UPDATE lease_status SET phase = 8, seq = 2, reason = 'boom' WHERE (instance_id, epoch) IN"
                         " (SELECT instance_id, epoch FROM leases WHERE app_id = t_app(1) AND live LIMIT 1);"
                         "SELECT evaluate(0, 1::smallint, t_app(1), 'status')");
    wake();
    wait_for(
        1000, "replaced",
        "(SELECT count(*) FROM leases WHERE app_id = t_app(1) AND end_reason = 'failed') = 1 AND " LIVE("1") " = 3");
    private_sql_run(sql, "SELECT t_serve(1)");
    check_books();
}

/* What the API leaves of a head that gives instances something else (from = seq), or the same. */
static void publish(int seq, int from)
{
    private_sql_run(
        sql,
        "INSERT INTO heads (org_id, app_id, seq, head, digest, prev, signatures, envelope, class, fits_from)"
        " VALUES (" ORG ", t_app(1), %d, 'h', t_app(1), decode(lpad(to_hex(%d), 64, '0'), 'hex'), '[]', 'e',"
        " 'simulated', %d); SELECT evaluate(0, 1::smallint, t_app(1), 'head')",
        seq, seq, from);
    wake();
}

static void test_a_newer_head_replaces(void **state)
{
    (void)state;
    publish(2, 0);
    publish(3, 3);
    for (int i = 1; i <= 3; i++) {
        char what[160];
        (void)snprintf(
            what, sizeof what,
            "(SELECT count(*) FROM leases WHERE app_id = t_app(1) AND live AND want = 1 AND head_seq = 3) = %d", i);
        wait_for(1000, "one more starts under the new head", what);
        assert_int_equal(private_sql_number(sql, "SELECT %s", LIVE("1")), 4);
        private_sql_run(sql, "SELECT t_serve(1)");
        wake();
        wait_for(1000, "an old one drains",
                 "(SELECT count(*) FROM leases WHERE app_id = t_app(1) AND held AND want = 2 AND head_seq = 1) = 1");
        private_sql_run(sql, "SELECT t_final(1, 2, 9)");
        wake();
    }
    wait_for(1000, "three, and nothing else",
             "(SELECT count(*) FROM leases WHERE app_id = t_app(1) AND held) = 3 AND " LIVE("1") " = 3");
    assert_int_equal(private_sql_number(sql, "SELECT state FROM rollouts WHERE app_id = t_app(1) AND gen = 3"), 2);
    publish(4, 3);
    wait_for(1000, "looked at", "NOT EXISTS (SELECT 1 FROM evaluations)");
    assert_int_equal(private_sql_number(sql, "SELECT %s", LIVE("1")), 3);
    check_books();
}

static void test_lost_host(void **state)
{
    (void)state;
    private_sql_run(sql, "UPDATE host_links SET state = 2, down_cause = 'host' WHERE host_id = t_id(6);"
                         "SELECT evaluate(0, 2::smallint, uuid_send(t_id(6)), 'link')");
    wake();
    wait_for(12000, "given up", "(SELECT state FROM hosts WHERE host_id = t_id(6)) = 9");
    wait_for(1000, "nothing is held there", "NOT EXISTS (SELECT 1 FROM leases WHERE host_id = t_id(6) AND held)");
    assert_true(private_sql_number(
                    sql, "SELECT count(*) FROM leases WHERE host_id = t_id(6) AND end_reason = 'lost' AND want = 3") >
                0);
    check_books();
    /* The same session again is no proof that the old ones have stopped there. */
    private_sql_run(sql, "UPDATE host_links SET state = 1 WHERE host_id = t_id(6); SELECT evaluate(0, 2::smallint, "
                         "uuid_send(t_id(6)), 'link')");
    wake();
    assert_int_equal(private_sql_wait(sql, 1500, "(SELECT state FROM hosts WHERE host_id = t_id(6)) <> 9"), -1);
    private_sql_run(sql, "UPDATE host_links SET session = 2, reconciled_session = 2 WHERE host_id = t_id(6);"
                         "SELECT evaluate(0, 2::smallint, uuid_send(t_id(6)), 'attached')");
    wake();
    wait_for(2000, "ready after a new session", "(SELECT state FROM hosts WHERE host_id = t_id(6)) = 3");
    wait_for(2000, "its capacity is used again", LIVE("3") " = 8");
    check_books();
}

static void test_drain(void **state)
{
    (void)state;
    private_sql_run(sql, "SELECT t_serve(1), t_serve(2), t_serve(3)");
    private_sql_run(sql, "INSERT INTO host_wishes (host_id, operator_org, drain_by) VALUES (t_id(1), " ORG
                         ", now() + interval '1 hour');"
                         "SELECT evaluate(0, 2::smallint, uuid_send(t_id(1)), 'drain')");
    wake();
    wait_for(1000, "draining", "(SELECT state FROM hosts WHERE host_id = t_id(1)) = 5");
    int rounds = 0;
    for (; rounds < 1000 &&
           private_sql_number(
               sql, "SELECT count(*) FROM leases WHERE host_id = t_id(1) AND held AND app_id <> t_app(3)") > 0;
         rounds++) {
        private_sql_run(sql, "SELECT t_serve(1), t_serve(2)");
        private_sql_run(sql, "SELECT t_final(1, 2, 9), t_final(2, 2, 9)");
        wake();
        (void)usleep(30000);
        /* Never fewer than asked for while their places change. */
        assert_true(private_sql_number(sql, "SELECT count(*) FROM leases JOIN lease_status USING (instance_id, epoch)"
                                            " WHERE app_id = t_app(2) AND live AND phase = 4") >= 100);
    }
    assert_true(rounds < 1000);
    assert_int_equal(private_sql_number(sql, "SELECT %s", LIVE("2")), 100);
    private_sql_run(sql, "DELETE FROM host_wishes; SELECT evaluate(0, 2::smallint, uuid_send(t_id(1)), 'undrain')");
    wake();
    wait_for(1000, "ready again", "(SELECT state FROM hosts WHERE host_id = t_id(1)) = 3");
    check_books();
}

static void test_undeploy_gives_quota_back_once(void **state)
{
    (void)state;
    deploy(2, 1, 0, 4);
    wait_for(2000, "all are told to stop",
             "NOT EXISTS (SELECT 1 FROM leases WHERE app_id = t_app(2) AND held AND want < 3)");
    assert_int_equal(private_sql_number(sql, "SELECT inst FROM app_holds WHERE app_id = t_app(2)"), 100);
    private_sql_run(sql, "SELECT t_final(2, 3, 9)");
    wake();
    wait_for(2000, "ended", "(SELECT state FROM rollouts WHERE app_id = t_app(2) ORDER BY gen DESC LIMIT 1) = 9");
    wait_for(2000, "the hold is gone", "NOT EXISTS (SELECT 1 FROM app_holds WHERE app_id = t_app(2))");
    private_sql_run(sql, "SELECT t_final(2, 3, 9)");
    wake();
    wait_for(1000, "nothing waits", "NOT EXISTS (SELECT 1 FROM evaluations)");
    assert_int_equal(private_sql_number(sql, "SELECT inst_used - (SELECT sum(inst) FROM app_holds) FROM org_quota"), 0);
    check_books();
}

static void test_leader_is_killed(void **state)
{
    (void)state;
    schedulers[1] = start_scheduler(NULL);
    (void)usleep(500000);
    private_sql_run(sql, "SELECT t_make(4, 10, 10)");
    deploy(4, 1, 50, 1);
    end(&schedulers[0], SIGKILL);
    wait_for(5000, "the other one takes over and places", LIVE("4") " = 50");
    assert_true(private_sql_number(sql, "SELECT epoch FROM shard_fence") >= 2);
    check_books();
#ifdef REDOUBT_FAILPOINTS
    /* And in the middle of a plan, at each of its points. */
    static const char *const points[] = { "plan.evaluated:kill", "plan.before_commit:kill", "plan.after_commit:kill" };
    for (int i = 0; i < 3; i++) {
        end(&schedulers[1], SIGTERM);
        schedulers[0] = start_scheduler(points[i]);
        private_sql_run(sql, "SELECT t_make(%d, 10, 10)", 5 + i);
        deploy(5 + i, 1, 20, 1);
        int status = 0;
        (void)waitpid(schedulers[0], &status, 0);
        assert_true(WIFSIGNALED(status));
        schedulers[1] = start_scheduler(NULL);
        if (private_sql_wait(sql, 30000, "(SELECT count(*) FROM leases WHERE app_id = t_app(%d) AND live) = 20",
                             5 + i) < 0)
            fail_msg("after %s", points[i]);
        check_books();
    }
#endif
    schedulers[0] = 0;
}

static void test_paused_leader_is_deposed(void **state)
{
    (void)state;
    pid_t paused = schedulers[1];
    schedulers[0] = start_scheduler(NULL);
    (void)usleep(300000);
    (void)kill(paused, SIGSTOP);
    private_sql_run(sql, "SELECT t_make(8, 10, 10)");
    deploy(8, 1, 5, 1);
    wait_for(8000, "the other one places", LIVE("8") " = 5");
    long long epoch = private_sql_number(sql, "SELECT epoch FROM shard_fence");
    (void)kill(paused, SIGCONT);
    private_sql_run(sql, "SELECT t_make(9, 10, 10)");
    deploy(9, 1, 5, 1);
    wait_for(2000, "once only", LIVE("9") " = 5");
    (void)usleep(1500000);
    assert_int_equal(private_sql_number(sql, "SELECT epoch FROM shard_fence"), epoch);
    check_books();
}

static void test_redis_may_be_away(void **state)
{
    (void)state;
    private_redis_kill(&redis);
    private_sql_run(sql, "SELECT t_make(10, 10, 10)");
    assert_string_equal(private_sql_text(sql, "SELECT t_deploy(10, 1, 5, 1)"), "ok");
    wait_for(1500, "placed without a wake", LIVE("10") " = 5");
    private_redis_restart(&redis);
    check_books();
}

static void test_database_restart(void **state)
{
    (void)state;
    end(&beater, SIGKILL);
    private_sql_close(sql);
    private_pg_kill(&server);
    private_pg_restart(&server);
    sql = private_sql_open(server.conninfo);
    start_beater();
    private_sql_run(sql, "SELECT t_make(11, 10, 10)");
    deploy(11, 1, 5, 1);
    wait_for(10000, "placed after the restart", LIVE("11") " = 5");
    check_books();
}

/* The word of a call is enough: what PostgreSQL knows of the app's use comes behind it. One of no app does nothing. */
static void test_a_call_wakes(void **state)
{
    (void)state;
    private_sql_run(sql, "SELECT t_make(12, 10, 10)");
    deploy(12, 1, 1, 1);
    wait_for(3000, "placed", LIVE("12") " = 1");
    private_sql_run(sql, "SELECT t_serve(12)");
    wake();
    wait_for(3000, "healthy",
             "(SELECT count(*) FROM rollouts WHERE app_id = t_app(12) AND healthy_at IS NOT NULL) = 1");
    private_sql_run(sql, "SET session_replication_role = replica"); /* deployments are never changed but here */
    private_sql_run(sql, "UPDATE deployments SET min = 0, at = at - interval '1 hour' WHERE app_id = t_app(12)");
    private_sql_run(sql, "UPDATE rollouts SET healthy_at = healthy_at - interval '1 hour' WHERE app_id = t_app(12)");
    private_sql_run(sql, "RESET session_replication_role");
    private_sql_run(sql, "SELECT evaluate(0, 1::smallint, t_app(12), 'test')");
    wake();
    wait_for(3000, "asleep", LIVE("12") " = 0");
    private_sql_run(sql, "SELECT t_final(12, 2, 9)");
    wake();
    wait_for(3000, "stopped", "(SELECT count(*) FROM leases WHERE app_id = t_app(12) AND held) = 0");
    call(200);
    call(12);
    wait_for(3000, "awake", LIVE("12") " = 1");
    private_sql_run(sql, "SELECT evaluate(0, 1::smallint, t_app(12), 'test')");
    wake();
    wait_for(3000, "looked at again", "(SELECT count(*) FROM evaluations WHERE shard = 0) = 0");
    assert_int_equal(
        private_sql_number(sql, "SELECT count(*) FROM leases WHERE app_id = t_app(12) AND live AND want = 1"), 1);
    assert_int_equal(private_sql_number(sql, "SELECT count(*) FROM leases WHERE app_id = t_app(200)"), 0);
    check_books();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_instance),
        cmocka_unit_test(test_hundred_are_spread),
        cmocka_unit_test(test_blocked_says_why),
        cmocka_unit_test(test_rollout_replaces),
        cmocka_unit_test(test_scale_keeps_what_runs),
        cmocka_unit_test(test_failed_is_replaced),
        cmocka_unit_test(test_a_newer_head_replaces),
        cmocka_unit_test(test_lost_host),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_undeploy_gives_quota_back_once),
        cmocka_unit_test(test_leader_is_killed),
        cmocka_unit_test(test_paused_leader_is_deposed),
        cmocka_unit_test(test_a_call_wakes),
        cmocka_unit_test(test_redis_may_be_away),
        cmocka_unit_test(test_database_restart),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
