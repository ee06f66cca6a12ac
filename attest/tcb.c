#include "attest/tcb.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *const rd_tcb_kind_names[RD_TCB_KIND_COUNT] = {
    "firmware", "bios", "microcode_early", "microcode_late", "sinit", "seam_loader", "tdx_module", "pce", "qe",
};

/* attestation.md 2.13: for modules with a major version the first two TDX components are the module's own and are
 * judged by its identity. */
static int first_tdx(const rd_platform_svns *svns)
{
    return svns->tdx[1] > 0 ? 2 : 0;
}

/* Every component, never a sum or an order of arrays. */
static bool reaches(const rd_platform_svns *svns, const rd_tcb_level *level)
{
    for (int i = 0; i < 16; i++)
        if (svns->sgx[i] < level->sgx[i])
            return false;
    if (svns->pce_svn < level->pce_svn)
        return false;
    for (int i = svns->tdx ? first_tdx(svns) : 16; i < 16; i++)
        if (svns->tdx[i] < level->tdx[i])
            return false;
    return true;
}

const rd_tcb_level *rd_tcb_match_platform(const rd_tcb_levels *levels, const rd_platform_svns *svns)
{
    for (size_t i = 0; i < levels->count; i++)
        if (reaches(svns, &levels->items[i]))
            return &levels->items[i];
    return NULL;
}

const rd_tcb_level *rd_tcb_match_isv(const rd_tcb_levels *levels, uint32_t svn)
{
    for (size_t i = 0; i < levels->count; i++)
        if (svn >= levels->items[i].isv_svn)
            return &levels->items[i];
    return NULL;
}

/* --- what was missing --- */

/* The order of the words is that of trust. */
static const rd_tcb_level *better_than(const rd_tcb_levels *levels, const rd_tcb_level *level)
{
    if (!level)
        return levels->count ? &levels->items[levels->count - 1] : NULL;
    for (const rd_tcb_level *above = level; above > levels->items;)
        if ((--above)->status < level->status)
            return above;
    return NULL;
}

RD_PRINTF(5, 6)
static void lacks(rd_tcb_verdict *ret, rd_tcb_kind kind, uint32_t has, uint32_t needs, const char *fmt, ...)
{
    if (has >= needs || ret->shortfall_count == RD_SHORTFALLS_MAX)
        return;
    rd_tcb_shortfall *item = &ret->shortfalls[ret->shortfall_count++];
    *item = (rd_tcb_shortfall){ .kind = kind, .has = has, .needs = needs };
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(item->component, sizeof item->component, fmt, args);
    va_end(args);
}

void rd_tcb_note_platform(const rd_tcb_levels *levels, const rd_tcb_level *level, const rd_platform_svns *svns,
                          rd_tcb_verdict *ret)
{
    const rd_tcb_level *wanted = better_than(levels, level);
    if (!wanted)
        return;
    for (int i = 0; i < 16; i++)
        lacks(ret, (rd_tcb_kind)wanted->sgx_kinds[i], svns->sgx[i], wanted->sgx[i], "sgxtcbcomponents[%d]", i);
    lacks(ret, RD_TCB_KIND_PCE, svns->pce_svn, wanted->pce_svn, "pcesvn");
    for (int i = svns->tdx ? first_tdx(svns) : 16; i < 16; i++)
        lacks(ret, (rd_tcb_kind)wanted->tdx_kinds[i], svns->tdx[i], wanted->tdx[i], "tdxtcbcomponents[%d]", i);
}

void rd_tcb_note_isv(const rd_tcb_levels *levels, const rd_tcb_level *level, uint32_t svn, const char *component,
                     rd_tcb_kind kind, rd_tcb_verdict *ret)
{
    const rd_tcb_level *wanted = better_than(levels, level);
    if (wanted)
        lacks(ret, kind, svn, wanted->isv_svn, "%s", component);
}

void rd_tcb_shortfall_format(const rd_tcb_shortfall *shortfall, char *out, size_t size)
{
    (void)snprintf(out, size, "%s: %s is %u, needs %u", rd_tcb_kind_names[shortfall->kind], shortfall->component,
                   shortfall->has, shortfall->needs);
}

rd_tcb_status rd_tcb_converge(rd_tcb_status platform, rd_tcb_status qe, rd_tcb_status module)
{
    if (platform == RD_TCB_REVOKED || qe == RD_TCB_REVOKED || module == RD_TCB_REVOKED)
        return RD_TCB_REVOKED;
    /* Enclaves and modules are up to date, out of date or revoked: any other word for them is no better than the
     * second. */
    if (qe == RD_TCB_UP_TO_DATE && module == RD_TCB_UP_TO_DATE)
        return platform;
    switch (platform) {
    case RD_TCB_UP_TO_DATE:
    case RD_TCB_SW_HARDENING_NEEDED:
        return RD_TCB_OUT_OF_DATE;
    case RD_TCB_CONFIGURATION_NEEDED:
    case RD_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED:
        return RD_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED;
    default:
        return platform;
    }
}

static bool names_configuration(rd_tcb_status status)
{
    return status == RD_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED || status == RD_TCB_CONFIGURATION_NEEDED ||
           status == RD_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED;
}

rd_tcb_status rd_tcb_relaunch(rd_tcb_status launch, rd_tcb_status current)
{
    bool is_old = launch == RD_TCB_OUT_OF_DATE || launch == RD_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED;
    bool is_current_fine = current == RD_TCB_UP_TO_DATE || current == RD_TCB_SW_HARDENING_NEEDED ||
                           current == RD_TCB_CONFIGURATION_NEEDED ||
                           current == RD_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED;
    if (!is_old || !is_current_fine)
        return launch;
    return names_configuration(launch) || names_configuration(current) ? RD_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED
                                                                       : RD_TCB_TD_RELAUNCH_ADVISED;
}

const rd_tdx_module *rd_tcb_module(const rd_tcb_info *info, uint8_t major)
{
    char id[16];
    snprintf(id, sizeof id, "TDX_%02X", major);
    for (size_t i = 0; i < info->module_count; i++)
        if (strcasecmp(info->modules[i].id, id) == 0)
            return &info->modules[i];
    return NULL;
}

static bool has_advisory(const rd_tcb_verdict *verdict, const char *id)
{
    for (size_t i = 0; i < verdict->advisory_count; i++)
        if (strcmp(verdict->advisories[i], id) == 0)
            return true;
    return false;
}

int rd_tcb_add_level(rd_tcb_verdict *verdict, const rd_tcb_level *level, rd_err *err)
{
    for (size_t i = 0; i < level->advisory_count; i++) {
        if (has_advisory(verdict, level->advisories[i]))
            continue;
        if (verdict->advisory_count == RD_ADVISORIES_MAX)
            return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "more than %d advisories apply", RD_ADVISORIES_MAX);
        memcpy(verdict->advisories[verdict->advisory_count++], level->advisories[i], RD_ADVISORY_TEXT_SIZE);
    }
    if (verdict->date_us == 0 || level->date_us < verdict->date_us)
        verdict->date_us = level->date_us;
    return 0;
}
