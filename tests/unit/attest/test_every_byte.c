// link: test_evidence
/* Evidence cut at every offset, and evidence, logs and collateral with every byte changed: never genuine with another
 * meaning, never a crash, never more memory than a verification may take. Whatever a change leaves genuine must say
 * what the good case says; in a quote or report that can only be a byte of PEM text, in a certificate its issuer's
 * name. REDOUBT_ALL_BYTES=1 changes every bit of every byte and cuts everything everywhere, which takes minutes;
 * without it each byte has one bit changed, and what is no evidence, or is text, is sampled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/evidence_corpus.h"

#define TEXT_STEP  7
#define MEMORY_MAX ((int64_t)4 << 20) /* 4096 events, or a list of thousands, included */

/* --- memory --- */

#ifdef __SANITIZE_ADDRESS__
/* Of sanitizer/allocator_interface.h, which not every compiler installs. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *at);

static int64_t allocated, peak;

static void on_malloc(const volatile void *at, size_t size)
{
    (void)at;
    allocated += (int64_t)size;
    peak = RD_MAX(peak, allocated);
}

static void on_free(const volatile void *at)
{
    allocated -= (int64_t)(at ? __sanitizer_get_allocated_size(at) : 0);
}

static void watch_memory(void)
{
    (void)__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}
#else
static int64_t allocated, peak;
static void watch_memory(void)
{
}
#endif

static void judge(corpus_case *c, rd_judgement *ret)
{
    rd_judge_input input = corpus_input(c);
    rd_err err = RD_ERR_INIT;
    int64_t before = peak = allocated;
    (void)!rd_judge(&input, ret, &err);
    assert_true(peak - before <= MEMORY_MAX);
}

/* --- what stays the same --- */

static bool says_the_same(const rd_judgement *a, const rd_judgement *b)
{
    const rd_verdict *x = &a->verdict, *y = &b->verdict;
    return memcmp(&x->claims, &y->claims, sizeof x->claims) == 0 && x->tcb.status == y->tcb.status &&
           x->tcb.date_us == y->tcb.date_us && x->tcb.evaluation_number == y->tcb.evaluation_number &&
           x->tcb.advisory_count == y->tcb.advisory_count &&
           memcmp(a->log.rtmr, b->log.rtmr, sizeof a->log.rtmr) == 0 && a->is_accepted == b->is_accepted;
}

static bool is_believed(const rd_judgement *judgement)
{
    return judgement->verdict.is_genuine || judgement->is_accepted || judgement->log_matches;
}

/* --- the tests --- */

typedef struct family {
    const char *label;
    const char *name;
    corpus_piece piece;
    size_t step;     /* of the sample */
    bool has_issuer; /* a certificate, whose issuer is nobody's word (attest/ratls.h) */
} family;

static const family families[] = {
    { "SGX quote 3", "sgx/good-sgx3", CORPUS_EVIDENCE, 1, false },
    { "TDX quote 4", "tdx/good-tdx4", CORPUS_EVIDENCE, 1, false },
    { "TDX quote 5", "tdx/good-tdx5-15", CORPUS_EVIDENCE, 1, false },
    { "TDX quote 5, longest body", "tdx/good-tdx5-ex", CORPUS_EVIDENCE, 1, false },
    { "SNP report 2", "snp/good-milan-v2", CORPUS_EVIDENCE, 1, false },
    { "SNP report 3", "snp/good-genoa-v3", CORPUS_EVIDENCE, 1, false },
    { "SNP report 5", "snp/good-turin-v5", CORPUS_EVIDENCE, 1, false },
    { "SNP chain", "snp/good-milan-v2", CORPUS_SNP_CHAIN, 7, false },
    { "SNP list", "snp/g15-list-that-names-nobody-ok-milan-v2", CORPUS_SNP_CRL, 5, false },
    { "SNP certificate table", "snp/g17-certificate-table-ok-beside-the-report", CORPUS_AUXBLOB, 7, false },
    { "RA-TLS certificate", "sgx/i9-interoperable-certificate-sgx3-ok", CORPUS_EVIDENCE, 7, true },
    { "firmware log", "eventlog/e5-ccel-quote-and-collateral-ok", CORPUS_CCEL, 5, false },
    { "dstack log", "eventlog/e5-dstack-log-quote-and-collateral-ok", CORPUS_EVENT_LOG, 7, false },
    { "TCB info", "tdx/good-tdx4", CORPUS_TCB_INFO, 7, false },
    { "QE identity", "tdx/good-tdx4", CORPUS_QE_IDENTITY, 7, false },
    { "PCK list", "tdx/good-tdx4", CORPUS_PCK_CRL, 5, false },
};

/* In memory of its own size, so that a read past the end is seen. */
static void put_exactly(rd_buf *out, const uint8_t *bytes, size_t size)
{
    rd_buf_done(out);
    *out = (rd_buf){ .data = malloc(size ? size : 1), .size = size, .capacity = size ? size : 1 };
    assert_non_null(out->data);
    memcpy(out->data, bytes, size);
}

static bool is_thorough(void)
{
    return getenv("REDOUBT_ALL_BYTES") != NULL;
}

static void cut_everywhere(void **state)
{
    const family *this = *state;
    corpus_case c;
    rd_judgement good, judgement;
    corpus_load(this->name, &c);
    judge(&c, &good);
    assert_true(is_believed(&good));
    rd_buf *piece = &c.pieces[this->piece], whole = *piece;
    *piece = (rd_buf){ 0 };
    size_t step = is_thorough() || this->piece == CORPUS_EVIDENCE ? 1 : this->step;
    for (size_t size = 0; size < whole.size; size += step) {
        put_exactly(piece, whole.data, size);
        judge(&c, &judgement);
        bool is_same = says_the_same(&judgement, &good);
        if (is_believed(&judgement) && !is_same)
            print_message("cut at %zu of %zu: believed\n", size, whole.size);
        /* A log or a text may lose padding or its last newline; a quote, report or list nothing. */
        assert_true(!is_believed(&judgement) || (is_same && this->piece != CORPUS_EVIDENCE));
    }
    rd_buf_done(&whole);
    corpus_done(&c);
}

/* Where the PEM text of a quote begins; the end when there is none. */
static size_t text_from(const rd_buf *bytes)
{
    const uint8_t *at = memmem(bytes->data, bytes->size, "-----BEGIN", 10);
    return at ? (size_t)(at - bytes->data) : bytes->size;
}

static void change_everywhere(void **state)
{
    const family *this = *state;
    corpus_case c;
    rd_judgement good, judgement;
    bool is_all = is_thorough();
    corpus_load(this->name, &c);
    judge(&c, &good);
    assert_true(is_believed(&good));
    rd_buf *piece = &c.pieces[this->piece];
    size_t text = text_from(piece), left = 0;
    for (size_t i = 0; i < piece->size; i += is_all ? 1 : i < text ? this->step : TEXT_STEP) {
        for (int bit = is_all ? 0 : (int)(i % 8); bit < (is_all ? 8 : (int)(i % 8) + 1); bit++) {
            piece->data[i] ^= (uint8_t)(1u << bit);
            judge(&c, &judgement);
            piece->data[i] ^= (uint8_t)(1u << bit);
            if (!is_believed(&judgement))
                continue;
            left++;
            bool may_stay = this->piece != CORPUS_EVIDENCE || this->has_issuer || i >= text;
            if (!may_stay || !says_the_same(&judgement, &good))
                print_message("byte %zu of %zu, bit %d: still believed\n", i, piece->size, bit);
            assert_true(may_stay && says_the_same(&judgement, &good));
        }
    }
    print_message("%s: %zu changes left the same meaning\n", this->label, left);
    corpus_done(&c);
}

int main(void)
{
    struct CMUnitTest tests[2 * RD_ARRAY_LEN(families)];
    char names[2 * RD_ARRAY_LEN(families)][64];
    if (!corpus_root()) {
        print_message("skipped: no corpus (node writes it at build time)\n");
        return 0;
    }
    for (size_t i = 0; i < RD_ARRAY_LEN(tests); i++) {
        const family *this = &families[i / 2];
        snprintf(names[i], sizeof names[i], "%s: %s", i % 2 ? "B1 every byte changed" : "A2 cut at every offset",
                 this->label);
        tests[i] = (struct CMUnitTest){ .name = names[i],
                                        .test_func = i % 2 ? change_everywhere : cut_everywhere,
                                        .initial_state = (void *)(uintptr_t)this };
    }
    watch_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
