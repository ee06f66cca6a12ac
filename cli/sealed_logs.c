#include "cli/sealed_logs.h"

#include "cli/key_file.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/base/text.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>

#define STREAMS_MAX 4096 /* of an app whose instances come and go; later ones go unwatched */

struct cli_sealed_logs {
    const cli_profile *profile;
    rd_app_id app;
    rd_secret *key;
    rd_table *next; /* enc: one more than the highest number, as a pointer's value */
};

cli_sealed_logs *cli_sealed_logs_new(const cli_profile *profile, const rd_app_id *app)
{
    cli_sealed_logs *logs = rd_alloc(sizeof *logs);
    *logs = (cli_sealed_logs){ .profile = profile, .app = *app, .next = rd_table_new(STREAMS_MAX) };
    return logs;
}

void cli_sealed_logs_free(cli_sealed_logs *logs)
{
    if (!logs)
        return;
    rd_secret_free(logs->key);
    rd_table_free(logs->next);
    free(logs);
}

static int open_record(cli_sealed_logs *logs, const json_t *line, const char *text, rd_log_line *ret, rd_err *err)
{
    uint8_t record[RD_LOG_SEALED_MAX];
    const char *instance = json_string_value(json_object_get(line, "instance"));
    rd_log_origin origin = { .app = logs->app, .epoch = (uint64_t)json_integer_value(json_object_get(line, "epoch")) };
    if (!logs->key && cli_log_key_read(logs->profile, &logs->key, err) < 0)
        return -1;
    ssize_t size = rd_base64url_decode(text, strlen(text), record, sizeof record);
    if (size < 0)
        return rd_err_set(err, RD_E_SEAL_FORMAT, "no base64url of a sealed line");
    if (!instance || rd_id_parse(RD_PREFIX_INSTANCE, instance, strlen(instance), &origin.instance, err) < 0)
        return rd_err_set(err, RD_E_SEAL_FORMAT, "a line of no instance");
    return rd_log_open(logs->key, &origin, rd_bytes_of(record, (size_t)size), ret, err);
}

/* The first line that is seen here may be any. */
static void judge_order(cli_sealed_logs *logs, const rd_log_line *opened, cli_opened_line *ret)
{
    uint64_t next = (uintptr_t)rd_table_get(logs->next, RD_BYTES_ARRAY(opened->enc));
    ret->is_again = opened->number < next;
    ret->missing = next > 0 && opened->number > next ? opened->number - next : 0;
    if (!ret->is_again)
        (void)rd_table_set(logs->next, RD_BYTES_ARRAY(opened->enc), (void *)(uintptr_t)(opened->number + 1), NULL);
}

/* JSON is UTF-8; what a function wrote may not be. */
static void set_text(json_t *line, rd_buf *text)
{
    for (size_t i = 0; !rd_is_utf8(rd_buf_bytes(text)) && i < text->size; i++)
        text->data[i] = text->data[i] < 0x80 ? text->data[i] : '?';
    (void)json_object_set_new(line, "text", json_stringn((const char *)text->data, text->size));
}

cli_opened_line cli_sealed_logs_open(cli_sealed_logs *logs, json_t *line, rd_err *err)
{
    cli_opened_line ret = { 0 };
    rd_log_line opened = { 0 };
    const char *level = json_string_value(json_object_get(line, "level"));
    const char *text = json_string_value(json_object_get(line, "text"));
    ret.is_sealed = level && text && strcmp(level, "sealed") == 0;
    ret.is_opened = ret.is_sealed && open_record(logs, line, text, &opened, err) == 0;
    if (ret.is_opened) {
        judge_order(logs, &opened, &ret);
        rd_json_set_str(line, "level", rd_line_level_names[opened.level]);
        set_text(line, &opened.text);
        rd_json_set_int(line, "number", (int64_t)opened.number);
    }
    rd_log_line_done(&opened);
    return ret;
}
