/* Whether a grant is given: the checks of docs/protocol/kms.md in their order, the record, the state, the answer. */
#include <string.h>
#include <time.h>

#include "common/base/failpoint.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/release.h"
#include "common/model/ticket.h"
#include "enclave/kms/kms_channel.h"
#include "enclave/kms/kms_front.h"

/* One request on its way; what has been established so far stands in `known`. */
typedef struct decision {
    rd_kms_grant_message message;
    int64_t now_us;
    rd_evidence evidence;
    rd_genesis genesis;
    rd_head head;
    rd_digest head_digest, release_digest;
    rd_attest_report report;
    rd_secret_set secrets;
    int64_t until_us; /* when the grant ends */
    kms_ask_record known;
} decision;

static void decision_done(decision *d)
{
    rd_evidence_done(&d->evidence);
}

static void decision_free_p(decision **d)
{
    decision_done(*d);
    rd_free_p(d);
}

static int64_t boot_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* --- what is asked --- */

static int check_question(kms_front *front, decision *d, rd_err *err)
{
    const rd_statement *asked = &d->evidence.statement;
    if (rd_evidence_parse(d->message.evidence, &d->evidence, err) < 0)
        return -1;
    /* Spent before anything else is looked at: a nonce answers one message, good or bad. */
    if (kms_nonces_take(&front->nonces, boot_us(), asked->nonce, err) < 0)
        return -1;
    if (asked->purpose != RD_PURPOSE_GRANT)
        return rd_err_set(err, RD_E_PURPOSE, "evidence of purpose %s, grants answer purpose grant",
                          rd_purpose_name(asked->purpose));
    if (asked->kms_count > 1)
        return rd_err_set(err, RD_E_UNSUPPORTED, "grants of two key services together come later");
    if (!rd_kms_id_equal(&asked->kms[0], &front->id))
        return rd_err_set(err, RD_E_KMS_SET, "the instance was launched for another key service");
    return 0;
}

/* --- what the owners signed --- */

/* A head that was seen is known from here on, whatever becomes of the question: what the owners withdrew by it must not
 * be granted because nobody fits it. One whose time is still to come replaces none yet; an app that never had a grant
 * has none to end, and takes no room. */
static int see_head(kms_front *front, decision *d, rd_bytes bytes, rd_head_known *known, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    const rd_app_id *app = &d->evidence.statement.app;
    const rd_head_check check = { .genesis = &d->genesis,
                                  .app = app,
                                  .known = known->seq > 0 ? known : NULL,
                                  .class = &front->genesis.class };
    if (rd_envelope_parse(bytes, &envelope, err) < 0 ||
        rd_head_accept(&envelope, &check, &d->head, &d->head_digest, err) < 0)
        return -1;
    if (d->head.not_before_us > d->now_us)
        return 0;
    *known = rd_head_known_of(&d->head, &d->head_digest);
    return kms_state_head(&front->state, app) ? kms_state_learn_head(&front->state, app, known, err) : 0;
}

static int check_head(kms_front *front, decision *d, rd_err *err)
{
    const rd_statement *asked = &d->evidence.statement;
    const rd_head_known *stored = kms_state_head(&front->state, &asked->app);
    rd_head_known known = { 0 };
    if (stored)
        known = *stored;
    if (d->message.newest.size > 0 && see_head(front, d, d->message.newest, &known, err) < 0)
        return rd_err_wrap(err, "newest head");
    if (see_head(front, d, d->message.head, &known, err) < 0 || rd_head_check_time(&d->head, d->now_us, err) < 0)
        return -1;
    d->known.has |= KMS_HAS_HEAD;
    memcpy(d->known.head, d->head_digest.b, 32);
    if (!rd_digest_equal(&d->head_digest, &asked->head))
        return rd_err_set(err, RD_E_STATEMENT, "the instance runs under another head");
    if (d->head.kms_count != 1 || !rd_kms_id_equal(&d->head.kms[0], &front->id))
        return rd_err_set(err, RD_E_KMS_SET, "the head does not name this key service");
    return 0;
}

static int check_release(decision *d, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    rd_release release;
    const rd_statement *asked = &d->evidence.statement;
    if (rd_envelope_parse(d->message.release, &envelope, err) < 0 ||
        rd_release_accept(&envelope, &d->genesis, &asked->app, &release, &d->release_digest, err) < 0)
        return -1;
    rd_release_done(&release);
    if (!rd_digest_equal(&d->release_digest, &asked->release))
        return rd_err_set(err, RD_E_STATEMENT, "the instance runs another release");
    if (!rd_head_lists(&d->head, &d->release_digest))
        return rd_err_set(err, RD_E_RELEASE_NOT_ALLOWED, "the head does not list the release");
    d->known.has |= KMS_HAS_RELEASE;
    memcpy(d->known.release, d->release_digest.b, 32);
    return 0;
}

static int check_documents(kms_front *front, decision *d, rd_err *err)
{
    const rd_statement *asked = &d->evidence.statement;
    if (rd_genesis_open(d->message.genesis, &asked->app, &d->genesis, err) < 0)
        return -1;
    d->known.has |= KMS_HAS_APP;
    memcpy(d->known.app, asked->app.b, 32);
    return check_head(front, d, err) < 0 || check_release(d, err) < 0 ? -1 : 0;
}

/* --- who asks --- */

static int check_evidence(kms_front *front, decision *d, rd_err *err)
{
    const rd_statement *asked = &d->evidence.statement;
    const rd_attest_floor floor = { .evaluation_number = front->state.evaluation_number,
                                    .pck_crl_number = front->state.pck_crl_number,
                                    .root_crl_number = front->state.root_crl_number };
    const rd_evidence_check check = { .evidence = d->message.evidence,
                                      .set = front->collateral,
                                      .anchors = &front->anchors,
                                      .policy = &d->head.policy,
                                      .floor = &floor,
                                      .cache = front->cache,
                                      .expect = { .purpose = RD_PURPOSE_GRANT,
                                                  .nonce = asked->nonce,
                                                  .app = &asked->app,
                                                  .release = &d->release_digest,
                                                  .head = &d->head_digest,
                                                  .kms = &front->id,
                                                  .kms_count = 1 },
                                      .time_us = d->now_us };
    if (rd_attest_check_evidence(&check, &d->report, err) < 0)
        return -1;
    d->known.has |= KMS_HAS_INSTANCE | KMS_HAS_STATEMENT;
    d->known.epoch = asked->epoch;
    memcpy(d->known.instance, asked->instance.b, sizeof(d->known.instance));
    memcpy(d->known.statement, d->report.statement_digest.b, 32);
    return 0;
}

/* The owner's own word, where the policy asks for it; it may shorten the term. */
static int check_webhook(const kms_front *front, decision *d, rd_err *err)
{
    uint32_t term_s = 0;
    if (rd_webhook_accept(&d->head.policy.webhook, &front->id, rd_buf_bytes(&d->evidence.statement_bytes),
                          d->message.webhook, &term_s, err) < 0)
        return -1;
    d->until_us = rd_head_grant_end_us(&d->head, d->now_us);
    if (term_s > 0)
        d->until_us = RD_MIN(d->until_us, d->now_us + (int64_t)term_s * 1000000);
    return 0;
}

static int check_ticket(kms_front *front, decision *d, rd_err *err)
{
    rd_ticket ticket;
    const rd_statement *asked = &d->evidence.statement;
    if (d->message.ticket.size == 0)
        return rd_err_set(err, RD_E_TICKET, "there is no ticket");
    if (rd_ticket_accept(d->message.ticket, &front->ticket_key, d->now_us, &ticket, err) < 0)
        return -1;
    if (!rd_id_equal(&ticket.instance, &asked->instance) || ticket.epoch != asked->epoch ||
        !rd_app_id_equal(&ticket.app, &asked->app) || !rd_digest_equal(&ticket.release, &asked->release))
        return rd_err_set(err, RD_E_TICKET, "the ticket is for another instance, epoch, app or release");
    return kms_state_check_epoch(&front->state, &asked->instance, asked->epoch, &asked->receipt_key, err);
}

static int check_secrets(decision *d, rd_err *err)
{
    if (rd_secret_set_parse(d->message.secrets, &d->secrets, err) < 0)
        return -1;
    if (d->head.secrets_count == 0 && d->secrets.count == 0)
        return 0;
    return rd_secrets_check(d->secrets.refs, d->secrets.count, d->head.secrets_count, &d->head.secrets_root, err);
}

static int check_all(kms_front *front, decision *d, rd_err *err)
{
    if (check_question(front, d, err) < 0 || kms_front_time(front, &d->now_us, err) < 0 ||
        check_documents(front, d, err) < 0 || check_evidence(front, d, err) < 0 || check_webhook(front, d, err) < 0 ||
        check_ticket(front, d, err) < 0)
        return -1;
    return check_secrets(d, err);
}

/* --- what follows --- */

static int learn(kms_front *front, const decision *d, rd_err *err)
{
    kms_state *state = &front->state;
    const rd_verdict *verdict = &d->report.verdict;
    const rd_statement *asked = &d->evidence.statement;
    const rd_head_known head = rd_head_known_of(&d->head, &d->head_digest);
    if (kms_state_learn_head(state, &asked->app, &head, err) < 0)
        return -1;
    kms_state_learn_epoch(state, &asked->instance, asked->epoch, &asked->receipt_key);
    state->floor_us = RD_MAX(state->floor_us, RD_MAX(d->head.not_before_us, verdict->collateral_issued_us));
    state->evaluation_number = RD_MAX(state->evaluation_number, verdict->tcb.evaluation_number);
    state->pck_crl_number = RD_MAX(state->pck_crl_number, verdict->pck_crl_number);
    state->root_crl_number = RD_MAX(state->root_crl_number, verdict->root_crl_number);
    encl_platform_raise_floor(front->platform, state->floor_us);
    return 0;
}

/* A TD's time stamp counter is out of its host's reach, simulated or behind AMD's it is not (yet). */
static uint64_t requests_max(const decision *d)
{
    const rd_verdict *verdict = &d->report.verdict;
    bool has_protected_clock = d->head.class == RD_CLASS_HARDWARE && verdict->claims.tee == RD_TEE_TDX;
    return rd_head_grant_requests(&d->head, has_protected_clock);
}

static int ask_root(kms_front *front, const decision *d, kms_told_record *told, rd_buf *ret, rd_err *err)
{
    const rd_statement *asked = &d->evidence.statement;
    const rd_buf *statement = &d->evidence.statement_bytes;
    RD_CLEANUP(rd_buf_done) rd_buf more = { .size_max = KMS_CHANNEL_MAX };
    kms_ask_grant ask = { .head_seq = d->head.seq,
                          .epoch = asked->epoch,
                          .requests_max = requests_max(d),
                          .not_before_us = d->now_us,
                          .not_after_us = d->until_us,
                          .statement_size = (uint32_t)statement->size,
                          .secrets_size = (uint32_t)d->message.secrets.size };
    memcpy(ask.app, asked->app.b, 32);
    memcpy(ask.release, asked->release.b, 32);
    memcpy(ask.head, asked->head.b, 32);
    memcpy(ask.receipt_key, asked->receipt_key.b, 32);
    memcpy(ask.grant_key, asked->grant_key, 32);
    memcpy(ask.nonce, asked->nonce, 32);
    memcpy(ask.instance, asked->instance.b, sizeof(ask.instance));
    rd_buf_append_bytes(&more, rd_buf_bytes(statement));
    rd_buf_append_bytes(&more, d->message.secrets);
    return kms_channel_ask(front->root_fd, KMS_OP_GRANT, rd_bytes_of(&ask, sizeof(ask)), rd_buf_bytes(&more), told,
                           sizeof(*told), ret, err);
}

static int give(kms_front *front, decision *d, rd_buf *ret, rd_err *err)
{
    kms_told_record told;
    if (learn(front, d, err) < 0 || ask_root(front, d, &told, ret, err) < 0)
        return -1;
    (void)RD_FP(KMS_BEFORE_STATE);
    if (kms_front_save(front, told.record_number, told.record, err) < 0)
        return -1;
    (void)RD_FP(KMS_AFTER_STATE);
    rd_log(RD_INFO, "granted", RD_U64("record", told.record_number), RD_U64("head", d->head.seq));
    return 0;
}

void kms_front_record_refusal(kms_front *front, const kms_ask_record *known, rd_buf *ret_record, rd_err *err)
{
    kms_told_record told;
    kms_ask_record ask = *known;
    rd_err why = RD_ERR_INIT;
    if (front->is_behind)
        return;
    ask.kind = RD_KMS_RECORD_REFUSAL;
    ask.at_us = encl_platform_time_us(front->platform);
    memcpy(ask.reason, rd_code_describe(err->code)->name, strlen(rd_code_describe(err->code)->name));
    if (kms_channel_ask(front->root_fd, KMS_OP_RECORD, rd_bytes_of(&ask, sizeof(ask)), RD_BYTES_NULL, &told,
                        sizeof(told), ret_record, &why) == 0 &&
        kms_front_save(front, told.record_number, told.record, &why) == 0)
        return;
    rd_buf_clear(ret_record);
    *err = why;
}

int kms_front_grant(kms_front *front, rd_bytes message, rd_buf *ret, rd_buf *ret_record, rd_err *err)
{
    RD_CLEANUP(decision_free_p) decision *d = rd_alloc(sizeof(*d));
    rd_err why = RD_ERR_INIT;
    if (rd_kms_grant_message_parse(message, &d->message, &why) == 0 && check_all(front, d, &why) == 0 &&
        give(front, d, ret, &why) == 0)
        return 0;
    rd_buf_clear(ret);
    kms_front_record_refusal(front, &d->known, ret_record, &why);
    *err = why;
    return -1;
}
