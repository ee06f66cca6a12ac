#include "common/io/link_memory.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK_SIZE ((size_t)20480) /* five pages: the frame buffer is 16,394 bytes */
#define SMALL_MAX  ((size_t)16383)

struct link_memory {
    nghttp2_mem allocator;
    uint8_t *start; /* reserved addresses; pages come when they are touched. NULL: none */
    size_t block_max;
    size_t fresh;    /* blocks never used yet */
    uint32_t *freed; /* blocks to be used again, a stack */
    size_t freed_count;
};

static bool is_block(const link_memory *memory, const void *pointer)
{
    const uint8_t *at = pointer;
    return memory->start && at >= memory->start && at < memory->start + memory->block_max * BLOCK_SIZE;
}

static void *take_block(link_memory *memory)
{
    size_t index;
    if (memory->freed_count > 0)
        index = memory->freed[--memory->freed_count];
    else if (memory->start && memory->fresh < memory->block_max)
        index = memory->fresh++;
    else
        return NULL;
    return memory->start + index * BLOCK_SIZE;
}

static void *on_malloc(size_t size, void *context)
{
    void *block = size > SMALL_MAX && size <= BLOCK_SIZE ? take_block(context) : NULL;
    return block ? block : malloc(size);
}

static void on_free(void *pointer, void *context)
{
    link_memory *memory = context;
    if (!is_block(memory, pointer)) {
        free(pointer);
        return;
    }
    (void)madvise(pointer, BLOCK_SIZE, MADV_DONTNEED); /* the pages go back */
    memory->freed[memory->freed_count++] = (uint32_t)((size_t)((uint8_t *)pointer - memory->start) / BLOCK_SIZE);
}

static void *on_calloc(size_t count, size_t size, void *context)
{
    (void)context;
    return calloc(count, size);
}

/* nghttp2 first reserves its buffers by realloc of NULL. */
static void *on_realloc(void *pointer, size_t size, void *context)
{
    if (!pointer)
        return on_malloc(size, context);
    if (!is_block(context, pointer))
        return realloc(pointer, size);
    if (size <= BLOCK_SIZE)
        return pointer;
    void *larger = malloc(size);
    if (!larger)
        return NULL;
    memcpy(larger, pointer, BLOCK_SIZE);
    on_free(pointer, context);
    return larger;
}

link_memory *link_memory_new(size_t block_max)
{
    link_memory *memory = rd_alloc(sizeof *memory);
    memory->allocator = (nghttp2_mem){
        .mem_user_data = memory, .malloc = on_malloc, .free = on_free, .calloc = on_calloc, .realloc = on_realloc
    };
    memory->block_max = block_max;
    memory->freed = rd_alloc_array(block_max, sizeof *memory->freed);
    void *start =
        mmap(NULL, block_max * BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    memory->start = start == MAP_FAILED ? NULL : start;
    return memory;
}

link_memory *link_memory_free(link_memory *memory)
{
    if (!memory)
        return NULL;
    if (memory->start)
        (void)munmap(memory->start, memory->block_max * BLOCK_SIZE);
    free(memory->freed);
    free(memory);
    return NULL;
}

nghttp2_mem *link_memory_allocator(link_memory *memory)
{
    return &memory->allocator;
}
