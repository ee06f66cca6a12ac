// link: test_evidence
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "tests/support/evidence_vectors.h"

static int failures;

#define complain(name, ...)                                                                                            \
    do {                                                                                                               \
        print_message("  %s: ", name);                                                                                 \
        print_message(__VA_ARGS__);                                                                                    \
        print_message("\n");                                                                                           \
        failures++;                                                                                                    \
    } while (0)

/* --- fields --- */

static void want_hex(const vec_case *c, const char *name, rd_bytes ours)
{
    char hex[2 * 128 + 1];
    const char *theirs = json_string_value(json_object_get(json_object_get(c->expect, "fields"), name));
    rd_hex_encode(ours, hex);
    if (theirs && strcmp(theirs, hex) != 0)
        complain(c->name, "%s is %s, expected %s", name, hex, theirs);
}

static void want_int(const vec_case *c, const char *name, int64_t ours)
{
    const json_t *theirs = json_object_get(json_object_get(c->expect, "fields"), name);
    if (json_is_integer(theirs) && json_integer_value(theirs) != ours)
        complain(c->name, "%s is %lld", name, (long long)ours);
}

#define WANT(claims, member) want_hex(c, #member, RD_BYTES_ARRAY((claims)->member))

static void check_tdx(const vec_case *c, const rd_tdx_claims *tdx)
{
    WANT(tdx, tee_tcb_svn);
    WANT(tdx, mr_seam);
    WANT(tdx, mr_signer_seam);
    WANT(tdx, seam_attributes);
    WANT(tdx, td_attributes);
    WANT(tdx, xfam);
    WANT(tdx, mr_td);
    WANT(tdx, mr_config_id);
    WANT(tdx, mr_owner);
    WANT(tdx, mr_owner_config);
    WANT(tdx, tee_tcb_svn_2);
    WANT(tdx, mr_service_td);
    static const char *const rtmrs[] = { "rtmr0", "rtmr1", "rtmr2", "rtmr3" };
    for (size_t i = 0; i < 4; i++)
        want_hex(c, rtmrs[i], RD_BYTES_ARRAY(tdx->rtmr[i]));
}

static void check_sgx(const vec_case *c, const rd_sgx_claims *sgx)
{
    WANT(sgx, cpu_svn);
    WANT(sgx, attributes);
    WANT(sgx, mr_enclave);
    WANT(sgx, mr_signer);
    WANT(sgx, config_id);
    WANT(sgx, isv_family_id);
    want_int(c, "isv_prod_id", sgx->isv_prod_id);
    want_int(c, "isv_svn", sgx->isv_svn);
    want_int(c, "config_svn", sgx->config_svn);
}

static void check_snp(const vec_case *c, const rd_snp_claims *snp)
{
    WANT(snp, current_tcb);
    WANT(snp, reported_tcb);
    WANT(snp, committed_tcb);
    WANT(snp, launch_tcb);
    WANT(snp, measurement);
    WANT(snp, host_data);
    WANT(snp, id_key_digest);
    WANT(snp, author_key_digest);
    WANT(snp, family_id);
    WANT(snp, image_id);
    WANT(snp, report_id);
    WANT(snp, report_id_ma);
    WANT(snp, chip_id);
    want_int(c, "version", snp->version);
    want_int(c, "guest_svn", snp->guest_svn);
    want_int(c, "vmpl", snp->vmpl);
}

static void check_fields(const vec_case *c, const rd_verdict *verdict)
{
    const rd_claims *claims = &verdict->claims;
    want_hex(c, "report_data", RD_BYTES_ARRAY(claims->report_data));
    if (claims->tee == RD_TEE_TDX)
        check_tdx(c, &claims->tdx);
    if (claims->tee == RD_TEE_SGX)
        check_sgx(c, &claims->sgx);
    if (claims->tee == RD_TEE_SNP)
        check_snp(c, &claims->snp);
    const json_t *debug = json_object_get(c->expect, "debug");
    if (json_is_boolean(debug) && json_is_true(debug) != claims->is_debug)
        complain(c->name, "debug is %d", claims->is_debug);
    const json_t *trailing = json_object_get(c->expect, "trailing_bytes");
    if (trailing && (size_t)json_integer_value(trailing) != verdict->padding)
        complain(c->name, "%zu trailing bytes", verdict->padding);
}

static void check_advisories(const vec_case *c, const rd_tcb_verdict *tcb)
{
    const json_t *wanted = json_object_get(c->expect, "advisory_ids");
    if (json_array_size(wanted) != tcb->advisory_count)
        complain(c->name, "%zu advisories, expected %zu", tcb->advisory_count, json_array_size(wanted));
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        bool is_found = false;
        for (size_t k = 0; k < tcb->advisory_count; k++)
            is_found |= strcmp(tcb->advisories[k], json_string_value(json_array_get(wanted, i))) == 0;
        if (!is_found)
            complain(c->name, "%s is missing", json_string_value(json_array_get(wanted, i)));
    }
}

/* --- cases --- */

static void check_status(const vec_case *c, const rd_verdict *verdict, const char *wanted)
{
    const char *status = verdict->claims.tee == RD_TEE_SNP ? "Verified" : rd_tcb_status_names[verdict->tcb.status];
    if (strcmp(status, wanted) != 0)
        complain(c->name, "%s, expected %s", status, wanted);
    check_advisories(c, &verdict->tcb);
}

/* A case with default_policy.accept false must be refused by the default policy, and give its verdict when allowed. */
static void check_default_policy(const vec_case *c, rd_verdict *verdict)
{
    const json_t *wanted = json_object_get(c->expect, "default_policy");
    rd_policy policy = { .tees = { RD_TEE_TDX, RD_TEE_SGX, RD_TEE_SNP },
                         .tees_count = 3,
                         .tcb = { RD_TCB_UP_TO_DATE, RD_TCB_SW_HARDENING_NEEDED },
                         .tcb_count = 2,
                         .max_collateral_age_s = 86400 * 60 };
    rd_err err = RD_ERR_INIT;
    if (!json_is_false(json_object_get(wanted, "accept")))
        return;
    if (rd_appraise(verdict, &policy, NULL, c->time_us, &err) == 0 || !vec_error_fits(err.code, wanted))
        complain(c->name, "the default policy says %s", rd_code_describe(err.code)->name);
}

static void check_log(vec_case *c)
{
    static const char *const names[] = { "rtmr0", "rtmr1", "rtmr2", "rtmr3" };
    const json_t *wanted = json_object_get(c->expect, "replayed");
    rd_register_log log;
    rd_err err = RD_ERR_INIT;
    if (vec_replay(c, &log, &err) != RD_OK)
        complain(c->name, "%s", err.text);
    for (size_t i = 0; i < 4; i++) {
        char hex[97];
        rd_hex_encode(RD_BYTES_ARRAY(log.rtmr[i]), hex);
        if (strcmp(hex, json_string_value(json_object_get(wanted, names[i]))) != 0)
            complain(c->name, "%s is %s", names[i], hex);
    }
    if (log.event_count != (size_t)json_integer_value(json_object_get(c->expect, "event_count")))
        complain(c->name, "%zu events", log.event_count);
    const json_t *end = json_object_get(c->expect, "log_end");
    if (end && log.end != (size_t)json_integer_value(end))
        complain(c->name, "the log ends at %zu", log.end);
}

static void check_case(vec_case *c)
{
    if (strncmp(c->name, "eventlog/", 9) == 0) {
        check_log(c);
        return;
    }
    const char *wanted = json_string_value(json_object_get(c->expect, "verdict"));
    rd_verdict verdict;
    rd_err err = RD_ERR_INIT;
    rd_code code = vec_verify(c, &verdict, &err);
    bool is_error = json_is_string(json_object_get(c->expect, "error_class"));
    if (is_error ? !vec_error_fits(code, c->expect) : strcmp(wanted, "ParseOnly") != 0 && code != RD_OK)
        complain(c->name, "%s (%s), expected %s", code ? rd_code_describe(code)->name : "accepted", err.text,
                 is_error ? json_string_value(json_object_get(c->expect, "error_class")) : wanted);
    if (is_error && code == RD_OK)
        return;
    check_fields(c, &verdict);
    if (!is_error && code == RD_OK) {
        check_status(c, &verdict, wanted);
        check_default_policy(c, &verdict);
    }
}

static int check_folder(const char *root, const char *kind)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", root, kind);
    DIR *dir = opendir(path);
    int count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        RD_CLEANUP(rd_free_p) char *name = rd_asprintf("%s/%s", kind, entry->d_name);
        vec_case c;
        if (entry->d_name[0] == '.' || !vec_load(root, name, &c))
            continue;
        check_case(&c);
        vec_done(&c);
        count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

static const char *const kinds[] = { "tdx", "sgx", "snp", "eventlog", NULL };

static void cases(void **state)
{
    const char *root = *state;
    failures = 0;
    for (size_t i = 0; kinds[i]; i++)
        print_message("%s: %d cases\n", kinds[i], check_folder(root, kinds[i]));
    assert_int_equal(failures, 0);
}

/* --- mutations --- */

static bool is_ours(const char *name)
{
    for (size_t i = 0; kinds[i]; i++)
        if (strncmp(name, kinds[i], strlen(kinds[i])) == 0 && name[strlen(kinds[i])] == '/')
            return true;
    return false;
}

/* The one option that we offer is a rule of appraisal: a VCEK is asked for. */
static rd_code check_option(vec_case *c, const json_t *m, bool *is_known)
{
    static const rd_attest_floor floor = { .demands_vcek = true };
    rd_policy policy = { .tees = { RD_TEE_SNP }, .tees_count = 1 };
    rd_verdict verdict;
    rd_err err = RD_ERR_INIT;
    const char *option = json_string_value(json_object_get(m, "option"));
    *is_known = option && strcmp(option, "require_vcek") == 0;
    if (!*is_known || vec_verify(c, &verdict, &err) != RD_OK)
        return RD_OK;
    return rd_appraise(&verdict, &policy, &floor, c->time_us, &err) == 0 ? RD_OK : err.code;
}

static bool check_mutation(const char *root, const json_t *m)
{
    vec_case c;
    rd_verdict verdict;
    rd_err err = RD_ERR_INIT;
    const char *name = json_string_value(json_object_get(m, "case"));
    if (!is_ours(name) || !vec_load(root, name, &c))
        return false;
    bool is_known = vec_mutate(root, &c, m);
    rd_register_log log;
    rd_code code = RD_OK;
    if (is_known)
        code = strncmp(name, "eventlog/", 9) == 0 ? vec_replay(&c, &log, &err) : vec_verify(&c, &verdict, &err);
    else
        code = check_option(&c, m, &is_known);
    bool may_pass = !json_is_string(json_object_get(m, "error_class")) || json_is_true(json_object_get(m, "allow_ok"));
    if (is_known && !(code == RD_OK ? may_pass : vec_error_fits(code, m)))
        complain(json_string_value(json_object_get(m, "id")), "%s (%s), expected %s",
                 code ? rd_code_describe(code)->name : "accepted", err.text,
                 json_string_value(json_object_get(m, "error_class")));
    vec_done(&c);
    return is_known;
}

static void mutations(void **state)
{
    const char *root = *state;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/mutations.json", root);
    json_t *all = json_load_file(path, 0, NULL);
    const json_t *list = json_object_get(all, "mutations");
    int done = 0, left = 0;
    failures = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        check_mutation(root, json_array_get(list, i)) ? done++ : left++;
    print_message("%d mutations, %d are options that are not offered\n", done, left);
    json_decref(all);
    assert_true(done > 0);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const char *root = vec_root();
    if (!root) {
        print_message("skipped: no vectors (set REDOUBT_VECTORS)\n");
        return 0;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test_prestate(cases, (void *)(uintptr_t)root),
                                        cmocka_unit_test_prestate(mutations, (void *)(uintptr_t)root) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
