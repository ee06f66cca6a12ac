#include "enclave/runtime/identity.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/model/evidence.h"

struct encl_identity {
    encl_platform *platform;
    encl_seal *seal;
    rd_signing_key *receipt_key;
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
    rd_statement statement; /* all but purpose and nonce */
    bool has_status;
    rd_digest status;
};

int encl_identity_measure(encl_platform *platform, const uint8_t header[RD_LAUNCH_HEADER_SIZE], rd_err *err)
{
    uint8_t digests[2][RD_RTMR_SIZE];
    rd_event_digest(RD_EVENT_APP, rd_bytes_of(header, RD_LAUNCH_HEADER_SIZE), digests[0]);
    rd_event_digest(RD_EVENT_CLOSED, RD_BYTES_NULL, digests[1]);
    if (encl_platform_extend(platform, digests, RD_ARRAY_LEN(digests), err) < 0)
        return rd_err_wrap(err, "events " RD_EVENT_APP " and " RD_EVENT_CLOSED);
    encl_platform_close_register(platform);
    return 0;
}

int encl_identity_begin_blank(encl_platform *platform, rd_buf *ret_statement, rd_err *err)
{
    uint8_t report_data[RD_REPORT_DATA_SIZE];
    rd_statement statement = { .purpose = RD_PURPOSE_BLANK };
    if (!rd_class_parse(encl_platform_class(platform), &statement.class))
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "the platform has no class");
    if (encl_platform_random(platform, statement.nonce, RD_NONCE_SIZE, err) < 0 ||
        rd_statement_encode(&statement, ret_statement, err) < 0)
        return -1;
    rd_statement_report_data(rd_buf_bytes(ret_statement), report_data);
    return encl_platform_begin_quote(platform, report_data, err);
}

int encl_identity_blank_evidence(encl_platform *platform, rd_bytes statement, rd_buf *ret, rd_err *err)
{
    uint8_t report_data[RD_REPORT_DATA_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
    rd_statement_report_data(statement, report_data);
    if (encl_platform_quote(platform, report_data, &quote, err) < 0)
        return -1;
    return rd_evidence_encode(rd_buf_bytes(&quote), statement, NULL, NULL, ret, err);
}

static int draw_key(encl_platform *platform, rd_signing_key **ret, rd_err *err)
{
    uint8_t seed[RD_SEED_SIZE];
    if (encl_platform_random(platform, seed, sizeof(seed), err) < 0)
        return -1;
    *ret = rd_signing_key_from_seed(seed);
    rd_wipe(seed, sizeof(seed));
    return 0;
}

int encl_identity_new(encl_platform *platform, encl_seal *seal, const uint8_t header[RD_LAUNCH_HEADER_SIZE],
                      const encl_app *app, const rd_id *instance, uint64_t epoch, encl_identity **ret, rd_err *err)
{
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = NULL;
    if (draw_key(platform, &key, err) < 0)
        return -1;
    encl_identity *identity = rd_alloc(sizeof(*identity));
    identity->platform = platform;
    identity->seal = seal;
    memcpy(identity->header, header, sizeof(identity->header));
    identity->statement = (rd_statement){ .class = app->class,
                                          .has_app = true,
                                          .has_release = true,
                                          .has_head = true,
                                          .has_instance = true,
                                          .has_receipt_key = true,
                                          .has_ohttp = true,
                                          .app = app->id,
                                          .release = app->release,
                                          .head = app->head.known.digest,
                                          .instance = *instance,
                                          .epoch = epoch,
                                          .kms = { app->kms },
                                          .kms_count = app->has_kms,
                                          .receipt_key = *rd_signing_key_public(key) };
    identity->receipt_key = RD_TAKE(key);
    *ret = identity;
    return 0;
}

encl_identity *encl_identity_free(encl_identity *identity)
{
    if (identity != NULL) {
        rd_signing_key_free(identity->receipt_key);
        free(identity);
    }
    return NULL;
}

void encl_identity_free_p(encl_identity **identity)
{
    *identity = encl_identity_free(*identity);
}

static int quote_statement(encl_identity *identity, const rd_statement *statement, rd_buf *text, rd_buf *quote,
                           rd_err *err)
{
    uint8_t report_data[RD_REPORT_DATA_SIZE];
    if (rd_statement_encode(statement, text, err) < 0)
        return -1;
    rd_statement_report_data(rd_buf_bytes(text), report_data);
    return encl_platform_quote(identity->platform, report_data, quote, err);
}

/* Statement, quote and bundle. */
static int attest(encl_identity *identity, const rd_statement *statement, rd_buf *text, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
    if (quote_statement(identity, statement, text, &quote, err) < 0)
        return -1;
    return rd_evidence_encode(rd_buf_bytes(&quote), rd_buf_bytes(text), identity->header, NULL, ret, err);
}

/* The keys for sealed requests that are given out at this moment. */
static int name_keys(encl_identity *identity, rd_statement *statement, rd_err *err)
{
    uint8_t keys[RD_OHTTP_KEYS_SIZE];
    if (encl_seal_keys(identity->seal, keys, err) < 0)
        return -1;
    rd_sha256(RD_BYTES_ARRAY(keys), statement->ohttp);
    return 0;
}

int encl_identity_begin_status(encl_identity *identity, const uint8_t nonce[RD_NONCE_SIZE], rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    uint8_t report_data[RD_REPORT_DATA_SIZE];
    rd_statement statement = identity->statement;
    statement.purpose = RD_PURPOSE_STATUS;
    memcpy(statement.nonce, nonce, RD_NONCE_SIZE);
    if (name_keys(identity, &statement, err) < 0 || rd_statement_encode(&statement, &text, err) < 0)
        return -1;
    rd_statement_report_data(rd_buf_bytes(&text), report_data);
    return encl_platform_begin_quote(identity->platform, report_data, err);
}

int encl_identity_status_evidence(encl_identity *identity, const uint8_t nonce[RD_NONCE_SIZE], rd_buf *ret, rd_err *err)
{
    rd_statement statement = identity->statement;
    statement.purpose = RD_PURPOSE_STATUS;
    if (name_keys(identity, &statement, err) < 0)
        return -1;
    memcpy(statement.nonce, nonce, RD_NONCE_SIZE);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    if (attest(identity, &statement, &text, ret, err) < 0)
        return -1;
    if (!identity->has_status) {
        rd_statement_digest(rd_buf_bytes(&text), &identity->status);
        identity->has_status = true;
    }
    return 0;
}

void encl_shared_quote_done(encl_shared_quote *shared)
{
    rd_buf_done(&shared->statement);
    rd_buf_done(&shared->quote);
    shared->tree = rd_nonce_tree_free(shared->tree);
}

int encl_identity_share_quote(encl_identity *identity, const uint8_t (*nonces)[RD_NONCE_SIZE], size_t count,
                              encl_shared_quote *ret, rd_err *err)
{
    rd_statement statement = identity->statement;
    statement.purpose = RD_PURPOSE_CLIENT;
    *ret = (encl_shared_quote){ .tree = rd_nonce_tree_new(nonces, count) };
    rd_nonce_tree_root(ret->tree, statement.nonce);
    if (name_keys(identity, &statement, err) < 0)
        return -1;
    return quote_statement(identity, &statement, &ret->statement, &ret->quote, err);
}

int encl_identity_client_evidence(const encl_identity *identity, const encl_shared_quote *shared, size_t index,
                                  rd_buf *ret, rd_err *err)
{
    rd_nonce_path path;
    rd_nonce_tree_path(shared->tree, index, &path);
    return rd_evidence_encode(rd_buf_bytes(&shared->quote), rd_buf_bytes(&shared->statement), identity->header, &path,
                              ret, err);
}

int encl_identity_app_evidence(encl_identity *identity, const uint8_t user[32], rd_buf *ret, rd_err *err)
{
    rd_statement statement = identity->statement;
    statement.purpose = RD_PURPOSE_APP;
    statement.has_user = true;
    memcpy(statement.user, user, sizeof(statement.user));
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    if (encl_platform_random(identity->platform, statement.nonce, RD_NONCE_SIZE, err) < 0)
        return -1;
    return attest(identity, &statement, &text, ret, err);
}

int encl_identity_grant_evidence(encl_identity *identity, const uint8_t grant_key[32], const rd_digest *head,
                                 const uint8_t nonce[RD_NONCE_SIZE], rd_buf *ret_statement, rd_buf *ret, rd_err *err)
{
    rd_statement statement = identity->statement;
    statement.purpose = RD_PURPOSE_GRANT;
    statement.head = *head;
    statement.has_ohttp = false; /* a grant answers to its own key alone */
    statement.has_grant_key = true;
    memcpy(statement.grant_key, grant_key, sizeof(statement.grant_key));
    memcpy(statement.nonce, nonce, RD_NONCE_SIZE);
    return attest(identity, &statement, ret_statement, ret, err);
}

int encl_identity_channel_evidence(encl_identity *identity, const uint8_t tls[32],
                                   const uint8_t exporter[RD_CHANNEL_SIZE], const uint8_t nonce[RD_NONCE_SIZE],
                                   rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_statement statement = identity->statement;
    statement.purpose = RD_PURPOSE_CHANNEL;
    statement.has_tls = statement.has_channel = true;
    memcpy(statement.tls, tls, sizeof(statement.tls));
    memcpy(statement.channel, exporter, sizeof(statement.channel));
    memcpy(statement.nonce, nonce, RD_NONCE_SIZE);
    if (name_keys(identity, &statement, err) < 0)
        return -1;
    return attest(identity, &statement, &text, ret, err);
}

/* A byte string with the shortest head (RFC 8949, 4.2.1). */
static void append_cbor_bytes(rd_buf *out, rd_bytes bytes)
{
    if (bytes.size > UINT8_MAX) {
        rd_buf_append_u8(out, 0x59);
        rd_buf_append_u16be(out, (uint16_t)bytes.size);
    } else {
        rd_buf_append_u8(out, 0x58); /* none here is below 24 bytes */
        rd_buf_append_u8(out, (uint8_t)bytes.size);
    }
    rd_buf_append_bytes(out, bytes);
}

int encl_identity_ratls(encl_identity *identity, const uint8_t tls[32], rd_buf *ret, rd_err *err)
{
    /* {"pubkey-hash": bytes of [1, bytes(32)]}; 1 is SHA-256 in IANA's registry of named information hashes */
    static const uint8_t claims_head[] = { 0xa1, 0x6b, 'p', 'u',  'b',  'k',  'e',  'y',  '-', 'h',
                                           'a',  's',  'h', 0x58, 0x24, 0x82, 0x01, 0x58, 0x20 };
    uint8_t claims[sizeof(claims_head) + 32], report_data[RD_REPORT_DATA_SIZE] = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
    memcpy(claims, claims_head, sizeof(claims_head));
    memcpy(claims + sizeof(claims_head), tls, 32);
    rd_sha256(RD_BYTES_ARRAY(claims), report_data);
    if (encl_platform_quote(identity->platform, report_data, &quote, err) < 0)
        return -1;
    if (quote.size > UINT16_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "a quote of %zu bytes", quote.size);
    /* tag 60000 (TEE quote) over [quote, claims] */
    rd_buf_append_u8(ret, 0xd9);
    rd_buf_append_u16be(ret, 60000);
    rd_buf_append_u8(ret, 0x82);
    append_cbor_bytes(ret, rd_buf_bytes(&quote));
    append_cbor_bytes(ret, RD_BYTES_ARRAY(claims));
    return 0;
}

const rd_digest *encl_identity_status(const encl_identity *identity)
{
    return &identity->status;
}

const rd_signing_key *encl_identity_receipt_key(const encl_identity *identity)
{
    return identity->receipt_key;
}
