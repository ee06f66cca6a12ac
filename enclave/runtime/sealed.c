#include "enclave/runtime/sealed.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/model/bhttp.h"
#include "enclave/world/field.h"

#define OWN_LINES 4                 /* salt, error code, content type, receipt */
#define OWN_BYTES ((size_t)8 << 10) /* of them: a receipt has at most 4 KiB */

int encl_sealed_read(rd_bytes opened, encl_http_request *ret, rd_bytes *body, rd_err *err)
{
    rd_bhttp_message message;
    if (rd_bhttp_read(opened, &message, err) < 0)
        return -1;
    if (!message.is_request)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the seal holds an answer");
    if (!encl_http_is_target(message.path) || !encl_http_is_host(message.authority))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the path is not in origin form, or the authority not a host");
    _Static_assert(RD_BHTTP_FIELDS_MAX <= ENCL_HTTP_COUNT_MAX, "all fields fit");
    ret->method = message.method;
    ret->target = message.path;
    ret->host = message.authority;
    ret->headers_count = message.field_count;
    for (size_t i = 0; i < message.field_count; i++)
        ret->headers[i] = (encl_http_header){ message.fields[i].name, message.fields[i].value };
    ret->content_length = message.content.size;
    *body = message.content;
    return 0;
}

bool encl_sealed_has_room(const encl_conn *conn, size_t header_count)
{
    return conn->seal == NULL ||
           (header_count + OWN_LINES <= RD_BHTTP_FIELDS_MAX && conn->head.size + OWN_BYTES <= RD_BHTTP_HEAD_MAX);
}

static rd_bytes trim(const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (from < to && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    return rd_bytes_of(from, (size_t)(to - from));
}

/* Reads back the head lines that this runtime wrote; names go to lower case, into names, which has room for all. */
static void read_head(rd_bytes head, rd_buf *names, rd_bhttp_message *ret)
{
    const char *text = (const char *)head.data;
    const char *end = text + head.size;
    ret->status = (unsigned)strtoul(text + sizeof "HTTP/1.1", NULL, 10);
    for (const char *line = memchr(text, '\n', head.size); line != NULL && ++line < end;) {
        const char *stop = memchr(line, '\r', (size_t)(end - line));
        const char *colon = memchr(line, ':', (size_t)(stop - line));
        rd_bytes name = rd_bytes_of(line, (size_t)(colon - line));
        rd_bytes value = trim(colon + 1, stop);
        line = stop + 1;
        if (encl_field_is_named(name, "content-length") || encl_field_is_named(name, "connection"))
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

int encl_sealed_close(encl_conn *conn, const rd_random *random)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf message = { 0 };
    rd_err err = RD_ERR_INIT;
    if (write_message(conn, &message) < 0)
        return -1;
    rd_wipe(conn->body.data, conn->body.size);
    encl_conn_begin(conn, 200);
    encl_conn_line(conn, "Content-Type", RD_BYTES_LIT(RD_OHTTP_RESPONSE_TYPE));
    encl_conn_line(conn, "Cache-Control", RD_BYTES_LIT("no-store"));
    if (rd_ohttp_seal_answer(conn->seal, rd_buf_bytes(&message), random, &conn->body, &err) < 0)
        return -1;
    return encl_conn_end(conn, rd_buf_bytes(&conn->body), true) ? 0 : -1; /* the body stands there already */
}
