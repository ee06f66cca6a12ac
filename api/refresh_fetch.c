#include "api/refresh_fetch.h"

#include "api/collateral.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

/* --- sources --- */

static int read_address(const char *name, const char *text, const char **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *base = NULL;
    *ret = text && text[0] ? text : NULL;
    return *ret && fetch_base_url(text, &base, err) < 0 ? rd_err_wrap(err, "%s", name) : 0;
}

static bool has_service(const api_refresh_sources *sources, rd_tee tee)
{
    return tee == RD_TEE_SNP ? sources->kds != NULL : sources->pcs != NULL;
}

int api_refresh_sources_read(const api_config *config, api_refresh_sources *ret, rd_err *err)
{
    *ret = (api_refresh_sources){ .pcs = NULL };
    const char *scopes = config->collateral_scopes;
    if (read_address("collateral-pcs", config->collateral_pcs, &ret->pcs, err) < 0 ||
        read_address("collateral-kds", config->collateral_kds, &ret->kds, err) < 0 ||
        read_address("collateral-root-crl", config->collateral_root_crl, &ret->root_crl, err) < 0)
        return -1;
    if (scopes && fetch_scopes_add(&ret->scopes, scopes, err) < 0) {
        err->code = RD_E_CONFIG;
        return rd_err_wrap(err, "collateral-scopes");
    }
    for (size_t i = 0; i < ret->scopes.count; i++)
        if (!has_service(ret, ret->scopes.items[i].tee))
            return rd_err_set(err, RD_E_CONFIG, "collateral-scopes names %s platforms, but %s is not set",
                              rd_tee_names[ret->scopes.items[i].tee],
                              ret->scopes.items[i].tee == RD_TEE_SNP ? "collateral-kds" : "collateral-pcs");
    return 0;
}

bool api_refresh_sources_any(const api_refresh_sources *sources)
{
    return sources->pcs || sources->kds;
}

void api_refresh_sources_format(const api_refresh_sources *sources, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s%s%s", sources->pcs ? sources->pcs : "", sources->pcs && sources->kds ? ", " : "",
                   sources->kds ? sources->kds : "");
}

int64_t api_refresh_first_end(const api_refresh_sources *sources, const rd_collateral_facts *facts)
{
    int64_t first_us = 0;
    for (size_t i = 0; i < facts->scope_count; i++) {
        const rd_collateral_scope *scope = &facts->scopes[i];
        if (has_service(sources, scope->tee) && scope->expires_us != 0 &&
            (first_us == 0 || scope->expires_us < first_us))
            first_us = scope->expires_us;
    }
    return first_us;
}

void api_refresh_scopes(const api_refresh_sources *sources, const rd_collateral_set *set, fetch_scopes *ret)
{
    size_t count = 0;
    *ret = sources->scopes;
    if (set)
        fetch_scopes_add_set(ret, set);
    for (size_t i = 0; i < ret->count; i++)
        if (has_service(sources, ret->items[i].tee))
            ret->items[count++] = ret->items[i];
    ret->count = count;
}

/* --- a fetch --- */

typedef struct run {
    const api_context *context;
    fetch_http *http;
    const fetch_sources sources;
    const rd_collateral_set *current;
    rd_anchors anchors;
    rd_collateral_facts *facts;
    bool is_away[RD_TEE_COUNT]; /* the service of that kind of platform */
} run;

static int verify(run *r, const rd_collateral_set *part, rd_err *err)
{
    if (rd_collateral_review(part, &r->anchors, rd_clock_wall_us(r->context->clock), r->facts, err) < 0)
        return -1;
    if (r->facts->unverified)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "nothing verifies its %s", r->facts->unverified);
    return 0;
}

/* One platform, with the lists and chains that it needs: those that the run has are not asked for again. */
static int fetch_one(run *r, const fetch_scope *scope, rd_collateral_set *total, rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *part = NULL;
    RD_CLEANUP(rd_free_p) fetch_scopes *one = rd_alloc(sizeof *one);
    one->items[0] = *scope;
    one->count = 1;
    uint64_t unanswered = fetch_http_counts(r->http).unanswered;
    if (fetch_collateral(r->http, &r->sources, one, r->current, &part, err) < 0) {
        bool is_intel = scope->tee != RD_TEE_SNP;
        bool is_away = fetch_http_counts(r->http).unanswered > unanswered;
        for (int tee = 0; is_away && tee < RD_TEE_COUNT; tee++)
            r->is_away[tee] |= is_intel == (tee != RD_TEE_SNP);
        return -1;
    }
    if (verify(r, part, err) < 0) {
        /* Which of the answers it was is not known: none is asked about as unchanged. */
        fetch_http_forget(r->http, NULL);
        return -1;
    }
    return rd_collateral_set_merge(total, part, false, err) < 0 ? -1 : 0;
}

static void name_scope(const fetch_scope *scope, char *ret, size_t size)
{
    char fmspc[13];
    rd_hex_encode(RD_BYTES_ARRAY(scope->fmspc), fmspc);
    (void)snprintf(ret, size, "%s:%s", rd_tee_names[scope->tee],
                   scope->tee == RD_TEE_SNP ? rd_snp_product_names[scope->product] : fmspc);
}

static void note_failure(const fetch_scope *scope, const rd_err *why, api_refresh_outcome *ret)
{
    char name[32];
    name_scope(scope, name, sizeof name);
    rd_log(RD_WARN, "collateral_not_fetched", RD_STR("platform", name), RD_ERR(why));
    if (ret->first.code != RD_OK)
        return;
    ret->first = *why;
    (void)rd_err_wrap(&ret->first, "%s", name);
}

void api_refresh_fetch(const api_context *context, fetch_http *http, const api_refresh_sources *sources,
                       const fetch_scopes *scopes, const rd_collateral_set *current, api_refresh_outcome *ret)
{
    RD_CLEANUP(rd_free_p) rd_collateral_facts *facts = rd_alloc(sizeof *facts);
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *total = rd_collateral_set_new();
    run r = { .context = context,
              .http = http,
              .sources = { .pcs = sources->pcs, .root_crl = sources->root_crl, .kds = sources->kds },
              .current = current,
              .facts = facts };
    *ret = (api_refresh_outcome){ .first = RD_ERR_INIT };
    if (api_anchors(context->config, &r.anchors, &ret->first) < 0)
        return;
    fetch_http_begin(http);
    for (size_t i = 0; i < scopes->count; i++) {
        const fetch_scope *scope = &scopes->items[i];
        rd_err why = RD_ERR_INIT;
        if (r.is_away[scope->tee])
            continue;
        if (fetch_one(&r, scope, total, &why) < 0) {
            note_failure(scope, &why, ret);
            continue;
        }
        ret->good_count++;
        if (facts->expires_us != 0 && (ret->expires_us == 0 || facts->expires_us < ret->expires_us))
            ret->expires_us = facts->expires_us;
    }
    if (ret->good_count > 0)
        ret->set = RD_TAKE(total);
}
