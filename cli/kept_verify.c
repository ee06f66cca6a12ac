#include "cli/kept.h"

#include "cli/steps.h"
#include "common/base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What is known of a chain while its records are walked in order. */
typedef struct walk {
    const cli_kept *kept;
    const cli_docs *docs;
    const cli_proof *proof;
    cli_kept_verdict *verdict;
    uint64_t next; /* number that comes next; 0: nothing was seen */
    rd_digest prev;
    size_t links; /* records that name the one before, which is here */
} walk;

static int check_claims(const walk *w, const rd_receipt_record *record, rd_err *err)
{
    for (uint32_t i = 0; i < record->root.count; i++) {
        rd_receipt_claims claims;
        if (record->leaves[i].claims.size == 0)
            continue;
        if (rd_receipt_claims_parse(record->leaves[i].claims, &claims, err) < 0)
            return -1;
        if (!rd_app_id_equal(&claims.app, &w->docs->app) ||
            !rd_digest_equal(&claims.release, &w->docs->release_digest) ||
            !rd_digest_equal(&claims.head, &w->docs->head_digest) || claims.class != w->docs->head.class)
            return rd_err_set(err, RD_E_RECEIPT_CLAIMS,
                              "receipt %" PRIu64 " is of another app, release, head or class than its evidence",
                              claims.seq);
    }
    return 0;
}

static void note_gap(walk *w, uint64_t first, uint64_t last)
{
    (void)json_array_append_new(w->verdict->gaps,
                                json_pack("{s:I, s:I}", "first", (json_int_t)first, "last", (json_int_t)last));
}

static int check_place(walk *w, const rd_receipt_root *root, rd_err *err)
{
    bool is_chain = w->kept->seq == 0;
    uint64_t next = w->next > 0 ? w->next : is_chain ? 1 : root->first;
    if (root->has_prev != (root->first > 1))
        return rd_err_set(err, RD_E_RECEIPT_PATH, "number %" PRIu64 " %s one before it", root->first,
                          root->has_prev ? "names" : "names no");
    if (root->first < next)
        return rd_err_set(err, RD_E_RECEIPT_PATH, "number %" PRIu64 " is there twice: two chains under one key",
                          root->first);
    if (root->first > next) {
        note_gap(w, next, root->first - 1);
    } else if (w->next > 0) {
        if (!rd_digest_equal(&root->prev, &w->prev))
            return rd_err_set(err, RD_E_RECEIPT_PATH, "the chain breaks before number %" PRIu64, root->first);
        w->links++;
    }
    return 0;
}

static int check_record(walk *w, const char *text, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    RD_CLEANUP(rd_free_p) rd_receipt_record *record = rd_alloc(sizeof *record);
    if (cli_kept_open(text, &bytes, record, err) < 0 ||
        rd_receipt_record_verify(record, &w->proof->receipt_key, err) < 0 || check_claims(w, record, err) < 0 ||
        check_place(w, &record->root, err) < 0)
        return -1;
    w->next = record->root.first + record->root.count;
    rd_receipt_root_chain(record->payload, &w->prev);
    w->verdict->count += record->root.count;
    return 0;
}

static int check_asked(const walk *w, rd_err *err)
{
    uint64_t seq = w->kept->seq;
    if (seq == 0)
        return 0;
    if (json_array_size(w->kept->records) != 1)
        return rd_err_set(err, RD_E_RECEIPT_RECORD, "one receipt was asked for, and there is more than its record");
    if (seq < w->next && seq + w->verdict->count >= w->next)
        return 0;
    return rd_err_set(err, RD_E_CLI_NOT_FOUND, "receipt %" PRIu64 " is not kept; the next one that is comes later",
                      seq);
}

/* Lost at a crash or a slow plane, or held back: the numbers say that something is missing, not why. */
static int tell_gaps(const walk *w, bool is_complete, json_t *steps, rd_err *err)
{
    size_t count = json_array_size(w->verdict->gaps);
    if (w->kept->seq > 0)
        return 0;
    w->verdict->is_complete = count == 0;
    if (count == 0) {
        cli_step(steps, "complete", true, "no number up to %" PRIu64 " is missing", w->next - 1);
        return 0;
    }
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    size_t i;
    json_t *gap;
    json_array_foreach(w->verdict->gaps, i, gap)
    {
        long long first = json_integer_value(json_object_get(gap, "first"));
        long long last = json_integer_value(json_object_get(gap, "last"));
        if (i == 8)
            (void)rd_buf_printf(&text, ", and %zu more", count - i);
        if (i >= 8)
            continue;
        (void)rd_buf_printf(&text, first == last ? "%s%lld" : "%s%lld to %lld", i ? ", " : "", first, last);
    }
    if (!is_complete) {
        cli_step(steps, "gaps", true, "missing: %s (lost or held back: nobody can say which)", rd_buf_text(&text));
        return 0;
    }
    (void)rd_err_set(err, RD_E_RECEIPT_PATH, "missing: %s", rd_buf_text(&text));
    return cli_step_failed(steps, "complete", err);
}

static int check_records(walk *w, bool is_complete, json_t *steps, rd_err *err)
{
    size_t i;
    json_t *text;
    json_array_foreach(w->kept->records, i, text)
    {
        if (check_record(w, json_string_value(text), err) < 0)
            return cli_step_failed(steps, "receipts", err);
    }
    if (check_asked(w, err) < 0)
        return cli_step_failed(steps, "receipts", err);
    cli_step(steps, "receipts", true, "%" PRIu64 " signed by the key that the evidence proves, each at its place",
             w->verdict->count);
    if (i > 1)
        cli_step(steps, "chain", true, "%zu of %zu records name the one before them", w->links, i);
    return tell_gaps(w, is_complete, steps, err);
}

int cli_kept_verify(cli_context *context, const cli_kept *kept, int64_t now_us, bool is_complete, json_t *steps,
                    cli_kept_verdict *ret, rd_err *err)
{
    *ret = (cli_kept_verdict){ .gaps = json_array() };
    cli_docs docs;
    cli_proof proof = { .is_simulated = false };
    /* Documents of then: an older head than the newest known is what it has to be. */
    int status = cli_docs_open(kept->docs, &kept->app, NULL, NULL, &docs, steps, err);
    const cli_proof_request wanted = {
        .evidence = rd_buf_bytes(&kept->evidence),
        .collateral = &kept->collateral,
        .is_saved = true,
        .docs = &docs,
        .purpose = RD_PURPOSE_STATUS,
        .instance = &kept->instance,
        .epoch = &kept->epoch,
        .now_us = now_us,
    };
    if (status == 0)
        status = cli_proof_check(context, &wanted, &proof, steps, err);
    ret->is_simulated = proof.is_simulated;
    walk w = { .kept = kept, .docs = &docs, .proof = &proof, .verdict = ret };
    if (status == 0)
        status = check_records(&w, is_complete, steps, err);
    cli_proof_done(&proof);
    cli_docs_done(&docs);
    return status;
}
