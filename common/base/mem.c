#include "common/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *or_abort(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

void *rd_alloc(size_t size)
{
    return or_abort(calloc(1, size ? size : 1));
}

void *rd_alloc_array(size_t count, size_t size)
{
    return or_abort(calloc(count ? count : 1, size ? size : 1));
}

void *rd_realloc(void *memory, size_t size)
{
    return or_abort(realloc(memory, size ? size : 1));
}

char *rd_strdup(const char *text)
{
    return or_abort(strdup(text));
}

char *rd_strndup(const char *text, size_t size)
{
    return or_abort(strndup(text, size));
}

char *rd_asprintf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = NULL;
    if (vasprintf(&text, fmt, args) < 0)
        abort();
    va_end(args);
    return text;
}

void rd_wipe(void *memory, size_t size)
{
    if (memory && size)
        explicit_bzero(memory, size);
}

bool rd_equal_ct(const void *a, const void *b, size_t size)
{
    const volatile uint8_t *left = a;
    const volatile uint8_t *right = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= (uint8_t)(left[i] ^ right[i]);
    return difference == 0;
}

void rd_free_p(void *pointer_to_pointer)
{
    void *memory;
    memcpy(&memory, pointer_to_pointer, sizeof memory);
    free(memory);
}

void rd_close_p(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}
