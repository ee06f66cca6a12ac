#include "attest/tcb.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool lacks(rd_tcb_shortfall *ret, const char *component, int index, uint32_t has, uint32_t needs)
{
    if (has >= needs)
        return false;
    *ret = (rd_tcb_shortfall){ .has = has, .needs = needs };
    if (index < 0)
        snprintf(ret->component, sizeof ret->component, "%s", component);
    else
        snprintf(ret->component, sizeof ret->component, "%s[%d]", component, index);
    return true;
}

/* attestation.md 2.13: every component, never a sum or an order of arrays; for modules with a major version the first
 * two TDX components are the module's own and are judged by its identity. */
static bool is_below(const rd_tcb_level *level, const rd_platform_svns *svns, rd_tcb_shortfall *ret)
{
    for (int i = 0; i < 16; i++)
        if (lacks(ret, "sgxtcbcomponents", i, svns->sgx[i], level->sgx[i]))
            return true;
    if (lacks(ret, "pcesvn", -1, svns->pce_svn, level->pce_svn))
        return true;
    if (!svns->tdx)
        return false;
    for (int i = svns->tdx[1] > 0 ? 2 : 0; i < 16; i++)
        if (lacks(ret, "tdxtcbcomponents", i, svns->tdx[i], level->tdx[i]))
            return true;
    return false;
}

const rd_tcb_level *rd_tcb_match_platform(const rd_tcb_levels *levels, const rd_platform_svns *svns,
                                          rd_tcb_shortfall *ret_shortfall)
{
    rd_tcb_shortfall shortfall = *ret_shortfall;
    for (size_t i = 0; i < levels->count; i++) {
        if (is_below(&levels->items[i], svns, &shortfall))
            continue;
        *ret_shortfall = shortfall;
        return &levels->items[i];
    }
    *ret_shortfall = shortfall;
    return NULL;
}

const rd_tcb_level *rd_tcb_match_isv(const rd_tcb_levels *levels, uint32_t svn, const char *component,
                                     rd_tcb_shortfall *ret_shortfall)
{
    for (size_t i = 0; i < levels->count; i++)
        if (!lacks(ret_shortfall, component, -1, svn, levels->items[i].isv_svn))
            return &levels->items[i];
    return NULL;
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
