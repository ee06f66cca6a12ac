#include "fetch/late.h"

#include <dlfcn.h>
#include <stddef.h>

void *fetch_late(void **library, const char *file, const char *name)
{
    /* Opened twice by two threads it is one library still (dlopen(3) counts). */
    void *handle = __atomic_load_n(library, __ATOMIC_ACQUIRE);
    if (!handle) {
        handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
        __atomic_store_n(library, handle, __ATOMIC_RELEASE);
    }
    return handle ? dlsym(handle, name) : NULL;
}
