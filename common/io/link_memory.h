/* link_memory: where nghttp2's 16 KiB frame buffer of each link lies: on pages of its own, which an idle link never
 * touches. Used by the link's hub; everything else of nghttp2 comes from malloc.
 * Never shared between links: nghttp2 keeps bytes there between calls. */
#ifndef RD_IO_LINK_MEMORY_H
#define RD_IO_LINK_MEMORY_H

#include <nghttp2/nghttp2.h>

#include "common/base/defs.h"

typedef struct link_memory link_memory;

/* block_max: buffers at a time; past it, or when no address space is left, malloc serves. */
link_memory *link_memory_new(size_t block_max);
/* All sessions must be gone. Accepts NULL. */
link_memory *link_memory_free(link_memory *memory);
/* For nghttp2_session_*_new3; borrowed from memory. */
nghttp2_mem *link_memory_allocator(link_memory *memory);

#endif
