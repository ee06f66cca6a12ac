#include "enclave/kms/kms_root.h"

#include <string.h>

#include "common/base/mem.h"
#include "enclave/kms/kms_root_priv.h"

#define SEAL_LABEL          "redoubt/kms-root"
#define CERTIFICATE_TERM_US (INT64_C(30) * 86400 * 1000000)

/* --- opening --- */

static int genesis_of(const kms_ask_open *ask, rd_kms_genesis *ret, rd_err *err)
{
    if (ask->platforms_count > RD_ARRAY_LEN(ask->platforms))
        return rd_err_set(err, RD_E_CONFIG, "a key service has at most %d machines", RD_KMS_REPLICAS_MAX);
    /* One of any number would be the root itself, not a share of it. */
    if (ask->recovery_count > RD_KMS_RECOVERY_MAX || ask->recovery_threshold > ask->recovery_count ||
        ask->recovery_threshold == 1 || (ask->recovery_threshold == 0) != (ask->recovery_count == 0))
        return rd_err_set(err, RD_E_CONFIG, "%u of %u recovery shares cannot be made", ask->recovery_threshold,
                          ask->recovery_count);
    uint32_t replicas = 1u + ask->platforms_count;
    *ret = (rd_kms_genesis){ .class = (rd_class)ask->class_,
                             .measurements_count = 1,
                             .platforms_count = replicas,
                             .replicas = replicas,
                             .quorum = replicas / 2 + 1,
                             .recovery_count = ask->recovery_count,
                             .recovery_threshold = ask->recovery_threshold,
                             .has_sim_root = ask->has_sim_root != 0 };
    if (!rd_class_name(ret->class))
        return rd_err_set(err, RD_E_CONFIG, "a genesis of this shape cannot be made");
    memcpy(ret->measurements[0], ask->measurement, sizeof(ask->measurement));
    memcpy(ret->platforms[0], ask->platform, sizeof(ask->platform));
    memcpy(ret->platforms[1], ask->platforms, (size_t)ask->platforms_count * 32);
    memcpy(ret->recovery_keys, ask->recovery_keys, sizeof(ret->recovery_keys));
    memcpy(ret->sim_root, ask->sim_root, sizeof(ret->sim_root));
    return 0;
}

static int make_root(kms_root *self, const uint8_t seal_key[32], rd_err *err)
{
    rd_kms_genesis genesis;
    if (genesis_of(&self->place, &genesis, err) < 0 || kms_keys_make(&genesis, &self->keys, err) < 0)
        return -1;
    return kms_keys_seal(&self->keys, seal_key, &self->more, err);
}

int kms_root_check_place(const kms_root *self, rd_err *err)
{
    const kms_ask_open *place = &self->place;
    const rd_kms_genesis *genesis = &self->keys.genesis;
    if (genesis->class != (rd_class)place->class_)
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "the root was made in the other class");
    if (!rd_kms_genesis_lists_build(genesis, place->measurement))
        return rd_err_set(err, RD_E_KMS_BUILD, "this build is none of the genesis");
    if (!rd_kms_genesis_lists_platform(genesis, place->platform))
        return rd_err_set(err, RD_E_KMS_PLATFORM, "this machine is none of the genesis");
    for (size_t i = 0; i < place->platforms_count && i < RD_ARRAY_LEN(place->platforms); i++)
        if (!rd_kms_genesis_lists_platform(genesis, place->platforms[i]))
            return rd_err_set(err, RD_E_KMS_PLATFORM,
                              "kms-platforms names a machine that the genesis does not list; a genesis never changes");
    if (place->recovery_count > 0 &&
        (place->recovery_count != genesis->recovery_count || place->recovery_threshold != genesis->recovery_threshold ||
         memcmp(place->recovery_keys, genesis->recovery_keys, sizeof(place->recovery_keys)) != 0))
        return rd_err_set(err, RD_E_CONFIG, "the genesis has other recovery keys; a genesis never changes");
    return 0;
}

/* The sealing key stays while it waits: nothing that runs later could have it again. */
static int get_root(kms_root *self, rd_bytes sealed, rd_err *err)
{
    uint8_t seal_key[32];
    int outcome = 0;
    if (encl_platform_seal_key(self->platform, SEAL_LABEL, seal_key, err) < 0)
        return -1;
    if (self->place.waits)
        self->seal_key = rd_secret_copy(RD_BYTES_ARRAY(seal_key));
    else if (self->place.has_file)
        outcome = kms_keys_unseal(sealed, seal_key, &self->keys, err);
    else
        outcome = make_root(self, seal_key, err);
    rd_wipe(seal_key, sizeof(seal_key));
    return outcome == 0 && !self->place.waits ? kms_root_check_place(self, err) : outcome;
}

static int answer_open(kms_root *self, int fd, rd_bytes question, rd_err *err)
{
    if (question.size < sizeof(self->place))
        return rd_err_set(err, RD_E_CONTROL_FRAME, "open");
    kms_keys_done(&self->keys);
    memcpy(&self->place, question.data, sizeof(self->place));
    size_t at = sizeof(self->place);
    if (get_root(self, rd_bytes_of(question.data + at, question.size - at), err) < 0)
        return -1;
    self->platform = encl_platform_free(self->platform);
    self->phase = self->place.waits ? KMS_ROOT_WAITS : KMS_ROOT_OPEN;
    self->record_number = self->place.record_number;
    memcpy(self->record.b, self->place.record, sizeof(self->record.b));
    kms_told_open told = { .sealed_size = (uint32_t)self->more.size,
                           .genesis_size = (uint32_t)self->keys.document.size };
    bool is_new = told.sealed_size > 0;
    if (self->phase == KMS_ROOT_OPEN)
        memcpy(told.replica, rd_signing_key_public(self->keys.replica)->b, sizeof(told.replica));
    rd_buf_append_bytes(&self->more, rd_buf_bytes(&self->keys.document));
    if (is_new && self->keys.genesis.recovery_count > 0 && kms_recover_split(self, &self->more, err) < 0)
        return -1;
    told.shares_size = (uint32_t)(self->more.size - told.sealed_size - told.genesis_size);
    return kms_channel_tell(fd, rd_bytes_of(&told, sizeof(told)), rd_buf_bytes(&self->more));
}

/* --- records --- */

int kms_root_chain(kms_root *self, rd_kms_record *record, rd_buf *ret, rd_err *err)
{
    rd_digest digest;
    record->kms = self->keys.id;
    record->replica = *rd_signing_key_public(self->keys.replica);
    record->number = self->record_number + 1;
    record->has_prev = self->record_number > 0;
    record->prev = self->record;
    if (rd_kms_record_sign(record, self->keys.replica, ret, &digest, err) < 0)
        return -1;
    self->record_number++;
    self->record = digest;
    return 0;
}

kms_told_record kms_root_end(const kms_root *self)
{
    kms_told_record told = { .record_number = self->record_number };
    memcpy(told.record, self->record.b, sizeof(told.record));
    return told;
}

int kms_root_tell_record(const kms_root *self, int fd)
{
    const kms_told_record told = kms_root_end(self);
    return kms_channel_tell(fd, rd_bytes_of(&told, sizeof(told)), rd_buf_bytes(&self->more));
}

static int answer_record(kms_root *self, int fd, rd_bytes question, rd_err *err)
{
    kms_ask_record ask;
    if (question.size != sizeof(ask))
        return rd_err_set(err, RD_E_CONTROL_FRAME, "record");
    memcpy(&ask, question.data, sizeof(ask));
    if (ask.kind != RD_KMS_RECORD_START && ask.kind != RD_KMS_RECORD_REFUSAL && ask.kind != RD_KMS_RECORD_JOIN)
        return rd_err_set(err, RD_E_CONTROL_FRAME, "records of grants are made with them");
    rd_kms_record record = { .kind = (rd_kms_record_kind)ask.kind,
                             .at_us = ask.at_us,
                             .has_app = (ask.has & KMS_HAS_APP) != 0,
                             .has_release = (ask.has & KMS_HAS_RELEASE) != 0,
                             .has_head = (ask.has & KMS_HAS_HEAD) != 0,
                             .has_instance = (ask.has & KMS_HAS_INSTANCE) != 0,
                             .has_statement = (ask.has & KMS_HAS_STATEMENT) != 0,
                             .epoch = ask.epoch };
    memcpy(record.app.b, ask.app, 32);
    memcpy(record.release.b, ask.release, 32);
    memcpy(record.head.b, ask.head, 32);
    memcpy(record.statement.b, ask.statement, 32);
    memcpy(record.instance.b, ask.instance, sizeof(ask.instance));
    memcpy(record.reason, ask.reason, sizeof(record.reason));
    record.reason[sizeof(record.reason) - 1] = '\0';
    return kms_root_chain(self, &record, &self->more, err) < 0 ? -1 : kms_root_tell_record(self, fd);
}

/* --- seal keys --- */

static int answer_seal_key(kms_root *self, int fd, rd_bytes question, rd_err *err)
{
    kms_ask_seal_key ask;
    kms_told_seal_key told;
    rd_app_id app;
    rd_signature signature;
    if (question.size != sizeof(ask))
        return rd_err_set(err, RD_E_CONTROL_FRAME, "seal key");
    memcpy(&ask, question.data, sizeof(ask));
    memcpy(app.b, ask.app, sizeof(app.b));
    RD_CLEANUP(rd_secret_free_p) rd_secret *app_root = kms_keys_app_root(&self->keys, &app);
    RD_CLEANUP(rd_secret_free_p) rd_secret *key = kms_keys_derive(app_root, RD_KDF_APP_SEAL, ask.version);
    rd_x25519_public(key, told.key);
    if (rd_seal_key_sign(self->keys.signer, &app, ask.version, told.key, &signature, err) < 0)
        return -1;
    memcpy(told.signature, signature.b, sizeof(told.signature));
    return kms_channel_tell(fd, rd_bytes_of(&told, sizeof(told)), RD_BYTES_NULL);
}

/* --- grants --- */

int kms_root_certify(kms_root *self, int64_t now_us, rd_err *err)
{
    if (self->certificate.size > 0 && now_us < self->certificate_until_us - CERTIFICATE_TERM_US / 2)
        return 0;
    rd_kms_certificate certificate = { .kms = self->keys.id,
                                       .key = *rd_signing_key_public(self->keys.replica),
                                       .not_after_us = now_us + CERTIFICATE_TERM_US };
    memcpy(certificate.measurement, self->place.measurement, sizeof(certificate.measurement));
    memcpy(certificate.platform, self->place.platform, sizeof(certificate.platform));
    rd_buf_clear(&self->certificate);
    self->certificate_until_us = certificate.not_after_us;
    return rd_kms_certificate_sign(&certificate, self->keys.signer, &self->certificate, err);
}

/* The values of all secrets, opened into one buffer that has room for them from the start. */
static int open_secrets(const rd_secret *app_root, const rd_secret_set *set, rd_grant_payload *payload, rd_buf *values,
                        rd_err *err)
{
    size_t ends[RD_SECRETS_MAX + 1] = { 0 };
    RD_CLEANUP(rd_secret_free_p) rd_secret *key = kms_keys_derive(app_root, RD_KDF_APP_SEAL, 1);
    if (!rd_buf_reserve(values, RD_SECRETS_SEALED_MAX))
        return rd_err_set(err, RD_E_TOO_LARGE, "secrets");
    for (size_t i = 0; i < set->count; i++) {
        const rd_secret_ref *ref = &set->refs[i];
        if (rd_secret_open(key, &payload->app, ref->name, ref->version, set->sealed[i], values, err) < 0)
            return -1;
        payload->secrets[i] = *ref;
        ends[i + 1] = values->size;
    }
    for (size_t i = 0; i < set->count; i++)
        payload->values[i] = rd_bytes_of(values->data + ends[i], ends[i + 1] - ends[i]);
    payload->secrets_count = set->count;
    return 0;
}

static void derive_keys(const rd_secret *app_root, rd_grant_payload *payload)
{
    static const rd_kdf_label labels[RD_GRANT_KEY_END] = {
        [RD_GRANT_KEY_STORAGE] = RD_KDF_APP_STORAGE, [RD_GRANT_KEY_MODEL] = RD_KDF_APP_MODEL,
        [RD_GRANT_KEY_TLS] = RD_KDF_APP_TLS,         [RD_GRANT_KEY_SIGN] = RD_KDF_APP_SIGN,
        [RD_GRANT_KEY_USER] = RD_KDF_APP_USER,       [RD_GRANT_KEY_DRAW] = RD_KDF_APP_DRAW,
    };
    for (unsigned i = 1; i < RD_GRANT_KEY_END; i++) {
        RD_CLEANUP(rd_secret_free_p) rd_secret *key = kms_keys_derive(app_root, labels[i], 1);
        memcpy(payload->keys[i], rd_secret_bytes(key).data, 32);
    }
}

static void record_of_grant(const kms_ask_grant *ask, rd_bytes statement, rd_kms_record *ret)
{
    *ret = (rd_kms_record){ .kind = RD_KMS_RECORD_GRANT,
                            .at_us = ask->not_before_us,
                            .has_app = true,
                            .has_release = true,
                            .has_head = true,
                            .has_instance = true,
                            .has_statement = true,
                            .epoch = ask->epoch,
                            .has_until = true,
                            .until_us = ask->not_after_us };
    memcpy(ret->app.b, ask->app, 32);
    memcpy(ret->release.b, ask->release, 32);
    memcpy(ret->head.b, ask->head, 32);
    memcpy(ret->instance.b, ask->instance, sizeof(ask->instance));
    rd_statement_digest(statement, &ret->statement);
}

static int fill_payload(kms_root *self, const kms_ask_grant *ask, const rd_secret_set *set, rd_grant_payload *payload,
                        rd_buf *values, rd_err *err)
{
    rd_public_key receipt_key;
    *payload = (rd_grant_payload){ .head_seq = ask->head_seq,
                                   .epoch = ask->epoch,
                                   .record = self->record_number + 1,
                                   .not_before_us = ask->not_before_us,
                                   .not_after_us = ask->not_after_us,
                                   .requests_max = ask->requests_max };
    memcpy(payload->app.b, ask->app, 32);
    memcpy(payload->release.b, ask->release, 32);
    memcpy(payload->head.b, ask->head, 32);
    memcpy(receipt_key.b, ask->receipt_key, 32);
    rd_jwk_thumbprint(&receipt_key, payload->instance);
    RD_CLEANUP(rd_secret_free_p) rd_secret *app_root = kms_keys_app_root(&self->keys, &payload->app);
    derive_keys(app_root, payload);
    return open_secrets(app_root, set, payload, values, err);
}

static int seal_grant(kms_root *self, const kms_ask_grant *ask, rd_bytes statement, const rd_grant_payload *payload,
                      rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf plain = { .size_max = RD_GRANT_PAYLOAD_MAX };
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf envelope = { 0 };
    const rd_grant_request request = { .kms = self->keys.id, .statement = statement, .nonce = ask->nonce };
    rd_signature signature;
    rd_kms_record record;
    record_of_grant(ask, statement, &record);
    if (rd_grant_payload_encode(payload, &plain, err) < 0 ||
        rd_grant_seal(&request, ask->grant_key, rd_buf_bytes(&plain), self->keys.replica, rd_random_system(), &sealed,
                      &signature, err) < 0 ||
        kms_root_certify(self, ask->not_before_us, err) < 0 || kms_root_chain(self, &record, &envelope, err) < 0)
        return -1;
    const rd_grant_answer answer = { .sealed = rd_buf_bytes(&sealed),
                                     .signature = RD_BYTES_ARRAY(signature.b),
                                     .certificate = rd_buf_bytes(&self->certificate),
                                     .record = rd_buf_bytes(&envelope) };
    return rd_grant_answer_encode(&answer, &self->more, err);
}

static void payload_free_p(rd_grant_payload **payload)
{
    rd_wipe(*payload, sizeof(**payload));
    rd_free_p(payload);
}

static int answer_grant(kms_root *self, int fd, rd_bytes question, rd_err *err)
{
    kms_ask_grant ask;
    if (question.size < sizeof(ask))
        return rd_err_set(err, RD_E_CONTROL_FRAME, "grant");
    memcpy(&ask, question.data, sizeof(ask));
    size_t more = question.size - sizeof(ask);
    if (ask.statement_size > more || ask.secrets_size != more - ask.statement_size ||
        ask.not_after_us <= ask.not_before_us || ask.not_before_us < 0)
        return rd_err_set(err, RD_E_CONTROL_FRAME, "grant");
    rd_bytes statement = rd_bytes_of(question.data + sizeof(ask), ask.statement_size);
    rd_bytes secrets = rd_bytes_of(statement.data + statement.size, ask.secrets_size);
    RD_CLEANUP(rd_free_p) rd_secret_set *set = rd_alloc(sizeof(*set));
    RD_CLEANUP(payload_free_p) rd_grant_payload *payload = rd_alloc(sizeof(*payload));
    RD_CLEANUP(rd_buf_wipe) rd_buf values = { .size_max = RD_SECRETS_SEALED_MAX };
    if (rd_secret_set_parse(secrets, set, err) < 0 || fill_payload(self, &ask, set, payload, &values, err) < 0)
        return -1;
    return seal_grant(self, &ask, statement, payload, err) < 0 ? -1 : kms_root_tell_record(self, fd);
}

/* --- the loop --- */

typedef struct answerer {
    int (*answer)(kms_root *self, int fd, rd_bytes question, rd_err *err);
    unsigned phases; /* in which it may be asked */
} answerer;

static const answerer answerers[KMS_OP_COUNT] = {
    [KMS_OP_OPEN] = { answer_open, KMS_ROOT_NEW },
    [KMS_OP_SEAL_KEY] = { answer_seal_key, KMS_ROOT_OPEN },
    [KMS_OP_GRANT] = { answer_grant, KMS_ROOT_OPEN },
    [KMS_OP_RECORD] = { answer_record, KMS_ROOT_OPEN },
    [KMS_OP_NONCE] = { kms_join_nonce, KMS_ROOT_OPEN | KMS_ROOT_WAITS },
    [KMS_OP_EXPORT] = { kms_join_export, KMS_ROOT_OPEN },
    [KMS_OP_MEET] = { kms_join_meet, KMS_ROOT_WAITS },
    [KMS_OP_IMPORT] = { kms_join_import, KMS_ROOT_WAITS },
    [KMS_OP_RECOVER] = { kms_recover_begin, KMS_ROOT_WAITS },
    [KMS_OP_SHARE] = { kms_recover_share, KMS_ROOT_WAITS },
    [KMS_OP_JUDGE] = { NULL, 0 },
};

/* 0: answered; -1: the channel is of no use any more. */
static int answer_one(kms_root *self, int fd, uint8_t op, rd_bytes question)
{
    rd_err err = RD_ERR_INIT;
    rd_buf_clear(&self->more);
    if ((answerers[op].phases & (unsigned)self->phase) == 0)
        (void)rd_err_set(&err, RD_E_CONTROL_ORDER, "not asked of a root in this state");
    else if (answerers[op].answer(self, fd, question, &err) == 0)
        return 0;
    return err.code == RD_OK ? -1 : kms_channel_refuse(fd, &err);
}

int kms_root_run(int channel_fd, int judge_fd, encl_platform *platform)
{
    kms_root self = {
        .platform = platform, .judge_fd = judge_fd, .phase = KMS_ROOT_NEW, .more = { .size_max = KMS_CHANNEL_MAX }
    };
    int outcome = 0;
    while (outcome == 0) {
        uint8_t op;
        RD_CLEANUP(rd_buf_wipe) rd_buf question = { .size_max = KMS_CHANNEL_MAX };
        outcome = kms_channel_receive(channel_fd, &op, &question);
        if (outcome == 0)
            outcome = answer_one(&self, channel_fd, op, rd_buf_bytes(&question));
    }
    kms_keys_done(&self.keys);
    kms_join_done(&self.join);
    kms_recover_done(&self.recover);
    self.recovery_key = rd_secret_free(self.recovery_key);
    rd_buf_done(&self.recovery_genesis);
    self.seal_key = rd_secret_free(self.seal_key);
    rd_buf_done(&self.certificate);
    rd_buf_done(&self.more);
    encl_platform_free(self.platform);
    return 0;
}
