#include "agent/logs.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>

typedef struct line {
    struct line *next;
    size_t size;
    uint8_t text[];
} line;

struct agent_logs {
    line *head, **tail;
    size_t size, size_max;
    uint64_t dropped;
    rd_buf taken;
};

agent_logs *agent_logs_new(size_t size_max)
{
    agent_logs *logs = rd_alloc(sizeof *logs);
    logs->tail = &logs->head;
    logs->size_max = size_max;
    return logs;
}

static void drop_first(agent_logs *logs)
{
    line *first = logs->head;
    logs->head = first->next;
    if (!logs->head)
        logs->tail = &logs->head;
    logs->size -= first->size;
    free(first);
}

agent_logs *agent_logs_free(agent_logs *logs)
{
    if (!logs)
        return NULL;
    while (logs->head)
        drop_first(logs);
    rd_buf_done(&logs->taken);
    free(logs);
    return NULL;
}

/* Bytes that are no UTF-8 become '?': the line is JSON. */
static void clean(char *text, size_t size)
{
    if (rd_is_utf8(rd_bytes_of(text, size)))
        return;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] >= 0x80)
            text[i] = '?';
}

void agent_logs_add(agent_logs *logs, const char *instance, uint64_t epoch, const char *level, rd_bytes text,
                    int64_t at_us)
{
    size_t size = RD_MIN(text.size, (size_t)AGENT_LOG_TEXT_MAX);
    char *copy = rd_strndup((const char *)text.data, size);
    clean(copy, strlen(copy));
    json_t *object = json_object();
    rd_json_set_str(object, "instance", instance);
    rd_json_set_int(object, "epoch", (int64_t)epoch);
    rd_json_set_str(object, "level", level);
    rd_json_set_str(object, "text", copy);
    rd_json_set_time(object, "at", at_us);
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    (void)rd_json_dump(object, &out);
    (void)rd_buf_append_u8(&out, '\n');
    json_decref(object);
    free(copy);
    line *one = rd_alloc(sizeof *one + out.size);
    one->size = out.size;
    memcpy(one->text, out.data, out.size);
    *logs->tail = one;
    logs->tail = &one->next;
    logs->size += one->size;
    while (logs->size > logs->size_max && logs->head) {
        drop_first(logs);
        logs->dropped++;
    }
}

rd_bytes agent_logs_take(agent_logs *logs, size_t room)
{
    rd_buf_clear(&logs->taken);
    if (logs->dropped > 0 && room >= 64) {
        (void)rd_buf_printf(&logs->taken, "{\"dropped\":%llu}\n", (unsigned long long)logs->dropped);
        logs->dropped = 0;
    } else if (logs->head && logs->head->size <= room) {
        (void)rd_buf_append(&logs->taken, logs->head->text, logs->head->size);
        drop_first(logs);
    }
    return rd_buf_bytes(&logs->taken);
}
