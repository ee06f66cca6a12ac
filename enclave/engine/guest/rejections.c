/* rejections: promises that were rejected while nobody listened, told to the log once no job is left that could listen.
 */
#include <stdio.h>

#include "guest.h"

#define REJECTIONS_MAX 8
static struct {
    JSValue promise, reason;
} rejections[REJECTIONS_MAX];
static uint32_t rejection_count;

static void drop_rejection(uint32_t i)
{
    JS_FreeValue(rd_guest.ctx, rejections[i].promise);
    JS_FreeValue(rd_guest.ctx, rejections[i].reason);
    rejections[i] = rejections[--rejection_count];
}

void rd_on_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, JS_BOOL is_handled, void *opaque)
{
    (void)opaque;
    if (!rd_guest.is_serving)
        return;
    if (!is_handled) {
        if (rejection_count < REJECTIONS_MAX) {
            rejections[rejection_count].promise = JS_DupValue(ctx, promise);
            rejections[rejection_count++].reason = JS_DupValue(ctx, reason);
        }
        return;
    }
    for (uint32_t i = 0; i < rejection_count; i++) {
        if (JS_VALUE_GET_PTR(rejections[i].promise) == JS_VALUE_GET_PTR(promise)) {
            drop_rejection(i);
            return;
        }
    }
}

void rd_rejections_report(void)
{
    JSContext *ctx = rd_guest.ctx;

    while (rejection_count > 0 && !rd_guest.is_interrupted) {
        JSValue reason = JS_DupValue(ctx, rejections[0].reason);
        const char *text = JS_ToCString(ctx, reason);
        const char *stack = JS_IsObject(reason) ? rd_property_text(reason, "stack") : NULL;
        char line[1024];
        drop_rejection(0);
        if (!text)
            JS_FreeValue(ctx, JS_GetException(ctx));
        snprintf(line, sizeof(line), "unhandled rejection: %s", text ? text : "a value without text");
        rd_log_thrown(line, stack);
        JS_FreeCString(ctx, stack);
        JS_FreeCString(ctx, text);
        JS_FreeValue(ctx, reason);
    }
}
