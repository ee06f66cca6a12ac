#include "cli/sse.h"

#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

void cli_sse_init(cli_sse *sse)
{
    memset(sse, 0, sizeof(*sse));
    rd_buf_init(&sse->line, CLI_SSE_EVENT_MAX);
    rd_buf_init(&sse->data, CLI_SSE_EVENT_MAX);
}

void cli_sse_done(cli_sse *sse)
{
    rd_buf_done(&sse->line);
    rd_buf_done(&sse->data);
}

void cli_sse_restart(cli_sse *sse)
{
    rd_buf_clear(&sse->line);
    rd_buf_clear(&sse->data);
    sse->event[0] = '\0';
    memcpy(sse->next_id, sse->last_id, sizeof(sse->next_id));
}

static void take_id(cli_sse *sse, const char *value)
{
    size_t size = strlen(value);
    if (size >= sizeof(sse->next_id))
        return;
    for (const char *c = value; *c; c++)
        if (*c < ' ' || *c > '~')
            return;
    memcpy(sse->next_id, value, size + 1);
}

/* What follows "field:" and one space; NULL when the line is of another field. */
static const char *value_of(const char *line, const char *field)
{
    if (!rd_starts_with(line, field))
        return NULL;
    const char *value = line + strlen(field);
    return *value == ' ' ? value + 1 : value;
}

static void take_field(cli_sse *sse, const char *line)
{
    const char *value;
    if ((value = value_of(line, "event:")))
        (void)snprintf(sse->event, sizeof(sse->event), "%s", value);
    else if ((value = value_of(line, "id:")))
        take_id(sse, value);
    else if ((value = value_of(line, "data:")))
        (void)rd_buf_printf(&sse->data, "%s%s", sse->data.size > 0 ? "\n" : "", value);
}

/* An empty line: the event is whole. False when on_event ends the stream. */
static bool give_event(cli_sse *sse, cli_sse_fn on_event, void *context)
{
    memcpy(sse->last_id, sse->next_id, sizeof(sse->last_id));
    bool goes_on =
        sse->data.size == 0 || on_event(context, sse->event[0] ? sse->event : "message", rd_buf_text(&sse->data));
    rd_buf_clear(&sse->data);
    sse->event[0] = '\0';
    return goes_on;
}

int cli_sse_feed(cli_sse *sse, rd_bytes bytes, cli_sse_fn on_event, void *context, rd_err *err)
{
    while (bytes.size > 0) {
        const uint8_t *end = memchr(bytes.data, '\n', bytes.size);
        size_t size = end ? (size_t)(end - bytes.data) : bytes.size;
        if (!rd_buf_append(&sse->line, bytes.data, size))
            return rd_err_set(err, RD_E_TOO_LARGE, "a line of events above %zu bytes", CLI_SSE_EVENT_MAX);
        if (!end)
            return 1;
        bytes = rd_bytes_of(end + 1, bytes.size - size - 1);
        if (sse->line.size > 0 && sse->line.data[sse->line.size - 1] == '\r')
            sse->line.size--;
        bool is_empty = sse->line.size == 0;
        if (!is_empty)
            take_field(sse, rd_buf_text(&sse->line));
        rd_buf_clear(&sse->line);
        if (sse->data.has_failed)
            return rd_err_set(err, RD_E_TOO_LARGE, "an event above %zu bytes", CLI_SSE_EVENT_MAX);
        if (is_empty && !give_event(sse, on_event, context))
            return 0;
    }
    return 1;
}
