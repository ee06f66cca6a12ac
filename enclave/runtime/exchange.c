#include "enclave/runtime/exchange_priv.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/http/field.h"
#include "common/model/canonical.h"
#include "common/model/ohttp_chunks.h"
#include "common/model/padding.h"
#include "common/model/problem.h"
#include "enclave/platform/window.h"
#include "enclave/runtime/sealed.h"
#include "enclave/runtime/socket.h"
#include "enclave/world/reserved.h"

#define EVIDENCE_PATH RD_RUNTIME_PREFIX "evidence"
#define DOCS_PATH     RD_RUNTIME_PREFIX "docs"
#define KEYS_PATH     RD_RUNTIME_PREFIX "ohttp-keys"
#define SALT_LINE     ((size_t)64) /* what the runtime adds to a head that is whole */

/* --- what the caller wishes for its receipt --------------------------------------------------------------------- */

static int read_wish(const rd_http_head *request, const char *name, uint8_t *out, bool *has, rd_err *err)
{
    const rd_http_header *header = rd_http_head_find(request, name);
    *has = header != NULL;
    if (header == NULL)
        return 0;
    /* The first path's salts and nonces have 32 bytes. */
    if (rd_base64url_decode((const char *)header->value.data, header->value.size, out, 32) != 32)
        return rd_err_set(err, RD_E_ENCODING, "%s is not the base64url form of 32 bytes", name);
    return 0;
}

int exchange_wishes(const rd_http_head *request, encl_receipt_wish *wish, rd_err *err)
{
    memset(wish, 0, sizeof(*wish));
    if (read_wish(request, "redoubt-salt", wish->salt, &wish->has_salt, err) < 0)
        return -1;
    return read_wish(request, "redoubt-nonce", wish->nonce, &wish->has_nonce, err);
}

/* --- answers ---------------------------------------------------------------------------------------------------- */

static bool is_head(const rd_http_head *request)
{
    return rd_bytes_equal(request->method, RD_BYTES_LIT("HEAD"));
}

static rd_bytes header_value(const rd_http_head *request, const char *name)
{
    const rd_http_header *header = rd_http_head_find(request, name);
    return header == NULL ? RD_BYTES_NULL : header->value;
}

/* Without a salt no receipt can be made, and then there is no answer. One that the caller did not send stands in it. */
int exchange_salt(const encl_server_parts *parts, encl_conn *conn, encl_receipt_wish *wish)
{
    rd_err err = RD_ERR_INIT;
    if (wish->has_salt)
        return 0;
    if (encl_receipts_salt(parts->receipts, wish, &err) < 0)
        return -1;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_append_base64url(&text, RD_BYTES_ARRAY(wish->salt));
    encl_conn_line(conn, "Redoubt-Salt", rd_buf_bytes(&text));
    wish->has_salt = true;
    return 0;
}

/* Puts the answer's claims into the burst. */
static encl_exchange_outcome claim(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                   encl_receipt_wish *wish, rd_bytes body, unsigned status, rd_bytes type)
{
    wish->is_sealed = conn->sealing != NULL || conn->channel != NULL; /* the relay has read nothing of it */
    if (exchange_salt(parts, conn, wish) < 0)
        return ENCL_EXCHANGE_DROP;
    const rd_exchange exchange = { .method = request->method,
                                   .target = request->target,
                                   .request_type = header_value(request, "content-type"),
                                   .request_body = body,
                                   .status = status,
                                   .response_type = type,
                                   .response_body = rd_buf_bytes(&conn->body) };
    if (!encl_receipts_add(parts->receipts, wish, &exchange, &conn->receipt))
        return ENCL_EXCHANGE_DROP;
    return ENCL_EXCHANGE_SIGNED;
}

static void write_problem(encl_conn *conn, const rd_http_head *request, const rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    RD_CLEANUP(rd_free_p) char *request_id = NULL;
    rd_bytes id = request == NULL ? RD_BYTES_NULL : header_value(request, "redoubt-request-id");
    if (id.size > 0 && id.size <= 64 && rd_is_utf8(id))
        request_id = rd_strndup((const char *)id.data, id.size);
    (void)rd_problem_write(err, request_id, &body);
    encl_conn_begin(conn, (unsigned)rd_problem_status(err));
    encl_conn_line(conn, "Content-Type", RD_BYTES_LIT(RD_PROBLEM_TYPE));
    encl_conn_line(conn, "Redoubt-Error", rd_bytes_str(rd_code_describe(err->code)->name));
    if (err->code == RD_E_RATE_LIMITED)
        encl_conn_line(conn, "Retry-After", RD_BYTES_LIT("1"));
    (void)encl_conn_end(conn, rd_buf_bytes(&body), request != NULL && is_head(request));
}

/* An error answer with a receipt: the caller can prove that this runtime refused. */
encl_exchange_outcome exchange_refuse(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                      encl_receipt_wish *wish, rd_bytes body, const rd_err *err)
{
    write_problem(conn, request, err);
    return claim(parts, conn, request, wish, body, (unsigned)rd_problem_status(err), RD_BYTES_LIT(RD_PROBLEM_TYPE));
}

encl_exchange_outcome encl_exchange_refuse(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                           const rd_err *err)
{
    encl_receipt_wish wish;
    rd_err ignored = RD_ERR_INIT;
    if (exchange_wishes(request, &wish, &ignored) < 0)
        memset(&wish, 0, sizeof(wish));
    conn->closes = true;
    return exchange_refuse(parts, conn, request, &wish, RD_BYTES_NULL, err);
}

void encl_exchange_malformed(encl_conn *conn, const rd_err *err)
{
    conn->closes = true;
    write_problem(conn, NULL, err);
}

/* --- the runtime's own endpoints -------------------------------------------------------------------------------- */

/* What evidence is for follows from how it is asked for: inside TLS that ends here it is bound to that connection. What
 * a seal holds is the seal's, whatever carried it. */
static rd_purpose purpose_of(const encl_conn *conn)
{
    return conn->channel != NULL && conn->sealing == NULL ? RD_PURPOSE_CHANNEL : RD_PURPOSE_CLIENT;
}

static bool is_purpose(rd_bytes item, rd_purpose purpose)
{
    return rd_bytes_equal(rd_bytes_of(item.data + 8, item.size - 8), rd_bytes_str(rd_purpose_name(purpose)));
}

/* "nonce=<43 characters>", and at most purpose=<the one that is given here> beside it */
static int parse_query(rd_bytes query, rd_purpose purpose, uint8_t nonce[RD_NONCE_SIZE], rd_err *err)
{
    bool has_nonce = false;
    while (query.size > 0) {
        const uint8_t *mark = memchr(query.data, '&', query.size);
        rd_bytes item = rd_bytes_of(query.data, mark == NULL ? query.size : (size_t)(mark - query.data));
        size_t step = mark == NULL ? item.size : item.size + 1;
        query.data += step;
        query.size -= step;
        if (!has_nonce && item.size > 6 && memcmp(item.data, "nonce=", 6) == 0) {
            has_nonce =
                rd_base64url_decode((const char *)item.data + 6, item.size - 6, nonce, RD_NONCE_SIZE) == RD_NONCE_SIZE;
            if (!has_nonce)
                return rd_err_set(err, RD_E_ENCODING, "nonce is not the base64url form of 32 bytes");
        } else if (item.size > 8 && memcmp(item.data, "purpose=", 8) == 0) {
            if (!is_purpose(item, purpose))
                return rd_err_set(err, RD_E_PURPOSE, "callers get evidence for purpose %s alone on this connection",
                                  rd_purpose_name(purpose));
        } else {
            return rd_err_set(err, RD_E_USAGE, "the query knows nonce and purpose, each once");
        }
    }
    return has_nonce ? 0 : rd_err_set(err, RD_E_USAGE, "the query must hold nonce=<base64url of 32 bytes>");
}

#define OWN_LATER 1 /* the answer waits for a quote */

typedef struct own_question {
    const encl_server_parts *parts;
    encl_conn *conn;
    rd_bytes query;
    const encl_exchange_turn *turn;
} own_question;

static int make_evidence(const own_question *question, rd_buf *ret RD_UNUSED, rd_err *err)
{
    uint8_t nonce[RD_NONCE_SIZE];
    rd_purpose purpose = purpose_of(question->conn);
    if (parse_query(question->query, purpose, nonce, err) < 0)
        return -1;
    if (!question->turn->ask(question->turn->context, question->conn, purpose, nonce))
        return rd_err_set(err, RD_E_RATE_LIMITED, "%d callers wait for the next quote already", ENCL_WINDOW_MAX);
    return OWN_LATER;
}

static int make_docs(const own_question *question, rd_buf *ret, rd_err *err RD_UNUSED)
{
    const encl_server_parts *parts = question->parts;
    rd_buf_append_str(ret, "{\"genesis\":\"");
    rd_buf_append_base64url(ret, rd_buf_bytes(&parts->documents->genesis));
    rd_buf_append_str(ret, "\",\"head\":");
    rd_buf_append_bytes(ret, rd_buf_bytes(&parts->documents->head));
    rd_buf_append_str(ret, ",\"release\":");
    rd_buf_append_bytes(ret, rd_buf_bytes(&parts->documents->release));
    rd_buf_append_str(ret, "}");
    return 0;
}

static int make_keys(const own_question *question, rd_buf *ret, rd_err *err)
{
    uint8_t keys[RD_OHTTP_KEYS_SIZE];
    if (encl_seal_keys(question->parts->seal, keys, err) < 0)
        return -1;
    (void)rd_buf_append(ret, keys, sizeof keys);
    return 0;
}

typedef struct own_resource {
    const char *path, *type;
    /* 0, -1 or OWN_LATER */
    int (*make)(const own_question *question, rd_buf *ret, rd_err *err);
} own_resource;

static const own_resource own_resources[] = {
    { EVIDENCE_PATH, "application/json", make_evidence },
    { DOCS_PATH, "application/json", make_docs },
    { KEYS_PATH, RD_OHTTP_KEYS_TYPE, make_keys },
};

static const own_resource *find_own(const rd_http_head *request, rd_bytes *query, rd_err *err)
{
    const uint8_t *mark = memchr(request->target.data, '?', request->target.size);
    rd_bytes path =
        rd_bytes_of(request->target.data, mark == NULL ? request->target.size : (size_t)(mark - request->target.data));
    *query = mark == NULL ? RD_BYTES_NULL : rd_bytes_of(mark + 1, request->target.size - path.size - 1);
    for (size_t i = 0; i < RD_ARRAY_LEN(own_resources); i++) {
        if (!rd_bytes_equal(path, rd_bytes_str(own_resources[i].path)))
            continue;
        if (rd_bytes_equal(request->method, RD_BYTES_LIT("GET")))
            return &own_resources[i];
        (void)rd_err_set(err, RD_E_METHOD_NOT_ALLOWED, "only GET is known here");
        return NULL;
    }
    if (rd_bytes_equal(path, RD_BYTES_LIT(RD_OHTTP_PATH)))
        (void)rd_err_set(err, RD_E_METHOD_NOT_ALLOWED, "only POST is known here");
    else
        (void)rd_err_set(err, RD_E_NOT_FOUND, "the runtime knows evidence, docs, ohttp-keys and sealed");
    return NULL;
}

static encl_exchange_outcome write_own(encl_conn *conn, const char *type, const rd_buf *body)
{
    encl_conn_begin(conn, 200);
    encl_conn_line(conn, "Content-Type", rd_bytes_str(type));
    encl_conn_line(conn, "Cache-Control", RD_BYTES_LIT("no-store"));
    return encl_conn_end(conn, rd_buf_bytes(body), false) ? ENCL_EXCHANGE_READY : ENCL_EXCHANGE_DROP;
}

encl_exchange_outcome encl_exchange_evidence(encl_conn *conn, const rd_buf *bundle, const rd_err *err)
{
    if (bundle != NULL)
        return write_own(conn, "application/json", bundle);
    write_problem(conn, NULL, err);
    return ENCL_EXCHANGE_READY;
}

static encl_exchange_outcome answer_own(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                        const encl_exchange_turn *turn)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    rd_err err = RD_ERR_INIT;
    own_question question = { .parts = parts, .conn = conn, .turn = turn };
    const own_resource *resource = find_own(request, &question.query, &err);
    int made = resource == NULL ? -1 : resource->make(&question, &body, &err);
    if (made == OWN_LATER)
        return ENCL_EXCHANGE_ASKED;
    if (made == 0)
        return write_own(conn, resource->type, &body);
    write_problem(conn, request, &err);
    return ENCL_EXCHANGE_READY;
}

/* --- the function ----------------------------------------------------------------------------------------------- */

/* RFC 9110, 6.4.1: these statuses have no content */
static bool has_no_content(unsigned status)
{
    return status == 204 || status == 205 || status == 304;
}

/* Returns the content-type. */
static rd_bytes write_head(encl_conn *conn, const encl_response *response)
{
    rd_bytes type = RD_BYTES_NULL;
    encl_conn_begin(conn, response->status);
    for (size_t i = 0; i < response->header_count; i++) {
        const encl_header *header = &response->headers[i];
        if (encl_http_is_reserved(header->name))
            continue;
        if (rd_http_is_named(header->name, "content-type"))
            type = header->value;
        rd_buf_append_bytes(&conn->head, header->name);
        rd_buf_append_str(&conn->head, ": ");
        rd_buf_append_bytes(&conn->head, header->value);
        rd_buf_append_str(&conn->head, "\r\n");
    }
    return type;
}

static int head_too_large(rd_err *err)
{
    return rd_err_set(err, RD_E_FUNCTION_OUTPUT, "the answer's headers are too large");
}

static int write_response(encl_conn *conn, const rd_http_head *request, const encl_response *response,
                          rd_bytes *ret_type, rd_err *err)
{
    *ret_type = write_head(conn, response);
    rd_bytes body = has_no_content(response->status) ? RD_BYTES_NULL : response->body;
    conn->has_length &= !is_head(request) || !response->has_stream;
    if (!encl_conn_end(conn, body, is_head(request)) || conn->head.size + SALT_LINE > conn->head.size_max ||
        !encl_sealed_has_room(conn, response->header_count))
        return head_too_large(err);
    return 0;
}

/* --- answers that leave while they are made ---------------------------------------------------------------------- */

static bool add_to_conn(void *context, rd_bytes piece)
{
    return encl_conn_add(context, piece);
}

static int flush_conn(void *context)
{
    return encl_conn_flush(context) == ENCL_CONN_GONE ? -1 : encl_conn_awaits(context);
}

static bool add_to_buf(void *context, rd_bytes piece)
{
    return rd_buf_append_bytes(context, piece);
}

static int flush_nothing(void *context RD_UNUSED)
{
    return 0;
}

/* For callers who take whole answers: as large as the release allows, which the engine holds it to. */
static int gather_stream(const encl_server_parts *parts, const encl_conn *conn, encl_response *response, rd_buf *body,
                         rd_err *err)
{
    const encl_function_sink sink = { .write = add_to_buf, .flush = flush_nothing, .context = body };
    if (encl_function_stream(parts->function, &sink, conn->fd, err) < 0)
        return -1;
    response->body = rd_buf_bytes(body);
    return 0;
}

static bool begin_stream(encl_conn *conn, size_t header_count)
{
    if (conn->sealing == NULL)
        return encl_conn_stream(conn);
    return encl_sealed_has_room(conn, header_count) && encl_sealed_begin(conn) == 0;
}

static encl_exchange_outcome answer_stream(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                           rd_bytes body, const encl_response *response, encl_receipt_wish *wish,
                                           const encl_exchange_turn *turn)
{
    rd_err err = RD_ERR_INIT;
    const encl_function_sink sink = { .write = add_to_conn, .flush = flush_conn, .context = conn };
    const rd_http_head kept = *request; /* the server reads others into its place */
    encl_receipt_wish asked = *wish;
    rd_bytes type = write_head(conn, response);
    if (exchange_salt(parts, conn, wish) < 0)
        return ENCL_EXCHANGE_DROP;
    if (!begin_stream(conn, response->header_count)) {
        (void)head_too_large(&err);
        return exchange_refuse(parts, conn, request, &asked, body, &err);
    }
    turn->before_stream(turn->context);
    (void)encl_conn_flush(conn); /* a caller who is gone is noticed below */
    if (encl_function_stream(parts->function, &sink, conn->fd, &err) < 0)
        return ENCL_EXCHANGE_DROP;
    encl_function_egress(parts->function, &wish->egress_asked, &wish->egress_failed);
    return claim(parts, conn, &kept, wish, body, response->status, type);
}

static encl_exchange_outcome answer_function(const encl_server_parts *parts, encl_conn *conn,
                                             const rd_http_head *request, rd_bytes body, const encl_exchange_turn *turn)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf gathered = { 0 };
    rd_err err = RD_ERR_INIT;
    encl_receipt_wish wish;
    if (exchange_wishes(request, &wish, &err) < 0) {
        memset(&wish, 0, sizeof(wish));
        return exchange_refuse(parts, conn, request, &wish, body, &err);
    }
    encl_response response = { .status = 0 };
    rd_bytes type;
    int outcome = encl_function_call(parts->function, request, body, conn->fd, &response, &err);
    bool is_stream = outcome == 0 && response.has_stream;
    bool is_gathered = conn->sealing != NULL && !encl_sealing_is_chunked(conn->sealing);
    bool takes_stream = !is_gathered && !is_head(request) && !has_no_content(response.status);
    if (is_stream && takes_stream)
        return answer_stream(parts, conn, request, body, &response, &wish, turn);
    if (is_stream && !is_head(request))
        outcome = gather_stream(parts, conn, &response, &gathered, &err);
    encl_function_egress(parts->function, &wish.egress_asked, &wish.egress_failed);
    if (outcome < 0 || write_response(conn, request, &response, &type, &err) < 0) {
        if (err.code == RD_E_CANCELLED)
            return ENCL_EXCHANGE_DROP;
        return exchange_refuse(parts, conn, request, &wish, body, &err);
    }
    return claim(parts, conn, request, &wish, body, response.status, type);
}

static bool is_own(const rd_http_head *request)
{
    size_t prefix = strlen(RD_RUNTIME_PREFIX);
    return request->target.size >= prefix && memcmp(request->target.data, RD_RUNTIME_PREFIX, prefix) == 0;
}

static encl_exchange_outcome refuse_draining(const encl_server_parts *parts, encl_conn *conn,
                                             const rd_http_head *request)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_DRAINING, "the instance finishes what it has");
    return encl_exchange_refuse(parts, conn, request, &err);
}

static encl_exchange_outcome answer_plain(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                          const encl_exchange_turn *turn)
{
    if (parts->app->manifest.is_plain)
        return answer_function(parts, conn, request, encl_conn_body(conn), turn);
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_PLAIN_REFUSED, "this release takes sealed requests alone");
    return encl_exchange_refuse(parts, conn, request, &err);
}

/* --- sealed requests -------------------------------------------------------------------------------------------- */

static bool is_sealed(const rd_http_head *request)
{
    return rd_bytes_equal(request->target, RD_BYTES_LIT(RD_OHTTP_PATH)) &&
           rd_bytes_equal(request->method, RD_BYTES_LIT("POST"));
}

static bool has_type(const rd_http_head *request, const char *type)
{
    return rd_bytes_equal(header_value(request, "content-type"), rd_bytes_str(type));
}

uint64_t encl_exchange_body_max(const encl_server_parts *parts, const rd_http_head *request)
{
    uint64_t bound = parts->app->manifest.limits.request_bytes;
    if (!is_sealed(request))
        return bound;
    return has_type(request, RD_OHTTP_CHUNKED_REQUEST_TYPE) ? rd_ohttp_chunked_max(bound) : rd_ohttp_sealed_max(bound);
}

/* A caller who knows this form of padding says so inside the seal. */
static bool asks_for_padding(const rd_http_head *inner)
{
    const rd_http_header *asked = rd_http_head_find(inner, RD_PADDING_FIELD);
    return asked != NULL && rd_bytes_equal(asked->value, RD_BYTES_LIT(RD_PADDING_VALUE));
}

/* What goes wrong inside the seal is answered inside it. */
static encl_exchange_outcome answer_inner(const encl_server_parts *parts, encl_conn *conn, rd_bytes opened,
                                          const encl_exchange_turn *turn)
{
    rd_http_head inner = { .method = RD_BYTES_LIT("POST"), .target = RD_BYTES_LIT("/"), .keeps_alive = true };
    rd_bytes body = RD_BYTES_NULL;
    rd_err err = RD_ERR_INIT;
    bool is_chunked = encl_sealing_is_chunked(conn->sealing);
    RD_CLEANUP(encl_sealed_store_done) encl_sealed_store store = { .reader = NULL };
    if (encl_sealed_read(opened, is_chunked ? &store : NULL, &inner, &body, &err) < 0) {
        write_problem(conn, NULL, &err);
        return ENCL_EXCHANGE_READY;
    }
    if (is_chunked && asks_for_padding(&inner))
        encl_sealing_pad(conn->sealing);
    if (is_own(&inner))
        return answer_own(parts, conn, &inner, turn);
    uint64_t bound = parts->app->manifest.limits.request_bytes;
    if (body.size <= bound)
        return answer_function(parts, conn, &inner, body, turn);
    (void)rd_err_set(&err, RD_E_REQUEST_TOO_LARGE, "a body of %zu bytes, the release allows %llu", body.size,
                     (unsigned long long)bound);
    encl_receipt_wish wish = { .has_salt = false };
    return exchange_refuse(parts, conn, &inner, &wish, body, &err);
}

static encl_exchange_outcome answer_sealed(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                           const encl_exchange_turn *turn)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf opened = { 0 };
    rd_err err = RD_ERR_INIT;
    bool is_chunked = has_type(request, RD_OHTTP_CHUNKED_REQUEST_TYPE);
    if (!is_chunked && !has_type(request, RD_OHTTP_REQUEST_TYPE)) {
        (void)rd_err_set(&err, RD_E_CONTENT_TYPE,
                         "sealed requests are " RD_OHTTP_REQUEST_TYPE " or " RD_OHTTP_CHUNKED_REQUEST_TYPE);
        write_problem(conn, request, &err);
        return ENCL_EXCHANGE_READY;
    }
    encl_sealing *sealing = NULL;
    if (encl_sealing_open(parts->seal, is_chunked, encl_conn_body(conn), &sealing, &opened, &err) < 0) {
        write_problem(conn, NULL, &err); /* the same bytes whatever was wrong */
        return ENCL_EXCHANGE_READY;
    }
    encl_conn_seal(conn, sealing);
    return answer_inner(parts, conn, rd_buf_bytes(&opened), turn);
}

encl_exchange_outcome encl_exchange_run(const encl_server_parts *parts, encl_conn *conn, const rd_http_head *request,
                                        const encl_exchange_turn *turn)
{
    bool is_for_function = is_sealed(request) || !is_own(request);
    if (is_for_function && turn->is_draining)
        return refuse_draining(parts, conn, request);
    if (is_sealed(request))
        return answer_sealed(parts, conn, request, turn);
    if (is_for_function && encl_ws_is_upgrade(request))
        return encl_socket_open(parts, conn, request, turn);
    return is_for_function ? answer_plain(parts, conn, request, turn) : answer_own(parts, conn, request, turn);
}
