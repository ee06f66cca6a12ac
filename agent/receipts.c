#include "agent/receipts.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct line {
    struct line *next;
    uint64_t number;
    size_t size;
    uint8_t text[];
} line;

struct agent_receipts {
    line *head, **tail;
    line *last_told; /* the last one that the reader has: it goes on behind it, most of the time */
    size_t size, size_max;
    uint64_t number, lost;
};

agent_receipts *agent_receipts_new(size_t size_max)
{
    agent_receipts *receipts = rd_alloc(sizeof *receipts);
    receipts->tail = &receipts->head;
    receipts->size_max = size_max;
    return receipts;
}

static void drop_first(agent_receipts *receipts)
{
    line *first = receipts->head;
    receipts->head = first->next;
    if (!receipts->head)
        receipts->tail = &receipts->head;
    if (receipts->last_told == first)
        receipts->last_told = NULL;
    receipts->size -= first->size;
    free(first);
}

agent_receipts *agent_receipts_free(agent_receipts *receipts)
{
    if (!receipts)
        return NULL;
    while (receipts->head)
        drop_first(receipts);
    free(receipts);
    return NULL;
}

/* Said at the first one and at each doubling, so that a plane that is away does not fill the log. */
static void note_loss(agent_receipts *receipts)
{
    receipts->lost++;
    if ((receipts->lost & (receipts->lost - 1)) == 0)
        rd_log(RD_WARN, "receipts_lost", RD_U64("records", receipts->lost),
               RD_STR("meaning", "the plane takes them too slowly; the answers had theirs"));
}

void agent_receipts_add(agent_receipts *receipts, const char *instance, uint64_t epoch, rd_bytes record)
{
    char head[160];
    uint64_t number = ++receipts->number;
    int head_size = snprintf(head, sizeof head, "{\"epoch\":%" PRIu64 ",\"instance\":\"%s\",\"n\":%" PRIu64 "} ", epoch,
                             instance, number);
    assert(head_size > 0 && (size_t)head_size < sizeof head);
    size_t text_size = rd_base64url_size(record.size), size = (size_t)head_size + text_size + 1;
    line *one = rd_alloc(sizeof *one + size);
    one->number = number;
    one->size = size;
    memcpy(one->text, head, (size_t)head_size);
    rd_base64url_encode(record, (char *)one->text + head_size);
    one->text[size - 1] = '\n'; /* where the text's own end was */
    *receipts->tail = one;
    receipts->tail = &one->next;
    receipts->size += one->size;
    while (receipts->size > receipts->size_max && receipts->head) {
        drop_first(receipts);
        note_loss(receipts);
    }
}

rd_bytes agent_receipts_after(agent_receipts *receipts, uint64_t *number)
{
    line *told = receipts->last_told && receipts->last_told->number <= *number ? receipts->last_told : NULL;
    line *one = told ? told->next : receipts->head;
    while (one && one->number <= *number) {
        told = one;
        one = one->next;
    }
    receipts->last_told = told;
    if (!one)
        return RD_BYTES_NULL;
    *number = one->number;
    return rd_bytes_of(one->text, one->size);
}

void agent_receipts_forget(agent_receipts *receipts, uint64_t number)
{
    while (receipts->head && receipts->head->number <= number)
        drop_first(receipts);
}

uint64_t agent_receipts_lost(const agent_receipts *receipts)
{
    return receipts->lost;
}
