/* jsc_priv: what the files of this machine share. JavaScriptCore through its C interface, which is the same for years:
 * functions that the library exports without declaring them in a public header are looked up by name (jsc_limits.c).
 * Used by enclave/engine/jsc alone. */
#ifndef ENCL_JSC_PRIV_H
#define ENCL_JSC_PRIV_H

#include <JavaScriptCore/JavaScript.h>

#include "enclave/engine/machine.h"
#include "enclave/engine/platform_source.h"

typedef struct encl_jsc_module {
    char *name;
    JSStringRef source;  /* as it came (JSON), or as the body of a function */
    JSStringRef imports; /* the names of what it imports, as a JSON text; NULL: a JSON module */
} encl_jsc_module;

/* What a request made; all of it goes with the virtual machine that it ran on, or with its global object where the
 * virtual machine is kept. Where it is shared, group, context and hooks are those of the request before. */
typedef struct encl_jsc_run {
    JSContextGroupRef group;
    JSGlobalContextRef ctx;
    JSObjectRef hooks;
    encl_machine_result result;
    rd_buf out;
    uint32_t waiting; /* questions whose answer comes later */
    bool is_serving;  /* the handler is loaded: time and randomness exist */
    bool is_loaded;
    bool has_response;
    bool is_interrupted;
    bool has_ended_stream; /* the host looks at the answer before anything else runs */
    uint32_t rejections;
} encl_jsc_run;

struct encl_machine {
    encl_machine_host host;
    size_t heap_size;
    encl_jsc_module *modules;
    size_t module_count;
    JSStringRef main, env;
    uint8_t digest[32];
    size_t image_size;
    size_t output_max;
    JSGlobalContextRef home; /* of a virtual machine that is kept: no script runs in it */
    uint32_t served;         /* before this request, by the virtual machine that it has */
    size_t peak;             /* of the process's memory when that was made */
    size_t seen_peak;        /* of the same, when the heap was looked at last */
    size_t live;             /* of a shared virtual machine's heap, behind its first request; 0: not known yet */
    encl_jsc_run run;
};

/* JavaScript before and after the platform's own files; as encl_platform_files. */
extern const encl_platform_file encl_jsc_files[];
extern const encl_platform_file encl_jsc_last_files[];

/* The one machine of the process: callbacks of the library carry no context. */
extern encl_machine *encl_jsc;

/* jsc_value.c: between JavaScript's values and bytes */

/* UTF-16 as UTF-8; a lone surrogate becomes U+FFFD. */
void encl_jsc_utf8(JSStringRef text, rd_buf *out);
/* UTF-8, malformed parts replaced as the Encoding standard says; owned by the caller. */
JSStringRef encl_jsc_text(rd_bytes text);
/* Each byte a code unit, and back (header values). */
JSValueRef encl_jsc_from_latin1(JSContextRef ctx, rd_bytes bytes);
int encl_jsc_to_latin1(JSContextRef ctx, JSValueRef value, rd_buf *out, JSValueRef *exception);
JSValueRef encl_jsc_string(JSContextRef ctx, rd_bytes text);
/* The text of any value; false with an exception. */
bool encl_jsc_append_text(JSContextRef ctx, JSValueRef value, rd_buf *out, JSValueRef *exception);
/* The bytes of a Uint8Array, valid until JavaScript runs again; false with an exception. */
bool encl_jsc_bytes(JSContextRef ctx, JSValueRef value, uint8_t **ret, size_t *ret_size, JSValueRef *exception);
/* An ArrayBuffer with a copy. */
JSValueRef encl_jsc_buffer(JSContextRef ctx, rd_bytes bytes, JSValueRef *exception);
JSValueRef encl_jsc_get(JSContextRef ctx, JSObjectRef object, const char *name);
void encl_jsc_set(JSContextRef ctx, JSObjectRef object, const char *name, JSValueRef value);
/* Calls a function that is a property of the hooks; NULL with an exception. */
JSValueRef encl_jsc_call(encl_jsc_run *run, const char *name, size_t count, const JSValueRef *args,
                         JSValueRef *exception);
void encl_jsc_throw(JSContextRef ctx, const char *type, const char *code, const char *message, JSValueRef *exception);

/* jsc_fail.c: what a script threw, as a result and a line of the log */
void encl_jsc_fail(uint32_t kind, const char *sentence);
/* With the place in front where with_place says so, and the stack in the log where with_log does. */
void encl_jsc_fail_value(uint32_t kind, JSValueRef thrown, bool with_place, bool with_log);
JSValueRef encl_jsc_on_rejection(JSContextRef ctx, JSObjectRef function, JSObjectRef self, size_t count,
                                 const JSValueRef *args, JSValueRef *exception);

/* jsc_native.c: the functions that the platform's JavaScript stands on */
JSObjectRef encl_jsc_native(JSContextRef ctx);

/* jsc_limits.c: time and memory */

/* Looks up what the public headers leave out. Errors: INTERNAL. */
int encl_jsc_limits_init(rd_err *err) RD_NODISCARD;
/* Asks interrupt of the host while scripts of this group run. */
void encl_jsc_limits_watch(JSContextGroupRef group);
/* The same question, at once: true when the time is up, which the run remembers. */
bool encl_jsc_limits_look(void);
/* Rejections of ctx that nobody takes are logged, by a function that lives in home. The library holds that function for
 * as long as ctx lives, so that a ctx that is its own home is never collected. */
void encl_jsc_limits_rejections(JSGlobalContextRef ctx, JSGlobalContextRef home);
/* From here on the process may grow by this much; 0: it may grow as it likes. */
void encl_jsc_limits_memory(size_t growth);
/* The most that was ever resident, in bytes. */
size_t encl_jsc_limits_peak(void);
/* What calls before left below on the stack: frames to come would hold it, and the collector take it for alive. */
void encl_jsc_limits_wipe_stack(void);
/* Bytes of this context's heap, live or not collected yet. Walks over all of it. */
size_t encl_jsc_limits_heap(JSContextRef ctx);
/* Collects now what nothing of this context's virtual machine reaches any more; returns how many global objects are
 * left, its own among them. */
uint32_t encl_jsc_limits_collect(JSContextRef ctx);

#endif
