/* late: a shared library that is loaded when its first function is called.
 * Used where a library brings many others that most runs never need (curl_late.c, cli/mhd_late.c). */
#ifndef FETCH_LATE_H
#define FETCH_LATE_H

/* A symbol of the library, which is opened at the first call; NULL when either is missing. *library is static storage.
 */
void *fetch_late(void **library, const char *file, const char *name);

/* ISO C has no cast from an object pointer to a function pointer; POSIX dlsym(3) has the union's meaning. */
#define FETCH_LATE_AS(type, symbol)                                                                                    \
    ((union {                                                                                                          \
        void *object;                                                                                                  \
        type *function;                                                                                                \
    }){ .object = (symbol) })                                                                                          \
        .function

#endif
