#include "enclave/world/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "enclave/engine/guest/guest_abi.h"
#include "enclave/world/tls.h"

#define HEADERS_MAX 200
#define VALUES_MAX  ((size_t)64 << 10) /* of all headers of a request, secrets in their places; egress sends half */
#define MARK        "redoubt-secret-"
#define MARK_SIZE   (sizeof(MARK) - 1 + 32)

/* A text that stands for a secret during one call: nobody can guess it, so nobody can smuggle one in. */
typedef struct secret_reference {
    char mark[MARK_SIZE + 1];
    char name[ENCL_SECRET_NAME_MAX + 1];
} secret_reference;

struct encl_world {
    encl_world_host host;
    const rd_egress *list;
    encl_egress *egress;
    const encl_app_keys *keys;
    secret_reference references[ENCL_REFERENCES_MAX];
    size_t references_count;
    unsigned evidence_count;
};

int encl_world_warm_up(rd_err *err)
{
    static const uint8_t key[ENCL_APP_KEY_SIZE] = { 1 };
    RD_CLEANUP(rd_buf_done) rd_buf ignored = { 0 };
    encl_app_keys *keys = encl_app_keys_new(key);
    encl_tls *tls = NULL;
    int outcome = encl_tls_new(&tls, err);

    if (outcome == 0)
        outcome = encl_tls_warm_up(tls, err);
    if (outcome == 0)
        outcome = encl_app_keys_sign(keys, ENCL_SCHEME_SECP256K1, RD_BYTES_LIT("warm"), &ignored, err);
    encl_tls_free(tls);
    encl_app_keys_free(keys);
    return outcome;
}

encl_world *encl_world_new(const rd_egress *list, const encl_world_host *host)
{
    encl_world *world = rd_alloc(sizeof(*world));

    world->host = *host;
    world->list = list;
    world->egress = encl_egress_new(list, &host->egress);
    return world;
}

encl_world *encl_world_free(encl_world *world)
{
    if (!world)
        return NULL;
    encl_egress_free(world->egress);
    free(world);
    return NULL;
}

void encl_world_set_keys(encl_world *world, const encl_app_keys *keys)
{
    world->keys = keys;
}

encl_egress *encl_world_egress(encl_world *world)
{
    return world->egress;
}

void encl_world_counts(const encl_world *world, uint32_t *ret_asked, uint32_t *ret_failed)
{
    *ret_asked = encl_egress_asked(world->egress);
    *ret_failed = encl_egress_failed(world->egress);
}

void encl_world_begin(encl_world *world)
{
    encl_egress_begin(world->egress);
}

bool encl_world_is_pending(void *context)
{
    return encl_egress_is_pending(((encl_world *)context)->egress);
}

void encl_world_forget(void *context)
{
    encl_world *world = context;

    encl_egress_forget(world->egress);
    rd_wipe(world->references, sizeof(world->references));
    world->references_count = 0;
    world->evidence_count = 0;
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

typedef struct world_ask {
    encl_world *world;
    rd_cursor in;
    rd_buf *out;
    enum encl_ask_status status;
} world_ask;

static rd_bytes field(world_ask *ask)
{
    uint32_t size = rd_cursor_u32le(&ask->in);

    return rd_cursor_take(&ask->in, size);
}

static uint32_t number(world_ask *ask)
{
    rd_cursor one = rd_cursor_of(field(ask));
    uint32_t value = rd_cursor_u32le(&one);

    if (!rd_cursor_is_done(&one))
        ask->in.has_failed = true;
    return value;
}

static int end(world_ask *ask, rd_err *err)
{
    if (rd_cursor_is_done(&ask->in))
        return 0;
    ask->status = ENCL_ASK_TYPE;
    return rd_err_set(err, RD_E_ENCODING, "the question is malformed");
}

static const encl_app_keys *keys_of(world_ask *ask, rd_err *err)
{
    if (!ask->world->keys)
        (void)rd_err_set(err, RD_E_NO_KEYS, "no_keys: this instance has no grant, and so none of the app's keys");
    return ask->world->keys;
}

/* --- secrets by reference ----------------------------------------------------------------------------------------- */

static int refer(world_ask *ask, rd_err *err)
{
    encl_world *world = ask->world;
    rd_bytes name = field(ask);
    uint8_t noise[16];

    if (end(ask, err) < 0 || !keys_of(ask, err))
        return -1;
    if (!encl_app_keys_secret(world->keys, name))
        return rd_err_set(err, RD_E_NOT_FOUND, "there is no secret of this name");
    if (world->references_count == ENCL_REFERENCES_MAX)
        return rd_err_set(err, RD_E_USAGE, "more than %d secrets by reference in one call", ENCL_REFERENCES_MAX);
    if (world->host.random(world->host.context, noise, sizeof(noise)) < 0)
        return rd_err_set(err, RD_E_INTERNAL, "no randomness");
    secret_reference *added = &world->references[world->references_count++];
    memcpy(added->mark, MARK, sizeof(MARK) - 1);
    rd_hex_encode(RD_BYTES_ARRAY(noise), added->mark + sizeof(MARK) - 1);
    (void)snprintf(added->name, sizeof(added->name), "%.*s", (int)name.size, (const char *)name.data);
    rd_buf_append(ask->out, added->mark, MARK_SIZE);
    return 0;
}

static const secret_reference *find_reference(const encl_world *world, const uint8_t *at)
{
    for (size_t i = 0; i < world->references_count; i++) {
        if (memcmp(world->references[i].mark, at, MARK_SIZE) == 0)
            return &world->references[i];
    }
    return NULL;
}

/* Copies a header's value with every reference replaced by its secret, if the place may have it. */
static int resolve(const encl_world *world, const rd_egress_entry *entry, rd_bytes value, rd_buf *out, rd_err *err)
{
    while (value.size > 0) {
        const secret_reference *found = value.size >= MARK_SIZE ? find_reference(world, value.data) : NULL;
        size_t step = found ? MARK_SIZE : 1;
        if (found && !rd_egress_entry_carries(entry, rd_bytes_str(found->name)))
            return rd_err_set(err, RD_E_EGRESS_REFUSED, "the release does not let secret %s go to %s", found->name,
                              entry->host);
        const rd_secret *secret = found ? encl_app_keys_secret(world->keys, rd_bytes_str(found->name)) : NULL;
        rd_buf_append_bytes(out, secret ? rd_secret_bytes(secret) : rd_bytes_of(value.data, step));
        value = rd_bytes_of(value.data + step, value.size - step);
    }
    return 0;
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

typedef struct fetch_question {
    rd_bytes method, host, target, body;
    uint32_t is_plain, port, count, is_upload;
    rd_bytes headers[2 * HEADERS_MAX];
} fetch_question;

static int read_question(world_ask *ask, fetch_question *ret, rd_err *err)
{
    ret->method = field(ask);
    ret->is_plain = number(ask);
    ret->host = field(ask);
    ret->port = number(ask);
    ret->target = field(ask);
    ret->count = number(ask);
    if (ret->count > HEADERS_MAX)
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "more than %d headers", HEADERS_MAX);
    for (uint32_t i = 0; i < 2 * ret->count; i++)
        ret->headers[i] = field(ask);
    ret->is_upload = number(ask);
    ret->body = field(ask);
    return end(ask, err);
}

static int send_request(encl_world *world, fetch_question *question, const rd_egress_entry *entry, uint32_t *ret_id,
                        rd_err *err)
{
    size_t sizes[HEADERS_MAX];
    RD_CLEANUP(rd_buf_wipe) rd_buf values = { .size_max = VALUES_MAX };

    (void)rd_buf_reserve(&values, VALUES_MAX); /* never moved: secrets leave no copy behind */
    for (uint32_t i = 0; i < question->count; i++) {
        size_t before = values.size;
        if (resolve(world, entry, question->headers[2 * i + 1], &values, err) < 0) {
            encl_egress_count_refusal(world->egress);
            return -1;
        }
        sizes[i] = values.size - before;
    }
    if (values.has_failed) {
        encl_egress_count_refusal(world->egress);
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "the headers are larger than %zu bytes", VALUES_MAX);
    }
    const uint8_t *at = values.data;
    for (uint32_t i = 0; i < question->count; i++) {
        question->headers[2 * i + 1] = rd_bytes_of(at, sizes[i]);
        at += sizes[i];
    }
    const encl_fetch fetch = { .entry = entry,
                               .method = question->method,
                               .target = question->target,
                               .headers = question->headers,
                               .headers_count = question->count,
                               .body = question->body,
                               .is_upload = question->is_upload != 0 };
    return encl_egress_start(world->egress, &fetch, ret_id, err);
}

static int fetch(world_ask *ask, rd_err *err)
{
    encl_world *world = ask->world;
    fetch_question question;
    uint32_t id;

    ask->status = ENCL_ASK_TYPE;
    if (read_question(ask, &question, err) < 0)
        return -1;
    bool is_port = question.port > 0 && question.port <= UINT16_MAX;
    const rd_egress_entry *entry =
        rd_egress_find(encl_egress_list(world->egress), question.is_plain != 0, question.host, (uint16_t)question.port);
    if (!entry || !is_port) {
        encl_egress_count_refusal(world->egress);
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "the release's egress does not list %s%.*s:%u",
                          question.is_plain ? "http://" : "", (int)RD_MIN(question.host.size, (size_t)100),
                          (const char *)question.host.data, question.port);
    }
    if (send_request(world, &question, entry, &id, err) < 0)
        return -1;
    rd_buf_append_u32le(ask->out, id);
    return 0;
}

static int cancel(world_ask *ask, rd_err *err)
{
    uint32_t id = number(ask);

    if (end(ask, err) < 0)
        return -1;
    encl_egress_cancel(ask->world->egress, id);
    return 0;
}

static int want(world_ask *ask, rd_err *err)
{
    uint32_t id = number(ask);

    if (end(ask, err) < 0)
        return -1;
    encl_egress_want(ask->world->egress, id);
    return 0;
}

static int take(world_ask *ask, rd_err *err)
{
    uint32_t id = number(ask);

    if (end(ask, err) < 0)
        return -1;
    encl_egress_take(ask->world->egress, id, ask->out);
    return 0;
}

static int send_piece(world_ask *ask, rd_err *err)
{
    uint32_t id = number(ask), is_last = number(ask);
    rd_bytes piece = field(ask);

    if (end(ask, err) < 0)
        return -1;
    ask->status = ENCL_ASK_TYPE;
    return encl_egress_send(ask->world->egress, id, piece, is_last != 0, err);
}

/* --- evidence and keys -------------------------------------------------------------------------------------------- */

static int evidence(world_ask *ask, rd_err *err)
{
    encl_world *world = ask->world;
    rd_bytes user = field(ask);

    if (end(ask, err) < 0)
        return -1;
    if (user.size != 32)
        return rd_err_set(err, RD_E_USAGE, "evidence binds 32 bytes, not %zu", user.size);
    if (!world->host.evidence)
        return rd_err_set(err, RD_E_UNSUPPORTED, "there is no evidence here: this is no enclave");
    if (++world->evidence_count > ENCL_EVIDENCE_A_CALL)
        return rd_err_set(err, RD_E_USAGE, "more than %d pieces of evidence in one call", ENCL_EVIDENCE_A_CALL);
    return world->host.evidence(world->host.context, user.data, ask->out, err);
}

static int derive(world_ask *ask, rd_err *err)
{
    rd_bytes path = field(ask);
    uint8_t out[32];

    if (end(ask, err) < 0 || !keys_of(ask, err) || encl_app_keys_derive(ask->world->keys, path, out, err) < 0)
        return -1;
    rd_buf_append(ask->out, out, sizeof(out));
    rd_wipe(out, sizeof(out));
    return 0;
}

static int sign(world_ask *ask, bool is_public, rd_err *err)
{
    uint32_t scheme = number(ask);
    rd_bytes data = is_public ? RD_BYTES_NULL : field(ask);

    if (end(ask, err) < 0 || !keys_of(ask, err))
        return -1;
    if (scheme > ENCL_SCHEME_SECP256K1)
        return rd_err_set(err, RD_E_UNSUPPORTED, "an unknown scheme");
    return is_public ? encl_app_keys_public(ask->world->keys, (encl_scheme)scheme, ask->out, err)
                     : encl_app_keys_sign(ask->world->keys, (encl_scheme)scheme, data, ask->out, err);
}

/* What may stand in headers enters no engine, whose code is not the owner's: it asks for what it likes (R22). */
static int read_secret(world_ask *ask, rd_err *err)
{
    rd_bytes name = field(ask);

    if (end(ask, err) < 0 || !keys_of(ask, err))
        return -1;
    const rd_secret *secret = encl_app_keys_secret(ask->world->keys, name);
    if (!secret)
        return rd_err_set(err, RD_E_NOT_FOUND, "there is no secret of this name");
    if (rd_egress_carries(ask->world->list, name))
        return rd_err_set(err, RD_E_EGRESS_REFUSED,
                          "the release lists this secret for headers: it is used by reference");
    rd_buf_append_bytes(ask->out, rd_secret_bytes(secret));
    return 0;
}

static int answer(world_ask *ask, uint32_t op, rd_err *err)
{
    switch (op) {
    case ENCL_ASK_NEXT:
        (void)encl_egress_next(ask->world->egress, ask->out);
        return 0;
    case ENCL_ASK_FETCH:
        return fetch(ask, err);
    case ENCL_ASK_CANCEL:
        return cancel(ask, err);
    case ENCL_ASK_WANT:
        return want(ask, err);
    case ENCL_ASK_READ:
        return take(ask, err);
    case ENCL_ASK_SEND:
        return send_piece(ask, err);
    case ENCL_ASK_EVIDENCE:
        return evidence(ask, err);
    case ENCL_ASK_DERIVE_APP:
        return derive(ask, err);
    case ENCL_ASK_SIGN_APP:
    case ENCL_ASK_PUBLIC_APP:
        return sign(ask, op == ENCL_ASK_PUBLIC_APP, err);
    case ENCL_ASK_REFER:
        return refer(ask, err);
    case ENCL_ASK_SECRET:
        return read_secret(ask, err);
    default:
        ask->status = ENCL_ASK_NOT_SUPPORTED;
        return rd_err_set(err, RD_E_UNSUPPORTED, "an unknown question");
    }
}

void encl_world_ask(void *context, uint32_t op, rd_bytes question, rd_buf *reply)
{
    world_ask ask = { .world = context, .in = rd_cursor_of(question), .out = reply, .status = ENCL_ASK_OPERATION };
    rd_err err = RD_ERR_INIT;

    rd_buf_append_u8(reply, ENCL_ASK_OK);
    if (answer(&ask, op, &err) == 0 && !reply->has_failed)
        return;
    rd_wipe(reply->data, reply->size);
    rd_buf_clear(reply);
    rd_buf_append_u8(reply, (uint8_t)ask.status);
    rd_buf_append_str(reply, err.text);
}
