/* What a handler says of a body that leaves while it is made. The guest is not believed: a piece is taken only when
 * there is room for it, and all of them together are no larger than a response may be. */
#include "common/base/cursor.h"
#include "enclave/engine/engine_priv.h"

static uint8_t room_of(const encl_engine *engine)
{
    if (engine->stream != ENCL_STREAM_RUNS)
        return ENCL_ROOM_NONE;
    return (uint8_t)engine->host.room(engine->host.context);
}

bool encl_engine_stream_waits(const encl_engine *engine)
{
    return engine->stream == ENCL_STREAM_RUNS && room_of(engine) == ENCL_ROOM_NONE;
}

static void refuse(encl_engine *engine, enum encl_ask_status status, const char *sentence)
{
    rd_buf_append_u8(&engine->reply, status);
    rd_buf_append_str(&engine->reply, sentence);
}

static void take_piece(encl_engine *engine, rd_bytes question)
{
    rd_cursor in = rd_cursor_of(question);
    uint32_t size = rd_cursor_u32le(&in);
    rd_bytes piece = rd_cursor_take(&in, size);

    if (!rd_cursor_is_done(&in)) {
        refuse(engine, ENCL_ASK_TYPE, "the question is malformed");
    } else if (room_of(engine) != ENCL_ROOM_SOME) {
        refuse(engine, ENCL_ASK_OPERATION, "there is no room for another piece of the answer");
    } else if (piece.size > engine->limits.output_size - engine->streamed) {
        engine->stream = ENCL_STREAM_TOO_LARGE;
        refuse(engine, ENCL_ASK_QUOTA, "the response is larger than the limit");
    } else if (!engine->host.write(engine->host.context, piece)) {
        refuse(engine, ENCL_ASK_OPERATION, "the piece cannot be sent");
    } else {
        engine->streamed += piece.size;
        rd_buf_append_u8(&engine->reply, ENCL_ASK_OK);
    }
}

void encl_engine_stream_ask(encl_engine *engine, uint32_t op, rd_bytes question)
{
    if (op == ENCL_ASK_WRITE) {
        take_piece(engine, question);
    } else if (op == ENCL_ASK_ROOM) {
        rd_buf_append_u8(&engine->reply, ENCL_ASK_OK);
        rd_buf_append_u8(&engine->reply, room_of(engine));
    } else if (op == ENCL_ASK_OPEN && engine->state == ENCL_ENGINE_USED && engine->stream == ENCL_STREAM_NONE &&
               engine->host.write) {
        engine->stream = ENCL_STREAM_OPEN;
        rd_buf_append_u8(&engine->reply, ENCL_ASK_OK);
    } else if ((op == ENCL_ASK_END || op == ENCL_ASK_BREAK) && engine->stream == ENCL_STREAM_RUNS) {
        engine->stream = op == ENCL_ASK_END ? ENCL_STREAM_ENDED : ENCL_STREAM_BROKEN;
        rd_buf_append_u8(&engine->reply, ENCL_ASK_OK);
    } else {
        refuse(engine, ENCL_ASK_NOT_SUPPORTED, "no answer is being sent that way");
    }
}
