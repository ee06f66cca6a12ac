// link: test_evidence
/* Every case of the generated corpus (tests/corpus), a test each, named by its sentence: verdict, class, code,
 * advisories are what its expect.json says. tests/e2e/evidence_corpus.test.mjs runs it through the command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "tests/support/evidence_corpus.h"

static const char *text(const corpus_case *c, const char *member)
{
    const char *value = json_string_value(json_object_get(c->expect, member));
    return value ? value : "";
}

static bool has_flag(const corpus_case *c, const char *flag, const char **ret_value)
{
    const json_t *flags = json_object_get(c->expect, "flags");
    for (size_t i = 0; i < json_array_size(flags); i++)
        if (strcmp(json_string_value(json_array_get(flags, i)), flag) == 0) {
            *ret_value = json_string_value(json_array_get(flags, i + 1));
            return true;
        }
    return false;
}

static void assert_advisories(const corpus_case *c, const rd_tcb_verdict *tcb)
{
    const json_t *wanted = json_object_get(c->expect, "advisory_ids");
    assert_int_equal(tcb->advisory_count, json_array_size(wanted));
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        bool is_there = false;
        for (size_t k = 0; k < tcb->advisory_count; k++)
            is_there |= strcmp(tcb->advisories[k], json_string_value(json_array_get(wanted, i))) == 0;
        assert_true(is_there);
    }
}

static void judge_case(void **state)
{
    corpus_case c;
    rd_judgement judgement;
    rd_err err = RD_ERR_INIT;
    const char *unused;
    corpus_load(*state, &c);
    rd_judge_input input = corpus_input(&c);
    input.allows_debug = has_flag(&c, "--allow-debug", &unused);
    input.demands_vcek = has_flag(&c, "--require-vcek", &unused);
    (void)has_flag(&c, "--product", &input.product);
    int rc = rd_judge(&input, &judgement, &err);
    if (strcmp(judgement.reason ? rd_code_describe(judgement.reason)->name : "", text(&c, "code")) != 0)
        print_message("%s: %s\n", (const char *)*state, judgement.refusal.text);
    assert_string_equal(judgement.reason ? rd_code_describe(judgement.reason)->name : "", text(&c, "code"));
    assert_string_equal(judgement.word, text(&c, "verdict"));
    assert_string_equal(judgement.error_class ? judgement.error_class : "", text(&c, "error_class"));
    assert_int_equal(judgement.verdict.is_genuine, json_is_true(json_object_get(c.expect, "genuine")));
    assert_int_equal(judgement.is_accepted, json_is_true(json_object_get(c.expect, "accepted")));
    assert_int_equal(rc == 0, judgement.is_accepted);
    assert_advisories(&c, &judgement.verdict.tcb);
    corpus_done(&c);
}

int main(void)
{
    json_t *index = corpus_index();
    size_t count = json_array_size(index);
    struct CMUnitTest *tests = calloc(count + 1, sizeof *tests);
    if (count == 0 || !tests) {
        print_message("skipped: no corpus (node writes it at build time)\n");
        free(tests);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        char *name = (char *)json_string_value(json_array_get(index, i));
        tests[i] = (struct CMUnitTest){ .name = name, .test_func = judge_case, .initial_state = name };
    }
    int failed = _cmocka_run_group_tests("corpus", tests, count, NULL, NULL);
    free(tests);
    json_decref(index);
    return failed;
}
