#include "attest/tcb_info.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/json_fields.h"
#include "common/base/mem.h"

static void levels_done(rd_tcb_levels *levels)
{
    for (size_t i = 0; i < levels->count; i++)
        free(levels->items[i].advisories);
    free(levels->items);
    *levels = (rd_tcb_levels){ 0 };
}

void rd_tcb_info_done(rd_tcb_info *info)
{
    levels_done(&info->levels);
    levels_done(&info->module.levels);
    for (size_t i = 0; i < info->module_count; i++)
        levels_done(&info->modules[i].levels);
    free(info->modules);
    *info = (rd_tcb_info){ 0 };
}

void rd_qe_identity_done(rd_qe_identity *identity)
{
    levels_done(&identity->levels);
    *identity = (rd_qe_identity){ 0 };
}

/* --- levels --- */

static int read_status(rd_json_view object, rd_tcb_status *ret, rd_err *err)
{
    char text[65];
    if (rd_field_text(object, "tcbStatus", text, sizeof text, err) < 0)
        return -1;
    *ret = rd_tcb_status_parse(text);
    /* The relaunch states are findings of a verifier: no level carries them. */
    if (*ret == RD_TCB_UNKNOWN || *ret > RD_TCB_REVOKED)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "TCB status \"%s\" is not known", text);
    return 0;
}

/* PCS API v4: advisoryIDs is optional. */
static int read_advisories(rd_json_view object, rd_tcb_level *ret, rd_err *err)
{
    rd_json_view item, place;
    size_t count = 0;
    if (!rd_json_view_get(object, "advisoryIDs", &item))
        return 0;
    if (rd_field_array(object, "advisoryIDs", RD_ADVISORIES_MAX, &item, &count, err) < 0)
        return -1;
    ret->advisories = rd_alloc_array(RD_MAX(count, (size_t)1), sizeof *ret->advisories);
    for (place = rd_json_view_items(item); rd_json_view_next(&place, &item);)
        if (rd_json_view_text(item, ret->advisories[ret->advisory_count++], RD_ADVISORY_TEXT_SIZE) <= 0)
            return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "an advisory id is not 1 to %d bytes of text",
                              RD_ADVISORY_TEXT_SIZE - 1);
    return 0;
}

/* Where a component has no words of its own: the two microcode loads come first on every platform; those of TDX are the
 * module's two and the late microcode. */
static rd_tcb_kind kind_by_place(bool is_tdx, size_t index)
{
    static const rd_tcb_kind sgx[] = { RD_TCB_KIND_MICROCODE_EARLY, RD_TCB_KIND_MICROCODE_LATE };
    static const rd_tcb_kind tdx[] = { RD_TCB_KIND_TDX_MODULE, RD_TCB_KIND_TDX_MODULE, RD_TCB_KIND_MICROCODE_LATE };
    if (is_tdx)
        return index < RD_ARRAY_LEN(tdx) ? tdx[index] : RD_TCB_KIND_FIRMWARE;
    return index < RD_ARRAY_LEN(sgx) ? sgx[index] : RD_TCB_KIND_FIRMWARE;
}

static bool get_text(rd_json_view object, const char *name, char *out, size_t size)
{
    rd_json_view value;
    return rd_json_view_get(object, name, &value) && rd_json_view_text(value, out, size) >= 0;
}

/* PCS API v4: type, then category, both optional and for people. */
static rd_tcb_kind read_kind_of(rd_json_view component, bool is_tdx, size_t index)
{
    static const struct {
        const char *part;
        rd_tcb_kind kind;
    } words[] = {
        { "Early Microcode", RD_TCB_KIND_MICROCODE_EARLY },
        { "Late Microcode", RD_TCB_KIND_MICROCODE_LATE },
        { "SINIT", RD_TCB_KIND_SINIT },
        { "SEAMLDR", RD_TCB_KIND_SEAM_LOADER },
        { "TDX Module", RD_TCB_KIND_TDX_MODULE },
    };
    char text[128];
    bool has_type = get_text(component, "type", text, sizeof text);
    for (size_t i = 0; has_type && i < RD_ARRAY_LEN(words); i++)
        if (strstr(text, words[i].part))
            return words[i].kind;
    if (get_text(component, "category", text, sizeof text) && strcmp(text, "BIOS") == 0)
        return RD_TCB_KIND_BIOS;
    return kind_by_place(is_tdx, index);
}

/* D9: exactly 16 components, each with svn 0 to 255. */
static int read_components(rd_json_view tcb, const char *name, bool is_tdx, uint8_t out[16], uint8_t kinds[16],
                           rd_err *err)
{
    rd_json_view item, place;
    size_t i = 0;
    if (!rd_json_view_get(tcb, name, &item) || rd_json_view_count(item) != 16)
        return rd_err_set(err, RD_E_TCB_COMPONENTS, "%s is not an array of 16", name);
    for (place = rd_json_view_items(item); rd_json_view_next(&place, &item); i++) {
        int64_t svn = 0;
        if (rd_field_int(item, "svn", 255, &svn, err) < 0)
            return rd_err_wrap(err, "%s[%zu]", name, i);
        out[i] = (uint8_t)svn;
        kinds[i] = (uint8_t)read_kind_of(item, is_tdx, i);
    }
    return 0;
}

/* TCB info version 2 names each component. */
static int read_components_v2(rd_json_view tcb, uint8_t out[16], uint8_t kinds[16], rd_err *err)
{
    for (int i = 0; i < 16; i++) {
        char name[20];
        int64_t svn = 0;
        snprintf(name, sizeof name, "sgxtcbcomp%02dsvn", i + 1);
        if (rd_field_int(tcb, name, 255, &svn, err) < 0)
            return -1;
        out[i] = (uint8_t)svn;
        kinds[i] = (uint8_t)kind_by_place(false, (size_t)i);
    }
    return 0;
}

typedef struct level_shape {
    uint32_t version;
    bool has_tdx;
    bool is_isv; /* of an enclave or module: isvsvn alone */
} level_shape;

static int read_tcb(rd_json_view tcb, const level_shape *shape, rd_tcb_level *ret, rd_err *err)
{
    int64_t svn = 0;
    if (shape->is_isv) {
        if (rd_field_int(tcb, "isvsvn", 65535, &svn, err) < 0)
            return -1;
        ret->isv_svn = (uint32_t)svn;
        return 0;
    }
    int rc = shape->version == 2 ? read_components_v2(tcb, ret->sgx, ret->sgx_kinds, err)
                                 : read_components(tcb, "sgxtcbcomponents", false, ret->sgx, ret->sgx_kinds, err);
    if (rc < 0 ||
        (shape->has_tdx && read_components(tcb, "tdxtcbcomponents", true, ret->tdx, ret->tdx_kinds, err) < 0) ||
        rd_field_int(tcb, "pcesvn", 65535, &svn, err) < 0)
        return -1;
    ret->pce_svn = (uint16_t)svn;
    return 0;
}

static int read_level(rd_json_view object, const level_shape *shape, rd_tcb_level *ret, rd_err *err)
{
    rd_json_view tcb;
    if (rd_field_object(object, "tcb", &tcb, err) < 0 || read_tcb(tcb, shape, ret, err) < 0 ||
        rd_field_time(object, "tcbDate", &ret->date_us, err) < 0 || read_status(object, &ret->status, err) < 0)
        return -1;
    return read_advisories(object, ret, err);
}

static int read_levels(rd_json_view object, const level_shape *shape, rd_tcb_levels *ret, rd_err *err)
{
    rd_json_view item, place;
    size_t count = 0;
    if (rd_field_array(object, "tcbLevels", RD_TCB_LEVELS_MAX, &item, &count, err) < 0)
        return -1;
    ret->items = rd_alloc_array(RD_MAX(count, (size_t)1), sizeof *ret->items);
    for (place = rd_json_view_items(item); rd_json_view_next(&place, &item);)
        if (read_level(item, shape, &ret->items[ret->count++], err) < 0)
            return rd_err_wrap(err, "tcbLevels[%zu]", ret->count - 1);
    return 0;
}

/* --- TDX modules --- */

static int read_module(rd_json_view object, rd_tdx_module *ret, rd_err *err)
{
    if (rd_field_hex(object, "mrsigner", ret->mr_signer, sizeof ret->mr_signer, err) < 0 ||
        rd_field_hex(object, "attributes", ret->attributes, sizeof ret->attributes, err) < 0)
        return -1;
    return rd_field_hex(object, "attributesMask", ret->attributes_mask, sizeof ret->attributes_mask, err);
}

static int read_identity(rd_json_view object, rd_tdx_module *ret, rd_err *err)
{
    static const level_shape shape = { .is_isv = true };
    if (rd_field_text(object, "id", ret->id, sizeof ret->id, err) < 0 || read_module(object, ret, err) < 0)
        return -1;
    return read_levels(object, &shape, &ret->levels, err);
}

static int read_modules(rd_json_view root, rd_tcb_info *ret, rd_err *err)
{
    rd_json_view module, item, place;
    size_t count = 0;
    if (rd_field_object(root, "tdxModule", &module, err) < 0 || read_module(module, &ret->module, err) < 0)
        return rd_err_wrap(err, "tdxModule");
    ret->has_module = true;
    if (!rd_json_view_get(root, "tdxModuleIdentities", &item))
        return 0;
    if (rd_field_array(root, "tdxModuleIdentities", RD_MODULES_MAX, &item, &count, err) < 0)
        return -1;
    ret->modules = rd_alloc_array(RD_MAX(count, (size_t)1), sizeof *ret->modules);
    for (place = rd_json_view_items(item); rd_json_view_next(&place, &item);)
        if (read_identity(item, &ret->modules[ret->module_count++], err) < 0)
            return rd_err_wrap(err, "tdxModuleIdentities[%zu]", ret->module_count - 1);
    return 0;
}

/* --- the documents --- */

static int read_dates(rd_json_view root, int64_t *issued_us, int64_t *next_update_us, uint32_t *evaluation_number,
                      rd_err *err)
{
    int64_t number = 0;
    if (rd_field_time(root, "issueDate", issued_us, err) < 0 ||
        rd_field_time(root, "nextUpdate", next_update_us, err) < 0 ||
        rd_field_int(root, "tcbEvaluationDataNumber", INT32_MAX, &number, err) < 0)
        return -1;
    *evaluation_number = (uint32_t)number;
    return 0;
}

/* Version 2 has no id and serves SGX alone; version 3 names its TEE. */
static int read_kind(rd_json_view root, rd_tcb_info *ret, rd_err *err)
{
    int64_t version = 0, type = 0;
    char id[17] = "SGX";
    if (rd_field_int(root, "version", INT32_MAX, &version, err) < 0 ||
        rd_field_int(root, "tcbType", INT32_MAX, &type, err) < 0)
        return -1;
    if ((version != 2 && version != 3) || type != 0)
        return rd_err_set(err, RD_E_TCB_MISMATCH, "TCB info version %" PRId64 ", type %" PRId64, version, type);
    if (version == 3 && rd_field_text(root, "id", id, sizeof id, err) < 0)
        return -1;
    bool is_tdx = strcmp(id, "TDX") == 0;
    if (!is_tdx && strcmp(id, "SGX") != 0)
        return rd_err_set(err, RD_E_TCB_MISMATCH, "TCB info id \"%s\"", id);
    ret->version = (uint32_t)version;
    ret->tee = is_tdx ? RD_TEE_TDX : RD_TEE_SGX;
    return 0;
}

static int read_tcb_info(rd_json_view root, rd_tcb_info *ret, rd_err *err)
{
    if (read_kind(root, ret, err) < 0 ||
        read_dates(root, &ret->issued_us, &ret->next_update_us, &ret->evaluation_number, err) < 0 ||
        rd_field_hex(root, "fmspc", ret->fmspc, sizeof ret->fmspc, err) < 0 ||
        rd_field_hex(root, "pceId", ret->pce_id, sizeof ret->pce_id, err) < 0)
        return -1;
    bool is_tdx = ret->tee == RD_TEE_TDX;
    if (is_tdx && read_modules(root, ret, err) < 0)
        return -1;
    level_shape shape = { .version = ret->version, .has_tdx = is_tdx };
    return read_levels(root, &shape, &ret->levels, err);
}

int rd_tcb_info_parse(rd_bytes body, rd_tcb_info *ret, rd_err *err)
{
    *ret = (rd_tcb_info){ 0 };
    RD_CLEANUP(rd_json_doc_done) rd_json_doc doc;
    rd_json_view root;
    if (rd_field_document(body, &doc, &root, err) < 0 || read_tcb_info(root, ret, err) < 0)
        return rd_err_wrap(err, "TCB info");
    return 0;
}

static int read_qe_identity(rd_json_view root, rd_qe_identity *ret, rd_err *err)
{
    static const level_shape shape = { .is_isv = true };
    int64_t version = 0, prod_id = 0;
    if (rd_field_text(root, "id", ret->id, sizeof ret->id, err) < 0 ||
        rd_field_int(root, "version", INT32_MAX, &version, err) < 0 ||
        read_dates(root, &ret->issued_us, &ret->next_update_us, &ret->evaluation_number, err) < 0 ||
        rd_field_hex(root, "miscselect", ret->misc_select, 4, err) < 0 ||
        rd_field_hex(root, "miscselectMask", ret->misc_select_mask, 4, err) < 0 ||
        rd_field_hex(root, "attributes", ret->attributes, 16, err) < 0 ||
        rd_field_hex(root, "attributesMask", ret->attributes_mask, 16, err) < 0 ||
        rd_field_hex(root, "mrsigner", ret->mr_signer, 32, err) < 0 ||
        rd_field_int(root, "isvprodid", 65535, &prod_id, err) < 0)
        return -1;
    if (version != 2)
        return rd_err_set(err, RD_E_QE_IDENTITY_ID, "enclave identity version %" PRId64 ", expected 2", version);
    ret->isv_prod_id = (uint32_t)prod_id;
    return read_levels(root, &shape, &ret->levels, err);
}

int rd_qe_identity_parse(rd_bytes body, rd_qe_identity *ret, rd_err *err)
{
    *ret = (rd_qe_identity){ 0 };
    RD_CLEANUP(rd_json_doc_done) rd_json_doc doc;
    rd_json_view root;
    if (rd_field_document(body, &doc, &root, err) < 0 || read_qe_identity(root, ret, err) < 0)
        return rd_err_wrap(err, "QE identity");
    return 0;
}
