/* guest: the exports, the virtual machine and its run loop. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define HEADROOM (128u << 10)

struct rd_guest rd_guest;

/* A script's heap is counted here, so that a refusal is known to be one of memory and not only an exception. */
static void *heap_refuse(void)
{
    rd_guest.is_out_of_memory = 1;
    return NULL;
}

static void *heap_alloc(JSMallocState *s, size_t size)
{
    void *p;

    if (s->malloc_size + size > s->malloc_limit || !(p = malloc(size)))
        return heap_refuse();
    s->malloc_count++;
    s->malloc_size += malloc_usable_size(p) + 8;
    return p;
}

static void heap_free(JSMallocState *s, void *p)
{
    if (!p)
        return;
    s->malloc_count--;
    s->malloc_size -= malloc_usable_size(p) + 8;
    free(p);
}

static void *heap_realloc(JSMallocState *s, void *p, size_t size)
{
    size_t old;

    if (!p)
        return size == 0 ? NULL : heap_alloc(s, size);
    if (size == 0) {
        heap_free(s, p);
        return NULL;
    }
    old = malloc_usable_size(p);
    if (size > old && s->malloc_size + (size - old) > s->malloc_limit)
        return heap_refuse();
    p = realloc(p, size);
    if (!p)
        return heap_refuse();
    s->malloc_size += malloc_usable_size(p) - old;
    return p;
}

static size_t heap_usable_size(const void *p)
{
    return malloc_usable_size((void *)p);
}

static const JSMallocFunctions heap = { heap_alloc, heap_free, heap_realloc, heap_usable_size };

static int on_interrupt(JSRuntime *rt, void *opaque)
{
    (void)rt;
    (void)opaque;
    if (!rd_guest.is_interrupted && rd_host_interrupt())
        rd_guest.is_interrupted = 1;
    return rd_guest.is_interrupted;
}

void rd_set_out(uint8_t *data, uint32_t size)
{
    free((void *)(uintptr_t)rd_guest.result.out);
    rd_guest.result.out = (uint32_t)(uintptr_t)data;
    rd_guest.result.out_size = size;
}

void rd_fail(uint32_t kind, const char *sentence)
{
    size_t size = strlen(sentence);
    uint8_t *copy;

    if (rd_guest.result.state == ENCL_GUEST_FAILED)
        return;
    if (size > 1024)
        size = 1024;
    copy = malloc(size + 1);
    if (copy)
        memcpy(copy, sentence, size);
    rd_set_out(copy, copy ? (uint32_t)size : 0);
    rd_guest.result.state = ENCL_GUEST_FAILED;
    rd_guest.result.kind = kind;
}

/* Text of a property, or NULL; freed with JS_FreeCString. A getter of the script may run here: the limits hold. */
const char *rd_property_text(JSValueConst object, const char *name)
{
    JSContext *ctx = rd_guest.ctx;
    JSValue value = JS_GetPropertyStr(ctx, object, name);
    const char *text = NULL;

    if (JS_IsString(value))
        text = JS_ToCString(ctx, value);
    if (JS_IsException(value) || (JS_IsString(value) && !text))
        JS_FreeValue(ctx, JS_GetException(ctx));
    JS_FreeValue(ctx, value);
    return text;
}

/* "index.js:3:7" out of the first frame of the stack that is the handler's own. */
static void place_of(const char *stack, char *out, size_t out_size)
{
    const char *line = stack;

    out[0] = 0;
    while (line && *line) {
        const char *end = strchr(line, '\n');
        const char *from = memchr(line, '(', end ? (size_t)(end - line) : strlen(line));
        size_t size;
        from = from ? from + 1 : strstr(line, "at ") ? strstr(line, "at ") + 3 : line;
        size = strcspn(from, ")\n");
        if (memchr(from, ':', size) && strncmp(from, "redoubt:", 8) != 0 && size < out_size) {
            memcpy(out, from, size);
            out[size] = 0;
            return;
        }
        line = end ? end + 1 : NULL;
    }
}

static uint32_t kind_of(uint32_t kind, const char *code, const char *message)
{
    if (rd_guest.is_interrupted)
        return ENCL_KIND_TIME;
    if (rd_guest.is_out_of_memory && (!message || strstr(message, "out of memory")))
        return ENCL_KIND_MEMORY;
    if (code && strcmp(code, "ENTROPY_BEFORE_SNAPSHOT") == 0)
        return ENCL_KIND_ENTROPY;
    if (code && strcmp(code, "MODULE_NOT_FOUND") == 0)
        return ENCL_KIND_MODULE;
    return kind;
}

void rd_log_thrown(const char *text, const char *stack)
{
    char line[4096];
    int size = snprintf(line, sizeof(line), "%s%s%s", text, stack && *stack ? "\n" : "", stack ? stack : "");

    if (size > (int)sizeof(line) - 1)
        size = (int)sizeof(line) - 1;
    while (size > 0 && line[size - 1] == '\n')
        size--;
    rd_host_log(RD_LEVEL_ERROR, line, (uint32_t)size);
}

void rd_fail_value(uint32_t kind, JSValueConst thrown, int with_place, int with_log)
{
    JSContext *ctx = rd_guest.ctx;
    const char *stack = NULL, *code = NULL, *text;
    char place[300] = "", sentence[1024];

    if (rd_guest.result.state == ENCL_GUEST_FAILED)
        return;
    if (rd_guest.is_interrupted) {
        rd_fail(ENCL_KIND_TIME, "the time limit was reached");
        return;
    }
    if (JS_IsObject(thrown)) {
        stack = rd_property_text(thrown, "stack");
        code = rd_property_text(thrown, "code");
    }
    text = JS_ToCString(ctx, thrown);
    if (!text)
        JS_FreeValue(ctx, JS_GetException(ctx));
    if (with_place && stack)
        place_of(stack, place, sizeof(place));
    if (rd_guest.is_out_of_memory && (!text || strcmp(text, "null") == 0))
        kind = ENCL_KIND_MEMORY;
    else
        kind = kind_of(kind, code, text);
    snprintf(sentence, sizeof(sentence), "%s%s%s", place, place[0] ? ": " : "",
             kind == ENCL_KIND_MEMORY ? "out of memory"
             : kind == ENCL_KIND_TIME ? "the time limit was reached"
             : text                   ? text
                                      : "a value without text");
    if (with_log)
        rd_log_thrown(sentence, stack);
    JS_FreeCString(ctx, text);
    JS_FreeCString(ctx, stack);
    JS_FreeCString(ctx, code);
    rd_fail(kind, sentence);
}

void rd_fail_pending(uint32_t kind, int with_place, int with_log)
{
    JSValue thrown = JS_GetException(rd_guest.ctx);

    rd_fail_value(kind, thrown, with_place, with_log);
    JS_FreeValue(rd_guest.ctx, thrown);
}

RD_EXPORT("rd_alloc") void *rd_alloc(uint32_t size)
{
    return malloc(size);
}

/* Makes the machine; the address of the result block, or 0. */
RD_EXPORT("rd_init") encl_guest_result *rd_init(uint32_t heap_max, uint32_t stack_max)
{
    JSRuntime *rt = JS_NewRuntime2(&heap, NULL);
    JSContext *ctx;

    if (!rt)
        return NULL;
    JS_SetMemoryLimit(rt, heap_max);
    JS_SetMaxStackSize(rt, stack_max);
    JS_SetInterruptHandler(rt, on_interrupt, NULL);
    JS_SetHostPromiseRejectionTracker(rt, rd_on_rejection, NULL);
    JS_SetModuleLoaderFunc(rt, rd_module_normalize, rd_module_load, NULL);
    ctx = JS_NewContext(rt);
    if (!ctx)
        return NULL;
    rd_guest.rt = rt;
    rd_guest.ctx = ctx;
    rd_guest.hooks = JS_NewObject(ctx);
    rd_native_replace_random(ctx);
    return &rd_guest.result;
}

/* Another heap limit, before the snapshot. */
RD_EXPORT("rd_heap") void rd_heap(uint32_t heap_max)
{
    JS_SetMemoryLimit(rd_guest.rt, heap_max);
}

/* One file of the platform: an expression that is a function of (native, hooks). data is "name\0source\0". */
RD_EXPORT("rd_platform") uint32_t rd_platform(char *data, uint32_t size)
{
    JSContext *ctx = rd_guest.ctx;
    const char *source = data + strlen(data) + 1;
    JSValue fn, native, ret;

    JS_SetStripInfo(rd_guest.rt, JS_STRIP_SOURCE);
    fn = JS_Eval(ctx, source, size - (uint32_t)(source - data) - 1, data, JS_EVAL_TYPE_GLOBAL);
    JS_SetStripInfo(rd_guest.rt, 0);
    native = rd_native_new(ctx);
    JSValueConst args[2] = { native, rd_guest.hooks };
    ret = JS_IsException(fn) ? JS_EXCEPTION : JS_Call(ctx, fn, JS_UNDEFINED, 2, args);
    if (JS_IsException(ret))
        rd_fail_pending(ENCL_KIND_EXCEPTION, 1, 1);
    JS_FreeValue(ctx, ret);
    JS_FreeValue(ctx, native);
    JS_FreeValue(ctx, fn);
    free(data);
    return rd_guest.result.state;
}

static void drain_jobs(void)
{
    JSContext *ctx;

    while (!rd_guest.is_interrupted && !rd_guest.has_ended_stream && rd_guest.result.state != ENCL_GUEST_FAILED) {
        int n = JS_ExecutePendingJob(rd_guest.rt, &ctx);
        if (n == 0) {
            rd_rejections_report();
            return;
        }
        if (n < 0)
            rd_fail_pending(ENCL_KIND_EXCEPTION, 0, 1);
        if (on_interrupt(rd_guest.rt, NULL))
            break;
    }
    if (rd_guest.is_interrupted)
        rd_fail(ENCL_KIND_TIME, "the time limit was reached");
}

static void take_handler(JSModuleDef *module, const char *env)
{
    JSContext *ctx = rd_guest.ctx;
    JSValue space = JS_GetModuleNamespace(ctx, module);
    JSValue set = JS_GetPropertyStr(ctx, rd_guest.hooks, "setHandler");
    JSValue handler = JS_GetPropertyStr(ctx, space, "default");
    JSValue text = JS_NewString(ctx, env);
    JSValueConst args[2] = { handler, text };
    JSValue ret = JS_Call(ctx, set, JS_UNDEFINED, 2, args);

    if (JS_IsException(ret))
        rd_fail_pending(ENCL_KIND_NO_HANDLER, 0, 0);
    JS_FreeValue(ctx, ret);
    JS_FreeValue(ctx, text);
    JS_FreeValue(ctx, handler);
    JS_FreeValue(ctx, set);
    JS_FreeValue(ctx, space);
}

/* Evaluates the main module: data is "main\0env json\0". */
RD_EXPORT("rd_load") uint32_t rd_load(char *data, uint32_t size)
{
    JSContext *ctx = rd_guest.ctx;
    const char *env = data + strlen(data) + 1;
    size_t source_size;
    const char *source = rd_module_source(data, &source_size);
    JSModuleDef *module;
    JSValue compiled, promise;

    (void)size;
    JS_UpdateStackTop(rd_guest.rt);
    if (!source) {
        rd_fail(ENCL_KIND_MODULE, "the main module is not in the table");
        return rd_guest.result.state;
    }
    compiled = JS_Eval(ctx, source, source_size, data, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    if (JS_IsException(compiled)) {
        rd_fail_pending(ENCL_KIND_EXCEPTION, 1, 1);
        return rd_guest.result.state;
    }
    module = JS_VALUE_GET_PTR(compiled);
    promise = JS_EvalFunction(ctx, compiled);
    if (JS_IsException(promise))
        rd_fail_pending(ENCL_KIND_EXCEPTION, 1, 1);
    drain_jobs();
    if (rd_guest.result.state != ENCL_GUEST_FAILED && JS_PromiseState(ctx, promise) == JS_PROMISE_REJECTED) {
        JSValue thrown = JS_PromiseResult(ctx, promise);
        rd_fail_value(ENCL_KIND_EXCEPTION, thrown, 1, 1);
        JS_FreeValue(ctx, thrown);
    }
    if (rd_guest.result.state != ENCL_GUEST_FAILED && JS_PromiseState(ctx, promise) == JS_PROMISE_PENDING)
        rd_fail(ENCL_KIND_EXCEPTION, "a top-level await never ends");
    if (rd_guest.result.state != ENCL_GUEST_FAILED)
        take_handler(module, env);
    JS_FreeValue(ctx, promise);
    drain_jobs();
    free(data);
    return rd_guest.result.state;
}

/* The last thing before the snapshot: from here on there are time and randomness. What most requests need stands ready
 * inside the snapshot, because growing costs system calls and faults, and pages that nobody writes cost nothing. */
RD_EXPORT("rd_seal") void rd_seal(void)
{
    void *volatile room;

    JS_RunGC(rd_guest.rt);
    room = malloc(HEADROOM);
    free(room);
    rd_guest.is_serving = 1;
    rd_guest.is_out_of_memory = 0;
}

/* Starts the handler with the request in data, as the host wrote it. */
RD_EXPORT("rd_start") uint32_t rd_start(uint8_t *data, uint32_t size, uint32_t output_max)
{
    JS_UpdateStackTop(rd_guest.rt);
    rd_guest.output_max = output_max;
    rd_wire_start(data, size);
    return rd_guest.result.state;
}

/* Runs one due timer; -1 when there is none at all, 0 when one ran, else when the next is due (microseconds). */
static int64_t fire_timer(void)
{
    JSContext *ctx = rd_guest.ctx;
    JSValue fire = JS_GetPropertyStr(ctx, rd_guest.hooks, "fire");
    JSValue due = JS_Call(ctx, fire, JS_UNDEFINED, 0, NULL);
    double at = -1;

    if (JS_IsException(due))
        rd_fail_pending(ENCL_KIND_EXCEPTION, 0, 1);
    else
        (void)JS_ToFloat64(ctx, &at, due);
    JS_FreeValue(ctx, due);
    JS_FreeValue(ctx, fire);
    return at > 0 && at < 9e15 ? (int64_t)at : at == 0 ? 0 : -1;
}

/* Settles what the host has answered since; 0 when there was no news. */
static int wake(void)
{
    JSContext *ctx = rd_guest.ctx;
    JSValue hook = JS_GetPropertyStr(ctx, rd_guest.hooks, "wake");
    JSValue news = JS_Call(ctx, hook, JS_UNDEFINED, 0, NULL);
    int has_news = JS_ToBool(ctx, news);

    if (JS_IsException(news))
        rd_fail_pending(ENCL_KIND_EXCEPTION, 0, 1);
    JS_FreeValue(ctx, news);
    JS_FreeValue(ctx, hook);
    return has_news;
}

static int is_finished(uint32_t wants_background)
{
    if (rd_guest.result.state == ENCL_GUEST_FAILED)
        return 1;
    if (wants_background ? rd_guest.result.background == 0 : rd_guest.result.has_response != 0) {
        rd_guest.result.state = ENCL_GUEST_DONE;
        return 1;
    }
    return 0;
}

/* Runs jobs and due timers until the response (or the background work) is there or nothing is left to do now. */
RD_EXPORT("rd_run") uint32_t rd_run(uint32_t wants_background)
{
    JS_UpdateStackTop(rd_guest.rt);
    if (rd_guest.result.state == ENCL_GUEST_DONE)
        rd_guest.result.state = ENCL_GUEST_WAITING;
    rd_guest.has_ended_stream = 0;
    for (;;) {
        drain_jobs();
        if (is_finished(wants_background) || rd_guest.has_ended_stream)
            return rd_guest.result.state;
        if (rd_guest.waiting > 0 && wake())
            continue;
        rd_guest.result.due_us = fire_timer();
        if (rd_guest.result.state == ENCL_GUEST_FAILED || rd_guest.is_interrupted || rd_guest.has_ended_stream)
            continue;
        if (rd_guest.result.due_us != 0) {
            drain_jobs();
            if (!is_finished(wants_background) && rd_guest.result.state != ENCL_GUEST_FAILED)
                rd_guest.result.state = ENCL_GUEST_WAITING;
            return rd_guest.result.state;
        }
    }
}
