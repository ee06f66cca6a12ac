#include "cli/sealed_stream.h"

#include "common/base/mem.h"

#include <stdlib.h>

void cli_sealed_stream_init(cli_sealed_stream *stream, cli_exchange *exchange, const rd_ohttp *ohttp)
{
    *stream = (cli_sealed_stream){ .exchange = exchange, .reader = rd_bhttp_reader_new(false), .err = RD_ERR_INIT };
    rd_ohttp_opener_init(&stream->opener, ohttp);
    rd_buf_init(&stream->message, CLI_ANSWER_MAX);
    rd_buf_init(&stream->content, CLI_ANSWER_MAX);
}

void cli_sealed_stream_done(cli_sealed_stream *stream)
{
    rd_ohttp_opener_done(&stream->opener);
    stream->reader = rd_bhttp_reader_free(stream->reader);
    rd_buf_wipe(&stream->message);
    rd_buf_wipe(&stream->content);
}

char *cli_sealed_field(const rd_bhttp_message *message, const char *name)
{
    const rd_bhttp_field *field = rd_bhttp_find(message, name);
    return field ? rd_strndup((const char *)field->value.data, field->value.size) : NULL;
}

/* 1: its content is padded, 0: it is not, -1: in a form that is not known here. */
static int is_padded(const rd_bhttp_message *head, rd_err *err)
{
    const rd_bhttp_field *field = rd_bhttp_find(head, RD_PADDING_FIELD);
    if (field && !rd_bytes_equal(field->value, RD_BYTES_LIT(RD_PADDING_VALUE)))
        return rd_err_set(err, RD_E_UNSUPPORTED, "the answer's padding is not of form " RD_PADDING_VALUE);
    return field != NULL;
}

/* Adds what stream->message brings of the body to the exchange. */
static int read_message(cli_sealed_stream *stream, rd_err *err)
{
    rd_buf *body = &stream->exchange->response_body;
    rd_buf_clear(&stream->content);
    if (rd_bhttp_reader_feed(stream->reader, rd_buf_bytes(&stream->message), &stream->content, err) < 0)
        return rd_err_wrap(err, "the answer inside the seal");
    rd_buf_clear(&stream->message);
    const rd_bhttp_message *head = rd_bhttp_reader_head(stream->reader);
    int padded = head ? is_padded(head, err) : 0;
    if (padded != 0)
        return padded < 0 ? -1 : rd_padding_read(&stream->padding, rd_buf_bytes(&stream->content), body, err);
    return rd_buf_append_bytes(body, rd_buf_bytes(&stream->content))
               ? 0
               : rd_err_set(err, RD_E_TOO_LARGE, "the answer is too large");
}

static void show_from(cli_sealed_stream *stream, size_t before)
{
    cli_exchange *exchange = stream->exchange;
    rd_bytes body = rd_buf_bytes(&exchange->response_body);
    if (!exchange->on_piece || body.size == before)
        return;
    exchange->is_streamed = true;
    exchange->on_piece(exchange->context, rd_bytes_of(body.data + before, body.size - before));
}

static int open_failed(rd_err *err)
{
    if (err->code == RD_E_SEAL)
        (void)rd_err_set(err, RD_E_SEAL, "the answer was changed or cut on its way: its seal does not open");
    return -1;
}

bool cli_sealed_stream_take(void *context, const cli_answer *answer RD_UNUSED, rd_bytes piece)
{
    cli_sealed_stream *stream = context;
    size_t before = stream->exchange->response_body.size;
    if (rd_ohttp_opener_feed(&stream->opener, piece, &stream->message, &stream->err) < 0)
        (void)open_failed(&stream->err);
    rd_err ignored = RD_ERR_INIT; /* what opened before a chunk that did not is the enclave's all the same */
    if (read_message(stream, stream->err.code ? &ignored : &stream->err) == 0)
        show_from(stream, before);
    return stream->err.code == RD_OK;
}

int cli_sealed_stream_end(cli_sealed_stream *stream, rd_err *err)
{
    cli_exchange *exchange = stream->exchange;
    size_t before = exchange->response_body.size;
    if (rd_ohttp_opener_end(&stream->opener, &stream->message, err) < 0)
        return open_failed(err);
    if (read_message(stream, err) < 0)
        return -1;
    if (exchange->is_streamed)
        show_from(stream, before); /* of any other answer nothing is shown before its receipt is verified */
    if (rd_bhttp_reader_end(stream->reader, err) < 0)
        return rd_err_wrap(err, "the answer inside the seal");
    if (!rd_padding_is_whole(&stream->padding))
        return rd_err_set(err, RD_E_TRUNCATED, "the answer inside the seal ends within its padding");
    const rd_bhttp_message *head = rd_bhttp_reader_head(stream->reader);
    exchange->receipt = cli_sealed_field(rd_bhttp_reader_trailers(stream->reader), "redoubt-receipt");
    if (!exchange->receipt)
        return cli_exchange_refused(rd_buf_bytes(&exchange->response_body), "the sealed answer has no receipt", err);
    char *type = cli_sealed_field(head, "content-type");
    exchange->response_type = type ? type : rd_strdup("");
    exchange->status = head->status;
    return 0;
}
