#include "tests/support/evidence_corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509.h"

static const struct {
    corpus_piece piece;
    const char *file;
} files[] = {
    { CORPUS_EVIDENCE, "quote.bin" },
    { CORPUS_EVIDENCE, "report.bin" },
    { CORPUS_EVIDENCE, "certificate.pem" },
    { CORPUS_EVIDENCE, "outblob" },
    { CORPUS_EVIDENCE, "td_report.bin" },
    { CORPUS_AUXBLOB, "auxblob" },
    { CORPUS_CCEL, "ccel.bin" },
    { CORPUS_CCEL_TABLE, "ccel_table.bin" },
    { CORPUS_EVENT_LOG, "event_log.json" },
    { CORPUS_PCK_CHAIN, "pck_chain.pem" },
    { CORPUS_PCK_CRL, "pck_crl.der" },
    { CORPUS_PCK_CRL_CHAIN, "pck_crl_issuer_chain.pem" },
    { CORPUS_ROOT_CA_CRL, "root_ca_crl.der" },
    { CORPUS_TCB_INFO, "tcb_info.json" },
    { CORPUS_TCB_INFO_CHAIN, "tcb_info_issuer_chain.pem" },
    { CORPUS_QE_IDENTITY, "qe_identity.json" },
    { CORPUS_QE_IDENTITY_CHAIN, "qe_identity_issuer_chain.pem" },
    { CORPUS_SNP_CHAIN, "vcek.der" },
    { CORPUS_SNP_CHAIN, "vlek.der" },
    { CORPUS_SNP_CHAIN, "ask.pem" },
    { CORPUS_SNP_CHAIN, "asvk.pem" },
    { CORPUS_SNP_CHAIN, "ark.pem" },
    { CORPUS_SNP_CRL, "crl.der" },
};

const char *corpus_root(void)
{
    const char *root = getenv("REDOUBT_CORPUS");
    struct stat info;
#ifdef CORPUS_DIR
    if (!root)
        root = CORPUS_DIR;
#endif
    return root && stat(root, &info) == 0 && S_ISDIR(info.st_mode) ? root : NULL;
}

static bool read_file(const char *name, const char *file, rd_buf *out)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s/%s", corpus_root(), name, file);
    uint8_t piece[4096];
    FILE *in = fopen(path, "rb");
    if (!in)
        return false;
    for (size_t got; (got = fread(piece, 1, sizeof piece, in)) > 0;)
        rd_buf_append(out, piece, got);
    fclose(in);
    return true;
}

static void must(bool is_ok, const char *name, const char *what)
{
    if (is_ok)
        return;
    fprintf(stderr, "corpus: %s: %s\n", name, what);
    abort();
}

static void read_root(const char *name, rd_anchors *ret)
{
    RD_CLEANUP(rd_buf_done) rd_buf pem = { 0 };
    RD_CLEANUP(rd_cert_free_p) rd_cert *root = NULL;
    must(read_file(name, "trust_root.pem", &pem) && rd_cert_parse_pem(rd_buf_bytes(&pem), &root, NULL) == 0, name,
         "no trust root");
    *ret = (rd_anchors){ .count = 2,
                         .items = { { .class = RD_CLASS_SIMULATED, .tee = RD_TEE_TDX },
                                    { .class = RD_CLASS_SIMULATED, .tee = RD_TEE_SNP } } };
    for (size_t i = 0; i < ret->count; i++)
        rd_cert_fingerprint(root, ret->items[i].fingerprint);
}

static json_t *read_json(const char *name, const char *file)
{
    static const rd_json_limits limits = { .size_max = 1 << 20 };
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    json_t *ret = NULL;
    if (!read_file(name, file, &text))
        return NULL;
    must(rd_json_parse(rd_buf_bytes(&text), &limits, &ret, NULL) == 0, name, file);
    return ret;
}

static void read_expect(const char *name, corpus_case *ret)
{
    ret->expect = read_json(name, "expect.json");
    const json_t *at = json_object_get(ret->expect, "verify_at");
    must(json_is_string(at) && rd_time_parse(json_string_value(at), json_string_length(at), &ret->time_us) == 0, name,
         "no time in expect.json");
}

static void read_policy(const char *name, corpus_case *ret)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = read_json(name, "policy.json");
    if (!document)
        return;
    ret->policy = rd_alloc(sizeof *ret->policy);
    must(rd_policy_read(document, "", ret->policy, NULL) == 0, name, "bad policy.json");
}

json_t *corpus_index(void)
{
    return corpus_root() ? read_json(".", "index.json") : NULL;
}

void corpus_load(const char *name, corpus_case *ret)
{
    *ret = (corpus_case){ 0 };
    for (size_t i = 0; i < RD_ARRAY_LEN(files); i++)
        ret->has[files[i].piece] |= read_file(name, files[i].file, &ret->pieces[files[i].piece]);
    read_root(name, &ret->anchors);
    read_expect(name, ret);
    read_policy(name, ret);
}

void corpus_done(corpus_case *c)
{
    for (size_t i = 0; i < CORPUS_PIECES; i++)
        rd_buf_done(&c->pieces[i]);
    json_decref(c->expect);
    free(c->policy);
}

static rd_bytes piece(const corpus_case *c, corpus_piece which)
{
    rd_bytes bytes = rd_buf_bytes(&c->pieces[which]);
    if (!c->has[which])
        return RD_BYTES_NULL;
    /* What was emptied is there, and empty. */
    return bytes.data ? bytes : RD_BYTES_LIT("");
}

rd_judge_input corpus_input(corpus_case *c)
{
    c->collateral = (rd_collateral){ .pck_chain = piece(c, CORPUS_PCK_CHAIN),
                                     .pck_crl = piece(c, CORPUS_PCK_CRL),
                                     .pck_crl_chain = piece(c, CORPUS_PCK_CRL_CHAIN),
                                     .root_ca_crl = piece(c, CORPUS_ROOT_CA_CRL),
                                     .tcb_info = piece(c, CORPUS_TCB_INFO),
                                     .tcb_info_chain = piece(c, CORPUS_TCB_INFO_CHAIN),
                                     .qe_identity = piece(c, CORPUS_QE_IDENTITY),
                                     .qe_identity_chain = piece(c, CORPUS_QE_IDENTITY_CHAIN),
                                     .snp_chain = piece(c, CORPUS_SNP_CHAIN),
                                     .snp_crl = piece(c, CORPUS_SNP_CRL) };
    return (rd_judge_input){ .evidence = piece(c, CORPUS_EVIDENCE),
                             .cert_table = piece(c, CORPUS_AUXBLOB),
                             .ccel = piece(c, CORPUS_CCEL),
                             .ccel_table = piece(c, CORPUS_CCEL_TABLE),
                             .event_log = piece(c, CORPUS_EVENT_LOG),
                             .collateral = &c->collateral,
                             .anchors = &c->anchors,
                             .policy = c->policy,
                             .accepts_simulated = true,
                             .is_reading = true,
                             .time_us = c->time_us };
}
