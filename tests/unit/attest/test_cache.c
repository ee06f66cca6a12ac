// link: test_evidence
/* With a cache and without: the same answer about the same bytes, at every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <dirent.h>

#include "attest/cache.h"
#include "attest/judge.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "tests/support/evidence_corpus.h"
#include "tests/support/evidence_vectors.h"

/* --- the cache alone --- */

static int freed;

static void count_free(void *object)
{
    freed++;
    free(object);
}

static rd_memo_key key_of(const char *text)
{
    return (rd_memo_key){ .kind = RD_MEMO_CRL, .parts = { rd_bytes_str(text) }, .count = 1 };
}

static void keep(rd_attest_cache *cache, const char *text, int64_t from_us, int64_t until_us)
{
    rd_memo_key key = key_of(text);
    rd_memo *memo = rd_memo_new(rd_strdup(text), count_free);
    rd_memo_bound(memo, from_us, until_us);
    rd_cache_keep(cache, &key, memo);
    rd_memo_unref(memo);
}

static bool finds(rd_attest_cache *cache, const char *text, int64_t time_us)
{
    rd_memo_key key = key_of(text);
    rd_memo *memo = rd_cache_find(cache, &key, time_us);
    bool is_there = memo != NULL;
    if (memo)
        assert_string_equal(rd_memo_object(memo), text);
    rd_memo_unref(memo);
    return is_there;
}

static void test_window_and_kind(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_attest_cache_free_p) rd_attest_cache *cache = rd_attest_cache_new(0);
    keep(cache, "list", 10, 20);
    assert_false(finds(cache, "list", 9));
    assert_true(finds(cache, "list", 10));
    assert_true(finds(cache, "list", 19));
    assert_false(finds(cache, "list", 20));
    assert_false(finds(cache, "lisT", 15));
    assert_false(finds(cache, "list ", 15));
    rd_memo_key other = { .kind = RD_MEMO_CHAIN, .parts = { RD_BYTES_LIT("list") }, .count = 1 };
    assert_null(rd_cache_find(cache, &other, 15));
    /* The same bytes in other parts are another key. */
    rd_memo_key parts = { .kind = RD_MEMO_CRL, .parts = { RD_BYTES_LIT("li"), RD_BYTES_LIT("st") }, .count = 2 };
    assert_null(rd_cache_find(cache, &parts, 15));
    assert_null(rd_cache_find(NULL, &other, 15));
}

static void test_bounded(void **state RD_UNUSED)
{
    char text[32];
    freed = 0;
    rd_attest_cache *cache = rd_attest_cache_new((size_t)64 << 10);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof text, "piece %d", i);
        keep(cache, text, 0, 10);
        assert_true(finds(cache, "piece 0", 5));
    }
    assert_true(freed >= 80); /* what is used stays, the oldest others went */
    assert_true(finds(cache, "piece 99", 5));
    assert_false(finds(cache, "piece 1", 5));
    char *large = rd_alloc(20000);
    memset(large, 'x', 19999);
    keep(cache, large, 0, 10);
    assert_false(finds(cache, large, 5)); /* more than a quarter of all */
    free(large);
    rd_attest_cache_free(cache);
    assert_int_equal(freed, 101);
}

/* --- judgements --- */

static rd_bytes piece(vec_case *c, const char *name)
{
    rd_buf *file = vec_file_of(c, name);
    return file ? rd_buf_bytes(file) : RD_BYTES_NULL;
}

static json_t *judge(vec_case *c, rd_attest_cache *cache, int64_t time_us)
{
    rd_collateral collateral = { .pck_crl = piece(c, "pck_crl.der"),
                                 .root_ca_crl = piece(c, "root_ca_crl.der"),
                                 .tcb_info = piece(c, "tcb_info.json"),
                                 .tcb_info_chain = piece(c, "tcb_info_issuer_chain.pem"),
                                 .qe_identity = piece(c, "qe_identity.json"),
                                 .qe_identity_chain = piece(c, "qe_identity_issuer_chain.pem") };
    rd_judge_input input = { .evidence = piece(c, "quote.bin"),
                             .collateral = &collateral,
                             .anchors = &c->anchors,
                             .cache = cache,
                             .time_us = time_us };
    RD_CLEANUP(rd_free_p) rd_judgement *judgement = rd_alloc(sizeof *judgement);
    rd_err err = RD_ERR_INIT;
    (void)!rd_judge(&input, judgement, &err);
    return rd_judgement_to_json(judgement);
}

static void check_same(vec_case *c, rd_attest_cache *cache, const char *what)
{
    static const int64_t day_us = INT64_C(86400) * 1000000;
    static const int64_t offsets[] = { 0, -40, 40, -400, 4000, 0 };
    for (size_t i = 0; i < RD_ARRAY_LEN(offsets); i++) {
        int64_t time_us = c->time_us + offsets[i] * day_us;
        RD_CLEANUP(rd_json_free_p) json_t *cold = judge(c, NULL, time_us);
        RD_CLEANUP(rd_json_free_p) json_t *warm = judge(c, cache, time_us);
        if (!json_equal(cold, warm))
            fail_msg("%s, %d days: %s\n%s", what, (int)offsets[i], json_dumps(cold, 0), json_dumps(warm, 0));
    }
}

/* The type of the certification data is under no signature: another one over the same bytes is not the one that was
 * kept. The PEM chain stands after its type (2 bytes) and size (4). */
static void check_other_type(vec_case *c, rd_attest_cache *cache, const char *what)
{
    rd_buf *quote = vec_file_of(c, "quote.bin");
    const uint8_t *pem = memmem(quote->data, quote->size, "-----BEGIN", 10);
    if (!pem)
        return;
    quote->data[pem - quote->data - 5] ^= 1;
    check_same(c, cache, what);
    quote->data[pem - quote->data - 5] ^= 1;
}

static void check_folder(const char *root, const char *kind, rd_attest_cache *cache)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", root, kind);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        vec_case c;
        (void)snprintf(path, sizeof path, "%s/%.100s", kind, entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        if (vec_load(root, path, &c) && vec_file_of(&c, "quote.bin")) {
            check_same(&c, cache, path);
            check_other_type(&c, cache, path);
        }
        vec_done(&c);
    }
    if (folder)
        closedir(folder);
}

static void test_vectors(void **state RD_UNUSED)
{
    const char *root = vec_root();
    char path[512];
    if (!root) {
        print_message("skipped: no vectors\n");
        skip();
    }
    RD_CLEANUP(rd_attest_cache_free_p) rd_attest_cache *cache = rd_attest_cache_new(0);
    check_folder(root, "sgx", cache);
    check_folder(root, "tdx", cache);
    (void)snprintf(path, sizeof path, "%s/mutations.json", root);
    RD_CLEANUP(rd_json_free_p) json_t *document = json_load_file(path, 0, NULL);
    size_t i;
    const json_t *mutation;
    json_array_foreach(json_object_get(document, "mutations"), i, mutation)
    {
        vec_case c;
        const char *id = json_string_value(json_object_get(mutation, "id"));
        if (vec_load(root, json_string_value(json_object_get(mutation, "case")), &c) &&
            vec_mutate(root, &c, mutation) && vec_file_of(&c, "quote.bin"))
            check_same(&c, cache, id);
        vec_done(&c);
    }
}

/* --- AMD, from the corpus --- */

static json_t *judge_corpus(corpus_case *c, rd_attest_cache *cache, int64_t time_us)
{
    RD_CLEANUP(rd_free_p) rd_judgement *judgement = rd_alloc(sizeof *judgement);
    rd_judge_input input = corpus_input(c);
    rd_err err = RD_ERR_INIT;
    input.cache = cache;
    input.time_us = time_us;
    (void)!rd_judge(&input, judgement, &err);
    return rd_judgement_to_json(judgement);
}

static void check_corpus(corpus_case *c, rd_attest_cache *cache, const char *name)
{
    static const int64_t day_us = INT64_C(86400) * 1000000;
    static const int64_t offsets[] = { 0, -4000, 20000, 0 };
    for (size_t i = 0; i < RD_ARRAY_LEN(offsets); i++) {
        int64_t time_us = corpus_input(c).time_us + offsets[i] * day_us;
        RD_CLEANUP(rd_json_free_p) json_t *cold = judge_corpus(c, NULL, time_us);
        RD_CLEANUP(rd_json_free_p) json_t *warm = judge_corpus(c, cache, time_us);
        if (!json_equal(cold, warm))
            fail_msg("%s, %d days: %s\n%s", name, (int)offsets[i], json_dumps(cold, 0), json_dumps(warm, 0));
    }
}

static void test_corpus_of_amd(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_attest_cache_free_p) rd_attest_cache *cache = rd_attest_cache_new(0);
    RD_CLEANUP(rd_json_free_p) json_t *index = corpus_index();
    for (size_t i = 0; i < json_array_size(index); i++) {
        const char *name = json_string_value(json_array_get(index, i));
        corpus_case c;
        if (!rd_starts_with(name, "snp/"))
            continue;
        corpus_load(name, &c);
        check_corpus(&c, cache, name);
        corpus_done(&c);
    }
}

/* The chain and the list that were verified are found again, by the kind of leaf and as long as they are valid. */
static void test_amd_is_remembered(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_attest_cache_free_p) rd_attest_cache *cache = rd_attest_cache_new(0);
    corpus_case c;
    corpus_load("snp/g15-list-that-names-nobody-ok-milan-v2", &c);
    rd_judge_input input = corpus_input(&c);
    json_decref(judge_corpus(&c, cache, input.time_us));
    uint8_t is_vlek = 0;
    rd_memo_key key = { .kind = RD_MEMO_SNP_CHAIN,
                        .parts = { input.collateral->snp_chain, RD_BYTES_ARRAY(input.anchors->items[0].fingerprint),
                                   rd_bytes_of(&is_vlek, 1) },
                        .count = 3 };
    rd_memo *memo = rd_cache_find(cache, &key, input.time_us);
    assert_non_null(memo);
    rd_memo_unref(memo);
    assert_null(rd_cache_find(cache, &key, input.time_us + INT64_C(20000) * 86400 * 1000000));
    is_vlek = 1;
    assert_null(rd_cache_find(cache, &key, input.time_us));
    corpus_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_and_kind),   cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_vectors),           cmocka_unit_test(test_corpus_of_amd),
        cmocka_unit_test(test_amd_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
