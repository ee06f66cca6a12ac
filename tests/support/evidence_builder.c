#include "tests/support/evidence_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A builder that cannot build is a bug in the tests: nothing after it would mean anything. */
static void must(bool is_ok, const rd_err *err, const char *what)
{
    if (is_ok)
        return;
    fprintf(stderr, "evidence builder: %s: %s\n", what, err ? err->text : "failed");
    abort();
}

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        rd_err must_err = RD_ERR_INIT;                                                                                 \
        rd_err *err = &must_err;                                                                                       \
        must((call) == 0, err, #call);                                                                                 \
    } while (0)

static const uint8_t fmspc[6] = { 0x90, 0xc0, 0x6f, 0x00, 0xff, 0x01 };
static const uint8_t nonce[32] = { 'n', 'o', 'n', 'c', 'e' };

static void fill_statement(ev_builder *b)
{
    rd_signing_key *key = rd_signing_key_new();
    rd_statement *s = &b->statement;
    *s = (rd_statement){ .purpose = RD_PURPOSE_CLIENT,
                         .class = RD_CLASS_SIMULATED,
                         .has_app = true,
                         .has_release = true,
                         .has_head = true,
                         .has_instance = true,
                         .has_receipt_key = true,
                         .epoch = 7 };
    memcpy(s->nonce, nonce, sizeof nonce);
    memset(s->app.b, 0xa1, sizeof s->app.b);
    memset(s->release.b, 0xb2, sizeof s->release.b);
    memset(s->head.b, 0xc3, sizeof s->head.b);
    memset(s->instance.b, 0xd4, sizeof s->instance.b);
    s->receipt_key = *rd_signing_key_public(key);
    rd_signing_key_free(key);
}

static void fill_platform(ev_builder *b)
{
    *b = (ev_builder){ .issued_us = EV_NOW_US - AGENT_SIM_DAY_US, .has_log = true };
    b->pck_key = rd_p256_key_new();
    agent_sim_platform_make(fmspc, &b->platform);
    agent_sim_qe_make(&b->qe);
    memcpy(b->td.tee_tcb_svn, agent_sim_tee_tcb_svn, 16);
    b->td.td_attributes[3] = 0x10;
    memset(b->td.mrtd, 0x42, sizeof b->td.mrtd);
    fill_statement(b);
    MUST(agent_sim_ca_make(b->issued_us, &b->ca, err));
}

static void measure_launch(ev_builder *b)
{
    rd_launch_header header = { .app = b->statement.app, .release = b->statement.release };
    rd_kms_set_digest(NULL, 0, &header.kms_set);
    rd_launch_header_encode(&header, b->header);
    if (b->has_log)
        rd_rtmr3_of_launch(b->header, b->td.rtmr[3]);
}

static void issue_pck(ev_builder *b)
{
    uint8_t spki[RD_P256_SPKI_SIZE];
    rd_p256_key_spki(b->pck_key, spki);
    b->pck = rd_cert_free(b->pck);
    MUST(agent_sim_pck_issue(&b->ca, rd_buf_bytes(&b->extension), RD_BYTES_ARRAY(spki), b->issued_us, &b->pck, err));
    rd_buf_clear(&b->qe.pck_chain);
    agent_sim_pck_chain(&b->ca, b->pck, &b->qe.pck_chain);
}

static void bind_statement(ev_builder *b)
{
    uint8_t report_data[64];
    if (rd_purpose_shares_quotes(b->statement.purpose) && !b->keeps_nonce)
        rd_nonce_path_root(&b->nonce_path, b->statement.nonce, b->statement.nonce);
    MUST(rd_statement_encode(&b->statement, &b->statement_bytes, err));
    rd_statement_report_data(rd_buf_bytes(&b->statement_bytes), report_data);
    agent_sim_td_report(&b->td, report_data, b->td_report);
}

static void sign_bodies(ev_builder *b)
{
    rd_buf_clear(&b->collateral.tcb_info);
    rd_buf_clear(&b->collateral.qe_identity);
    MUST(agent_sim_sign_body(b->ca.tcb_key, "tcbInfo", rd_buf_bytes(&b->tcb_info_body), &b->collateral.tcb_info, err));
    MUST(agent_sim_sign_body(b->ca.tcb_key, "enclaveIdentity", rd_buf_bytes(&b->qe_identity_body),
                             &b->collateral.qe_identity, err));
}

static void make_bodies(ev_builder *b)
{
    MUST(agent_sim_collateral_make(&b->ca, fmspc, 3, b->issued_us, &b->collateral, err));
    agent_sim_tcb_info(fmspc, b->issued_us, &b->tcb_info_body);
    agent_sim_qe_identity(b->issued_us, &b->qe_identity_body);
}

static void make_bundle(ev_builder *b)
{
    agent_sim_collateral_json(&b->collateral, &b->collateral_json);
    MUST(rd_evidence_encode(rd_buf_bytes(&b->quote), rd_buf_bytes(&b->statement_bytes), b->has_log ? b->header : NULL,
                            rd_purpose_shares_quotes(b->statement.purpose) ? &b->nonce_path : NULL, &b->evidence, err));
}

static void make_check(ev_builder *b)
{
    uint8_t fingerprint[32];
    rd_cert_fingerprint(b->ca.root, fingerprint);
    rd_anchors_init(&b->anchors);
    MUST(rd_anchors_add_simulated(&b->anchors, fingerprint, err));
    b->policy = (rd_policy){ .is_simulated = true,
                             .tees = { RD_TEE_TDX },
                             .tees_count = 1,
                             .tcb = { RD_TCB_UP_TO_DATE, RD_TCB_SW_HARDENING_NEEDED },
                             .tcb_count = 2,
                             .max_collateral_age_s = 604800 };
    uint8_t mrtd[RD_MRTD_SIZE];
    memset(mrtd, 0x42, sizeof mrtd);
    MUST(rd_policy_add_mrtd(&b->policy, mrtd));
    b->check = (rd_evidence_check){ .anchors = &b->anchors,
                                    .policy = &b->policy,
                                    .floor = &b->floor,
                                    .time_us = EV_NOW_US,
                                    .expect = { .purpose = b->statement.purpose,
                                                .nonce = nonce,
                                                .app = &b->statement.app,
                                                .release = &b->statement.release,
                                                .head = &b->statement.head,
                                                .instance = &b->statement.instance,
                                                .epoch = &b->statement.epoch } };
}

void ev_build(ev_builder *b, ev_stage stage, ev_spoiler spoil)
{
#define STAGE(at)                                                                                                      \
    if (stage == (at))                                                                                                 \
    spoil(b)
    fill_platform(b);
    STAGE(EV_PLATFORM);
    measure_launch(b);
    agent_sim_pck_extension(&b->platform, &b->extension);
    STAGE(EV_EXTENSION);
    issue_pck(b);
    STAGE(EV_CHAIN);
    MUST(agent_sim_qe_sign(&b->qe, b->pck_key, err));
    if (stage == EV_QE) {
        spoil(b);
        MUST(rd_p256_sign(b->pck_key, RD_BYTES_ARRAY(b->qe.report), b->qe.report_signature, err));
    }
    bind_statement(b);
    STAGE(EV_TD);
    MUST(agent_sim_quote_assemble(&b->qe, b->td_report, &b->quote, err));
    STAGE(EV_QUOTE);
    make_bodies(b);
    STAGE(EV_BODIES);
    sign_bodies(b);
    STAGE(EV_COLLATERAL);
    make_bundle(b);
    STAGE(EV_BUNDLE);
    make_check(b);
    STAGE(EV_CHECK);
#undef STAGE
    b->check.evidence = rd_buf_bytes(&b->evidence);
    b->check.collateral = rd_buf_bytes(&b->collateral_json);
}

void ev_done(ev_builder *b)
{
    agent_sim_ca_done(&b->ca);
    rd_p256_key_free(b->pck_key);
    rd_cert_free(b->pck);
    agent_sim_qe_done(&b->qe);
    agent_sim_collateral_done(&b->collateral);
    rd_buf *bufs[] = { &b->extension,       &b->quote,    &b->tcb_info_body,  &b->qe_identity_body,
                       &b->statement_bytes, &b->evidence, &b->collateral_json };
    for (size_t i = 0; i < RD_ARRAY_LEN(bufs); i++)
        rd_buf_done(bufs[i]);
}

rd_code ev_check(const ev_builder *b, rd_attest_report *ret)
{
    rd_err err = RD_ERR_INIT;
    return rd_attest_check_evidence(&b->check, ret, &err) == 0 ? RD_OK : err.code;
}

rd_code ev_verify(const ev_builder *b, rd_bytes quote, rd_verdict *ret)
{
    rd_err err = RD_ERR_INIT;
    const agent_sim_collateral *c = &b->collateral;
    rd_collateral pieces = { .root_pem = rd_buf_bytes(&c->root),
                             .pck_crl = rd_buf_bytes(&c->pck_crl),
                             .pck_crl_chain = rd_buf_bytes(&c->pck_crl_chain),
                             .root_ca_crl = rd_buf_bytes(&c->root_ca_crl),
                             .tcb_info = rd_buf_bytes(&c->tcb_info),
                             .tcb_info_chain = rd_buf_bytes(&c->tcb_info_chain),
                             .qe_identity = rd_buf_bytes(&c->qe_identity),
                             .qe_identity_chain = rd_buf_bytes(&c->qe_identity_chain) };
    rd_attest_input input = { .quote = quote, .collateral = &pieces, .anchors = &b->anchors, .time_us = EV_NOW_US };
    return rd_attest_verify(&input, ret, &err) == 0 ? RD_OK : err.code;
}

/* --- for spoilers --- */

void ev_replace(rd_buf *buf, const char *find, const char *replace)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    uint8_t *at = memmem(buf->data, buf->size, find, strlen(find));
    must(at != NULL, NULL, find);
    size_t before = (size_t)(at - buf->data), after = before + strlen(find);
    rd_buf_append(&out, buf->data, before);
    rd_buf_append_str(&out, replace);
    rd_buf_append(&out, buf->data + after, buf->size - after);
    rd_buf_clear(buf);
    rd_buf_append_bytes(buf, rd_buf_bytes(&out));
}

void ev_flip(rd_buf *buf, size_t offset)
{
    must(offset < buf->size, NULL, "flip behind the end");
    buf->data[offset] ^= 1;
}

rd_cert *ev_issue(const rd_cert_spec *spec, const rd_p256_key *key, const rd_cert *issuer,
                  const rd_p256_key *issuer_key)
{
    rd_cert *cert = NULL;
    uint8_t spki[RD_P256_SPKI_SIZE];
    rd_p256_key_spki(key, spki);
    MUST(rd_cert_issue(spec, RD_BYTES_ARRAY(spki), issuer, issuer_key, &cert, err));
    return cert;
}

rd_cert_spec ev_leaf_spec(const ev_builder *b)
{
    return (rd_cert_spec){ .kind = RD_CERT_KIND_SIGNER,
                           .common_name = "Redoubt Simulation SGX PCK Certificate",
                           .organization = AGENT_SIM_ORGANIZATION,
                           .path_length = -1,
                           .not_before_us = b->issued_us,
                           .not_after_us = b->issued_us + 365 * AGENT_SIM_DAY_US };
}

void ev_set_chain(ev_builder *b, const rd_cert *const *certs, size_t count)
{
    rd_buf_clear(&b->qe.pck_chain);
    for (size_t i = 0; i < count; i++)
        rd_cert_to_pem(certs[i], &b->qe.pck_chain);
}

void ev_reissue(ev_builder *b, const rd_cert_spec *spec)
{
    rd_cert_extra extra = { .oid = "1.2.840.113741.1.13.1", .value = rd_buf_bytes(&b->extension) };
    rd_cert_spec with = *spec;
    with.extras = &extra;
    with.extra_count = 1;
    rd_cert_free(b->pck);
    b->pck = ev_issue(&with, b->pck_key, b->ca.platform, b->ca.platform_key);
    ev_set_chain(b, (const rd_cert *const[]){ b->pck, b->ca.platform, b->ca.root }, 3);
}

void ev_set_crl(ev_builder *b, rd_buf *out, const rd_cert *issuer, const rd_p256_key *key, int64_t from_us,
                int64_t to_us, const rd_cert *revoked)
{
    (void)b;
    rd_bytes serial = revoked ? rd_cert_serial(revoked) : RD_BYTES_NULL;
    rd_crl_spec spec = { .this_update_us = from_us,
                         .next_update_us = to_us,
                         .number = 3,
                         .revoked = &serial,
                         .revoked_count = revoked ? 1 : 0 };
    rd_buf_clear(out);
    MUST(rd_crl_issue(&spec, issuer, key, out, err));
}
