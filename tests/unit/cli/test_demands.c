// link: cli_core encl_engine test_evidence
/* R35, R40: what this machine demands beside the owner's policy. Each row's evidence is accepted by the owner. */
#include "cli/demands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/policy_words.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "tests/support/evidence_builder.h"

/* --- owners who accept much --- */

static void as_it_is(ev_builder *b)
{
    (void)b;
}

static void old_platform(ev_builder *b)
{
    b->platform.sgx_svn[0] = 4;
}

static void old_collateral(ev_builder *b)
{
    ev_replace(&b->tcb_info_body, "\"issueDate\":\"2026-11-22", "\"issueDate\":\"2026-11-01");
}

static void can_migrate(ev_builder *b)
{
    b->td.td_attributes[3] |= 1U << (29 - 24);
}

static void can_be_read(ev_builder *b)
{
    b->td.td_attributes[0] |= 1;
}

static void accept_all(ev_builder *b)
{
    b->policy.tcb[b->policy.tcb_count++] = RD_TCB_OUT_OF_DATE;
    b->policy.max_collateral_age_s = 31536000;
    b->policy.td.allows_migratable = true;
    b->policy.allows_debug = true;
}

/* Built, and accepted by an owner who accepts all of it. */
static void build(ev_builder *b, ev_stage stage, ev_spoiler spoil, rd_attest_report *report)
{
    ev_build(b, stage, spoil);
    accept_all(b);
    rd_code code = ev_check(b, report);
    if (code != RD_OK)
        fail_msg("the owner refuses it: %s", report->refusal.text);
}

/* --- a machine --- */

typedef struct machine {
    cli_profile profile;
    cli_context context;
    json_t *steps;
    rd_err err;
} machine;

static void machine_init(machine *m, const rd_attest_report *trusted)
{
    *m = (machine){ .steps = json_array() };
    m->context = (cli_context){ .program = "redoubt", .profile = &m->profile, .clock = rd_clock_system() };
    if (trusted)
        rd_hex_encode(RD_BYTES_ARRAY(trusted->verdict.claims.tdx.mr_td),
                      m->profile.measurements[m->profile.measurement_count++]);
}

static void machine_done(machine *m)
{
    json_decref(m->steps);
    free(m->profile.settings[CLI_SET_CALLER_POLICY].value);
    free(m->profile.settings[CLI_SET_STATE_DIR].value);
}

static rd_code judge(machine *m, const rd_attest_report *report)
{
    m->err = (rd_err)RD_ERR_INIT;
    (void)json_array_clear(m->steps);
    const cli_finding found = { .verdict = &report->verdict, .source = "a test" };
    int status = cli_demands_check(&m->context, &found, EV_NOW_US, m->steps, &m->err);
    assert_int_equal(status, m->err.code == RD_OK ? 0 : -1);
    assert_int_equal(cli_steps_are_ok(m->steps), status == 0);
    return m->err.code;
}

static void own_policy(machine *m, const char *text)
{
    char path[] = "/tmp/redoubt-demands-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
    free(m->profile.settings[CLI_SET_CALLER_POLICY].value);
    m->profile.settings[CLI_SET_CALLER_POLICY].value = rd_strdup(path);
}

/* One file's verdict; the file is gone afterwards. */
static rd_code judge_by(machine *m, const rd_attest_report *report, const char *policy)
{
    own_policy(m, policy);
    rd_code code = judge(m, report);
    (void)unlink(m->profile.settings[CLI_SET_CALLER_POLICY].value);
    return code;
}

/* --- rows --- */

static void the_owner_cannot_loosen_what_the_caller_demands(void **state RD_UNUSED)
{
    static const struct {
        ev_spoiler spoil;
        ev_stage stage;
        rd_code want;
    } rows[] = {
        { as_it_is, EV_NONE, RD_OK },
        { old_platform, EV_PLATFORM, RD_E_TCB_STATUS },
        { old_collateral, EV_BODIES, RD_E_COLLATERAL_AGE },
        { can_migrate, EV_PLATFORM, RD_E_TD_ATTR },
        { can_be_read, EV_PLATFORM, RD_E_TD_DEBUG },
    };
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof *report);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        ev_builder b;
        machine m;
        build(&b, rows[i].stage, rows[i].spoil, report);
        machine_init(&m, report);
        rd_code code = judge(&m, report);
        if (code != rows[i].want)
            fail_msg("row %zu: %s (%s)", i, rd_code_describe(code)->name, m.err.text);
        machine_done(&m);
        ev_done(&b);
    }
}

static void an_empty_list_of_runtimes_accepts_none(void **state RD_UNUSED)
{
    ev_builder b;
    machine m;
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof *report);
    build(&b, EV_NONE, as_it_is, report);
    machine_init(&m, NULL);
    assert_int_equal(judge(&m, report), RD_E_MEASUREMENT);
    assert_non_null(strstr(m.err.text, "redoubt-agent measure"));
    assert_non_null(strstr(m.err.text, "--any-runtime"));
    m.context.demands.any_runtime = true;
    assert_int_equal(judge(&m, report), RD_OK);
    assert_non_null(strstr(json_string_value(json_object_get(json_array_get(m.steps, 0), "detail")), "ANY RUNTIME"));
    m.context.demands.any_runtime = false;
    memset(m.profile.measurements[m.profile.measurement_count++], '0', 96);
    assert_int_equal(judge(&m, report), RD_E_CLI_VERIFY);
    machine_done(&m);
    ev_done(&b);
}

#define POLICY(simulated, more, list)                                                                                  \
    "{\"type\":\"redoubt/policy/v1\",\"simulated\":" simulated ",\"debug\":false,\"tees\":[\"tdx\"],"                  \
    "\"tcb\":[\"UpToDate\"],\"max_collateral_age_s\":604800" more ",\"measurements\":[" list "]}"

static void a_policy_of_ones_own_decides(void **state RD_UNUSED)
{
    ev_builder b;
    machine m;
    char mrtd[97];
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof *report);
    build(&b, EV_NONE, as_it_is, report);
    rd_hex_encode(RD_BYTES_ARRAY(report->verdict.claims.tdx.mr_td), mrtd);
    RD_CLEANUP(rd_free_p) char *item = rd_asprintf("{\"mrtd\":\"%s\"}", mrtd);
    RD_CLEANUP(rd_free_p) char *good = rd_asprintf(POLICY("true", "", "%s"), item);
    RD_CLEANUP(rd_free_p) char *hardware = rd_asprintf(POLICY("false", "", "%s"), item);
    RD_CLEANUP(rd_free_p)
    char *elsewhere = rd_asprintf(POLICY("true", ",\"platforms\":[\"%064d\"]", "%s"), 7, item);
    RD_CLEANUP(rd_free_p) char *other = rd_asprintf(POLICY("true", "", "{\"mrtd\":\"%096d\"}"), 7);
    machine_init(&m, NULL);
    assert_int_equal(judge_by(&m, report, good), RD_OK); /* its measurements are the list of runtimes */
    assert_int_equal(judge_by(&m, report, hardware), RD_E_CLASS_MISMATCH);
    assert_int_equal(judge_by(&m, report, elsewhere), RD_E_POLICY_PLATFORM);
    assert_int_equal(judge_by(&m, report, other), RD_E_MEASUREMENT);
    assert_int_equal(judge_by(&m, report, POLICY("true", "", "")), RD_E_MEASUREMENT);
    m.context.demands.any_runtime = true;
    assert_int_equal(judge_by(&m, report, other), RD_OK);
    assert_int_equal(judge_by(&m, report, hardware), RD_E_CLASS_MISMATCH);
    m.context.demands.any_runtime = false;
    memset(m.profile.measurements[m.profile.measurement_count++], '0', 96);
    assert_int_equal(judge_by(&m, report, good), RD_E_CLI_VERIFY); /* and so are those of the profile */
    machine_done(&m);
    ev_done(&b);
}

static void a_policy_that_cannot_be_read_accepts_nothing(void **state RD_UNUSED)
{
    ev_builder b;
    machine m;
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof *report);
    build(&b, EV_NONE, as_it_is, report);
    machine_init(&m, report);
    assert_int_equal(judge_by(&m, report, "{}"), RD_E_CONFIG);
    assert_int_equal(judge_by(&m, report, ""), RD_E_CONFIG);
    assert_int_equal(judge(&m, report), RD_E_CONFIG); /* the file is gone */
    machine_done(&m);
    ev_done(&b);
}

static json_t *step_named(const machine *m, const char *name)
{
    size_t i;
    json_t *step;
    json_array_foreach(m->steps, i, step)
    {
        if (strcmp(json_string_value(json_object_get(step, "name")), name) == 0)
            return step;
    }
    fail_msg("no step %s", name);
    return NULL;
}

static void source_and_age_are_told_and_the_age_can_be_chosen(void **state RD_UNUSED)
{
    ev_builder b;
    machine m;
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof *report);
    build(&b, EV_BODIES, old_collateral, report);
    machine_init(&m, report);
    assert_int_equal(judge(&m, report), RD_E_COLLATERAL_AGE);
    assert_non_null(strstr(m.err.text, "collateral from a test"));
    m.context.demands.collateral_age_s = 30 * 86400;
    assert_int_equal(judge(&m, report), RD_OK);
    const json_t *step = step_named(&m, "collateral source");
    assert_string_equal(json_string_value(json_object_get(step, "source")), "a test");
    assert_int_equal(json_integer_value(json_object_get(step, "age_s")), 22 * 86400);
    assert_non_null(strstr(json_string_value(json_object_get(step, "detail")), "a test; 22 days old"));
    machine_done(&m);
    ev_done(&b);
}

/* R40: what is in date and older than what was seen. */
static void what_was_seen_is_the_floor(void **state RD_UNUSED)
{
    ev_builder b;
    machine m;
    char dir[] = "/tmp/redoubt-seen-XXXXXX";
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof *report);
    assert_non_null(mkdtemp(dir));
    build(&b, EV_NONE, as_it_is, report);
    machine_init(&m, report);
    m.profile.settings[CLI_SET_STATE_DIR].value = rd_strdup(dir);
    rd_verdict *verdict = &report->verdict;
    const rd_verdict before = *verdict;
    verdict->pck_crl_number = 7;
    verdict->tcb.evaluation_number = verdict->tcb.qe_evaluation_number = 3;
    assert_int_equal(judge(&m, report), RD_OK);
    verdict->pck_crl_number = 6;
    assert_int_equal(judge(&m, report), RD_E_CRL_ROLLBACK);
    m.context.demands.is_of_then = true;
    assert_int_equal(judge(&m, report), RD_OK);
    m.context.demands.is_of_then = false;
    verdict->pck_crl_number = 7;
    verdict->tcb.qe_evaluation_number = 2;
    assert_int_equal(judge(&m, report), RD_E_COLLATERAL_EVALNUM);
    *verdict = before;
    assert_int_equal(judge(&m, report), RD_E_COLLATERAL_EVALNUM);
    verdict->root[0] ^= 1; /* another root has numbers of its own */
    assert_int_equal(judge(&m, report), RD_OK);
    machine_done(&m);
    ev_done(&b);
    RD_CLEANUP(rd_free_p) char *file = rd_asprintf("%s/collateral-seen.json", dir);
    RD_CLEANUP(rd_free_p) char *lock = rd_asprintf("%s/collateral-seen.json.lock", dir);
    assert_true(unlink(file) == 0 && unlink(lock) == 0 && rmdir(dir) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_owner_cannot_loosen_what_the_caller_demands),
        cmocka_unit_test(an_empty_list_of_runtimes_accepts_none),
        cmocka_unit_test(a_policy_of_ones_own_decides),
        cmocka_unit_test(a_policy_that_cannot_be_read_accepts_nothing),
        cmocka_unit_test(source_and_age_are_told_and_the_age_can_be_chosen),
        cmocka_unit_test(what_was_seen_is_the_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
