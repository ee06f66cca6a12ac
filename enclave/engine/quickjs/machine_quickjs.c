/* QuickJS, compiled to WebAssembly and back to C: a machine is one linear memory, its pristine state what it was when
 * it was sealed. */
#include "enclave/engine/machine.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "enclave/engine/platform_source.h"
#include "enclave/engine/quickjs/guest_link.h"
#include "enclave/engine/wire.h"

#define STACK_SIZE    ((uint32_t)256 << 10)
#define REHEARSED_MAX ((size_t)64 << 10)

struct encl_machine {
    encl_guest *guest;
    uint32_t result_address;
};

const char *encl_machine_name(void)
{
    return "quickjs";
}

uint32_t encl_machine_threads(void)
{
    return 0;
}

bool encl_machine_can_keep(void)
{
    return false;
}

int encl_machine_host_run(int (*run)(void *context), void *context)
{
    return run(context);
}

int encl_machine_share(encl_machine *machine, rd_err *err)
{
    return encl_guest_share(machine->guest, err);
}

/* --- the guest's exports ---------------------------------------------------------------------------------------- */

/* Traps and the time limit become errors. */
static int enter(encl_machine *machine, encl_guest_fn fn, uint32_t a, uint32_t b, uint32_t c, uint32_t *ret,
                 rd_err *err)
{
    int outcome = encl_guest_call(machine->guest, fn, a, b, c, ret);

    if (outcome == 0)
        return 0;
    if (outcome == ENCL_GUEST_EXPIRED)
        return rd_err_set(err, RD_E_ENGINE_TIME_LIMIT, "the time limit was reached");
    return rd_err_set(err, RD_E_ENGINE_TRAP, "the engine trapped: %s", encl_guest_trap_text(machine->guest));
}

/* Room for size bytes inside the guest. */
static int make_room(encl_machine *machine, size_t size, uint32_t *ret_address, uint8_t **ret, rd_err *err)
{
    uint32_t address;

    if (enter(machine, ENCL_FN_ALLOC, (uint32_t)size, 0, 0, &address, err) < 0)
        return -1;
    *ret = address ? encl_guest_at(machine->guest, address, size) : NULL;
    if (!*ret)
        return rd_err_set(err, RD_E_ENGINE_MEMORY_LIMIT, "no room for %zu bytes in the engine's memory", size);
    *ret_address = address;
    return 0;
}

/* Hands "name NUL text NUL" to an export that takes it. */
static int give(encl_machine *machine, encl_guest_fn fn, const char *name, rd_bytes text, rd_err *err)
{
    size_t name_size = strlen(name) + 1, size = name_size + text.size + 1;
    uint32_t address, state;
    uint8_t *room;

    if (make_room(machine, size, &address, &room, err) < 0)
        return -1;
    memcpy(room, name, name_size);
    if (text.size > 0)
        memcpy(room + name_size, text.data, text.size);
    room[size - 1] = 0;
    return enter(machine, fn, address, (uint32_t)size, 0, &state, err);
}

/* The result block as the guest left it. */
static encl_machine_result result_of(encl_machine *machine)
{
    encl_guest_result block = { .state = ENCL_GUEST_FAILED };
    const uint8_t *at = encl_guest_at(machine->guest, machine->result_address, sizeof(block));

    if (at)
        memcpy(&block, at, sizeof(block));
    const uint8_t *out = encl_guest_at(machine->guest, block.out, block.out_size);
    return (encl_machine_result){ .state = block.state,
                                  .kind = block.kind,
                                  .out = rd_bytes_of(out, out ? block.out_size : 0),
                                  .due_us = block.due_us,
                                  .background = block.background };
}

/* --- the machine ------------------------------------------------------------------------------------------------ */

static int load_platform(encl_machine *machine, size_t heap_size, rd_err *err)
{
    if (enter(machine, ENCL_FN_INIT, (uint32_t)heap_size, STACK_SIZE, 0, &machine->result_address, err) < 0)
        return -1;
    if (!machine->result_address)
        return rd_err_set(err, RD_E_ENGINE_MEMORY_LIMIT, "no room for the virtual machine");
    for (const encl_platform_file *file = encl_platform_files; file->name; file++) {
        if (give(machine, ENCL_FN_PLATFORM, file->name, file->source, err) < 0)
            return rd_err_wrap(err, "platform %s", file->name);
        encl_machine_result result = result_of(machine);
        if (result.state == ENCL_GUEST_FAILED)
            return rd_err_set(err, RD_E_ENGINE_LOAD, "platform %s: %.*s", file->name, (int)result.out.size,
                              (const char *)result.out.data);
    }
    return 0;
}

int encl_machine_new(const encl_machine_host *host, size_t heap_size, encl_machine **ret, rd_err *err)
{
    encl_machine *machine = rd_alloc(sizeof(*machine));

    if (encl_guest_new(host, &machine->guest, err) < 0 || load_platform(machine, heap_size, err) < 0) {
        encl_machine_free(machine);
        return -1;
    }
    *ret = machine;
    return 0;
}

encl_machine *encl_machine_free(encl_machine *machine)
{
    if (!machine)
        return NULL;
    encl_guest_free(machine->guest);
    free(machine);
    return NULL;
}

int encl_machine_set_heap(encl_machine *machine, size_t heap_size, rd_err *err)
{
    uint32_t ret;

    return enter(machine, ENCL_FN_HEAP, (uint32_t)heap_size, 0, 0, &ret, err);
}

int encl_machine_load(encl_machine *machine, const encl_module *modules, size_t count, const char *main,
                      rd_bytes env_json, encl_machine_result *ret, rd_err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (give(machine, ENCL_FN_MODULE, modules[i].name, modules[i].source, err) < 0)
            return -1;
    }
    if (give(machine, ENCL_FN_LOAD, main, env_json, err) < 0)
        return -1;
    *ret = result_of(machine);
    return 0;
}

int encl_machine_seal(encl_machine *machine, rd_err *err)
{
    uint32_t ret;

    if (enter(machine, ENCL_FN_SEAL, 0, 0, 0, &ret, err) < 0)
        return -1;
    return encl_guest_snapshot(machine->guest, err);
}

int encl_machine_start(encl_machine *machine, const encl_request *request, size_t size, size_t output_max,
                       encl_machine_result *ret, rd_err *err)
{
    uint32_t address, state;
    uint8_t *room;

    if (make_room(machine, size, &address, &room, err) < 0)
        return -1;
    encl_wire_request_write(request, room);
    if (enter(machine, ENCL_FN_START, address, (uint32_t)size, (uint32_t)output_max, &state, err) < 0)
        return -1;
    *ret = result_of(machine);
    return 0;
}

int encl_machine_run(encl_machine *machine, bool wants_background, encl_machine_result *ret, rd_err *err)
{
    uint32_t state;

    if (enter(machine, ENCL_FN_RUN, wants_background, 0, 0, &state, err) < 0)
        return -1;
    *ret = result_of(machine);
    return 0;
}

bool encl_machine_stay(encl_machine *machine)
{
    (void)machine; /* the script's heap is what a reset puts back */
    return false;
}

void encl_machine_reset(encl_machine *machine, bool may_keep)
{
    (void)may_keep;
    encl_guest_restore(machine->guest);
}

void encl_machine_alarm(encl_machine *machine, int64_t delay_us)
{
    encl_guest_alarm(machine->guest, delay_us);
}

/* --- the rehearsal ---------------------------------------------------------------------------------------------- */

static uint64_t no_clock(void *context, uint32_t kind)
{
    (void)context, (void)kind;
    return 0;
}

static bool no_interrupt(void *context)
{
    (void)context;
    return false;
}

static void no_log(void *context, uint32_t level, rd_bytes line)
{
    (void)context, (void)level, (void)line;
}

/* Nothing is drawn for a machine that is to be forgotten. */
static int no_random(void *context, uint8_t *out, size_t size)
{
    (void)context;
    memset(out, 0, size);
    return 0;
}

static uint32_t no_ask(void *context, uint32_t op, rd_bytes question)
{
    (void)context, (void)op, (void)question;
    return 0;
}

static int no_take(void *context, uint8_t *out, size_t size)
{
    (void)context, (void)out, (void)size;
    return -1;
}

static int rehearse(encl_machine *machine, rd_err *err)
{
    static const encl_module module = {
        "index.js", RD_BYTES_LIT("export default { async fetch(request) { return new Response('hello') } }")
    };
    const encl_header headers[] = { { RD_BYTES_LIT("host"), RD_BYTES_LIT("app.invalid") },
                                    { RD_BYTES_LIT("accept"), RD_BYTES_LIT("*/*") } };
    const encl_request request = { .method = RD_BYTES_LIT("GET"),
                                   .url = RD_BYTES_LIT("https://app.invalid/"),
                                   .headers = headers,
                                   .header_count = RD_ARRAY_LEN(headers) };
    encl_machine_result result;
    uint32_t ret;
    size_t size;
    if (encl_wire_request_size(&request, REHEARSED_MAX, &size, err) < 0 ||
        encl_machine_load(machine, &module, 1, module.name, RD_BYTES_LIT("{}"), &result, err) < 0 ||
        enter(machine, ENCL_FN_SEAL, 0, 0, 0, &ret, err) < 0 ||
        encl_machine_start(machine, &request, size, REHEARSED_MAX, &result, err) < 0 ||
        encl_machine_run(machine, false, &result, err) < 0)
        return -1;
    return result.state == ENCL_GUEST_DONE ? 0 : rd_err_set(err, RD_E_ENGINE_STALLED, "no answer");
}

int encl_machine_unshare(encl_machine *machine, rd_err *err)
{
    static const encl_machine_host nothing = { no_clock, no_interrupt, no_log, no_random, no_ask, no_take, NULL };
    encl_machine_host own;
    encl_guest_unshare(machine->guest);
    if (!encl_guest_lend(machine->guest, &nothing, &own))
        return 0;
    int outcome = rehearse(machine, err);
    encl_guest_return(machine->guest, &own);
    return outcome;
}

size_t encl_machine_image_size(const encl_machine *machine)
{
    return encl_guest_image_size(machine->guest);
}

void encl_machine_image_digest(const encl_machine *machine, uint8_t ret_digest[32])
{
    size_t size = encl_machine_image_size(machine);
    uint32_t value = encl_guest_image_global(machine->guest);
    rd_hasher hasher;
    uint8_t global[4];

    for (int i = 0; i < 4; i++)
        global[i] = (uint8_t)(value >> 8 * i);
    rd_hasher_init(&hasher, RD_SHA256);
    rd_hasher_update(&hasher, RD_BYTES_ARRAY(global));
    for (size_t at = 0; at < size;) {
        rd_bytes page = encl_guest_image_page(machine->guest, at);
        rd_hasher_update(&hasher, page);
        at += page.size;
    }
    rd_hasher_final(&hasher, ret_digest);
}

rd_bytes encl_machine_memory(const encl_machine *machine)
{
    return encl_guest_memory(machine->guest);
}
