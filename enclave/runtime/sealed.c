#include "enclave/runtime/sealed.h"

#include <ctype.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/model/ohttp_chunks.h"
#include "common/model/padding.h"
#include "common/http/field.h"

#define OWN_LINES 5                 /* salt, error code, content type, padding, receipt */
#define OWN_BYTES ((size_t)8 << 10) /* of them: a receipt has at most 4 KiB */

void encl_sealed_store_done(encl_sealed_store *store)
{
    store->reader = rd_bhttp_reader_free(store->reader);
    rd_buf_wipe(&store->content);
}

static int read_stream(rd_bytes opened, encl_sealed_store *store, rd_bhttp_message *ret, rd_err *err)
{
    store->reader = rd_bhttp_reader_new(true);
    rd_buf_init(&store->content, opened.size);
    (void)rd_buf_reserve(&store->content, opened.size); /* as for the message: no copies are left behind */
    if (rd_bhttp_reader_feed(store->reader, opened, &store->content, err) < 0 ||
        rd_bhttp_reader_end(store->reader, err) < 0)
        return -1;
    *ret = *rd_bhttp_reader_head(store->reader);
    ret->content = rd_buf_bytes(&store->content);
    return 0;
}

int encl_sealed_read(rd_bytes opened, encl_sealed_store *store, rd_http_head *ret, rd_bytes *body, rd_err *err)
{
    rd_bhttp_message message;
    bool is_stream = store != NULL && rd_bhttp_is_stream(opened);
    int status = is_stream ? read_stream(opened, store, &message, err) : rd_bhttp_read(opened, &message, err);
    if (status < 0)
        return -1;
    if (!message.is_request)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the seal holds an answer");
    if (!rd_http_is_target(message.path) || !rd_http_is_host(message.authority))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the path is not in origin form, or the authority not a host");
    _Static_assert(RD_BHTTP_FIELDS_MAX <= RD_HTTP_COUNT_MAX, "all fields fit");
    ret->method = message.method;
    ret->target = message.path;
    ret->host = message.authority;
    ret->headers_count = message.field_count;
    for (size_t i = 0; i < message.field_count; i++)
        ret->headers[i] = (rd_http_header){ message.fields[i].name, message.fields[i].value };
    ret->content_length = message.content.size;
    *body = message.content;
    return 0;
}

bool encl_sealed_has_room(const encl_conn *conn, size_t header_count)
{
    return conn->sealing == NULL ||
           (header_count + OWN_LINES <= RD_BHTTP_FIELDS_MAX && conn->head.size + OWN_BYTES <= RD_BHTTP_HEAD_MAX);
}

/* Reads back the head lines that this runtime wrote; names go to lower case, into names, which has room for all. */
static void read_head(rd_bytes head, rd_buf *names, rd_bhttp_message *ret)
{
    rd_bytes name, value;
    ret->status = (unsigned)strtoul((const char *)head.data + sizeof "HTTP/1.1", NULL, 10);
    while (encl_conn_next_line(&head, &name, &value)) {
        if (rd_http_is_named(name, "content-length") || rd_http_is_named(name, "connection"))
            continue;
        uint8_t *lower = rd_buf_reserve(names, name.size);
        for (size_t i = 0; i < name.size; i++)
            lower[i] = (uint8_t)tolower(name.data[i]);
        rd_buf_commit(names, name.size);
        ret->fields[ret->field_count++] = (rd_bhttp_field){ rd_bytes_of(lower, name.size), value };
    }
}

static int write_message(const encl_conn *conn, rd_buf *ret)
{
    RD_CLEANUP(rd_buf_done) rd_buf names = { 0 };
    rd_bhttp_message message = { .content = rd_buf_bytes(&conn->body) };
    rd_err err = RD_ERR_INIT;
    if (rd_buf_reserve(&names, conn->head.size) == NULL)
        return -1;
    read_head(rd_buf_bytes(&conn->head), &names, &message);
    if (conn->receipt.size > 0)
        message.fields[message.field_count++] =
            (rd_bhttp_field){ RD_BYTES_LIT("redoubt-receipt"), rd_buf_bytes(&conn->receipt) };
    return rd_bhttp_write(&message, ret, &err);
}

static void begin_outside(encl_conn *conn, const char *type)
{
    encl_conn_begin_again(conn, 200);
    encl_conn_line(conn, "Content-Type", rd_bytes_str(type));
    encl_conn_line(conn, "Cache-Control", RD_BYTES_LIT("no-store"));
}

int encl_sealed_begin(encl_conn *conn)
{
    RD_CLEANUP(rd_buf_done) rd_buf names = { 0 };
    rd_bhttp_message message = { .field_count = 0 };
    rd_err err = RD_ERR_INIT;
    if (rd_buf_reserve(&names, conn->head.size) == NULL)
        return -1;
    read_head(rd_buf_bytes(&conn->head), &names, &message);
    if (encl_sealing_is_padded(conn->sealing))
        message.fields[message.field_count++] =
            (rd_bhttp_field){ RD_BYTES_LIT(RD_PADDING_FIELD), RD_BYTES_LIT(RD_PADDING_VALUE) };
    if (encl_sealing_begin(conn->sealing, &message, &err) < 0)
        return -1;
    begin_outside(conn, RD_OHTTP_CHUNKED_RESPONSE_TYPE);
    encl_conn_line(conn, "Incremental", RD_BYTES_LIT("?1")); /* draft, 3 */
    return encl_conn_stream(conn) ? 0 : -1;
}

int encl_sealed_close(encl_conn *conn)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf message = { 0 };
    rd_err err = RD_ERR_INIT;
    if (encl_sealing_is_chunked(conn->sealing))
        return conn->is_streamed ? 0 : encl_sealed_begin(conn);
    if (write_message(conn, &message) < 0)
        return -1;
    rd_wipe(conn->body.data, conn->body.size);
    rd_buf_clear(&conn->body);
    rd_buf_clear(&conn->receipt);
    begin_outside(conn, RD_OHTTP_RESPONSE_TYPE);
    if (encl_sealing_answer(conn->sealing, rd_buf_bytes(&message), &conn->body, &err) < 0)
        return -1;
    return encl_conn_end(conn, rd_buf_bytes(&conn->body), true) ? 0 : -1; /* the body stands there already */
}
