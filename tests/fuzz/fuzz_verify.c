// link: test_evidence
/* The whole verifier over good cases of the generated corpus. An input is a case, one of its pieces, and what becomes
 * of it: patched at (u16 offset, u8 value) places, or replaced by the rest of the input. What comes out as genuine must
 * say what some case of the corpus says, and what is accepted must be genuine. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "tests/support/evidence_corpus.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In this order also in the seeds that tests/corpus/generate.mjs writes. */
static const char *const names[] = {
    "sgx/good-sgx3",
    "sgx/good-sgx4",
    "sgx/good-sgx5",
    "tdx/good-tdx4",
    "tdx/good-tdx5-10",
    "tdx/good-tdx5-15",
    "tdx/good-tdx5-ex",
    "snp/good-milan-v2",
    "snp/good-genoa-v3",
    "snp/good-turin-v5",
    "snp/good-milan-v3-vlek",
    "sgx/a14-type-4-with-the-chain-beside-it-sgx3-ok",
    "sgx/i9-interoperable-certificate-sgx3-ok",
    "tdx/i9-gramine-certificate-tdx4-ok",
    "tdx/i9-dstack-certificate-with-its-event-log-ok",
    "snp/g17-certificate-table-ok-beside-the-report",
    "snp/g15-list-that-names-nobody-ok-milan-v2",
    "eventlog/e5-ccel-quote-and-collateral-ok",
    "eventlog/e5-dstack-log-quote-and-collateral-ok",
};

static corpus_case cases[RD_ARRAY_LEN(names)];
/* Claims of everything genuine in the corpus. */
static uint8_t (*known)[32];
static size_t known_count;

/* A report of version 2 says nothing of its product: that is the certificate's, and the corpus has one key for all. */
static void digest_claims(const rd_claims *claims, uint8_t out[32])
{
    rd_claims said;
    memcpy(&said, claims, sizeof said);
    if (said.tee == RD_TEE_SNP && said.format_version == 2)
        said.snp.product = 0;
    rd_sha256(rd_bytes_of(&said, sizeof said), out);
}

static bool is_known(const rd_claims *claims)
{
    uint8_t digest[32];
    digest_claims(claims, digest);
    for (size_t i = 0; i < known_count; i++)
        if (memcmp(known[i], digest, 32) == 0)
            return true;
    return false;
}

static void judge(corpus_case *c, rd_judgement *ret)
{
    rd_judge_input input = corpus_input(c);
    rd_err err = RD_ERR_INIT;
    (void)!rd_judge(&input, ret, &err);
}

/* What its platform needs to be judged by, from the good TDX case: logs come with a quote alone. */
static void lend_collateral(corpus_case *c)
{
    const corpus_case *lender = &cases[3];
    for (int i = CORPUS_PCK_CHAIN; i <= CORPUS_QE_IDENTITY_CHAIN; i++) {
        if (c->has[i] || !lender->has[i])
            continue;
        (void)rd_buf_append_bytes(&c->pieces[i], rd_buf_bytes(&lender->pieces[i]));
        c->has[i] = true;
    }
}

static void learn(const char *name)
{
    corpus_case c;
    rd_judgement judgement;
    corpus_load(name, &c);
    /* Where only the log is wrong, the evidence without it is what its platform signed. */
    const char *why = json_string_value(json_object_get(c.expect, "error_class"));
    bool has_bad_log = why && strcmp(why, "EventLogMismatch") == 0;
    bool is_genuine = has_bad_log || json_is_true(json_object_get(c.expect, "genuine"));
    for (int i = CORPUS_CCEL; has_bad_log && i <= CORPUS_EVENT_LOG; i++)
        c.has[i] = false;
    if (has_bad_log && !c.has[CORPUS_TCB_INFO])
        lend_collateral(&c);
    if (is_genuine)
        judge(&c, &judgement);
    if (is_genuine && judgement.verdict.is_genuine && !is_known(&judgement.verdict.claims)) {
        known = realloc(known, (known_count + 1) * sizeof *known);
        if (!known)
            abort();
        digest_claims(&judgement.verdict.claims, known[known_count++]);
    }
    corpus_done(&c);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    RD_CLEANUP(rd_json_free_p) json_t *index = corpus_index();
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++)
        corpus_load(names[i], &cases[i]);
    for (size_t i = 0; i < json_array_size(index); i++)
        learn(json_string_value(json_array_get(index, i)));
    if (known_count == 0)
        abort();
    return 0;
}

static void change(rd_buf *piece, uint8_t how, const uint8_t *data, size_t size)
{
    size_t patches = how & 0x0f;
    if (how & 0x80)
        rd_buf_clear(piece);
    for (; !(how & 0x80) && piece->size > 0 && patches > 0 && size >= 3; patches--, data += 3, size -= 3)
        piece->data[(size_t)(data[0] << 8 | data[1]) % piece->size] = data[2];
    /* Bytes may also be taken off the end. */
    if (!(how & 0x80) && (how & 0x40) && size >= 2)
        piece->size -= RD_MIN(piece->size, (size_t)(data[0] << 8 | data[1]));
    else
        rd_buf_append(piece, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_judgement judgement;
    if (size < 3)
        return 0;
    corpus_case *c = &cases[data[0] % RD_ARRAY_LEN(names)];
    size_t which = data[1] % CORPUS_PIECES;
    rd_buf good = c->pieces[which], changed = { 0 };
    bool was_there = c->has[which];
    rd_buf_append_bytes(&changed, rd_buf_bytes(&good));
    change(&changed, data[2], data + 3, size - 3);
    c->pieces[which] = changed;
    c->has[which] = true;
    judge(c, &judgement);
    rd_buf_done(&c->pieces[which]);
    c->pieces[which] = good;
    c->has[which] = was_there;
    if (judgement.is_accepted && !judgement.verdict.is_genuine)
        abort();
    if (judgement.verdict.is_genuine && !is_known(&judgement.verdict.claims))
        abort();
    return 0;
}
