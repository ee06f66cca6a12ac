/* JavaScriptCore as a machine: pristine is a virtual machine that has loaded the handler and served nothing, and every
 * request gets a new one, made when the one before it is done; or, where the release says so, a new global object in
 * the one before it, so that its compiler knows the code, or even that one's global object. Nothing of it exists before
 * a fork: its threads would not survive that. */
#include "enclave/engine/jsc/jsc_priv.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "enclave/engine/platform_source.h"

#define STACK_SIZE     ((size_t)16 << 20)
#define THREADS_MAX    24
#define RELOAD_TIME_US INT64_C(5000000)
/* Of one virtual machine that is kept: requests, and what the process may have grown since it was made, beside a
 * quarter of the heap's limit. */
#define KEPT_MAX    1000
#define KEPT_GROWTH ((size_t)16 << 20)
/* Of a shared one: what its heap may hold more than behind its first request, beside a quarter of its limit, as the
 * library lets a heap grow to twice what lives in it; looked at behind so many requests, or when the process grew by so
 * much, as that takes a millisecond. */
#define LIVE_GROWTH   ((size_t)4 << 20)
#define LOOK_REQUESTS 16
#define LOOK_GROWTH   ((size_t)4 << 20)

encl_machine *encl_jsc;

const char *encl_machine_name(void)
{
    return "jsc";
}

uint32_t encl_machine_threads(void)
{
    return THREADS_MAX;
}

bool encl_machine_can_keep(void)
{
    return true;
}

/* --- a stack whose bounds the library can find: it reads /proc for those of a process's first thread -------------- */

typedef struct hosted {
    int (*run)(void *context);
    void *context;
    int outcome;
} hosted;

static void *run_hosted(void *given)
{
    hosted *self = given;

    self->outcome = self->run(self->context);
    return NULL;
}

int encl_machine_host_run(int (*run)(void *context), void *context)
{
    hosted self = { .run = run, .context = context, .outcome = 70 };
    pthread_attr_t attributes;
    pthread_t thread;

    if (pthread_attr_init(&attributes) != 0)
        return self.outcome;
    if (pthread_attr_setstacksize(&attributes, STACK_SIZE) == 0 &&
        pthread_create(&thread, &attributes, run_hosted, &self) == 0)
        (void)pthread_join(thread, NULL);
    (void)pthread_attr_destroy(&attributes);
    return self.outcome;
}

/* --- one virtual machine ---------------------------------------------------------------------------------------- */

/* Everything of the run but its virtual machine, which the caller gets: NULL where there was none. A frame of its own:
 * the collector takes what lies in a frame or register for alive. */
static __attribute__((noinline)) JSContextGroupRef leave_run(encl_jsc_run *run)
{
    JSContextGroupRef group = run->group;

    if (run->ctx) {
        JSValueUnprotect(run->ctx, run->hooks);
        JSGlobalContextRelease(run->ctx);
    }
    rd_buf_wipe(&run->out);
    memset(run, 0, sizeof(*run));
    return group;
}

static void close_run(encl_machine *machine)
{
    JSContextGroupRef group = leave_run(&machine->run);

    if (machine->home)
        JSGlobalContextRelease(machine->home);
    machine->home = NULL;
    if (group)
        JSContextGroupRelease(group);
}

static int load_file(encl_jsc_run *run, JSObjectRef native, const encl_platform_file *file, rd_err *err)
{
    JSStringRef source = encl_jsc_text(file->source);
    JSStringRef name = JSStringCreateWithUTF8CString(file->name);
    JSValueRef thrown = NULL;
    JSValueRef function = JSEvaluateScript(run->ctx, source, NULL, name, 1, &thrown);
    JSObjectRef callable = function ? JSValueToObject(run->ctx, function, &thrown) : NULL;
    JSValueRef args[] = { native, run->hooks };

    if (callable)
        (void)JSObjectCallAsFunction(run->ctx, callable, NULL, 2, args, &thrown);
    JSStringRelease(name);
    JSStringRelease(source);
    if (!thrown)
        return 0;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    (void)encl_jsc_append_text(run->ctx, thrown, &text, NULL);
    return rd_err_set(err, RD_E_ENGINE_LOAD, "platform %s: %.*s", file->name, (int)text.size, (const char *)text.data);
}

/* A new global object, in a virtual machine of its own or in the one given. */
static int open_run(encl_machine *machine, JSContextGroupRef kept, rd_err *err)
{
    encl_jsc_run *run = &machine->run;
    static const encl_platform_file *const tables[] = { encl_jsc_files, encl_platform_files, encl_jsc_last_files };

    rd_buf_init(&run->out, 0);
    run->group = kept ? kept : JSContextGroupCreate();
    if (!kept) {
        machine->served = 0;
        machine->live = 0;
        machine->peak = machine->seen_peak = encl_jsc_limits_peak();
    }
    encl_jsc_limits_watch(run->group);
    run->ctx = JSGlobalContextCreateInGroup(run->group, NULL);
    run->hooks = JSObjectMake(run->ctx, NULL, NULL);
    JSValueProtect(run->ctx, run->hooks);
    encl_jsc_limits_rejections(run->ctx, run->ctx);
    JSObjectRef native = encl_jsc_native(run->ctx);
    for (size_t i = 0; i < RD_ARRAY_LEN(tables); i++) {
        for (const encl_platform_file *file = tables[i]; file->name; file++) {
            if (load_file(run, native, file, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* Evaluates the main module, and those it imports. */
static void load_main(encl_machine *machine)
{
    encl_jsc_run *run = &machine->run;
    JSValueRef args[] = { JSValueMakeString(run->ctx, machine->main), JSValueMakeString(run->ctx, machine->env) };
    JSValueRef thrown = NULL;

    if (!encl_jsc_call(run, "loadMain", 2, args, &thrown))
        encl_jsc_fail_value(ENCL_KIND_EXCEPTION, thrown, true, true);
    if (run->is_interrupted)
        encl_jsc_fail(ENCL_KIND_TIME, "the time limit was reached");
    else if (!run->is_loaded)
        encl_jsc_fail(ENCL_KIND_EXCEPTION, "a top-level await never ends");
}

/* --- the machine ------------------------------------------------------------------------------------------------ */

/* Read when the library wakes up, at the first load. */
static const struct {
    const char *name;
    const char *value;
} settings[] = {
    { "TZ", "UTC" },                  /* one time zone for all */
    { "JSC_numberOfGCMarkers", "1" }, /* no more threads than help */
    /* The watchdog sets a flag that code polls, instead of faulting into a signal handler. */
    { "JSC_usePollingTraps", "1" },
    /* How often compiled code may leave by a wrong guess before it is compiled anew, doubled each time. A handler of a
     * new machine is compiled when it has hardly been seen, so that the library's 100 are most of its time. */
    { "JSC_osrExitCountForReoptimization", "2" },
};

int encl_machine_new(const encl_machine_host *host, size_t heap_size, encl_machine **ret, rd_err *err)
{
    if (encl_jsc)
        return rd_err_set(err, RD_E_ENGINE_STATE, "this process has an engine already");
    if (encl_jsc_limits_init(err) < 0)
        return -1;
    for (size_t i = 0; i < RD_ARRAY_LEN(settings); i++)
        (void)setenv(settings[i].name, settings[i].value, 1);
    encl_machine *machine = rd_alloc(sizeof(*machine));
    machine->host = *host;
    machine->heap_size = heap_size;
    encl_jsc = machine;
    *ret = machine;
    return 0;
}

encl_machine *encl_machine_free(encl_machine *machine)
{
    if (!machine)
        return NULL;
    encl_machine_alarm(machine, 0);
    encl_jsc_limits_memory(0);
    close_run(machine);
    for (size_t i = 0; i < machine->module_count; i++) {
        free(machine->modules[i].name);
        JSStringRelease(machine->modules[i].source);
        if (machine->modules[i].imports)
            JSStringRelease(machine->modules[i].imports);
    }
    free(machine->modules);
    if (machine->main) {
        JSStringRelease(machine->main);
        JSStringRelease(machine->env);
    }
    free(machine);
    encl_jsc = NULL;
    return NULL;
}

int encl_machine_share(encl_machine *machine, rd_err *err)
{
    (void)machine, (void)err; /* nothing of it is there yet */
    return 0;
}

int encl_machine_unshare(encl_machine *machine, rd_err *err)
{
    (void)machine, (void)err; /* its memory comes after the fork */
    return 0;
}

int encl_machine_set_heap(encl_machine *machine, size_t heap_size, rd_err *err)
{
    (void)err;
    machine->heap_size = heap_size;
    return 0;
}

/* --- loading ---------------------------------------------------------------------------------------------------- */

static void hash_field(rd_hasher *hasher, rd_bytes field)
{
    uint64_t size = field.size;

    rd_hasher_update(hasher, rd_bytes_of((const uint8_t *)&size, sizeof(size)));
    rd_hasher_update(hasher, field);
}

/* What decides how a pristine machine behaves. */
static void measure(encl_machine *machine, const encl_module *modules, size_t count, const char *main, rd_bytes env)
{
    rd_hasher hasher;

    rd_hasher_init(&hasher, RD_SHA256);
    for (size_t i = 0; i < count; i++) {
        hash_field(&hasher, rd_bytes_str(modules[i].name));
        hash_field(&hasher, modules[i].source);
        machine->image_size += modules[i].source.size;
    }
    hash_field(&hasher, rd_bytes_str(main));
    hash_field(&hasher, env);
    rd_hasher_final(&hasher, machine->digest);
}

/* Takes the translation of one module: { code, imports }. */
static bool translate(encl_machine *machine, encl_jsc_module *module, rd_bytes source)
{
    encl_jsc_run *run = &machine->run;
    JSValueRef text = encl_jsc_string(run->ctx, source), thrown = NULL;
    JSValueRef answer = encl_jsc_call(run, "translate", 1, &text, &thrown);
    JSObjectRef parts = answer ? JSValueToObject(run->ctx, answer, &thrown) : NULL;

    if (!parts) {
        encl_jsc_fail_value(ENCL_KIND_EXCEPTION, thrown, false, true);
        return false;
    }
    JSValueRef imports = encl_jsc_get(run->ctx, parts, "imports");
    module->source = JSValueToStringCopy(run->ctx, encl_jsc_get(run->ctx, parts, "code"), NULL);
    module->imports = JSValueCreateJSONString(run->ctx, imports, 0, NULL);
    return true;
}

static bool take_module(encl_machine *machine, const encl_module *given)
{
    encl_jsc_module *module = &machine->modules[machine->module_count];
    size_t size = strlen(given->name);

    if (size > 5 && strcmp(given->name + size - 5, ".json") == 0)
        module->source = encl_jsc_text(given->source);
    else if (!translate(machine, module, given->source))
        return false;
    module->name = rd_strdup(given->name);
    machine->module_count++;
    return true;
}

static bool has_module(const encl_module *modules, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(modules[i].name, name) == 0)
            return true;
    }
    return false;
}

static __attribute__((noinline)) int load(encl_machine *machine, const encl_module *modules, size_t count,
                                          const char *main, rd_bytes env_json, encl_machine_result *ret, rd_err *err)
{
    encl_jsc_run *run = &machine->run;

    if (open_run(machine, NULL, err) < 0)
        return -1;
    measure(machine, modules, count, main, env_json);
    machine->modules = rd_alloc_array(count, sizeof(*machine->modules));
    machine->main = JSStringCreateWithUTF8CString(main);
    machine->env = encl_jsc_text(env_json);
    encl_jsc_limits_memory(machine->heap_size);
    if (!has_module(modules, count, main))
        encl_jsc_fail(ENCL_KIND_MODULE, "the main module is not in the table");
    for (size_t i = 0; i < count && run->result.state != ENCL_GUEST_FAILED; i++)
        (void)take_module(machine, &modules[i]);
    if (run->result.state != ENCL_GUEST_FAILED)
        load_main(machine);
    run->result.out = rd_buf_bytes(&run->out);
    *ret = run->result;
    return 0;
}

int encl_machine_load(encl_machine *machine, const encl_module *modules, size_t count, const char *main,
                      rd_bytes env_json, encl_machine_result *ret, rd_err *err)
{
    int outcome = load(machine, modules, count, main, env_json, ret, err);

    encl_jsc_limits_wipe_stack();
    return outcome;
}

int encl_machine_seal(encl_machine *machine, rd_err *err)
{
    (void)err;
    encl_jsc_limits_memory(machine->heap_size);
    machine->run.is_serving = true;
    return 0;
}

/* Only behind a request that ended well, with all that it had begun: what failed may have left jobs in the queue of the
 * virtual machine. */
static bool has_ended_well(const encl_jsc_run *run)
{
    bool has_ended = run->result.state == ENCL_GUEST_DONE && run->result.background == 0 && run->waiting == 0;

    return run->is_loaded && has_ended && !run->is_interrupted;
}

/* How much a virtual machine may leave in the process before it goes. */
static size_t growth_max(const encl_machine *machine)
{
    return KEPT_GROWTH + machine->heap_size / 4;
}

static bool can_keep(const encl_machine *machine)
{
    return has_ended_well(&machine->run) && machine->served + 1 < KEPT_MAX &&
           encl_jsc_limits_peak() - machine->peak <= growth_max(machine);
}

static bool reload(encl_machine *machine, JSContextGroupRef kept)
{
    rd_err err = RD_ERR_INIT;

    if (open_run(machine, kept, &err) == 0)
        load_main(machine);
    return machine->run.is_loaded;
}

static __attribute__((noinline)) void go_home(encl_machine *machine)
{
    if (!machine->home)
        machine->home = JSGlobalContextCreateInGroup(machine->run.group, NULL);
    encl_jsc_limits_rejections(machine->run.ctx, machine->home);
}

/* The next global object in the same virtual machine. False where anything of the one before is still alive: when a
 * request comes the heap holds its global object and the empty one of home, or the machine is not kept. */
static __attribute__((noinline)) bool renew(encl_machine *machine)
{
    uint32_t served = machine->served + 1;

    go_home(machine);
    if (!reload(machine, leave_run(&machine->run)) || encl_jsc_limits_collect(machine->run.ctx) != 2)
        return false;
    machine->served = served;
    return true;
}

void encl_machine_reset(encl_machine *machine, bool may_keep)
{
    encl_machine_alarm(machine, RELOAD_TIME_US);
    encl_jsc_limits_wipe_stack();
    if (!may_keep || !can_keep(machine) || !renew(machine)) {
        close_run(machine);
        (void)reload(machine, NULL);
    }
    encl_jsc_limits_wipe_stack();
    machine->run.is_serving = machine->run.is_loaded;
    encl_machine_alarm(machine, 0);
}

/* Whether what requests left alive in a shared heap is within its bound. The process itself grows for other reasons,
 * but never by much more than that without a look. */
static bool is_small(encl_machine *machine)
{
    JSContextRef ctx = machine->run.ctx;
    size_t peak = encl_jsc_limits_peak(), live_max = machine->live + LIVE_GROWTH + machine->heap_size / 4;

    if (peak - machine->peak > growth_max(machine))
        return false;
    if (machine->live > 0 && machine->served % LOOK_REQUESTS != 0 && peak - machine->seen_peak < LOOK_GROWTH)
        return true;
    machine->seen_peak = peak;
    if (machine->live > 0 && encl_jsc_limits_heap(ctx) <= live_max)
        return true;
    (void)encl_jsc_limits_collect(ctx);
    if (machine->live > 0)
        return encl_jsc_limits_heap(ctx) <= live_max;
    machine->live = encl_jsc_limits_heap(ctx);
    return true;
}

/* Timers that are still to come would fire in the next request. */
static bool has_timers(encl_jsc_run *run)
{
    JSValueRef answer = encl_jsc_call(run, "hasTimers", 0, NULL, NULL);

    return !answer || JSValueToBoolean(run->ctx, answer);
}

bool encl_machine_stay(encl_machine *machine)
{
    encl_jsc_run *run = &machine->run;

    encl_machine_alarm(machine, RELOAD_TIME_US);
    bool stays = has_ended_well(run) && !has_timers(run) && is_small(machine) && !run->is_interrupted;
    encl_machine_alarm(machine, 0);
    if (!stays)
        return false;
    rd_buf_wipe(&run->out);
    *run = (encl_jsc_run){
        .group = run->group, .ctx = run->ctx, .hooks = run->hooks, .is_serving = true, .is_loaded = true
    };
    rd_buf_init(&run->out, 0);
    machine->served++;
    return true;
}

/* --- serving ---------------------------------------------------------------------------------------------------- */

static JSValueRef headers_of(JSContextRef ctx, const encl_request *request, JSValueRef *exception)
{
    JSObjectRef list = JSObjectMakeArray(ctx, 0, NULL, exception);

    for (size_t i = 0; list && i < request->header_count; i++) {
        const encl_header *header = &request->headers[i];
        JSObjectSetPropertyAtIndex(ctx, list, (unsigned)(2 * i), encl_jsc_from_latin1(ctx, header->name), exception);
        JSObjectSetPropertyAtIndex(ctx, list, (unsigned)(2 * i + 1), encl_jsc_from_latin1(ctx, header->value),
                                   exception);
    }
    return list;
}

static void give_result(encl_jsc_run *run, encl_machine_result *ret)
{
    if (run->is_interrupted)
        encl_jsc_fail(ENCL_KIND_TIME, "the time limit was reached");
    run->result.out = rd_buf_bytes(&run->out);
    if (!run->result.out.data)
        run->result.out = RD_BYTES_LIT("");
    *ret = run->result;
}

int encl_machine_start(encl_machine *machine, const encl_request *request, size_t size, size_t output_max,
                       encl_machine_result *ret, rd_err *err)
{
    encl_jsc_run *run = &machine->run;
    JSContextRef ctx = run->ctx;
    JSValueRef thrown = NULL;

    (void)size;
    if (!run->is_loaded)
        return rd_err_set(err, RD_E_ENGINE_TRAP, "the handler did not load a second time");
    machine->output_max = output_max;
    JSValueRef body = request->body.size > 0 ? encl_jsc_buffer(ctx, request->body, &thrown) : JSValueMakeNull(ctx);
    JSValueRef args[] = { encl_jsc_string(ctx, request->method), encl_jsc_string(ctx, request->url),
                          headers_of(ctx, request, &thrown), body };
    if (!thrown)
        (void)encl_jsc_call(run, "start", RD_ARRAY_LEN(args), args, &thrown);
    if (thrown)
        encl_jsc_fail_value(ENCL_KIND_EXCEPTION, thrown, false, true);
    give_result(run, ret);
    return 0;
}

/* Runs one due timer; -1 when there is none at all, 0 when one ran, else when the next is due (microseconds). */
static int64_t fire_timer(encl_jsc_run *run)
{
    JSValueRef thrown = NULL;
    JSValueRef due = encl_jsc_call(run, "fire", 0, NULL, &thrown);
    double at = due ? JSValueToNumber(run->ctx, due, NULL) : -1;

    if (thrown)
        encl_jsc_fail_value(ENCL_KIND_EXCEPTION, thrown, false, true);
    return at > 0 && at < 9e15 ? (int64_t)at : at == 0 ? 0 : -1;
}

/* Settles what the host has answered since; false when there was no news. */
static bool wake(encl_jsc_run *run)
{
    JSValueRef thrown = NULL;
    JSValueRef news = encl_jsc_call(run, "wake", 0, NULL, &thrown);

    if (thrown)
        encl_jsc_fail_value(ENCL_KIND_EXCEPTION, thrown, false, true);
    return news && JSValueToBoolean(run->ctx, news);
}

static bool is_finished(encl_jsc_run *run, bool wants_background)
{
    if (run->result.state == ENCL_GUEST_FAILED || encl_jsc_limits_look())
        return true;
    if (wants_background ? run->result.background > 0 : !run->has_response)
        return false;
    run->result.state = ENCL_GUEST_DONE;
    return true;
}

int encl_machine_run(encl_machine *machine, bool wants_background, encl_machine_result *ret, rd_err *err)
{
    encl_jsc_run *run = &machine->run;

    (void)err;
    if (run->result.state == ENCL_GUEST_DONE)
        run->result.state = ENCL_GUEST_WAITING;
    run->has_ended_stream = false;
    /* The library runs the jobs of promises by itself, whenever a call of ours returns. */
    while (!is_finished(run, wants_background) && !run->has_ended_stream) {
        if (run->waiting > 0 && wake(run))
            continue;
        run->result.due_us = fire_timer(run);
        if (run->result.due_us != 0)
            break;
    }
    (void)is_finished(run, wants_background);
    give_result(run, ret);
    return 0;
}

size_t encl_machine_image_size(const encl_machine *machine)
{
    return machine->image_size;
}

void encl_machine_image_digest(const encl_machine *machine, uint8_t ret_digest[32])
{
    memcpy(ret_digest, machine->digest, sizeof(machine->digest));
}

rd_bytes encl_machine_memory(const encl_machine *machine)
{
    (void)machine;
    return rd_bytes_of(NULL, 0);
}
