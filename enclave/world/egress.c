#include "enclave/world/egress.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "enclave/engine/guest/guest_abi.h"
#include "enclave/world/answer.h"
#include "common/http/field.h"
#include "common/http/head.h"
#include "enclave/world/tls.h"

#define HEAD_MAX     ((size_t)32 << 10)
#define HEADERS_MAX  100
#define READ_SIZE    ((size_t)16 << 10)
#define STEPS_A_TURN 16 /* of one connection: a fast peer keeps neither the others nor the end of a call waiting */

typedef enum line_state {
    LINE_FREE,
    LINE_DIALLING,
    LINE_HANDSHAKE,
    LINE_WRITING,   /* the request, or its head */
    LINE_UPLOADING, /* its body in pieces, and the answer that may come before their end */
    LINE_READING,
    LINE_ANSWERED, /* all of it came */
    LINE_FAILED,   /* `why` says it */
} line_state;

typedef struct egress_line {
    line_state state;
    uint32_t id;
    uint64_t dial_id;
    const rd_egress_entry *entry;
    int fd;
    SSL *ssl; /* NULL: plain */
    short events;
    rd_buf out;
    size_t written;
    bool is_upload;   /* more of the request's body is to come */
    bool wants_room;  /* the function has a piece of it, and was not told yet that it may send */
    bool is_told;     /* the function has the answer's head */
    bool wants_bytes; /* it was not told yet of more of the body */
    encl_answer answer;
    char why[200];
} egress_line;

struct encl_egress {
    const rd_egress *list;
    encl_egress_host host;
    encl_tls *tls;
    egress_line lines[ENCL_EGRESS_A_CALL]; /* of which few have a connection */
    uint32_t last_id;
    uint64_t last_dial;
    size_t received, sent; /* bodies of this call */
    uint32_t asked, failed;
};

encl_egress *encl_egress_new(const rd_egress *list, const encl_egress_host *host)
{
    encl_egress *egress = rd_alloc(sizeof(*egress));

    egress->list = list;
    egress->host = *host;
    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++)
        egress->lines[i].fd = -1;
    return egress;
}

const rd_egress *encl_egress_list(const encl_egress *egress)
{
    return egress->list;
}

/* The connection ends; what was received stays. */
static void hang_up(egress_line *line)
{
    SSL_free(line->ssl);
    line->ssl = NULL;
    rd_close_p(&line->fd);
    rd_buf_wipe(&line->out);
    line->events = 0;
    ERR_clear_error();
}

static void release(egress_line *line)
{
    hang_up(line);
    encl_answer_done(&line->answer);
    memset(line, 0, sizeof(*line));
    line->fd = -1;
}

encl_egress *encl_egress_free(encl_egress *egress)
{
    if (!egress)
        return NULL;
    encl_egress_forget(egress);
    encl_tls_free(egress->tls);
    free(egress);
    return NULL;
}

void encl_egress_forget(encl_egress *egress)
{
    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++) {
        if (egress->lines[i].state != LINE_FREE)
            release(&egress->lines[i]);
    }
}

void encl_egress_begin(encl_egress *egress)
{
    egress->received = 0;
    egress->sent = 0;
    egress->asked = 0;
    egress->failed = 0;
}

uint32_t encl_egress_asked(const encl_egress *egress)
{
    return egress->asked;
}

uint32_t encl_egress_failed(const encl_egress *egress)
{
    return egress->failed;
}

void encl_egress_count_refusal(encl_egress *egress)
{
    egress->asked++;
    egress->failed++;
}

static void fail(encl_egress *egress, egress_line *line, const char *why)
{
    hang_up(line);
    (void)snprintf(line->why, sizeof(line->why), "%s:%u: %s", line->entry->host, line->entry->port, why);
    line->state = LINE_FAILED;
    egress->failed++;
}

/* --- the request -------------------------------------------------------------------------------------------------- */

/* What the runtime says itself, or what would change the framing (RFC 9110, 7.6.1; RFC 9112, 6). */
static bool is_ours(rd_bytes name)
{
    static const char *const names[] = { "host",       "connection",          "content-length",   "expect",
                                         "keep-alive", "proxy-authorization", "proxy-connection", "te",
                                         "trailer",    "transfer-encoding",   "upgrade" };

    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        if (rd_http_is_named(name, names[i]))
            return true;
    }
    return false;
}

static int put_headers(const encl_fetch *fetch, rd_buf *out, rd_err *err)
{
    bool has_encoding = false;

    if (fetch->headers_count > HEADERS_MAX)
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "more than %d headers", HEADERS_MAX);
    for (size_t i = 0; i < fetch->headers_count; i++) {
        rd_bytes name = fetch->headers[2 * i], value = fetch->headers[2 * i + 1];
        if (!rd_http_is_token(name) || !rd_http_is_text(value))
            return rd_err_set(err, RD_E_EGRESS_REFUSED, "header %zu is malformed", i);
        if (is_ours(name))
            continue;
        has_encoding = has_encoding || rd_http_is_named(name, "accept-encoding");
        rd_buf_append_bytes(out, name);
        rd_buf_append_str(out, ": ");
        rd_buf_append_bytes(out, value);
        rd_buf_append_str(out, "\r\n");
    }
    if (!has_encoding)
        rd_buf_append_str(out, "accept-encoding: identity\r\n");
    return 0;
}

static int write_request(const encl_fetch *fetch, rd_buf *out, rd_err *err)
{
    const rd_egress_entry *entry = fetch->entry;
    bool is_bare = rd_http_is_named(fetch->method, "GET") || rd_http_is_named(fetch->method, "HEAD");

    if (!rd_http_is_token(fetch->method) || fetch->method.size > 32 || rd_http_is_named(fetch->method, "CONNECT") ||
        rd_http_is_named(fetch->method, "TRACE"))
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "the method is not one to send");
    if (!rd_http_is_target(fetch->target))
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "the path is malformed");
    if (fetch->body.size > ENCL_EGRESS_WHOLE_MAX)
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "the body is larger than %zu bytes", ENCL_EGRESS_WHOLE_MAX);
    rd_buf_init(out, HEAD_MAX + fetch->body.size);
    (void)rd_buf_reserve(out, HEAD_MAX + fetch->body.size); /* never moved: secrets leave no copy behind */
    rd_buf_append_bytes(out, fetch->method);
    rd_buf_append_u8(out, ' ');
    rd_buf_append_bytes(out, fetch->target);
    rd_buf_printf(out, " HTTP/1.1\r\nhost: %s", entry->host);
    if (entry->port != (entry->is_plain ? 80 : 443))
        rd_buf_printf(out, ":%u", entry->port);
    rd_buf_append_str(out, "\r\nconnection: close\r\n");
    if (fetch->is_upload)
        rd_buf_append_str(out, "transfer-encoding: chunked\r\n");
    else if (fetch->body.size > 0 || !is_bare)
        rd_buf_printf(out, "content-length: %zu\r\n", fetch->body.size);
    if (put_headers(fetch, out, err) < 0)
        return -1;
    rd_buf_append_str(out, "\r\n");
    if (out->has_failed || out->size > HEAD_MAX)
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "the head is larger than %zu bytes", HEAD_MAX);
    rd_buf_append_bytes(out, fetch->body);
    return 0;
}

/* A line for one more request; NULL: too many have a connection. */
static egress_line *free_line(encl_egress *egress)
{
    egress_line *found = NULL;
    size_t connections = 0;

    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++) {
        egress_line *line = &egress->lines[i];
        connections += line->state != LINE_FREE && line->state != LINE_ANSWERED && line->state != LINE_FAILED;
        if (line->state == LINE_FREE && !found)
            found = line;
    }
    return connections < ENCL_EGRESS_AT_ONCE ? found : NULL;
}

static egress_line *find(encl_egress *egress, uint32_t id)
{
    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++) {
        if (egress->lines[i].state != LINE_FREE && egress->lines[i].id == id)
            return &egress->lines[i];
    }
    return NULL;
}

static int start(encl_egress *egress, const encl_fetch *fetch, uint32_t *ret_id, rd_err *err)
{
    egress_line *line = free_line(egress);

    if (egress->asked > ENCL_EGRESS_A_CALL)
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "more than %d requests in one call", ENCL_EGRESS_A_CALL);
    if (!line)
        return rd_err_set(err, RD_E_EGRESS_REFUSED,
                          "more than %d requests at once; one whose answer's body is not read counts",
                          ENCL_EGRESS_AT_ONCE);
    if (write_request(fetch, &line->out, err) < 0 ||
        egress->host.dial(egress->host.context, egress->last_dial + 1, fetch->entry, err) < 0) {
        release(line);
        return -1;
    }
    line->state = LINE_DIALLING;
    line->id = *ret_id = ++egress->last_id;
    line->dial_id = ++egress->last_dial;
    line->entry = fetch->entry;
    line->is_upload = line->wants_room = fetch->is_upload;
    encl_answer_init(&line->answer, rd_http_is_named(fetch->method, "HEAD"),
                     fetch->answer_max > 0 ? fetch->answer_max : ENCL_EGRESS_CALL_MAX);
    return 0;
}

int encl_egress_start(encl_egress *egress, const encl_fetch *fetch, uint32_t *ret_id, rd_err *err)
{
    egress->asked++;
    if (start(egress, fetch, ret_id, err) == 0)
        return 0;
    egress->failed++;
    return -1;
}

void encl_egress_cancel(encl_egress *egress, uint32_t id)
{
    egress_line *line = find(egress, id);

    if (!line)
        return;
    if (line->state != LINE_FAILED && !line->is_told)
        egress->failed++;
    release(line);
}

void encl_egress_want(encl_egress *egress, uint32_t id)
{
    egress_line *line = find(egress, id);

    if (line && line->is_told)
        line->wants_bytes = true;
}

void encl_egress_take(encl_egress *egress, uint32_t id, rd_buf *out)
{
    egress_line *line = find(egress, id);

    if (!line || !line->is_told)
        return;
    rd_buf_append_bytes(out, rd_buf_bytes(&line->answer.body));
    rd_buf_clear(&line->answer.body);
}

static bool has_room(const egress_line *line)
{
    return line->state == LINE_UPLOADING && line->is_upload && line->out.size == 0;
}

int encl_egress_send(encl_egress *egress, uint32_t id, rd_bytes piece, bool is_last, rd_err *err)
{
    egress_line *line = find(egress, id);

    if (!line || !has_room(line) || piece.size > ENCL_EGRESS_PIECE_MAX)
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "the request takes no piece of a body now");
    if (piece.size > ENCL_EGRESS_CALL_MAX - egress->sent)
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "the bodies of this call's requests are larger than %zu bytes",
                          ENCL_EGRESS_CALL_MAX);
    egress->sent += piece.size;
    rd_buf_init(&line->out, ENCL_EGRESS_PIECE_MAX + 64); /* RFC 9112, 7.1 */
    if (piece.size > 0) {
        rd_buf_printf(&line->out, "%zx\r\n", piece.size);
        rd_buf_append_bytes(&line->out, piece);
        rd_buf_append_str(&line->out, "\r\n");
    }
    if (is_last)
        rd_buf_append_str(&line->out, "0\r\n\r\n");
    line->written = 0;
    line->is_upload = !is_last;
    line->wants_room = !is_last;
    return 0;
}

/* --- the connection ----------------------------------------------------------------------------------------------- */

static const char *const outcomes[] = {
    [ENCL_LINE_OPEN] = "",
    [ENCL_LINE_REFUSED] = "the host refuses this address: it is private or not to be reached from here",
    [ENCL_LINE_NO_NAME] = "the name does not resolve",
    [ENCL_LINE_UNREACHABLE] = "nobody takes the connection",
    [ENCL_LINE_BUSY] = "the host has too many connections of this instance",
    [ENCL_LINE_TIMEOUT] = "the connection takes too long",
};

void encl_egress_connected(encl_egress *egress, uint64_t dial_id, int fd, encl_line_outcome outcome)
{
    egress_line *line = NULL;
    rd_err err = RD_ERR_INIT;

    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++) {
        if (egress->lines[i].state == LINE_DIALLING && egress->lines[i].dial_id == dial_id)
            line = &egress->lines[i];
    }
    if (!line) {
        rd_close_p(&fd);
        return;
    }
    line->fd = fd;
    if (outcome != ENCL_LINE_OPEN || fd < 0) {
        fail(egress, line,
             outcomes[outcome > ENCL_LINE_OPEN && outcome <= ENCL_LINE_TIMEOUT ? outcome : ENCL_LINE_UNREACHABLE]);
        return;
    }
    line->state = line->entry->is_plain ? LINE_WRITING : LINE_HANDSHAKE;
    if (!line->entry->is_plain && ((!egress->tls && encl_tls_new(&egress->tls, &err) < 0) ||
                                   encl_tls_connect(egress->tls, line->entry, fd,
                                                    egress->host.time_us(egress->host.context), &line->ssl, &err) < 0))
        fail(egress, line, err.text);
}

void encl_egress_abandon(encl_egress *egress)
{
    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++) {
        if (egress->lines[i].state == LINE_DIALLING)
            fail(egress, &egress->lines[i], "the host's agent went away");
    }
}

/* What the last step left: 1 wait for it, 0 the peer closed properly, -1 broken. */
static int wait_for(egress_line *line, int result)
{
    if (!line->ssl) {
        if (result < 0 && (errno == EAGAIN || errno == EINTR))
            return 1;
        return result == 0 ? 0 : -1;
    }
    switch (SSL_get_error(line->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        line->events = POLLIN;
        return 1;
    case SSL_ERROR_WANT_WRITE:
        line->events = POLLOUT;
        return 1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return -1;
    }
}

/* Each step: true to go on at once. */
static bool shake(encl_egress *egress, egress_line *line)
{
    char why[160];
    int result = SSL_do_handshake(line->ssl);

    if (result == 1) {
        line->state = LINE_WRITING;
        return true;
    }
    if (wait_for(line, result) == 1)
        return false;
    encl_tls_explain(line->ssl, why, sizeof(why));
    fail(egress, line, why);
    return false;
}

static bool write_some(encl_egress *egress, egress_line *line)
{
    size_t size = line->out.size - line->written;
    const uint8_t *at = line->out.data + line->written;
    int result = line->ssl ? SSL_write(line->ssl, at, (int)RD_MIN(size, READ_SIZE)) : (int)write(line->fd, at, size);

    if (result > 0) {
        line->written += (size_t)result;
        if (line->written == line->out.size) {
            rd_buf_wipe(&line->out); /* it may hold secrets */
            line->state = line->is_upload ? LINE_UPLOADING : LINE_READING;
        }
        return true;
    }
    line->events = POLLOUT;
    if (wait_for(line, result) == 1)
        return false;
    fail(egress, line, "the connection broke while the request was sent");
    return false;
}

/* What more there is of the answer's body joins the call's. */
static int feed(encl_egress *egress, egress_line *line, rd_bytes bytes, rd_err *err)
{
    size_t before = line->answer.received;

    if (encl_answer_feed(&line->answer, bytes, err) < 0)
        return -1;
    size_t more = line->answer.received - before;
    if (more > ENCL_EGRESS_CALL_MAX - egress->received)
        return rd_err_set(err, RD_E_TOO_LARGE, "the answers of this call are larger than %zu bytes together",
                          ENCL_EGRESS_CALL_MAX);
    egress->received += more;
    return 0;
}

static bool read_some(encl_egress *egress, egress_line *line)
{
    uint8_t chunk[READ_SIZE];
    rd_err err = RD_ERR_INIT;
    int outcome;

    line->events = 0;
    if (line->answer.body.size >= ENCL_EGRESS_HOLD_MAX)
        return false;
    int result = line->ssl ? SSL_read(line->ssl, chunk, sizeof(chunk)) : (int)read(line->fd, chunk, sizeof(chunk));
    if (result > 0) {
        outcome = feed(egress, line, rd_bytes_of(chunk, (size_t)result), &err);
    } else {
        line->events = POLLIN;
        outcome = wait_for(line, result);
        if (outcome == 1)
            return false;
        outcome = outcome == 0 ? encl_answer_end(&line->answer, &err)
                               : rd_err_set(&err, RD_E_TRUNCATED, "the connection broke before the answer was whole");
    }
    if (outcome < 0) {
        fail(egress, line, err.text);
        return false;
    }
    if (line->answer.state == ENCL_ANSWER_DONE) {
        hang_up(line);
        line->state = LINE_ANSWERED;
    } else if (line->answer.state != ENCL_ANSWER_HEAD && line->state == LINE_UPLOADING) {
        rd_buf_wipe(&line->out); /* who answers before the end does not want it */
        line->state = LINE_READING;
    }
    return line->state == LINE_READING || line->state == LINE_UPLOADING;
}

static bool upload_some(encl_egress *egress, egress_line *line)
{
    bool goes_on = read_some(egress, line);

    if (goes_on || line->state != LINE_UPLOADING || line->out.size == 0)
        return goes_on;
    goes_on = write_some(egress, line);
    if (!goes_on && line->state == LINE_UPLOADING)
        line->events |= POLLIN;
    return goes_on;
}

static bool step(encl_egress *egress, egress_line *line)
{
    ERR_clear_error(); /* SSL_get_error looks at what is left there */
    switch (line->state) {
    case LINE_HANDSHAKE:
        return shake(egress, line);
    case LINE_WRITING:
        return write_some(egress, line);
    case LINE_UPLOADING:
        return upload_some(egress, line);
    case LINE_READING:
        return read_some(egress, line);
    case LINE_FREE:
    case LINE_DIALLING:
    case LINE_ANSWERED:
    case LINE_FAILED:
        break;
    }
    return false;
}

bool encl_egress_turn(encl_egress *egress)
{
    bool goes_on = false;

    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++) {
        size_t steps = 0;
        while (steps < STEPS_A_TURN && step(egress, &egress->lines[i]))
            steps++;
        goes_on = goes_on || steps == STEPS_A_TURN;
    }
    return goes_on;
}

size_t encl_egress_watch(const encl_egress *egress, struct pollfd *ret)
{
    size_t count = 0;

    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++) {
        const egress_line *line = &egress->lines[i];
        if (line->fd >= 0 && line->events != 0)
            ret[count++] = (struct pollfd){ .fd = line->fd, .events = line->events };
    }
    return count;
}

bool encl_egress_is_busy(const encl_egress *egress)
{
    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++) {
        if (egress->lines[i].state != LINE_FREE)
            return true;
    }
    return false;
}

bool encl_egress_is_pending(const encl_egress *egress)
{
    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++) {
        const egress_line *line = &egress->lines[i];
        if (line->state != LINE_FREE && (!line->is_told || line->wants_bytes))
            return true;
    }
    return false;
}

/* What of a line the function is to be told; -1: nothing. What came before it broke is told first. */
static int news_of(const egress_line *line)
{
    bool has_failed = line->state == LINE_FAILED;

    if (line->state == LINE_FREE || (line->is_told && !line->wants_bytes))
        return -1;
    if (!line->is_told && line->answer.state != ENCL_ANSWER_HEAD)
        return ENCL_NEWS_ANSWER;
    if (!line->is_told && has_failed)
        return ENCL_NEWS_FAILED;
    if (!line->is_told)
        return line->wants_room && has_room(line) ? ENCL_NEWS_ROOM : -1;
    if (line->answer.body.size > 0)
        return ENCL_NEWS_PIECE;
    return has_failed ? ENCL_NEWS_FAILED : line->state == LINE_ANSWERED ? ENCL_NEWS_END : -1;
}

bool encl_egress_has_news(const encl_egress *egress)
{
    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++) {
        if (news_of(&egress->lines[i]) >= 0)
            return true;
    }
    return false;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static void put_number(rd_buf *out, uint32_t value)
{
    rd_buf_append_u32le(out, 4);
    rd_buf_append_u32le(out, value);
}

static void put_field(rd_buf *out, rd_bytes bytes)
{
    rd_buf_append_u32le(out, (uint32_t)bytes.size);
    rd_buf_append_bytes(out, bytes);
}

/* The head, with the body where all of it is here: most answers are small. */
static void put_answer(const egress_line *line, rd_buf *out)
{
    bool is_whole = line->state == LINE_ANSWERED;

    put_number(out, line->answer.status);
    put_number(out, (uint32_t)line->answer.headers_count);
    for (size_t i = 0; i < line->answer.headers_count; i++) {
        put_field(out, encl_answer_name(&line->answer, i));
        put_field(out, encl_answer_value(&line->answer, i));
    }
    put_number(out, is_whole);
    put_field(out, is_whole ? rd_buf_bytes(&line->answer.body) : RD_BYTES_NULL);
}

static void tell(egress_line *line, int news, rd_buf *out)
{
    put_number(out, line->id);
    put_number(out, (uint32_t)news);
    line->wants_bytes = false;
    if (news == ENCL_NEWS_ANSWER)
        put_answer(line, out);
    else if (news == ENCL_NEWS_FAILED)
        put_field(out, rd_bytes_str(line->why));
    else if (news == ENCL_NEWS_ROOM)
        line->wants_room = false;
    if (news == ENCL_NEWS_FAILED || news == ENCL_NEWS_END || (news == ENCL_NEWS_ANSWER && line->state == LINE_ANSWERED))
        release(line);
    else
        line->is_told = line->is_told || news == ENCL_NEWS_ANSWER;
}

bool encl_egress_next(encl_egress *egress, rd_buf *out)
{
    for (size_t i = 0; i < ENCL_EGRESS_A_CALL; i++) {
        int news = news_of(&egress->lines[i]);
        if (news < 0)
            continue;
        tell(&egress->lines[i], news, out);
        return true;
    }
    return false;
}

int encl_egress_whole(encl_egress *egress, uint32_t id, unsigned *ret_status, rd_buf *ret_body, rd_err *err)
{
    egress_line *line = find(egress, id);

    if (!line)
        return rd_err_set(err, RD_E_EGRESS_REFUSED, "the request is over");
    if (line->state == LINE_FAILED) {
        (void)rd_err_set(err, RD_E_EGRESS_REFUSED, "%s", line->why);
        release(line);
        return -1;
    }
    if (line->state != LINE_ANSWERED)
        return 0;
    *ret_status = line->answer.status;
    rd_buf_append_bytes(ret_body, rd_buf_bytes(&line->answer.body));
    release(line);
    return 1;
}
