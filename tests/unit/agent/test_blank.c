/* What a blank must prove to the agent beside it: evidence of a simulated platform, one thing wrong at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/blank.h"
#include "agent/sim_files.h"
#include "agent/sim_pki.h"
#include "agent/sim_quoter.h"
#include "common/base/clock.h"
#include "common/base/mem.h"

typedef struct fixture {
    char dir[64];
    agent_sim_quoter *quoter, *stranger; /* under another root */
    agent_blank_rules rules;
} fixture;

static const agent_sim_launch launched = { .mrtd = { 1, 2, 3 } };

static int64_t wall_us(void)
{
    return rd_clock_wall_us(rd_clock_system());
}

/* Its folder's root into ret_root. */
static agent_sim_quoter *make_platform(const fixture *f, const char *name, uint8_t ret_root[32])
{
    rd_err err = RD_ERR_INIT;
    uint8_t fingerprint[32];
    agent_sim_quoter *quoter = NULL;
    RD_CLEANUP(rd_free_p) char *pki = rd_asprintf("%s/%s-pki", f->dir, name);
    RD_CLEANUP(rd_free_p) char *platform = rd_asprintf("%s/%s", f->dir, name);
    if (agent_sim_pki_create(pki, wall_us(), &err) < 0 ||
        agent_sim_pki_issue_platform(pki, platform, wall_us(), &err) < 0 ||
        agent_sim_quoter_open(platform, &quoter, &err) < 0 || agent_sim_read_root(platform, ret_root, &err) < 0 ||
        agent_sim_pki_fingerprint(pki, fingerprint, &err) < 0)
        fail_msg("%s", err.text);
    assert_memory_equal(ret_root, fingerprint, 32);
    return quoter;
}

static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof(*f));
    rd_err err = RD_ERR_INIT;
    uint8_t root[32], other[32];
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/rd-blank-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->quoter = make_platform(f, "ours", root);
    f->stranger = make_platform(f, "theirs", other);
    f->rules = (agent_blank_rules){ .class = RD_CLASS_SIMULATED, .cache = rd_attest_cache_new(0) };
    memcpy(f->rules.mrtd, launched.mrtd, 48);
    assert_int_equal(rd_anchors_add_simulated(&f->rules.anchors, root, &err), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    agent_sim_quoter_free(f->quoter);
    agent_sim_quoter_free(f->stranger);
    rd_attest_cache_free(f->rules.cache);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("rm", "rm", "-rf", f->dir, (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    free(f);
    return 0;
}

/* What goes into one bundle. */
typedef struct making {
    agent_sim_quoter *quoter;
    agent_sim_launch launch;
    rd_statement statement;
    const uint8_t *header; /* NULL: the log is empty */
    bool extends;          /* something is in register 3, which the log need not say */
    bool binds_another;    /* the report data are of another statement */
} making;

static making good(const fixture *f)
{
    return (making){ .quoter = f->quoter,
                     .launch = launched,
                     .statement = { .purpose = RD_PURPOSE_BLANK, .class = RD_CLASS_SIMULATED, .nonce = { 9 } } };
}

static void make(const making *m, rd_buf *ret)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(agent_sim_door_free_p) agent_sim_door *door = agent_sim_door_new(m->quoter, &m->launch);
    RD_CLEANUP(rd_buf_done) rd_buf statement = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
    uint8_t report_data[RD_REPORT_DATA_SIZE];
    const uint8_t digest[48] = { 7 };
    if (rd_statement_encode(&m->statement, &statement, &err) < 0)
        fail_msg("%s", err.text);
    rd_statement_report_data(rd_buf_bytes(&statement), report_data);
    report_data[0] ^= m->binds_another;
    if ((m->extends && agent_sim_door_extend(door, 3, digest, &err) < 0) ||
        agent_sim_door_quote(door, report_data, &quote, &err) < 0 ||
        rd_evidence_encode(rd_buf_bytes(&quote), rd_buf_bytes(&statement), m->header, NULL, ret, &err) < 0)
        fail_msg("%s", err.text);
}

static rd_code check(const fixture *f, const making *m, int64_t time_us)
{
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    rd_err err = RD_ERR_INIT;
    make(m, &bundle);
    return agent_blank_check(&f->rules, rd_buf_bytes(&bundle), time_us, &err) < 0 ? err.code : RD_OK;
}

static void test_rows(void **state)
{
    fixture *f = *state;
    static const uint8_t header[RD_LAUNCH_HEADER_SIZE];
    making m = good(f);
    assert_int_equal(check(f, &m, wall_us()), RD_OK);
    assert_int_equal(check(f, &m, wall_us()), RD_OK); /* out of the cache */

    m = good(f), m.statement.purpose = RD_PURPOSE_ENROL, m.statement.has_tls = true;
    assert_int_equal(check(f, &m, wall_us()), RD_E_PURPOSE);
    m = good(f), m.statement.class = RD_CLASS_HARDWARE;
    assert_int_equal(check(f, &m, wall_us()), RD_E_CLASS_MISMATCH);
    m = good(f), m.binds_another = true;
    assert_int_equal(check(f, &m, wall_us()), RD_E_BINDING);
    m = good(f), m.launch.mrtd[0]++;
    assert_int_equal(check(f, &m, wall_us()), RD_E_MEASUREMENT);
    m = good(f), m.extends = true;
    assert_int_equal(check(f, &m, wall_us()), RD_E_RTMR);
    m = good(f), m.header = header;
    assert_int_equal(check(f, &m, wall_us()), RD_E_EVENTLOG);
    m = good(f), m.quoter = f->stranger;
    assert_int_equal(check(f, &m, wall_us()), RD_E_CHAIN_ROOT);
    m = good(f);
    assert_int_equal(check(f, &m, wall_us() + INT64_C(40) * 366 * 86400 * 1000000), RD_E_CHAIN_TIME);
}

/* Whatever a simulated host is given: a host of class hardware believes no simulation root. */
static void test_hardware_host(void **state)
{
    fixture *f = *state;
    agent_blank_rules rules = f->rules;
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    rd_err err = RD_ERR_INIT;
    making m = good(f);
    make(&m, &bundle);
    rules.class = RD_CLASS_HARDWARE;
    assert_int_equal(agent_blank_check(&rules, rd_buf_bytes(&bundle), wall_us(), &err), -1);
    assert_int_equal(err.code, RD_E_CLASS_MISMATCH);
    rd_anchors_init(&rules.anchors);
    assert_int_equal(agent_blank_check(&rules, rd_buf_bytes(&bundle), wall_us(), &err), -1);
    assert_int_equal(err.code, RD_E_CHAIN_ROOT);
}

static void test_bytes(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    making m = good(f);
    make(&m, &bundle);
    rd_bytes whole = rd_buf_bytes(&bundle);
    /* Cut anywhere, or with a byte changed in its quote: never accepted, never read past its end. */
    for (size_t size = 0; size < whole.size; size += 97) {
        rd_err err = RD_ERR_INIT;
        assert_int_equal(agent_blank_check(&f->rules, rd_bytes_of(whole.data, size), wall_us(), &err), -1);
    }
    char *quote = strstr(rd_buf_text(&bundle), "\"quote\":\"");
    assert_non_null(quote);
    for (size_t at = 80; at < 1800; at += 113) {
        rd_err err = RD_ERR_INIT;
        char was = quote[at];
        quote[at] = was == 'A' ? 'B' : 'A';
        assert_int_equal(agent_blank_check(&f->rules, rd_buf_bytes(&bundle), wall_us(), &err), -1);
        quote[at] = was;
    }
    rd_err err = RD_ERR_INIT;
    assert_int_equal(agent_blank_check(&f->rules, rd_buf_bytes(&bundle), wall_us(), &err), 0);
    RD_CLEANUP(rd_buf_done) rd_buf huge = { 0 };
    rd_buf_append_bytes(&huge, rd_buf_bytes(&bundle));
    for (size_t i = 0; i <= RD_EVIDENCE_SIZE_MAX; i++)
        rd_buf_append_u8(&huge, ' ');
    assert_int_equal(agent_blank_check(&f->rules, rd_buf_bytes(&huge), wall_us(), &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_hardware_host),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests_name("blank", tests, setup, teardown);
}
