#include "enclave/engine/jsc/jsc_priv.h"

#include <stdio.h>
#include <string.h>

#define SENTENCE_MAX   1024
#define LINE_MAX_SIZE  4096
#define REJECTIONS_MAX 8

static const char time_up[] = "the time limit was reached";

void encl_jsc_fail(uint32_t kind, const char *sentence)
{
    encl_jsc_run *run = &encl_jsc->run;

    if (run->result.state == ENCL_GUEST_FAILED)
        return;
    rd_buf_clear(&run->out);
    rd_buf_append(&run->out, sentence, RD_MIN(strlen(sentence), (size_t)SENTENCE_MAX));
    run->result.state = ENCL_GUEST_FAILED;
    run->result.kind = kind;
}

/* The text of a property that is a string, or "". A getter of the script may run here: the limits hold, and once they
 * were met no script runs any more. */
static void property(JSObjectRef object, const char *name, rd_buf *out)
{
    JSContextRef ctx = encl_jsc->run.ctx;
    JSValueRef value = object && !encl_jsc->run.is_interrupted ? encl_jsc_get(ctx, object, name) : NULL;

    if (value && JSValueIsString(ctx, value))
        (void)encl_jsc_append_text(ctx, value, out, NULL);
    rd_buf_append_u8(out, 0);
}

static void log_thrown(const char *text, const char *stack)
{
    char line[LINE_MAX_SIZE];
    int size = snprintf(line, sizeof(line), "%s%s%s", text, *stack ? "\n" : "", stack);

    encl_jsc->host.log(encl_jsc->host.context, ENCL_LOG_ERROR,
                       rd_bytes_of(line, RD_MIN((size_t)size, sizeof(line) - 1)));
}

/* "index.js:3:7", for an error that came from the handler's own files. */
static void place_of(JSObjectRef error, const char *stack, char *out, size_t out_size)
{
    JSContextRef ctx = encl_jsc->run.ctx;
    RD_CLEANUP(rd_buf_done) rd_buf file = { 0 };

    property(error, "sourceURL", &file);
    if (file.data[0] && strncmp((const char *)file.data, "redoubt:", 8) != 0) {
        (void)snprintf(out, out_size, "%s:%.0f:%.0f", (const char *)file.data,
                       JSValueToNumber(ctx, encl_jsc_get(ctx, error, "line"), NULL),
                       JSValueToNumber(ctx, encl_jsc_get(ctx, error, "column"), NULL));
        return;
    }
    for (const char *line = stack; *line;) {
        size_t size = strcspn(line, "\n");
        const char *from = memchr(line, '@', size);
        from = from ? from + 1 : line;
        size_t place = size - (size_t)(from - line);
        if (memchr(from, ':', place) && strncmp(from, "redoubt:", 8) != 0 && place < out_size) {
            memcpy(out, from, place);
            out[place] = 0;
            return;
        }
        line += size + (line[size] == '\n');
    }
}

static uint32_t kind_of(uint32_t kind, const char *code, const char *text)
{
    if (encl_jsc->run.is_interrupted)
        return ENCL_KIND_TIME;
    if (strstr(text, "Out of memory"))
        return ENCL_KIND_MEMORY;
    if (strcmp(code, "ENTROPY_BEFORE_SNAPSHOT") == 0)
        return ENCL_KIND_ENTROPY;
    return strcmp(code, "MODULE_NOT_FOUND") == 0 ? ENCL_KIND_MODULE : kind;
}

void encl_jsc_fail_value(uint32_t kind, JSValueRef thrown, bool with_place, bool with_log)
{
    encl_jsc_run *run = &encl_jsc->run;
    RD_CLEANUP(rd_buf_done) rd_buf stack = { 0 }, code = { 0 }, text = { 0 };
    char place[300] = "", sentence[SENTENCE_MAX];

    if (run->result.state == ENCL_GUEST_FAILED)
        return;
    if (run->is_interrupted) {
        encl_jsc_fail(ENCL_KIND_TIME, time_up);
        return;
    }
    JSObjectRef object = JSValueIsObject(run->ctx, thrown) ? JSValueToObject(run->ctx, thrown, NULL) : NULL;
    property(object, "stack", &stack);
    property(object, "code", &code);
    if (run->is_interrupted || !encl_jsc_append_text(run->ctx, thrown, &text, NULL))
        rd_buf_append_str(&text, "a value without text");
    rd_buf_append_u8(&text, 0);
    kind = kind_of(kind, (const char *)code.data, (const char *)text.data);
    if (with_place && object)
        place_of(object, (const char *)stack.data, place, sizeof(place));
    (void)snprintf(sentence, sizeof(sentence), "%s%s%s", place, place[0] ? ": " : "",
                   kind == ENCL_KIND_MEMORY ? "out of memory"
                   : kind == ENCL_KIND_TIME ? time_up
                                            : (const char *)text.data);
    if (with_log)
        log_thrown(sentence, (const char *)stack.data);
    encl_jsc_fail(kind, sentence);
}

JSValueRef encl_jsc_on_rejection(JSContextRef ctx, JSObjectRef function, JSObjectRef self, size_t count,
                                 const JSValueRef *args, JSValueRef *exception)
{
    encl_jsc_run *run = &encl_jsc->run;
    RD_CLEANUP(rd_buf_done) rd_buf line = { 0 }, stack = { 0 };

    (void)function;
    (void)self;
    (void)exception;
    if (count < 2 || !run->is_serving || run->is_interrupted || ++run->rejections > REJECTIONS_MAX)
        return JSValueMakeUndefined(ctx);
    rd_buf_append_str(&line, "unhandled rejection: ");
    if (!encl_jsc_append_text(ctx, args[1], &line, NULL))
        rd_buf_append_str(&line, "a value without text");
    rd_buf_append_u8(&line, 0);
    property(JSValueIsObject(ctx, args[1]) ? JSValueToObject(ctx, args[1], NULL) : NULL, "stack", &stack);
    log_thrown((const char *)line.data, (const char *)stack.data);
    return JSValueMakeUndefined(ctx);
}
