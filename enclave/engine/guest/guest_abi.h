/* guest_abi: the numbers that host and guest agree on, one header for both.
 * Used by the guest, and on the host's side by guest_link and engine.
 * Says nothing about trust: what the guest writes is checked where it is read. */
#ifndef ENCL_GUEST_ABI_H
#define ENCL_GUEST_ABI_H

#include <stdint.h>

enum encl_guest_state {
    ENCL_GUEST_WAITING = 0, /* no job left; due_us says when the next timer is, -1 never */
    ENCL_GUEST_DONE = 1,    /* a response is in out, or the background work is finished */
    ENCL_GUEST_FAILED = 2,  /* kind says why, out holds a sentence */
};

enum encl_guest_kind {
    ENCL_KIND_NONE = 0,
    ENCL_KIND_EXCEPTION = 1,
    ENCL_KIND_REJECTED = 2,
    ENCL_KIND_BAD_RESPONSE = 3,
    ENCL_KIND_TIME = 4,
    ENCL_KIND_MEMORY = 5,
    ENCL_KIND_OUTPUT = 6,
    ENCL_KIND_NO_HANDLER = 7,
    ENCL_KIND_ENTROPY = 8,
    ENCL_KIND_MODULE = 9,
    ENCL_KIND_REQUEST = 10,
};

enum { ENCL_CLOCK_WALL = 0, ENCL_CLOCK_MONOTONIC = 1 };

/* Read by the host at the address that rd_init returns; little-endian as WebAssembly is. */
typedef struct encl_guest_result {
    uint32_t state;
    uint32_t kind;
    uint32_t out;
    uint32_t out_size;
    int64_t due_us;
    uint32_t background; /* ctx.waitUntil promises that are still pending */
    uint32_t has_response;
} encl_guest_result;

_Static_assert(sizeof(encl_guest_result) == 32, "the guest writes 32 bytes");

#endif
