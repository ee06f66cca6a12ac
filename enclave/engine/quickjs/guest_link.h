/* guest_link: the only door to the WebAssembly guest: enters it, catches its traps, snapshots and restores it.
 * Used by machine_quickjs. All names that wasm2c generates (Z_…) stand in guest_link.c.
 * Believes nothing that the guest says: every address is checked against the memory's size. */
#ifndef ENCL_GUEST_LINK_H
#define ENCL_GUEST_LINK_H

#include "enclave/engine/machine.h"

typedef struct encl_guest encl_guest;

typedef enum encl_guest_fn {
    ENCL_FN_ALLOC,    /* (size) → address or 0 */
    ENCL_FN_INIT,     /* (heap_max, stack_max) → address of the result block or 0 */
    ENCL_FN_HEAP,     /* (heap_max) */
    ENCL_FN_PLATFORM, /* (data, size) → state; takes data, as the next three do */
    ENCL_FN_MODULE,   /* (data, size) → 0 */
    ENCL_FN_LOAD,     /* (data, size) → state */
    ENCL_FN_START,    /* (data, size, output_max) → state */
    ENCL_FN_SEAL,     /* () */
    ENCL_FN_RUN,      /* (wants_background) → state */
} encl_guest_fn;

/* Outcomes of encl_guest_call besides 0. */
enum { ENCL_GUEST_TRAPPED = 1, ENCL_GUEST_EXPIRED = 2 };

/* imports: the guest's five. One guest a process at a time. Errors: ENGINE_STATE (there is one), NO_MEMORY (no 8 GiB of
 * address space), ENGINE_TRAP. */
int encl_guest_new(const encl_machine_host *imports, encl_guest **ret, rd_err *err) RD_NODISCARD;
encl_guest *encl_guest_free(encl_guest *guest);

/* Runs one export. 0: it returned *ret. ENCL_GUEST_TRAPPED: it broke a rule of WebAssembly, overran a stack or aborted.
 * ENCL_GUEST_EXPIRED: encl_guest_alarm went off. After both only restore and free are allowed. */
int encl_guest_call(encl_guest *guest, encl_guest_fn fn, uint32_t a, uint32_t b, uint32_t c,
                    uint32_t *ret) RD_NODISCARD;
/* Why it trapped, static text. */
const char *encl_guest_trap_text(const encl_guest *guest);

/* Ends the guest by SIGALRM after delay_us, wherever it is; 0 disarms. For loops inside the engine that poll nothing.
 */
void encl_guest_alarm(encl_guest *guest, int64_t delay_us);

/* size bytes at address for writing, or NULL when not all of them are inside. */
uint8_t *encl_guest_at(encl_guest *guest, uint32_t address, size_t size);
rd_bytes encl_guest_memory(const encl_guest *guest);

/* Ahead of the forks: keeps what the memory is now in one place for all of them, so that a fork's snapshot is what
 * differs from it, and its first calls are put right by comparing with it rather than by faults. Errors: NO_MEMORY,
 * ENGINE_STATE. */
int encl_guest_share(encl_guest *guest, rd_err *err) RD_NODISCARD;
/* In a fork: its memory is the process's own from here on, and not copied page by page as it is written; the pages that
 * a start and a first call use are in use. */
void encl_guest_unshare(encl_guest *guest);
/* In a fork of one that is shared, before its snapshot: whatever runs between the two, over these imports, leaves
 * nothing; the guest is then byte for byte what is shared. False: it is not, and nothing is lent. */
bool encl_guest_lend(encl_guest *guest, const encl_machine_host *imports, encl_machine_host *ret_own);
void encl_guest_return(encl_guest *guest, const encl_machine_host *own);
/* Keeps the present memory, globals and table. Errors: NO_MEMORY. */
int encl_guest_snapshot(encl_guest *guest, rd_err *err) RD_NODISCARD;
/* Puts them back; the tail beyond the snapshot is returned to the system and reads as zeros when it grows again. */
void encl_guest_restore(encl_guest *guest);
/* Of the snapshot: its size in bytes, a multiple of a page's, and the page that begins at byte `at`, borrowed until the
 * guest is entered or restored. */
size_t encl_guest_image_size(const encl_guest *guest);
rd_bytes encl_guest_image_page(const encl_guest *guest, size_t at);
/* The globals kept with the image (the stack pointer), part of its digest. */
uint32_t encl_guest_image_global(const encl_guest *guest);

#endif
