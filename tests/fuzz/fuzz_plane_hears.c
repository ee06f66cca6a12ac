// link: api_core
/* What an agent says to the plane: first byte picks hello, a stream's lines, a wish for a grant, a record of receipts,
 * or a certificate request. */
#include <stdlib.h>
#include <string.h>

#include "api/agents_words.h"
#include "common/base/mem.h"
#include "common/crypto/x509_issue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void hear_hello(rd_bytes body)
{
    RD_CLEANUP(rd_free_p) api_hello *hello = rd_alloc(sizeof *hello);
    if (api_hello_read(body, hello, NULL) == 0 &&
        (hello->inventory_count > API_LEASES_A_HOST || hello->need_count > API_NEEDS_MAX || hello->floor_era < 0 ||
         hello->cpu_m < 0 || hello->memory_bytes < 0 || hello->slots < 0 || !memchr(hello->journal_id, 0, 65)))
        abort();
    api_hello_done(hello);
}

static void hear_line(rd_bytes line, bool is_event)
{
    api_event_line event = { .seq = 0 };
    api_log_words words = { .epoch = 0 };
    if (is_event && api_event_line_read(line, &event, NULL) == 0 && (event.seq == 0 || event.phase <= 0))
        abort();
    if (!is_event)
        (void)!api_log_words_read(line, &words, NULL);
    api_event_line_done(&event);
    api_log_words_done(&words);
}

static void hear_lines(rd_bytes rest, bool is_event)
{
    while (rest.size > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        size_t line = end ? (size_t)(end - rest.data) : rest.size;
        hear_line(rd_bytes_of(rest.data, line), is_event);
        line += end != NULL;
        rest = rd_bytes_of(rest.data + line, rest.size - line);
    }
}

static void hear_grant(rd_bytes line)
{
    api_grant_line wish = { .epoch = 0 };
    if (api_grant_line_read(line, &wish, NULL) == 0 && wish.has_bundle != (wish.bundle.size > 0))
        abort();
    api_grant_line_done(&wish);
}

static void hear_receipts(rd_bytes bytes)
{
    api_receipts_line line = { .epoch = 0 };
    if (api_receipts_line_read(bytes, &line, NULL) == 0 && line.number == 0)
        abort();
    api_receipts_line_done(&line);
}

static void hear_csr(rd_bytes body)
{
    RD_CLEANUP(rd_free_p) char *text = NULL;
    rd_csr csr = { .common_name = "" };
    if (api_csr_read(body, &text, NULL) == 0)
        (void)!rd_csr_parse(rd_bytes_str(text), &csr, NULL);
    rd_csr_done(&csr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    rd_bytes rest = rd_bytes_of(data + 1, size - 1);
    switch (data[0] & 7) {
    case 0:
        hear_hello(rest);
        break;
    case 1:
        hear_lines(rest, true);
        break;
    case 2:
        hear_lines(rest, false);
        break;
    case 4:
        hear_grant(rest);
        break;
    case 5:
        hear_receipts(rest);
        break;
    default:
        hear_csr(rest);
    }
    return 0;
}
