#include "common/model/policy_review.h"

#include "common/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAFE_AGE_S ((uint32_t)7 * 86400)

const char *const rd_policy_effect_names[] = { "", "loosens", "tightens", "changes", NULL };

RD_PRINTF(4, 5)
static void note(rd_policy_notes *notes, rd_policy_effect effect, const char *member, const char *fmt, ...)
{
    if (notes->count == RD_POLICY_NOTES_MAX) {
        notes->dropped++;
        return;
    }
    rd_policy_note *item = &notes->items[notes->count++];
    item->effect = effect;
    (void)snprintf(item->member, sizeof item->member, "%s", member);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(item->text, sizeof item->text, fmt, args);
    va_end(args);
}

/* --- against the safe defaults --- */

static void review_states(const rd_tcb_status *items, size_t count, const char *member, rd_policy_notes *ret)
{
    for (size_t i = 0; i < count; i++)
        if (items[i] != RD_TCB_UP_TO_DATE && items[i] != RD_TCB_SW_HARDENING_NEEDED)
            note(ret, RD_POLICY_LOOSENS, member, "platforms in state %s are accepted", rd_tcb_status_names[items[i]]);
}

static uint32_t parts_of(const rd_measurement *item, bool any)
{
    uint32_t mask = 0;
    for (size_t p = 0; p < item->parts_count; p++)
        if (item->parts[p].count > 0 || any)
            mask |= UINT32_C(1) << item->parts[p].measure;
    return mask;
}

/* On hardware the registers say which kernel and which command line booted; MRTD alone is the firmware. */
static void review_item(const rd_policy *policy, size_t index, rd_policy_notes *ret)
{
    const rd_measurement *item = &policy->measurements[index];
    char member[64];
    (void)snprintf(member, sizeof member, "/measurements/%zu", index);
    uint32_t compared = parts_of(item, false);
    for (size_t p = 0; p < item->parts_count; p++)
        if (item->parts[p].count == 0)
            note(ret, RD_POLICY_LOOSENS, member, "any %s fits", rd_measure_rows[item->parts[p].measure].name);
    if (item->tee == RD_TEE_SGX && !(compared & UINT32_C(1) << RD_MEASURE_MRENCLAVE))
        note(ret, RD_POLICY_LOOSENS, member, "any enclave of this signer and product from version %u on is accepted",
             item->isv_svn_min);
    if (item->tee != RD_TEE_TDX || policy->is_simulated)
        return;
    uint32_t present = parts_of(item, true);
    for (int m = RD_MEASURE_RTMR0; m <= RD_MEASURE_RTMR2; m++)
        if (!(present & UINT32_C(1) << m))
            note(ret, RD_POLICY_LOOSENS, member, "%s is not compared", rd_measure_rows[m].name);
}

void rd_policy_loosenings(const rd_policy *policy, rd_policy_notes *ret)
{
    if (policy->is_simulated)
        note(ret, RD_POLICY_LOOSENS, "/simulated", "evidence of a simulation is accepted: nothing is confidential");
    if (policy->allows_debug)
        note(ret, RD_POLICY_LOOSENS, "/debug", "enclaves that their host can read are accepted");
    review_states(policy->tcb, policy->tcb_count, "/tcb", ret);
    if (policy->has_grace)
        review_states(policy->grace.tcb, policy->grace.tcb_count, "/grace", ret);
    if (policy->max_collateral_age_s > SAFE_AGE_S)
        note(ret, RD_POLICY_LOOSENS, "/max_collateral_age_s",
             "collateral of %u days is accepted: a revocation may stay hidden so long",
             policy->max_collateral_age_s / 86400);
    for (size_t i = 0; i < policy->measurements_count; i++)
        review_item(policy, i, ret);
    if (!policy->is_simulated && policy->platforms_count == 0)
        note(ret, RD_POLICY_LOOSENS, "/platforms", "any genuine machine is accepted, whoever holds it");
    if (policy->td.allows_migratable)
        note(ret, RD_POLICY_LOOSENS, "/td/migratable", "the TD can leave the machine that was verified");
    if (policy->td.allows_sept_ve)
        note(ret, RD_POLICY_LOOSENS, "/td/sept_ve", "the host can inject faults into the guest");
    if (policy->td.service_tds_count)
        note(ret, RD_POLICY_LOOSENS, "/td/service_tds", "%zu service TDs are trusted besides",
             policy->td.service_tds_count);
    if (policy->sgx.allows_provision_key)
        note(ret, RD_POLICY_LOOSENS, "/sgx/provision_key", "enclaves that can tell machines apart are accepted");
    if (policy->snp.allows_masked_chip)
        note(ret, RD_POLICY_LOOSENS, "/snp/masked_chip", "reports that hide their chip are accepted");
    if (policy->snp.max_vmpl)
        note(ret, RD_POLICY_LOOSENS, "/snp/max_vmpl", "reports asked for at VMPL %u are accepted",
             policy->snp.max_vmpl);
    if (policy->snp.allows_migration_agent)
        note(ret, RD_POLICY_LOOSENS, "/snp/migration_agent", "a migration agent may take the guest elsewhere");
}

/* --- one against another --- */

typedef enum diff_kind {
    FLAG_LOOSENS,  /* true accepts more; absent is false */
    FLAG_TIGHTENS, /* true accepts less */
    LIST_ACCEPTS,  /* each item is something more that is accepted; absent is empty */
    LIST_LIMITS,   /* absent accepts anything; then as above */
    LIST_DEMANDS,  /* each item is something more that is asked for; absent is empty */
    MORE_LOOSENS,  /* a larger number, or a later time, accepts more; absent is 0 */
    MORE_TIGHTENS,
    EXACT,  /* absent accepts anything */
    NEUTRAL /* neither more nor less */
} diff_kind;

#define MIN_TCB(product)                                                                                               \
    { "/snp/min_tcb/" product "/boot_loader", MORE_TIGHTENS }, { "/snp/min_tcb/" product "/fmc", MORE_TIGHTENS },      \
        { "/snp/min_tcb/" product "/microcode", MORE_TIGHTENS }, { "/snp/min_tcb/" product "/snp", MORE_TIGHTENS },    \
    {                                                                                                                  \
        "/snp/min_tcb/" product "/tee", MORE_TIGHTENS                                                                  \
    }

static const struct {
    const char *pointer;
    diff_kind kind;
} diff_rows[] = {
    { "/simulated", FLAG_LOOSENS },
    { "/debug", FLAG_LOOSENS },
    { "/tees", LIST_ACCEPTS },
    { "/tcb", LIST_ACCEPTS },
    { "/measurements", LIST_ACCEPTS },
    { "/max_collateral_age_s", MORE_LOOSENS },
    { "/advisories", LIST_LIMITS },
    { "/grace/tcb", LIST_ACCEPTS },
    { "/grace/until", MORE_LOOSENS },
    { "/grace/since", MORE_TIGHTENS },
    { "/min_evaluation", MORE_TIGHTENS },
    { "/platforms", LIST_LIMITS },
    { "/report_data", EXACT },
    { "/td/migratable", FLAG_LOOSENS },
    { "/td/sept_ve", FLAG_LOOSENS },
    { "/td/service_tds", LIST_ACCEPTS },
    { "/td/attributes", EXACT },
    { "/td/xfam", EXACT },
    { "/td/mr_seams", LIST_LIMITS },
    { "/td/modules", LIST_LIMITS },
    { "/td/seam_loader_min", MORE_TIGHTENS },
    { "/sgx/provision_key", FLAG_LOOSENS },
    { "/sgx/attributes", EXACT },
    { "/sgx/misc_select", EXACT },
    { "/sgx/xfrm", EXACT },
    { "/snp/max_vmpl", MORE_LOOSENS },
    { "/snp/migration_agent", FLAG_LOOSENS },
    { "/snp/vcek_only", FLAG_TIGHTENS },
    { "/snp/masked_chip", FLAG_LOOSENS },
    { "/snp/id_block", FLAG_TIGHTENS },
    { "/snp/guest_policy/refuse", LIST_DEMANDS },
    { "/snp/guest_policy/require", LIST_DEMANDS },
    { "/snp/platform_info/refuse", LIST_DEMANDS },
    { "/snp/platform_info/require", LIST_DEMANDS },
    MIN_TCB("Milan"),
    MIN_TCB("Genoa"),
    MIN_TCB("Turin"),
    { "/webhook/key", EXACT },
    { "/webhook/url", EXACT },
    { "/webhook/private", NEUTRAL },
};

static const json_t *at(const json_t *object, const char *pointer)
{
    char name[32];
    while (object && *pointer == '/') {
        size_t size = strcspn(++pointer, "/");
        (void)snprintf(name, sizeof name, "%.*s", (int)size, pointer);
        object = json_object_get(object, name);
        pointer += size;
    }
    return object;
}

static bool holds(const json_t *list, const json_t *item)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), item))
            return true;
    return false;
}

static void note_items(const json_t *list, const json_t *without, rd_policy_effect effect, const char *verb,
                       const char *member, rd_policy_notes *ret)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (holds(without, item))
            continue;
        char *text = json_dumps(item, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
        note(ret, effect, member, "%s %s", verb, text ? text : "");
        free(text);
    }
}

static void diff_list(const json_t *a, const json_t *b, const char *member, rd_policy_notes *ret)
{
    note_items(b, a, RD_POLICY_LOOSENS, "accepts", member, ret);
    note_items(a, b, RD_POLICY_TIGHTENS, "no longer accepts", member, ret);
}

/* Numbers as they are; texts are times or 0, and RFC 3339 in one form sorts as time does. */
static int compare(const json_t *a, const json_t *b)
{
    if (json_is_string(a) || json_is_string(b))
        return strcmp(json_is_string(a) ? json_string_value(a) : "", json_is_string(b) ? json_string_value(b) : "");
    json_int_t left = json_integer_value(a);
    json_int_t right = json_integer_value(b);
    return left < right ? -1 : left > right;
}

static void diff_value(const json_t *a, const json_t *b, rd_policy_effect effect, const char *member,
                       rd_policy_notes *ret)
{
    char *was = a ? json_dumps(a, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    char *is = b ? json_dumps(b, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    note(ret, effect, member, "%s, was %s", is ? is : "absent", was ? was : "absent");
    free(was);
    free(is);
}

static void diff_row(const json_t *a, const json_t *b, diff_kind kind, const char *member, rd_policy_notes *ret)
{
    int order = kind <= FLAG_TIGHTENS ? json_is_true(a) - json_is_true(b) : compare(a, b);
    switch (kind) {
    case LIST_LIMITS:
        if (!a != !b) {
            note(ret, b ? RD_POLICY_TIGHTENS : RD_POLICY_LOOSENS, member,
                 b ? "only what is listed is accepted, was any" : "any is accepted, was a list");
            return;
        }
        diff_list(a, b, member, ret);
        return;
    case LIST_ACCEPTS:
        diff_list(a, b, member, ret);
        return;
    case LIST_DEMANDS:
        note_items(b, a, RD_POLICY_TIGHTENS, "asks for", member, ret);
        note_items(a, b, RD_POLICY_LOOSENS, "no longer asks for", member, ret);
        return;
    case EXACT:
        if (!a != !b || (a && !json_equal(a, b)))
            diff_value(a, b, !a ? RD_POLICY_TIGHTENS : !b ? RD_POLICY_LOOSENS : RD_POLICY_CHANGES, member, ret);
        return;
    case NEUTRAL:
        if (!a != !b)
            diff_value(a, b, RD_POLICY_CHANGES, member, ret);
        return;
    case FLAG_LOOSENS:
    case MORE_LOOSENS:
        if (order != 0)
            diff_value(a, b, order < 0 ? RD_POLICY_LOOSENS : RD_POLICY_TIGHTENS, member, ret);
        return;
    case FLAG_TIGHTENS:
    case MORE_TIGHTENS:
        if (order != 0)
            diff_value(a, b, order < 0 ? RD_POLICY_TIGHTENS : RD_POLICY_LOOSENS, member, ret);
        return;
    }
}

void rd_policy_diff(const rd_policy *a, const rd_policy *b, rd_policy_notes *ret)
{
    RD_CLEANUP(rd_json_free_p) json_t *left = rd_policy_to_json(a);
    RD_CLEANUP(rd_json_free_p) json_t *right = rd_policy_to_json(b);
    for (size_t i = 0; i < RD_ARRAY_LEN(diff_rows); i++)
        diff_row(at(left, diff_rows[i].pointer), at(right, diff_rows[i].pointer), diff_rows[i].kind,
                 diff_rows[i].pointer, ret);
}
