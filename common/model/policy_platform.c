/* What a policy says of the machine and its registers, TEE by TEE: the members sgx, snp and td. */
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/policy_priv.h"

#include <stdio.h>
#include <string.h>

/* AMD 56860, guest policy and PLATFORM_INFO; what has a member of its own (debug, migration agent) is not here. */
const rd_bit_name rd_snp_guest_policy_bits[] = {
    { 16, "smt" },
    { 20, "single_socket" },
    { 21, "cxl" },
    { 22, "aes_256_xts" },
    { 23, "rapl_disabled" },
    { 24, "ciphertext_hiding" },
    { 25, "page_swap_disabled" },
    { 0, NULL },
};
const rd_bit_name rd_snp_platform_info_bits[] = {
    { 0, "smt" },         { 1, "tsme" }, { 2, "ecc" }, { 3, "rapl_disabled" }, { 4, "ciphertext_hiding" },
    { 5, "alias_check" }, { 7, "tio" },  { 0, NULL },
};

/* --- lists of hex values --- */

int rd_policy_read_hex_item(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    const rd_policy_hex_list *list = context;
    const char *text = json_string_value(item);
    uint8_t *into = list->items + index * list->size;
    if (!text)
        return rd_policy_refuse(err, pointer, RD_E_JSON_TYPE, "a string of hex digits is needed");
    if (strcspn(text, "ABCDEF") != strlen(text) || rd_hex_decode(text, json_string_length(item), into, list->size) < 0)
        return rd_policy_refuse(err, pointer, RD_E_ENCODING, "not lower-case hex of the right length");
    for (size_t i = 0; i < index; i++)
        if (memcmp(list->items + i * list->size, into, list->size) == 0)
            return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "a value stands twice");
    *list->count = index + 1;
    return 0;
}

json_t *rd_policy_hex_list_to_json(const uint8_t *items, size_t count, size_t size)
{
    char hex[2 * 64 + 1];
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        rd_hex_encode(rd_bytes_of(items + i * size, size), hex);
        (void)json_array_append_new(list, json_string(hex));
    }
    return list;
}

void rd_policy_set_filled(json_t *object, const char *name, json_t *members)
{
    if (json_object_size(members) > 0)
        rd_json_set(object, name, members);
    else
        json_decref(members);
}

/* --- bits --- */

static uint64_t bit_of(const rd_bit_name *names, const char *text)
{
    for (; text && names->name; names++)
        if (strcmp(names->name, text) == 0)
            return UINT64_C(1) << names->bit;
    return 0;
}

typedef struct flag_reader {
    const rd_bit_name *names;
    uint64_t *bits;
} flag_reader;

/* In the order of their bits, so that a policy has one form. */
static int read_flag(const json_t *item, size_t index RD_UNUSED, void *context, const char *pointer, rd_err *err)
{
    const flag_reader *reader = context;
    uint64_t bit = bit_of(reader->names, json_string_value(item));
    if (!bit)
        return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "not the name of a bit of this register");
    if (bit <= *reader->bits)
        return rd_policy_refuse(err, pointer, RD_E_NOT_CANONICAL, "names stand once each, in the order of their bits");
    *reader->bits |= bit;
    return 0;
}

static int read_flags(const json_t *value, const rd_bit_name *names, rd_policy_flags *ret, const char *pointer,
                      rd_err *err)
{
    const struct {
        const char *name;
        uint64_t *bits;
    } members[] = { { "refuse", &ret->refuse }, { "require", &ret->require } };
    char here[sizeof err->pointer];
    size_t known = 0;
    for (size_t i = 0; i < RD_ARRAY_LEN(members); i++) {
        const json_t *list = json_object_get(value, members[i].name);
        flag_reader reader = { .names = names, .bits = members[i].bits };
        (void)snprintf(here, sizeof here, "%s/%s", pointer, members[i].name);
        if (list && rd_json_each(list, 1, 16, here, read_flag, &reader, err) < 0)
            return -1;
        known += list != NULL;
    }
    if (known == 0 || known != json_object_size(value))
        return rd_policy_refuse(err, pointer, RD_E_JSON_UNKNOWN, "an object of refuse and require is needed");
    if (ret->refuse & ret->require)
        return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "a bit is refused and required at once");
    return 0;
}

static int read_guest_policy(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return read_flags(value, rd_snp_guest_policy_bits, into, pointer, err);
}

static int read_platform_info(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return read_flags(value, rd_snp_platform_info_bits, into, pointer, err);
}

static json_t *bit_list(uint64_t bits, const rd_bit_name *names)
{
    json_t *list = json_array();
    for (; names->name; names++)
        if (bits >> names->bit & 1)
            (void)json_array_append_new(list, json_string(names->name));
    return list;
}

static json_t *flags_to_json(const rd_policy_flags *flags, const rd_bit_name *names)
{
    json_t *object = json_object();
    if (flags->refuse)
        rd_json_set(object, "refuse", bit_list(flags->refuse, names));
    if (flags->require)
        rd_json_set(object, "require", bit_list(flags->require, names));
    return object;
}

static int read_masked(const json_t *value, rd_policy_bits *ret, size_t size, const char *pointer, rd_err *err)
{
    const rd_json_field fields[] = {
        { "mask", RD_JSON_HEX, offsetof(rd_policy_bits, mask), RD_REQUIRED, .max = (int64_t)size },
        { "value", RD_JSON_HEX, offsetof(rd_policy_bits, value), RD_REQUIRED, .max = (int64_t)size },
        RD_JSON_END,
    };
    uint8_t any = 0, outside = 0;
    if (rd_json_read(value, fields, RD_UNKNOWN_REFUSED, pointer, ret, err) < 0)
        return -1;
    for (size_t i = 0; i < size; i++) {
        any |= ret->mask[i];
        outside |= ret->value[i] & (uint8_t)~ret->mask[i];
    }
    if (!any || outside)
        return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE,
                                "the mask names at least one bit, and the value none outside of it");
    return 0;
}

static int read_bits(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return read_masked(value, into, 8, pointer, err);
}

static int read_misc_select(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return read_masked(value, into, 4, pointer, err);
}

static void set_bits(json_t *object, const char *name, const rd_policy_bits *bits, size_t size)
{
    static const uint8_t nothing[8];
    if (memcmp(bits->mask, nothing, sizeof nothing) == 0)
        return;
    json_t *pair = json_object();
    rd_json_set_hex(pair, "mask", rd_bytes_of(bits->mask, size));
    rd_json_set_hex(pair, "value", rd_bytes_of(bits->value, size));
    rd_json_set(object, name, pair);
}

/* --- SEV-SNP --- */

#define SNP_PART(name, member)                                                                                         \
    {                                                                                                                  \
        name, RD_JSON_U32, offsetof(snp_parts, member), RD_REQUIRED, .max = UINT8_MAX                                  \
    }

typedef struct snp_parts {
    uint32_t fmc, boot_loader, tee, snp, microcode;
} snp_parts;

static const rd_json_field snp_tcb_fields[] = {
    SNP_PART("boot_loader", boot_loader),
    SNP_PART("microcode", microcode),
    SNP_PART("snp", snp),
    SNP_PART("tee", tee),
    RD_JSON_END,
};
static const rd_json_field snp_tcb_turin_fields[] = {
    SNP_PART("boot_loader", boot_loader),
    SNP_PART("fmc", fmc),
    SNP_PART("microcode", microcode),
    SNP_PART("snp", snp),
    SNP_PART("tee", tee),
    RD_JSON_END,
};

static int read_min_tcb(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_policy *policy = into;
    char here[sizeof err->pointer];
    const char *name;
    json_t *member;
    if (!json_is_object(value) || json_object_size(value) == 0)
        return rd_policy_refuse(err, pointer, RD_E_JSON_TYPE, "an object of products is needed");
    json_object_foreach((json_t *)value, name, member)
    {
        int product = 0;
        snp_parts parts = { 0 };
        RD_CLEANUP(rd_json_free_p) json_t *text = json_string(name);
        (void)snprintf(here, sizeof here, "%s/%s", pointer, name);
        if (rd_json_enum(text, here, rd_snp_product_names, &product, err) < 0 ||
            rd_json_read(member, product == RD_SNP_TURIN ? snp_tcb_turin_fields : snp_tcb_fields, RD_UNKNOWN_REFUSED,
                         here, &parts, err) < 0)
            return -1;
        policy->snp.min_tcb[product].is_set = true;
        policy->snp.min_tcb[product].tcb = (rd_snp_tcb){ .boot_loader = (uint8_t)parts.boot_loader,
                                                         .tee = (uint8_t)parts.tee,
                                                         .snp = (uint8_t)parts.snp,
                                                         .microcode = (uint8_t)parts.microcode,
                                                         .fmc = (uint8_t)parts.fmc };
    }
    return 0;
}

const rd_json_field rd_policy_snp_fields[] = {
    { "guest_policy", RD_JSON_CUSTOM, offsetof(rd_policy, snp.guest_policy), RD_OPTIONAL, .parse = read_guest_policy },
    { "id_block", RD_JSON_BOOL, offsetof(rd_policy, snp.demands_id_block), RD_OPTIONAL },
    { "masked_chip", RD_JSON_BOOL, offsetof(rd_policy, snp.allows_masked_chip), RD_OPTIONAL },
    { "max_vmpl", RD_JSON_U32, offsetof(rd_policy, snp.max_vmpl), RD_OPTIONAL, .min = 1, .max = 3 },
    { "migration_agent", RD_JSON_BOOL, offsetof(rd_policy, snp.allows_migration_agent), RD_OPTIONAL },
    { "min_tcb", RD_JSON_CUSTOM, 0, RD_OPTIONAL, .parse = read_min_tcb },
    { "platform_info", RD_JSON_CUSTOM, offsetof(rd_policy, snp.platform_info), RD_OPTIONAL,
      .parse = read_platform_info },
    { "vcek_only", RD_JSON_BOOL, offsetof(rd_policy, snp.demands_vcek), RD_OPTIONAL },
    RD_JSON_END,
};

static json_t *min_tcb_to_json(const rd_policy *policy)
{
    json_t *object = json_object();
    for (int p = RD_SNP_MILAN; p < RD_SNP_PRODUCT_COUNT; p++) {
        const rd_snp_tcb *tcb = &policy->snp.min_tcb[p].tcb;
        if (!policy->snp.min_tcb[p].is_set)
            continue;
        json_t *parts = json_object();
        rd_json_set_int(parts, "boot_loader", tcb->boot_loader);
        if (p == RD_SNP_TURIN)
            rd_json_set_int(parts, "fmc", tcb->fmc);
        rd_json_set_int(parts, "microcode", tcb->microcode);
        rd_json_set_int(parts, "snp", tcb->snp);
        rd_json_set_int(parts, "tee", tcb->tee);
        rd_json_set(object, rd_snp_product_names[p], parts);
    }
    return object;
}

json_t *rd_policy_snp_to_json(const rd_policy *policy)
{
    json_t *object = json_object();
    rd_policy_set_filled(object, "guest_policy", flags_to_json(&policy->snp.guest_policy, rd_snp_guest_policy_bits));
    if (policy->snp.demands_id_block)
        rd_json_set_bool(object, "id_block", true);
    if (policy->snp.allows_masked_chip)
        rd_json_set_bool(object, "masked_chip", true);
    if (policy->snp.allows_migration_agent)
        rd_json_set_bool(object, "migration_agent", true);
    if (policy->snp.demands_vcek)
        rd_json_set_bool(object, "vcek_only", true);
    if (policy->snp.max_vmpl)
        rd_json_set_int(object, "max_vmpl", policy->snp.max_vmpl);
    rd_policy_set_filled(object, "min_tcb", min_tcb_to_json(policy));
    rd_policy_set_filled(object, "platform_info", flags_to_json(&policy->snp.platform_info, rd_snp_platform_info_bits));
    return object;
}

/* --- TDX --- */

static int read_service_tds(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_policy *policy = into;
    rd_policy_hex_list list = { .items = policy->td.service_tds[0],
                                .count = &policy->td.service_tds_count,
                                .size = 48 };
    return rd_json_each(value, 1, RD_POLICY_SERVICE_TDS, pointer, rd_policy_read_hex_item, &list, err);
}

static int read_mr_seams(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_policy *policy = into;
    rd_policy_hex_list list = { .items = policy->td.mr_seams[0], .count = &policy->td.mr_seams_count, .size = 48 };
    return rd_json_each(value, 1, RD_POLICY_SEAMS_MAX, pointer, rd_policy_read_hex_item, &list, err);
}

typedef struct module_parts {
    uint32_t svn_min, version;
} module_parts;

static int read_module(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "svn_min", RD_JSON_U32, offsetof(module_parts, svn_min), RD_REQUIRED, .max = UINT8_MAX },
        { "version", RD_JSON_U32, offsetof(module_parts, version), RD_REQUIRED, .max = UINT8_MAX },
        RD_JSON_END,
    };
    rd_policy *policy = context;
    module_parts parts = { 0 };
    if (rd_json_read(item, fields, RD_UNKNOWN_REFUSED, pointer, &parts, err) < 0)
        return -1;
    for (size_t i = 0; i < index; i++)
        if (policy->td.modules[i].version == parts.version)
            return rd_policy_refuse(err, pointer, RD_E_JSON_RANGE, "a version stands twice");
    policy->td.modules[index].version = (uint8_t)parts.version;
    policy->td.modules[index].svn_min = (uint8_t)parts.svn_min;
    policy->td.modules_count = index + 1;
    return 0;
}

static int read_modules(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 1, RD_POLICY_SEAMS_MAX, pointer, read_module, into, err);
}

const rd_json_field rd_policy_td_fields[] = {
    { "attributes", RD_JSON_CUSTOM, offsetof(rd_policy, td.attributes), RD_OPTIONAL, .parse = read_bits },
    { "migratable", RD_JSON_BOOL, offsetof(rd_policy, td.allows_migratable), RD_OPTIONAL },
    { "modules", RD_JSON_CUSTOM, 0, RD_OPTIONAL, .parse = read_modules },
    { "mr_seams", RD_JSON_CUSTOM, 0, RD_OPTIONAL, .parse = read_mr_seams },
    { "seam_loader_min", RD_JSON_U32, offsetof(rd_policy, td.seam_loader_min), RD_OPTIONAL, .min = 1,
      .max = UINT8_MAX },
    { "sept_ve", RD_JSON_BOOL, offsetof(rd_policy, td.allows_sept_ve), RD_OPTIONAL },
    { "service_tds", RD_JSON_CUSTOM, 0, RD_OPTIONAL, .parse = read_service_tds },
    { "xfam", RD_JSON_CUSTOM, offsetof(rd_policy, td.xfam), RD_OPTIONAL, .parse = read_bits },
    RD_JSON_END,
};

static json_t *modules_to_json(const rd_policy *policy)
{
    json_t *list = json_array();
    for (size_t i = 0; i < policy->td.modules_count; i++) {
        json_t *item = json_object();
        rd_json_set_int(item, "svn_min", policy->td.modules[i].svn_min);
        rd_json_set_int(item, "version", policy->td.modules[i].version);
        (void)json_array_append_new(list, item);
    }
    return list;
}

json_t *rd_policy_td_to_json(const rd_policy *policy)
{
    json_t *object = json_object();
    set_bits(object, "attributes", &policy->td.attributes, 8);
    if (policy->td.allows_migratable)
        rd_json_set_bool(object, "migratable", true);
    if (policy->td.modules_count)
        rd_json_set(object, "modules", modules_to_json(policy));
    if (policy->td.mr_seams_count)
        rd_json_set(object, "mr_seams",
                    rd_policy_hex_list_to_json(policy->td.mr_seams[0], policy->td.mr_seams_count, 48));
    if (policy->td.seam_loader_min)
        rd_json_set_int(object, "seam_loader_min", policy->td.seam_loader_min);
    if (policy->td.allows_sept_ve)
        rd_json_set_bool(object, "sept_ve", true);
    if (policy->td.service_tds_count)
        rd_json_set(object, "service_tds",
                    rd_policy_hex_list_to_json(policy->td.service_tds[0], policy->td.service_tds_count, 48));
    set_bits(object, "xfam", &policy->td.xfam, 8);
    return object;
}

/* --- SGX --- */

const rd_json_field rd_policy_sgx_fields[] = {
    { "attributes", RD_JSON_CUSTOM, offsetof(rd_policy, sgx.attributes), RD_OPTIONAL, .parse = read_bits },
    { "misc_select", RD_JSON_CUSTOM, offsetof(rd_policy, sgx.misc_select), RD_OPTIONAL, .parse = read_misc_select },
    { "provision_key", RD_JSON_BOOL, offsetof(rd_policy, sgx.allows_provision_key), RD_OPTIONAL },
    { "xfrm", RD_JSON_CUSTOM, offsetof(rd_policy, sgx.xfrm), RD_OPTIONAL, .parse = read_bits },
    RD_JSON_END,
};

json_t *rd_policy_sgx_to_json(const rd_policy *policy)
{
    json_t *object = json_object();
    set_bits(object, "attributes", &policy->sgx.attributes, 8);
    set_bits(object, "misc_select", &policy->sgx.misc_select, 4);
    if (policy->sgx.allows_provision_key)
        rd_json_set_bool(object, "provision_key", true);
    set_bits(object, "xfrm", &policy->sgx.xfrm, 8);
    return object;
}

bool rd_policy_bits_fit(const rd_policy_bits *bits, const uint8_t *found, size_t size)
{
    uint8_t off = 0;
    for (size_t i = 0; i < size; i++)
        off |= (uint8_t)((found[i] & bits->mask[i]) ^ bits->value[i]);
    return off == 0;
}

const char *rd_policy_flags_misfit(const rd_policy_flags *flags, const rd_bit_name *names, uint64_t found,
                                   bool *ret_is_missing)
{
    for (; names->name; names++) {
        uint64_t bit = UINT64_C(1) << names->bit;
        *ret_is_missing = flags->require & bit;
        if ((flags->require & bit && !(found & bit)) || (flags->refuse & bit && found & bit))
            return names->name;
    }
    return NULL;
}
