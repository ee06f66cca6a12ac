/* What an owner's next head says of proof and grants: as before unless somebody says otherwise. */
#include "cli/terms.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define STRICT                                                                                                         \
    "{\"type\":\"redoubt/policy/v1\",\"simulated\":false,\"debug\":false,\"tees\":[\"tdx\"],\"tcb\":[%s],"             \
    "\"max_collateral_age_s\":86400,\"measurements\":[]}"

typedef struct fixture {
    cli_profile profile;
    cli_current current;
    char path[32];
} fixture;

static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof *f);
    (void)strcpy(f->path, "/tmp/rd-terms-XXXXXX");
    int fd = mkstemp(f->path);
    memset(f->profile.measurements[0], 'a', 96);
    memset(f->profile.measurements[1], 'b', 96);
    f->profile.measurement_count = 1;
    *state = f;
    return fd >= 0 && close(fd) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    fixture *f = *state;
    (void)unlink(f->path);
    free(f);
    return 0;
}

static rd_code settle(fixture *f, const cli_manifest *manifest, cli_terms *ret)
{
    rd_err err = RD_ERR_INIT;
    return cli_terms_settle(&f->profile, &f->current, RD_CLASS_HARDWARE, manifest, ret, &err) == 0 ? RD_OK : err.code;
}

static void write_policy(fixture *f, const char *states)
{
    rd_err err = RD_ERR_INIT;
    char text[512];
    int size = snprintf(text, sizeof text, STRICT, states);
    assert_int_equal(cli_write_file(f->path, text, (size_t)size, 0600, &err), 0);
}

static void test_first_and_kept(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_free_p) cli_terms *terms = rd_alloc(sizeof *terms);
    const cli_manifest said = { .grant_s = 900, .grant_requests = 5000 };
    assert_int_equal(settle(f, NULL, terms), RD_OK);
    assert_int_equal(terms->policy.tcb_count, 2);
    assert_int_equal(terms->policy.measurements_count, 1);
    assert_int_equal(terms->grant_s, 0);
    assert_false(cli_terms_are_kept(terms, &f->current));

    f->current.has_head = true;
    f->current.head.policy = terms->policy;
    f->current.head.policy.tcb_count = 1; /* the owner's own, stricter one */
    f->current.head.grant_s = 300;
    assert_int_equal(settle(f, NULL, terms), RD_OK);
    assert_int_equal(terms->policy.tcb_count, 1);
    assert_int_equal(terms->grant_s, 300);
    assert_true(cli_terms_are_kept(terms, &f->current));
    assert_int_equal(settle(f, &said, terms), RD_OK);
    assert_int_equal(terms->grant_s, 900);
    assert_int_equal(terms->grant_requests, 5000);
    assert_false(cli_terms_are_kept(terms, &f->current));

    /* What the profile lists since then is not taken by itself, only pointed out. */
    assert_int_equal(cli_terms_missing(&f->profile, &terms->policy), 0);
    f->profile.measurement_count = 2;
    assert_int_equal(settle(f, NULL, terms), RD_OK);
    assert_int_equal(terms->policy.measurements_count, 1);
    assert_int_equal(cli_terms_missing(&f->profile, &terms->policy), 1);
    cli_manifest anew = { .policy = rd_strdup(CLI_POLICY_PROFILE) };
    assert_int_equal(settle(f, &anew, terms), RD_OK);
    assert_int_equal(terms->policy.measurements_count, 2);
    assert_int_equal(terms->policy.tcb_count, 2);
    free(anew.policy);
}

/* The manifest's webhook goes into whatever policy the next head has, and stays there. */
static void test_webhook(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_free_p) cli_terms *terms = rd_alloc(sizeof *terms);
    const cli_manifest said = { .webhook = { .is_set = true, .url = "https://h.example/a" } };
    assert_int_equal(settle(f, NULL, terms), RD_OK);
    assert_false(terms->policy.webhook.is_set);
    f->current.has_head = true;
    f->current.head.policy = terms->policy;
    assert_int_equal(settle(f, &said, terms), RD_OK);
    assert_string_equal(terms->policy.webhook.url, said.webhook.url);
    assert_int_equal(terms->policy.measurements_count, 1);
    assert_false(cli_terms_are_kept(terms, &f->current));
    f->current.head.policy = terms->policy;
    assert_int_equal(settle(f, NULL, terms), RD_OK);
    assert_true(terms->policy.webhook.is_set);
    assert_true(cli_terms_are_kept(terms, &f->current));
    const cli_manifest none = { .has_no_webhook = true };
    assert_int_equal(settle(f, &none, terms), RD_OK);
    assert_false(terms->policy.webhook.is_set);
    assert_false(cli_terms_are_kept(terms, &f->current));
    RD_CLEANUP(rd_json_free_p) json_t *notes = cli_terms_notes(&f->current.head.policy, &terms->policy);
    bool is_loosening = false;
    for (size_t i = 0; i < json_array_size(notes); i++)
        is_loosening |= strcmp(cli_text(json_array_get(notes, i), "effect"), "loosens") == 0 &&
                        strcmp(cli_text(json_array_get(notes, i), "member"), "/webhook/key") == 0;
    assert_true(is_loosening);
    cli_manifest anew = { .policy = rd_strdup(CLI_POLICY_PROFILE) };
    assert_int_equal(settle(f, &anew, terms), RD_OK);
    assert_false(terms->policy.webhook.is_set);
    free(anew.policy);
}

static void test_from_a_file(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_free_p) cli_terms *terms = rd_alloc(sizeof *terms);
    const cli_manifest said = { .policy = f->path };
    f->profile.measurement_count = 0; /* a file needs no profile */
    assert_int_equal(settle(f, NULL, terms), RD_E_CONFIG);
    write_policy(f, "\"UpToDate\"");
    assert_int_equal(settle(f, &said, terms), RD_OK);
    assert_int_equal(terms->policy.max_collateral_age_s, 86400);
    write_policy(f, "\"Revoked\"");
    assert_int_equal(settle(f, &said, terms), RD_E_POLICY_UNSAFE);
    write_policy(f, "7");
    assert_int_equal(settle(f, &said, terms), RD_E_JSON_TYPE);
    (void)unlink(f->path);
    assert_int_equal(settle(f, &said, terms), RD_E_CLI_FILE);
    write_policy(f, "");
    rd_err err = RD_ERR_INIT;
    assert_int_equal(cli_terms_settle(&f->profile, &f->current, RD_CLASS_SIMULATED, &said, terms, &err), -1);
    assert_int_equal(err.code, RD_E_CLASS_MISMATCH);
}

/* R8: on hardware a policy without platforms takes any machine, and says so. */
static void test_notes(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_free_p) cli_terms *terms = rd_alloc(sizeof *terms);
    RD_CLEANUP(rd_free_p) cli_terms *other = rd_alloc(sizeof *other);
    assert_int_equal(settle(f, NULL, terms), RD_OK);
    json_t *notes = cli_terms_notes(NULL, &terms->policy);
    RD_CLEANUP(rd_free_p) char *text = json_dumps(notes, JSON_COMPACT);
    assert_non_null(strstr(text, "\"/platforms\""));
    json_decref(notes);
    *other = *terms;
    notes = cli_terms_notes(&terms->policy, &other->policy);
    assert_int_equal(json_array_size(notes), 0);
    json_decref(notes);
    other->policy.tcb_count = 1;
    notes = cli_terms_notes(&terms->policy, &other->policy);
    assert_int_equal(json_array_size(notes), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(notes, 0), "effect")), "tightens");
    json_decref(notes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = { TEST(test_first_and_kept), TEST(test_webhook), TEST(test_from_a_file),
                                        TEST(test_notes) };
    return cmocka_run_group_tests_name("terms", tests, NULL, NULL);
}
