#include "cli/policy_words.h"

#include "cli/profile.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_policy_load(const char *path, rd_policy **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size = 0;
    if (cli_read_file(path, RD_JSON_SIZE_MAX, &data, &size, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) rd_policy *policy = rd_alloc(sizeof *policy);
    if (rd_policy_load(rd_bytes_of(data, size), policy, err) < 0)
        return -1;
    *ret = RD_TAKE(policy);
    return 0;
}

RD_PRINTF(2, 3)
static void say(json_t *lines, const char *fmt, ...)
{
    char piece[2048];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(piece, sizeof piece, fmt, args);
    va_end(args);
    (void)json_array_append_new(lines, json_string(piece));
}

/* "a", "a or b", "a, b or c". */
static void join(char *out, size_t size, const char *const *words, size_t count)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s",
                                 i == 0           ? ""
                                 : i + 1 == count ? " or "
                                                  : ", ",
                                 words[i]);
}

static void join_states(char *out, size_t size, const rd_tcb_status *items, size_t count)
{
    const char *words[RD_TCB_STATUS_COUNT];
    for (size_t i = 0; i < count; i++)
        words[i] = rd_tcb_status_names[items[i]];
    join(out, size, words, count);
}

static void say_tees(json_t *lines, const rd_policy *policy)
{
    const char *words[RD_TEE_COUNT];
    char list[64];
    for (size_t i = 0; i < policy->tees_count; i++)
        words[i] = rd_tee_names[policy->tees[i]];
    join(list, sizeof list, words, policy->tees_count);
    if (policy->tees_count == 0)
        say(lines, "Refuses everything: no kind of TEE is listed.");
    else
        say(lines, "The evidence is of %s%s.", list, policy->is_simulated ? ", made by a simulation" : " hardware");
    say(lines, "%s",
        policy->allows_debug ? "Enclaves in debug mode are accepted: their host reads everything."
                             : "Enclaves in debug mode are refused.");
}

static void say_tcb(json_t *lines, const rd_policy *policy)
{
    char list[512], from[RD_TIME_TEXT_SIZE], until[RD_TIME_TEXT_SIZE];
    join_states(list, sizeof list, policy->tcb, policy->tcb_count);
    say(lines, "The platform's TCB state is %s.",
        policy->tcb_count ? list : "none that exists: Intel TEEs are refused");
    if (policy->has_grace) {
        join_states(list, sizeof list, policy->grace.tcb, policy->grace.tcb_count);
        rd_time_format(policy->grace.until_us, until);
        rd_time_format(policy->grace.since_us, from);
        say(lines, "Until %s also %s%s%s.", until, list, policy->grace.since_us ? ", with a TCB date not before " : "",
            policy->grace.since_us ? from : "");
    }
    if (policy->has_advisories && policy->advisories_count == 0)
        say(lines, "No security advisory applies to the platform.");
    else if (policy->has_advisories)
        say(lines, "No security advisory applies to the platform but those named (%zu).", policy->advisories_count);
    if (policy->min_evaluation)
        say(lines, "The vendor's collateral is of evaluation number %u or later.", policy->min_evaluation);
    say(lines, "No piece of collateral is older than %u %s.",
        policy->max_collateral_age_s / (policy->max_collateral_age_s >= 172800 ? 86400 : 3600),
        policy->max_collateral_age_s >= 172800 ? "days" : "hours");
}

static void say_item(json_t *lines, const rd_policy *policy, size_t index)
{
    const rd_measurement *item = &policy->measurements[index];
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    for (size_t p = 0; p < item->parts_count; p++) {
        const rd_measure_row *row = &rd_measure_rows[item->parts[p].measure];
        char hex[2 * RD_POLICY_VALUE_SIZE + 1];
        rd_hex_encode(rd_bytes_of(policy->values[item->parts[p].first % RD_POLICY_VALUES_MAX], row->size), hex);
        rd_buf_printf(&text, "%s%s ", p ? ", " : "", row->name);
        if (item->parts[p].count == 0)
            rd_buf_append_str(&text, "anything");
        else
            rd_buf_printf(&text, "%.12s…", hex);
        if (item->parts[p].count > 1)
            rd_buf_printf(&text, " (or another of %u values)", item->parts[p].count);
    }
    if (item->has_isv)
        rd_buf_printf(&text, ", product %u from version %u on", item->isv_prod_id, item->isv_svn_min);
    if (item->guest_svn_min)
        rd_buf_printf(&text, ", guest version %u or later", item->guest_svn_min);
    if (item->config_svn_min)
        rd_buf_printf(&text, ", configuration version %u or later", item->config_svn_min);
    say(lines, "%s %s: %s.", index == 0 ? "What runs is" : "or", rd_tee_names[item->tee], rd_buf_text(&text));
}

static void say_bits(json_t *lines, const char *what, const rd_policy_bits *bits, size_t size)
{
    static const uint8_t nothing[8];
    char mask[17], value[17];
    if (memcmp(bits->mask, nothing, sizeof nothing) == 0)
        return;
    rd_hex_encode(rd_bytes_of(bits->mask, size), mask);
    rd_hex_encode(rd_bytes_of(bits->value, size), value);
    say(lines, "%s are %s under the mask %s.", what, value, mask);
}

static void say_flags(json_t *lines, const char *what, const rd_policy_flags *flags, const rd_bit_name *names)
{
    for (; names->name; names++) {
        if (flags->require >> names->bit & 1)
            say(lines, "%s has %s set.", what, names->name);
        if (flags->refuse >> names->bit & 1)
            say(lines, "%s has %s clear.", what, names->name);
    }
}

static void say_sgx(json_t *lines, const rd_policy *policy)
{
    if (policy->sgx.allows_provision_key)
        say(lines, "An enclave may use the provisioning key, by which machines can be told apart.");
    say_bits(lines, "An enclave's attributes", &policy->sgx.attributes, 8);
    say_bits(lines, "An enclave's XFRM bits", &policy->sgx.xfrm, 8);
    say_bits(lines, "An enclave's MISCSELECT bits", &policy->sgx.misc_select, 4);
}

static void say_td(json_t *lines, const rd_policy *policy)
{
    if (policy->td.allows_migratable)
        say(lines, "A TD may leave its machine.");
    if (policy->td.allows_sept_ve)
        say(lines, "A TD may leave SEPT_VE_DISABLE clear.");
    if (policy->td.service_tds_count)
        say(lines, "A TD may be bound to one of %zu service TDs.", policy->td.service_tds_count);
    say_bits(lines, "A TD's attributes", &policy->td.attributes, 8);
    say_bits(lines, "A TD's XFAM bits", &policy->td.xfam, 8);
    if (policy->td.mr_seams_count)
        say(lines, "The TDX module is one of the %zu that are named by MRSEAM.", policy->td.mr_seams_count);
    for (size_t i = 0; i < policy->td.modules_count; i++)
        say(lines, "%s a TDX module of version %u from SVN %u on.", i ? "or" : "A TD was launched by",
            policy->td.modules[i].version, policy->td.modules[i].svn_min);
    if (policy->td.seam_loader_min)
        say(lines, "The SEAM loader is of SVN %u or later.", policy->td.seam_loader_min);
}

static void say_platform(json_t *lines, const rd_policy *policy)
{
    if (policy->platforms_count)
        say(lines, "The machine is one of those named (%zu).", policy->platforms_count);
    else
        say(lines, "The machine is any genuine one.");
    if (policy->has_report_data)
        say(lines, "The report data is exactly what is named.");
    say_td(lines, policy);
    say_sgx(lines, policy);
    if (policy->snp.max_vmpl)
        say(lines, "SEV-SNP reports may be asked for at VMPL %u.", policy->snp.max_vmpl);
    if (policy->snp.allows_migration_agent)
        say(lines, "SEV-SNP guests may have a migration agent.");
    if (policy->snp.demands_vcek)
        say(lines, "SEV-SNP reports are signed by the chip's own key.");
    if (policy->snp.allows_masked_chip)
        say(lines, "SEV-SNP reports may hide their chip.");
    if (policy->snp.demands_id_block)
        say(lines, "SEV-SNP guests were launched with a signed ID block.");
    say_flags(lines, "A SEV-SNP guest's policy", &policy->snp.guest_policy, rd_snp_guest_policy_bits);
    say_flags(lines, "A SEV-SNP machine", &policy->snp.platform_info, rd_snp_platform_info_bits);
    for (int p = RD_SNP_MILAN; p < RD_SNP_PRODUCT_COUNT; p++)
        if (policy->snp.min_tcb[p].is_set)
            say(lines, "On %s the TCB reaches boot loader %u, TEE %u, SNP %u, microcode %u, and cannot go back.",
                rd_snp_product_names[p], policy->snp.min_tcb[p].tcb.boot_loader, policy->snp.min_tcb[p].tcb.tee,
                policy->snp.min_tcb[p].tcb.snp, policy->snp.min_tcb[p].tcb.microcode);
}

static void say_webhook(json_t *lines, const rd_webhook *webhook)
{
    char key[44];
    if (!webhook->is_set)
        return;
    rd_base64url_encode(RD_BYTES_ARRAY(webhook->key.b), key);
    say(lines, "Before each grant %s says yes, signed by the key %s%s.", webhook->url, key,
        webhook->is_private ? "; it may have a private address" : "");
    say(lines, "The webhook is asked for grants alone: whoever checks evidence with this policy asks nobody.");
}

json_t *cli_policy_notes(const rd_policy_notes *notes)
{
    json_t *list = json_array();
    for (size_t i = 0; i < notes->count; i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "effect",
                                                    rd_policy_effect_names[notes->items[i].effect], "member",
                                                    notes->items[i].member, "text", notes->items[i].text));
    return list;
}

json_t *cli_policy_words(const rd_policy *policy)
{
    json_t *lines = json_array();
    say_tees(lines, policy);
    say_tcb(lines, policy);
    if (policy->measurements_count == 0)
        say(lines, "Refuses everything: no measurement is listed.");
    for (size_t i = 0; i < policy->measurements_count; i++)
        say_item(lines, policy, i);
    say_platform(lines, policy);
    say_webhook(lines, &policy->webhook);
    return lines;
}
