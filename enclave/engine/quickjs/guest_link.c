#include "enclave/engine/quickjs/guest_link.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

#include "wasm-rt.h"
#include "rd_guest.h"

#include "common/base/mem.h"
#include "enclave/engine/guest/guest_abi.h"

#define RESERVATION ((size_t)8 << 30) /* what wasm_rt_allocate_memory maps */
#define GROWN_MAX   ((size_t)256 << 20)
#define TRAP_RANDOM 100
#define EXPIRED     101
/* A signal stack with room for AddressSanitizer's bookkeeping in siglongjmp. */
#define SIGNAL_STACK    ((size_t)64 << 10)
#define ALARM_REPEAT_US 20000
#define PAGE            ((size_t)4096)
#define COOL_EVERY      1024 /* restores after which pages that are written no more are left alone again */
#define COMPARED_TIMES  64   /* restores that compare all, at first */
#define MARKED_TIMES    16   /* restores before cooling that see which pages are written */
#define ROOM_PAGES      96   /* of a fork, for the pages that loading a small handler changes */

struct encl_guest {
    Z_rd_instance_t instance;
    encl_machine_host imports;
    int trap;
    const uint8_t *shared; /* what the memory was ahead of the forks, which have this in common; or NULL */
    size_t shared_size;
    Z_rd_instance_t shared_instance;
    wasm_rt_funcref_t *shared_table;
    size_t image_size;    /* of the snapshot, whole pages; 0 before it */
    size_t compared_size; /* of it: writable from the start, and compared; what follows is read-only until written */
    /* Of each page of the snapshot where it is kept, in shared or below; NULL: in the memory itself, read-only. */
    const uint8_t **kept;
    bool *was_written; /* of each page, in the restores that look */
    uint8_t *room;     /* of GROWN_MAX, for pages to be kept */
    size_t room_used;
    unsigned restores;
    Z_rd_instance_t image_instance;
    wasm_rt_funcref_t *image_table;
};

/* The signal handlers' view of the one guest of the process. Who ends guest code sets is_inside to 0 ahead of the call:
 * the address sanitizer puts work of its own before a call that does not return, under a lock that the next alarm must
 * not want a second time. */
static struct {
    sigjmp_buf jump;
    encl_guest *guest;
    volatile sig_atomic_t is_inside; /* guest code is running, not an import of ours */
    volatile sig_atomic_t has_expired;
    volatile int64_t deadline_us; /* of the call under way; 0: none */
    volatile int64_t alarm_us;    /* when the timer goes off; 0: it is not armed */
    uint8_t *signal_stack;        /* for the life of the process */
} door;

void encl_guest_on_trap(int code) RD_NORETURN;

void encl_guest_on_trap(int code)
{
    door.is_inside = 0;
    siglongjmp(door.jump, code);
}

static void keep(encl_guest *guest, const uint8_t *memory, size_t page)
{
    uint8_t *room = guest->room + guest->room_used;
    guest->room_used += PAGE;
    memcpy(room, memory + page * PAGE, PAGE);
    guest->kept[page] = room;
}

/* Pages of the snapshot that are not compared are read-only until the first write to each. That a page is kept is noted
 * before it can be written, so an alarm between the two loses nothing. */
static bool heat(encl_guest *guest, const uint8_t *address)
{
    uint8_t *memory = guest->instance.w2c_memory.data;
    if (address < memory + guest->compared_size || address >= memory + guest->image_size)
        return false;
    size_t page = (size_t)(address - memory) / PAGE;
    if (!guest->kept[page])
        keep(guest, memory, page);
    return mprotect(memory + page * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0;
}

/* A fault in guest code is a trap, unless it is the first write to a page: guard pages are its bounds checks, and the
 * end of the C stack its depth limit. Any other fault is ours and kills the process as it should. */
static void on_fault(int signal, siginfo_t *info, void *ucontext)
{
    int kept = errno;
    (void)ucontext;
    if (info->si_code == SEGV_ACCERR && door.guest && heat(door.guest, info->si_addr)) {
        errno = kept;
        return;
    }
    if (door.is_inside) {
        door.is_inside = 0;
        encl_guest_on_trap(info->si_code == SEGV_ACCERR ? WASM_RT_TRAP_OOB : WASM_RT_TRAP_EXHAUSTION);
    }
    (void)sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
}

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void arm(int64_t delay_us, int64_t repeat_us)
{
    struct itimerval timer = { .it_value = { delay_us / 1000000, delay_us % 1000000 },
                               .it_interval = { .tv_usec = repeat_us } };
    (void)setitimer(ITIMER_REAL, &timer, NULL);
}

/* The timer of an earlier call may go off in a later one, or in none: it goes on to the deadline of this one. */
static void on_alarm(int signal)
{
    int kept = errno;
    int64_t left_us = door.deadline_us == 0 ? 0 : door.deadline_us - now_us();
    (void)signal;
    if (!door.has_expired && (door.deadline_us == 0 || left_us > 0)) {
        door.alarm_us = door.deadline_us;
        arm(left_us, 0);
        errno = kept;
        return;
    }
    if (!door.has_expired)
        arm(ALARM_REPEAT_US, ALARM_REPEAT_US);
    door.has_expired = 1;
    if (door.is_inside) {
        door.is_inside = 0;
        encl_guest_on_trap(EXPIRED);
    }
    errno = kept;
}

/* SA_NODEFER: leaving by siglongjmp without a saved mask must not leave the signal blocked. */
static int install_handlers(rd_err *err)
{
    struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    struct sigaction alarm = { .sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_NODEFER };
    stack_t stack = { .ss_size = SIGNAL_STACK };

    if (!door.signal_stack)
        door.signal_stack = rd_alloc(SIGNAL_STACK);
    stack.ss_sp = door.signal_stack;
    if (sigaltstack(&stack, NULL) < 0 || sigaction(SIGSEGV, &fault, NULL) < 0 || sigaction(SIGBUS, &fault, NULL) < 0 ||
        sigaction(SIGALRM, &alarm, NULL) < 0)
        return rd_err_set_errno(err, RD_E_INTERNAL, errno, "signal handlers of the engine");
    return 0;
}

/* Imports run outside: our own faults stay ours, and an alarm waits for the way back. */
static encl_guest *leave(struct Z_env_instance_t *env)
{
    door.is_inside = 0;
    return (encl_guest *)env;
}

static void enter(void)
{
    door.is_inside = 1;
    if (door.has_expired) {
        door.is_inside = 0;
        encl_guest_on_trap(EXPIRED);
    }
}

/* What a system call is to write must be writable: the kernel does not fault, it fails. */
static void touch(volatile uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i += RD_MIN(PAGE, size - i))
        out[i] = 0;
    if (size > 0)
        out[size - 1] = 0;
}

u64 Z_envZ_clock(struct Z_env_instance_t *env, u32 kind)
{
    encl_guest *guest = leave(env);
    u64 now = guest->imports.clock(guest->imports.context, kind);

    enter();
    return now;
}

u32 Z_envZ_interrupt(struct Z_env_instance_t *env)
{
    encl_guest *guest = leave(env);
    bool is_over = guest->imports.interrupt(guest->imports.context);

    enter();
    return is_over;
}

void Z_envZ_log(struct Z_env_instance_t *env, u32 level, u32 address, u32 size)
{
    encl_guest *guest = leave(env);
    const uint8_t *text = encl_guest_at(guest, address, size);

    if (!text)
        encl_guest_on_trap(WASM_RT_TRAP_OOB);
    guest->imports.log(guest->imports.context, level, rd_bytes_of(text, size));
    enter();
}

void Z_envZ_random(struct Z_env_instance_t *env, u32 address, u32 size)
{
    encl_guest *guest = leave(env);
    uint8_t *out = encl_guest_at(guest, address, size);

    if (!out)
        encl_guest_on_trap(WASM_RT_TRAP_OOB);
    touch(out, size);
    if (guest->imports.random(guest->imports.context, out, size) < 0)
        encl_guest_on_trap(TRAP_RANDOM);
    enter();
}

u32 Z_envZ_ask(struct Z_env_instance_t *env, u32 op, u32 address, u32 size)
{
    encl_guest *guest = leave(env);
    uint8_t *at = encl_guest_at(guest, address, size);
    u32 answer = size;

    if (!at || (op == ENCL_ASK_REPLY && guest->imports.take(guest->imports.context, at, size) < 0))
        encl_guest_on_trap(WASM_RT_TRAP_OOB);
    if (op != ENCL_ASK_REPLY)
        answer = guest->imports.ask(guest->imports.context, op, rd_bytes_of(at, size));
    enter();
    return answer;
}

static uint32_t run_export(Z_rd_instance_t *in, encl_guest_fn fn, uint32_t a, uint32_t b, uint32_t c)
{
    switch (fn) {
    case ENCL_FN_ALLOC:
        return Z_rdZ_rd_alloc(in, a);
    case ENCL_FN_INIT:
        Z_rdZ__initialize(in);
        return Z_rdZ_rd_init(in, a, b);
    case ENCL_FN_HEAP:
        Z_rdZ_rd_heap(in, a);
        return 0;
    case ENCL_FN_PLATFORM:
        return Z_rdZ_rd_platform(in, a, b);
    case ENCL_FN_MODULE:
        return Z_rdZ_rd_module(in, a, b);
    case ENCL_FN_LOAD:
        return Z_rdZ_rd_load(in, a, b);
    case ENCL_FN_START:
        return Z_rdZ_rd_start(in, a, b, c);
    case ENCL_FN_SEAL:
        Z_rdZ_rd_seal(in);
        return 0;
    case ENCL_FN_RUN:
        return Z_rdZ_rd_run(in, a);
    }
    return 0;
}

int encl_guest_call(encl_guest *guest, encl_guest_fn fn, uint32_t a, uint32_t b, uint32_t c, uint32_t *ret)
{
    int code;

    code = sigsetjmp(door.jump, 0);
    if (code != 0) {
        guest->trap = code;
        return code == EXPIRED ? ENCL_GUEST_EXPIRED : ENCL_GUEST_TRAPPED;
    }
    enter();
    uint32_t value = run_export(&guest->instance, fn, a, b, c);
    door.is_inside = 0;
    *ret = value;
    return 0;
}

const char *encl_guest_trap_text(const encl_guest *guest)
{
    if (guest->trap == TRAP_RANDOM)
        return "no randomness";
    return guest->trap == EXPIRED ? "time limit" : wasm_rt_strerror((wasm_rt_trap_t)guest->trap);
}

/* A call costs no system call here while the timer of one before it runs on to an earlier time. Before the snapshot
 * each is exact: a process that is forked has no timer. */
void encl_guest_alarm(encl_guest *guest, int64_t delay_us)
{
    int64_t deadline_us = delay_us > 0 ? now_us() + delay_us : 0;
    bool is_lazy = guest->image_size > 0 && !door.has_expired;
    door.deadline_us = deadline_us;
    door.has_expired = 0;
    if (is_lazy && (deadline_us == 0 || (door.alarm_us != 0 && door.alarm_us <= deadline_us)))
        return;
    door.alarm_us = deadline_us;
    arm(RD_MAX(delay_us, (int64_t)0), 0);
}

int encl_guest_new(const encl_machine_host *imports, encl_guest **ret, rd_err *err)
{
    void *probe;

    if (door.guest)
        return rd_err_set(err, RD_E_ENGINE_STATE, "this process has an engine already");
    /* wasm2c's run-time aborts when the reservation fails, so ask first. */
    probe = mmap(NULL, RESERVATION, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED)
        return rd_err_set_errno(err, RD_E_NO_MEMORY, errno, "8 GiB of address space for the engine");
    (void)munmap(probe, RESERVATION);
    if (install_handlers(err) < 0)
        return -1;
    encl_guest *guest = rd_alloc(sizeof(*guest));
    guest->imports = *imports;
    door.guest = guest;
    door.has_expired = 0;
    Z_rd_init_module();
    Z_rd_instantiate(&guest->instance, (struct Z_env_instance_t *)guest);
    *ret = guest;
    return 0;
}

encl_guest *encl_guest_free(encl_guest *guest)
{
    if (!guest)
        return NULL;
    arm(0, 0);
    if (guest->instance.w2c_memory.data)
        (void)munmap(guest->instance.w2c_memory.data, RESERVATION);
    wasm_rt_free_funcref_table(&guest->instance.w2c_T0);
    if (guest->room)
        (void)munmap(guest->room, GROWN_MAX);
    if (guest->shared)
        (void)munmap((void *)(uintptr_t)guest->shared, guest->shared_size);
    free(guest->shared_table);
    free(guest->image_table);
    free((void *)guest->kept);
    free(guest->was_written);
    free(guest);
    /* The handlers stay: outside a guest they only restore the default, and a sandbox may forbid to change them now. */
    door.guest = NULL;
    return NULL;
}

uint8_t *encl_guest_at(encl_guest *guest, uint32_t address, size_t size)
{
    const wasm_rt_memory_t *memory = &guest->instance.w2c_memory;

    if (size > memory->size || address > memory->size - size)
        return NULL;
    return memory->data + address;
}

rd_bytes encl_guest_memory(const encl_guest *guest)
{
    return rd_bytes_of(guest->instance.w2c_memory.data, guest->instance.w2c_memory.size);
}

/* Gives back what has grown beyond size. A trap may have come in the middle of growing, when pages are open that the
 * memory's size does not show yet. */
static void cut_tail(encl_guest *guest, size_t size)
{
    uint8_t *memory = guest->instance.w2c_memory.data;
    size_t grown = guest->trap != 0 ? GROWN_MAX : guest->instance.w2c_memory.size;
    if (grown <= size)
        return;
    (void)madvise(memory + size, grown - size, MADV_DONTNEED);
    (void)mprotect(memory + size, grown - size, PROT_NONE);
}

static wasm_rt_funcref_t *copy_table(const wasm_rt_funcref_table_t *table)
{
    wasm_rt_funcref_t *copy = rd_alloc_array(table->size, sizeof(*copy));
    memcpy(copy, table->data, table->size * sizeof(*copy));
    return copy;
}

/* --- snapshot --------------------------------------------------------------------------------------------------- */

static int make_room(encl_guest *guest, rd_err *err)
{
    if (guest->room)
        return 0;
    void *room = mmap(NULL, GROWN_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return rd_err_set_errno(err, RD_E_NO_MEMORY, errno, "room for a snapshot");
    guest->room = room;
    return 0;
}

int encl_guest_share(encl_guest *guest, rd_err *err)
{
    const wasm_rt_memory_t *memory = &guest->instance.w2c_memory;
    if (guest->shared || guest->image_size > 0)
        return rd_err_set(err, RD_E_ENGINE_STATE, "the memory is shared already, or loaded");
    void *copy = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return rd_err_set_errno(err, RD_E_NO_MEMORY, errno, "a copy of the engine's memory");
    memcpy(copy, memory->data, memory->size);
    guest->shared = copy;
    guest->shared_size = memory->size;
    guest->shared_instance = guest->instance;
    guest->shared_table = copy_table(&guest->instance.w2c_T0);
    if (mprotect(copy, memory->size, PROT_READ) < 0)
        return rd_err_set_errno(err, RD_E_INTERNAL, errno, "the copy of the engine's memory");
    return 0;
}

/* As if each page were used: beside the kernel's page tables there may be those of a machine below. */
static void touch_pages(volatile uint8_t *memory, size_t size)
{
    for (size_t at = 0; at < size; at += PAGE)
        memory[at] = memory[at];
}

static void look_at_pages(const volatile uint8_t *memory, size_t size)
{
    for (size_t at = 0; at < size; at += PAGE)
        (void)memory[at];
}

void encl_guest_unshare(encl_guest *guest)
{
    const wasm_rt_memory_t *memory = &guest->instance.w2c_memory;
    rd_err ignored = RD_ERR_INIT;
    /* Best effort: before Linux 5.14 the copies are made one by one. */
    (void)madvise(memory->data, memory->size, MADV_POPULATE_WRITE);
    touch_pages(memory->data, memory->size);
    if (!guest->shared || make_room(guest, &ignored) < 0)
        return;
    look_at_pages(guest->shared, guest->shared_size);
    (void)madvise(guest->room, ROOM_PAGES * PAGE, MADV_POPULATE_WRITE);
    touch_pages(guest->room, ROOM_PAGES * PAGE);
}

bool encl_guest_lend(encl_guest *guest, const encl_machine_host *imports, encl_machine_host *ret_own)
{
    if (!guest->shared || guest->image_size > 0)
        return false;
    *ret_own = guest->imports;
    guest->imports = *imports;
    return true;
}

void encl_guest_return(encl_guest *guest, const encl_machine_host *own)
{
    uint8_t *memory = guest->instance.w2c_memory.data;
    for (size_t at = 0; at < guest->shared_size; at += PAGE)
        if (memcmp(memory + at, guest->shared + at, PAGE) != 0)
            memcpy(memory + at, guest->shared + at, PAGE);
    cut_tail(guest, guest->shared_size);
    guest->instance = guest->shared_instance;
    memcpy(guest->instance.w2c_T0.data, guest->shared_table,
           guest->instance.w2c_T0.size * sizeof(*guest->shared_table));
    guest->trap = 0;
    guest->imports = *own;
}

/* Each page is in shared already, or goes into the room beside it. */
static void keep_compared(encl_guest *guest, const uint8_t *memory, size_t size)
{
    for (size_t at = 0; at < size; at += PAGE) {
        if (memcmp(memory + at, guest->shared + at, PAGE) == 0)
            guest->kept[at / PAGE] = guest->shared + at;
        else
            keep(guest, memory, at / PAGE);
    }
    guest->compared_size = size;
}

int encl_guest_snapshot(encl_guest *guest, rd_err *err)
{
    const wasm_rt_memory_t *memory = &guest->instance.w2c_memory;
    size_t compared = RD_MIN(guest->shared_size, (size_t)memory->size);

    if (guest->image_size > 0)
        return rd_err_set(err, RD_E_ENGINE_STATE, "the snapshot is there already");
    if (make_room(guest, err) < 0)
        return -1;
    if (compared < memory->size && mprotect(memory->data + compared, memory->size - compared, PROT_READ) < 0)
        return rd_err_set_errno(err, RD_E_INTERNAL, errno, "the snapshot cannot be made read-only");
    guest->kept = rd_alloc_array(memory->size / PAGE, sizeof *guest->kept);
    guest->was_written = rd_alloc_array(memory->size / PAGE, sizeof *guest->was_written);
    keep_compared(guest, memory->data, compared);
    guest->image_size = memory->size;
    guest->image_instance = guest->instance;
    guest->image_table = copy_table(&guest->instance.w2c_T0);
    return 0;
}

/* Looks first: for the first calls reading all is cheaper than the faults by which a write would be seen; later ones
 * tell so which of the hot pages are still written. */
static void restore_changed(encl_guest *guest, uint8_t *memory)
{
    for (size_t page = 0; page < guest->image_size / PAGE; page++) {
        const uint8_t *kept = guest->kept[page];
        if (!kept || memcmp(memory + page * PAGE, kept, PAGE) == 0)
            continue;
        memcpy(memory + page * PAGE, kept, PAGE);
        guest->was_written[page] = true;
    }
}

/* A request writes to a tenth of the pages, and the next one to the same. */
static void restore_hot(encl_guest *guest, uint8_t *memory)
{
    for (size_t page = 0; page < guest->image_size / PAGE; page++)
        if (guest->kept[page])
            memcpy(memory + page * PAGE, guest->kept[page], PAGE);
}

/* The room holds what is kept of the memory, which is the snapshot's now, without gaps; what lies behind is given back.
 */
static void pack_room(encl_guest *guest, const uint8_t *memory)
{
    size_t before = guest->room_used;
    guest->room_used = 0;
    for (size_t page = 0; page < guest->image_size / PAGE; page++) {
        uintptr_t at = (uintptr_t)guest->kept[page] - (uintptr_t)guest->room;
        if (guest->kept[page] && at < GROWN_MAX)
            keep(guest, memory, page);
    }
    if (guest->room_used < before)
        (void)madvise(guest->room + guest->room_used, before - guest->room_used, MADV_DONTNEED);
}

/* Pages that were seen to be written stay writable and are put back by every restore; the others become read-only, and
 * the memory, which is the snapshot's now, is all that is kept of them. On failure each stays what it was, or is made
 * writable again by the next write. */
static void cool(encl_guest *guest, uint8_t *memory)
{
    size_t pages = guest->image_size / PAGE;
    guest->compared_size = 0; /* each of its pages is kept: a write to one that is read-only by now is a first one */
    for (size_t from = 0, to; from < pages; from = to) {
        for (to = from + 1; to < pages && guest->was_written[to] == guest->was_written[from]; to++)
            ;
        if (!guest->was_written[from] && mprotect(memory + from * PAGE, (to - from) * PAGE, PROT_READ) < 0)
            return;
    }
    for (size_t page = 0; page < pages; page++)
        if (!guest->was_written[page])
            guest->kept[page] = NULL;
    memset(guest->was_written, 0, pages * sizeof *guest->was_written);
    pack_room(guest, memory);
}

void encl_guest_restore(encl_guest *guest)
{
    uint8_t *memory = guest->image_instance.w2c_memory.data;
    unsigned turn = ++guest->restores % COOL_EVERY;

    cut_tail(guest, guest->image_size);
    if (guest->compared_size > 0 || turn == 0 || turn > COOL_EVERY - MARKED_TIMES)
        restore_changed(guest, memory);
    else
        restore_hot(guest, memory);
    guest->instance = guest->image_instance;
    memcpy(guest->instance.w2c_T0.data, guest->image_table, guest->instance.w2c_T0.size * sizeof(*guest->image_table));
    guest->trap = 0;
    if (turn == 0 || (guest->compared_size > 0 && guest->restores >= COMPARED_TIMES))
        cool(guest, memory);
}

size_t encl_guest_image_size(const encl_guest *guest)
{
    return guest->image_size;
}

rd_bytes encl_guest_image_page(const encl_guest *guest, size_t at)
{
    const uint8_t *kept = guest->kept[at / PAGE];
    return rd_bytes_of(kept ? kept : guest->image_instance.w2c_memory.data + at, PAGE);
}

uint32_t encl_guest_image_global(const encl_guest *guest)
{
    return guest->image_instance.w2c_g0;
}
