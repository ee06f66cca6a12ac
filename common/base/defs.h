/* defs: attributes and small macros that every other header may use.
 * Used everywhere. Includes nothing of ours and defines no functions. */
#ifndef RD_BASE_DEFS_H
#define RD_BASE_DEFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RD_NODISCARD        __attribute__((warn_unused_result))
#define RD_PRINTF(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define RD_NORETURN         __attribute__((noreturn))
#define RD_UNUSED           __attribute__((unused))

#define RD_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define RD_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define RD_MAX(a, b)    ((a) > (b) ? (a) : (b))

/* The struct of `type` whose `member` is at `ptr`. */
#define RD_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
