#include "enclave/runtime/exchange.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/canonical.h"
#include "common/model/problem.h"

#define OWN_PREFIX    "/.well-known/redoubt/"
#define EVIDENCE_PATH OWN_PREFIX "evidence"
#define DOCS_PATH     OWN_PREFIX "docs"

/* --- what the caller wishes for its receipt --------------------------------------------------------------------- */

static int read_wish(const encl_http_request *request, const char *name, uint8_t *out, bool *has, rd_err *err)
{
    const encl_http_header *header = encl_http_find(request, name);
    *has = header != NULL;
    if (header == NULL)
        return 0;
    /* The first path's salts and nonces have 32 bytes. */
    if (rd_base64url_decode((const char *)header->value.data, header->value.size, out, 32) != 32)
        return rd_err_set(err, RD_E_ENCODING, "%s is not the base64url form of 32 bytes", name);
    return 0;
}

static int read_wishes(const encl_http_request *request, encl_receipt_wish *wish, rd_err *err)
{
    memset(wish, 0, sizeof(*wish));
    if (read_wish(request, "redoubt-salt", wish->salt, &wish->has_salt, err) < 0)
        return -1;
    return read_wish(request, "redoubt-nonce", wish->nonce, &wish->has_nonce, err);
}

/* --- answers ---------------------------------------------------------------------------------------------------- */

static bool is_head(const encl_http_request *request)
{
    return rd_bytes_equal(request->method, RD_BYTES_LIT("HEAD"));
}

static rd_bytes header_value(const encl_http_request *request, const char *name)
{
    const encl_http_header *header = encl_http_find(request, name);
    return header == NULL ? RD_BYTES_NULL : header->value;
}

/* Puts the answer's claims into the burst; without a salt no receipt can be made, and then there is no answer. */
static encl_exchange_outcome claim(const encl_server_parts *parts, encl_conn *conn, const encl_http_request *request,
                                   encl_receipt_wish *wish, rd_bytes body, unsigned status, rd_bytes type)
{
    rd_err err = RD_ERR_INIT;
    if (encl_receipts_salt(parts->receipts, wish, &err) < 0)
        return ENCL_EXCHANGE_DROP;
    if (!wish->has_salt) {
        RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
        rd_buf_append_base64url(&text, RD_BYTES_ARRAY(wish->salt));
        encl_conn_line(conn, "Redoubt-Salt", rd_buf_bytes(&text));
    }
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

static void write_problem(encl_conn *conn, const encl_http_request *request, const rd_err *err)
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
    (void)encl_conn_end(conn, rd_buf_bytes(&body), request != NULL && is_head(request));
}

/* An error answer with a receipt: the caller can prove that this runtime refused. */
static encl_exchange_outcome refuse(const encl_server_parts *parts, encl_conn *conn, const encl_http_request *request,
                                    encl_receipt_wish *wish, rd_bytes body, const rd_err *err)
{
    write_problem(conn, request, err);
    return claim(parts, conn, request, wish, body, (unsigned)rd_problem_status(err), RD_BYTES_LIT(RD_PROBLEM_TYPE));
}

encl_exchange_outcome encl_exchange_refuse(const encl_server_parts *parts, encl_conn *conn,
                                           const encl_http_request *request, const rd_err *err)
{
    encl_receipt_wish wish;
    rd_err ignored = RD_ERR_INIT;
    if (read_wishes(request, &wish, &ignored) < 0)
        memset(&wish, 0, sizeof(wish));
    conn->closes = true;
    return refuse(parts, conn, request, &wish, RD_BYTES_NULL, err);
}

void encl_exchange_malformed(encl_conn *conn, const rd_err *err)
{
    conn->closes = true;
    write_problem(conn, NULL, err);
}

/* --- the runtime's own endpoints -------------------------------------------------------------------------------- */

/* "nonce=<43 characters>", and purpose=client at most beside it */
static int parse_query(rd_bytes query, uint8_t nonce[RD_NONCE_SIZE], rd_err *err)
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
            if (!rd_bytes_equal(item, RD_BYTES_LIT("purpose=client")))
                return rd_err_set(err, RD_E_PURPOSE, "callers get evidence for purpose client alone");
        } else {
            return rd_err_set(err, RD_E_USAGE, "the query knows nonce and purpose, each once");
        }
    }
    return has_nonce ? 0 : rd_err_set(err, RD_E_USAGE, "the query must hold nonce=<base64url of 32 bytes>");
}

static int make_evidence(const encl_server_parts *parts, rd_bytes query, rd_buf *ret, rd_err *err)
{
    uint8_t nonce[RD_NONCE_SIZE];
    if (parse_query(query, nonce, err) < 0)
        return -1;
    return encl_identity_evidence(parts->identity, RD_PURPOSE_CLIENT, nonce, ret, err);
}

static void make_docs(const encl_server_parts *parts, rd_buf *ret)
{
    rd_buf_append_str(ret, "{\"genesis\":\"");
    rd_buf_append_base64url(ret, rd_buf_bytes(&parts->documents->genesis));
    rd_buf_append_str(ret, "\",\"head\":");
    rd_buf_append_bytes(ret, rd_buf_bytes(&parts->documents->head));
    rd_buf_append_str(ret, ",\"release\":");
    rd_buf_append_bytes(ret, rd_buf_bytes(&parts->documents->release));
    rd_buf_append_str(ret, "}");
}

static int own_body(const encl_server_parts *parts, const encl_http_request *request, rd_buf *ret, rd_err *err)
{
    const uint8_t *mark = memchr(request->target.data, '?', request->target.size);
    rd_bytes path =
        rd_bytes_of(request->target.data, mark == NULL ? request->target.size : (size_t)(mark - request->target.data));
    rd_bytes query = mark == NULL ? RD_BYTES_NULL : rd_bytes_of(mark + 1, request->target.size - path.size - 1);
    bool is_evidence = rd_bytes_equal(path, RD_BYTES_LIT(EVIDENCE_PATH));
    if (!is_evidence && !rd_bytes_equal(path, RD_BYTES_LIT(DOCS_PATH)))
        return rd_err_set(err, RD_E_NOT_FOUND, "the runtime knows evidence and docs");
    if (!rd_bytes_equal(request->method, RD_BYTES_LIT("GET")))
        return rd_err_set(err, RD_E_METHOD_NOT_ALLOWED, "only GET is known here");
    if (is_evidence)
        return make_evidence(parts, query, ret, err);
    make_docs(parts, ret);
    return 0;
}

static encl_exchange_outcome answer_own(const encl_server_parts *parts, encl_conn *conn,
                                        const encl_http_request *request)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    rd_err err = RD_ERR_INIT;
    if (own_body(parts, request, &body, &err) < 0) {
        write_problem(conn, request, &err);
        return ENCL_EXCHANGE_READY;
    }
    encl_conn_begin(conn, 200);
    encl_conn_line(conn, "Content-Type", RD_BYTES_LIT("application/json"));
    encl_conn_line(conn, "Cache-Control", RD_BYTES_LIT("no-store"));
    return encl_conn_end(conn, rd_buf_bytes(&body), false) ? ENCL_EXCHANGE_READY : ENCL_EXCHANGE_DROP;
}

/* --- the function ----------------------------------------------------------------------------------------------- */

/* RFC 9110, 6.4.1: these statuses have no content */
static bool has_no_content(unsigned status)
{
    return status == 204 || status == 205 || status == 304;
}

static int write_response(encl_conn *conn, const encl_http_request *request, const encl_response *response,
                          rd_bytes *ret_type, rd_err *err)
{
    encl_conn_begin(conn, response->status);
    *ret_type = RD_BYTES_NULL;
    for (size_t i = 0; i < response->header_count; i++) {
        const encl_header *header = &response->headers[i];
        if (encl_http_is_reserved(header->name))
            continue;
        if (encl_http_name_equal(header->name, "content-type"))
            *ret_type = header->value;
        rd_buf_append_bytes(&conn->head, header->name);
        rd_buf_append_str(&conn->head, ": ");
        rd_buf_append_bytes(&conn->head, header->value);
        rd_buf_append_str(&conn->head, "\r\n");
    }
    rd_bytes body = has_no_content(response->status) ? RD_BYTES_NULL : response->body;
    if (!encl_conn_end(conn, body, is_head(request)))
        return rd_err_set(err, RD_E_FUNCTION_OUTPUT, "the answer's headers are too large");
    return 0;
}

static encl_exchange_outcome answer_function(const encl_server_parts *parts, encl_conn *conn,
                                             const encl_http_request *request)
{
    rd_bytes body = encl_conn_body(conn);
    rd_err err = RD_ERR_INIT;
    encl_receipt_wish wish;
    if (read_wishes(request, &wish, &err) < 0) {
        memset(&wish, 0, sizeof(wish));
        return refuse(parts, conn, request, &wish, body, &err);
    }
    encl_response response;
    rd_bytes type;
    if (encl_function_call(parts->function, request, body, conn->fd, &response, &err) < 0 ||
        write_response(conn, request, &response, &type, &err) < 0) {
        if (err.code == RD_E_CANCELLED)
            return ENCL_EXCHANGE_DROP;
        return refuse(parts, conn, request, &wish, body, &err);
    }
    return claim(parts, conn, request, &wish, body, response.status, type);
}

encl_exchange_outcome encl_exchange_run(const encl_server_parts *parts, encl_conn *conn,
                                        const encl_http_request *request, bool is_draining)
{
    size_t prefix = strlen(OWN_PREFIX);
    if (request->target.size >= prefix && memcmp(request->target.data, OWN_PREFIX, prefix) == 0)
        return answer_own(parts, conn, request);
    if (!is_draining)
        return answer_function(parts, conn, request);
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_DRAINING, "the instance finishes what it has");
    return encl_exchange_refuse(parts, conn, request, &err);
}
