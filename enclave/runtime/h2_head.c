#include "enclave/runtime/h2_head.h"

#include <string.h>

#include "common/http/field.h"
#include "common/http/head.h"

#define METHOD_MAX ((size_t)32)
#define HOST_MAX   ((size_t)255)
#define TEXT_MAX   (RD_HTTP_HEAD_MAX + ((size_t)1 << 10))

void h2_head_begin(h2_head *head)
{
    h2_head_done(head);
    rd_buf_init(&head->method, METHOD_MAX);
    rd_buf_init(&head->path, TEXT_MAX);
    rd_buf_init(&head->authority, HOST_MAX);
    rd_buf_init(&head->cookies, RD_HTTP_HEADERS_MAX);
    head->has_line = false;
    head->refusal = 0;
}

void h2_head_done(h2_head *head)
{
    rd_buf_wipe(&head->method);
    rd_buf_wipe(&head->path);
    rd_buf_wipe(&head->authority);
    rd_buf_wipe(&head->cookies);
}

static void refuse(h2_head *head, rd_code code)
{
    if (head->refusal == 0)
        head->refusal = code;
}

static void add_text(h2_head *head, rd_bytes name, rd_bytes value, rd_buf *ret)
{
    if (ret->size + name.size + value.size + 4 > TEXT_MAX) {
        refuse(head, RD_E_HTTP_HEADERS_TOO_LARGE);
        return;
    }
    rd_buf_append_bytes(ret, name);
    rd_buf_append_str(ret, ": ");
    rd_buf_append_bytes(ret, value);
    rd_buf_append_str(ret, "\r\n");
}

/* Pseudo fields stand before all others (RFC 9113, 8.3), so that the first of those ends them. */
static void add_line(h2_head *head, rd_buf *ret)
{
    rd_bytes method = rd_buf_bytes(&head->method), path = rd_buf_bytes(&head->path);
    head->has_line = true;
    if (head->path.has_failed)
        refuse(head, RD_E_HTTP_TARGET_TOO_LONG);
    if (head->method.has_failed || head->authority.has_failed || !rd_http_is_token(method) ||
        !rd_http_is_target(path) || !rd_http_is_host(rd_buf_bytes(&head->authority)))
        refuse(head, RD_E_HTTP_SYNTAX);
    if (head->refusal != 0)
        return;
    rd_buf_append_bytes(ret, method);
    rd_buf_append_str(ret, " ");
    rd_buf_append_bytes(ret, path);
    rd_buf_append_str(ret, " HTTP/1.1\r\n");
    if (head->authority.size > 0)
        add_text(head, RD_BYTES_LIT("Host"), rd_buf_bytes(&head->authority), ret);
}

static void add_pseudo(h2_head *head, rd_bytes name, rd_bytes value)
{
    if (rd_bytes_equal(name, RD_BYTES_LIT(":method")))
        rd_buf_append_bytes(&head->method, value);
    else if (rd_bytes_equal(name, RD_BYTES_LIT(":path")))
        rd_buf_append_bytes(&head->path, value);
    else if (rd_bytes_equal(name, RD_BYTES_LIT(":authority")))
        rd_buf_append_bytes(&head->authority, value);
}

static void add_cookie(h2_head *head, rd_bytes value)
{
    if (head->cookies.size > 0)
        rd_buf_append_str(&head->cookies, "; ");
    rd_buf_append_bytes(&head->cookies, value);
    if (head->cookies.has_failed)
        refuse(head, RD_E_HTTP_HEADERS_TOO_LARGE);
}

void h2_head_add(h2_head *head, rd_bytes name, rd_bytes value, rd_buf *ret)
{
    if (name.size > 0 && name.data[0] == ':') {
        add_pseudo(head, name, value);
        return;
    }
    if (!head->has_line)
        add_line(head, ret);
    if (!rd_http_is_token(name) || !rd_http_is_text(value))
        refuse(head, RD_E_HTTP_SYNTAX);
    if (head->refusal != 0)
        return;
    /* RFC 9113, 8.3.1: Host may say again what :authority said; another one would stand twice. */
    bool is_said = rd_http_is_named(name, "host") && head->authority.size > 0 &&
                   rd_bytes_equal(value, rd_buf_bytes(&head->authority));
    if (rd_http_is_named(name, "cookie"))
        add_cookie(head, value);
    else if (!is_said)
        add_text(head, name, value, ret);
}

rd_code h2_head_end(h2_head *head, rd_buf *ret)
{
    if (!head->has_line)
        add_line(head, ret);
    if (head->refusal == 0 && head->cookies.size > 0)
        add_text(head, RD_BYTES_LIT("cookie"), rd_buf_bytes(&head->cookies), ret);
    rd_buf_append_str(ret, "\r\n");
    rd_code refusal = head->refusal;
    h2_head_done(head);
    return refusal;
}
