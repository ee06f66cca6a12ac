/* guest: what the files of the guest share. Compiled to WebAssembly with the engine, never linked natively.
 * The guest sees five imports and nothing else of the machine.
 * Everything here may be corrupted by a hostile script: the host checks what it reads. */
#ifndef RD_GUEST_H
#define RD_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include "guest_abi.h"
#include "quickjs.h"
#include "utf8.h"

#define RD_IMPORT(name) __attribute__((import_module("env"), import_name(name)))
#define RD_EXPORT(name) __attribute__((export_name(name)))

enum { RD_LEVEL_DEBUG, RD_LEVEL_INFO, RD_LEVEL_WARN, RD_LEVEL_ERROR };

RD_IMPORT("clock") uint64_t rd_host_clock(uint32_t kind); /* microseconds; stands at 0 while a handler loads */
RD_IMPORT("random") void rd_host_random(uint8_t *out, uint32_t size);
RD_IMPORT("interrupt") uint32_t rd_host_interrupt(void);                          /* not 0: the time is up */
RD_IMPORT("ask") uint32_t rd_host_ask(uint32_t op, uint8_t *data, uint32_t size); /* guest_abi.h */
RD_IMPORT("log") void rd_host_log(uint32_t level, const char *text, uint32_t size);

struct rd_guest {
    JSRuntime *rt;
    JSContext *ctx;
    JSValue hooks; /* the platform's entry points: setHandler, start, fire */
    encl_guest_result result;
    uint32_t output_max;
    uint32_t waiting;   /* questions whose answer comes later */
    int is_serving;     /* the snapshot was taken: time and randomness exist */
    int is_interrupted; /* the time is up; no job runs any more */
    int is_out_of_memory;
    int has_ended_stream; /* the host looks at the answer before anything else runs */
};
extern struct rd_guest rd_guest;

/* guest.c */
void rd_fail(uint32_t kind, const char *sentence);
/* Takes the pending exception. with_place puts "file:line:column: " in front; with_log logs the stack. */
void rd_fail_pending(uint32_t kind, int with_place, int with_log);
/* As above with a value that was thrown; borrowed. */
void rd_fail_value(uint32_t kind, JSValueConst thrown, int with_place, int with_log);
/* Text of a property, or NULL; freed with JS_FreeCString. A getter of the script may run: the limits hold. */
const char *rd_property_text(JSValueConst object, const char *name);
/* One line of level error: the text, and the stack below it (may be NULL). */
void rd_log_thrown(const char *text, const char *stack);
void rd_set_out(uint8_t *data, uint32_t size); /* takes malloc memory */

/* rejections.c */
void rd_on_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, JS_BOOL is_handled, void *opaque);
void rd_rejections_report(void);

/* native.c */
/* The bytes of a Uint8Array; NULL with an exception. Valid until JavaScript runs again. */
uint8_t *rd_bytes_of(JSContext *ctx, JSValueConst value, size_t *size);
JSValue rd_throw_entropy(JSContext *ctx);
JSValue rd_native_new(JSContext *ctx);
void rd_native_replace_random(JSContext *ctx);

/* modules.c */
char *rd_module_normalize(JSContext *ctx, const char *base, const char *name, void *opaque);
JSModuleDef *rd_module_load(JSContext *ctx, const char *name, void *opaque);
const char *rd_module_source(const char *name, size_t *size); /* NULL: not in the table */

/* ask.c */
/* The native ask(op, field…): a field is a number, a text, a Uint8Array or null. The answer's payload as an
 * ArrayBuffer, or "status:sentence" as a text when it was refused; ENTROPY_BEFORE_SNAPSHOT is thrown. */
JSValue rd_ask(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv);

/* guest_wire.c */
/* Runs the platform's start hook with the request in data (layout: enclave/engine/wire.h). Takes data. */
void rd_wire_start(uint8_t *data, uint32_t size);
/* The native respond(status, [name, value, …], Uint8Array). */
JSValue rd_wire_respond(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv);

#endif
