/* mem: allocation policy, cleanup attributes, wiping and constant-time comparison.
 * Used everywhere. Small fixed-size allocations abort when memory has run out (the supervisor restarts us);
 * anything sized by outside input is capped by the caller first. */
#ifndef RD_BASE_MEM_H
#define RD_BASE_MEM_H

#include "common/base/defs.h"

/* Calls cleanup_fn(&variable) at the end of the scope: RD_CLEANUP(rd_free_p) char *text = NULL; */
#define RD_CLEANUP(cleanup_fn) __attribute__((cleanup(cleanup_fn)))

/* Hands a pointer or a structure over and leaves NULL or zeroes behind. */
#define RD_TAKE(variable)                                                                                              \
    __extension__({                                                                                                    \
        __typeof__(variable) *rd_taken_from = &(variable);                                                             \
        __typeof__(variable) rd_taken = *rd_taken_from;                                                                \
        *rd_taken_from = (__typeof__(variable)){ 0 };                                                                  \
        rd_taken;                                                                                                      \
    })

/* Zeroed memory; aborts when there is none. Free with free(). */
void *rd_alloc(size_t size);
/* Zeroed array; aborts on overflow or when there is none. */
void *rd_alloc_array(size_t count, size_t size);
/* Grows or shrinks; new bytes are not zeroed. Aborts when there is none. */
void *rd_realloc(void *memory, size_t size);
char *rd_strdup(const char *text);
char *rd_strndup(const char *text, size_t size);
/* printf into fresh memory. */
char *rd_asprintf(const char *fmt, ...) RD_PRINTF(1, 2);

/* Zeroes memory in a way the compiler keeps. */
void rd_wipe(void *memory, size_t size);
/* True when equal; takes the same time wherever they differ. */
bool rd_equal_ct(const void *a, const void *b, size_t size);

/* Cleanup helpers for RD_CLEANUP. */
void rd_free_p(void *pointer_to_pointer);
void rd_close_p(int *fd); /* closes when >= 0 and sets -1 */
/* Hands a descriptor over and leaves -1 behind. */
static inline int rd_fd_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#endif
