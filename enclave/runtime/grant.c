#include "enclave/runtime/grant.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/model/head.h"

#define AGAIN_MIN_US ((int64_t)10 * 1000000) /* between two wishes that nobody answered */

struct encl_grant {
    encl_platform *platform;
    const encl_app *app;
    rd_secret *key;
    uint8_t public[RD_X25519_SIZE];
    /* asked */
    bool is_asked;
    uint8_t nonce[RD_NONCE_SIZE];
    uint64_t head_seq;
    rd_buf statement;
    int64_t asked_us;
    uint64_t asked_requests;
    /* held */
    bool is_held;
    rd_grant held;
    int64_t renew_us, end_us;
    uint64_t renew_requests, end_requests;
};

int encl_grant_new(encl_platform *platform, const encl_app *app, encl_grant **ret, rd_err *err)
{
    RD_CLEANUP(rd_secret_free_p) rd_secret *key = rd_secret_new(RD_X25519_SIZE);
    if (encl_platform_random(platform, rd_secret_data(key), RD_X25519_SIZE, err) < 0)
        return -1;
    encl_grant *grant = rd_alloc(sizeof(*grant));
    grant->platform = platform;
    grant->app = app;
    grant->renew_us = grant->end_us = INT64_MAX;
    grant->renew_requests = grant->end_requests = UINT64_MAX;
    rd_x25519_public(key, grant->public);
    grant->key = RD_TAKE(key);
    *ret = grant;
    return 0;
}

encl_grant *encl_grant_free(encl_grant *grant)
{
    if (grant == NULL)
        return NULL;
    rd_grant_done(&grant->held);
    rd_buf_done(&grant->statement);
    rd_secret_free(grant->key);
    free(grant);
    return NULL;
}

const uint8_t *encl_grant_public(const encl_grant *grant)
{
    return grant->public;
}

void encl_grant_asked(encl_grant *grant, const uint8_t nonce[RD_NONCE_SIZE], uint64_t head_seq, rd_bytes statement,
                      int64_t now_us, uint64_t requests)
{
    memcpy(grant->nonce, nonce, sizeof(grant->nonce));
    rd_buf_clear(&grant->statement);
    (void)rd_buf_append_bytes(&grant->statement, statement);
    grant->head_seq = head_seq;
    grant->asked_us = now_us;
    grant->asked_requests = requests;
    grant->is_asked = true;
}

static void hold(encl_grant *grant, rd_grant *opened)
{
    const rd_grant_payload *payload = &grant->held.payload;
    rd_grant_done(&grant->held);
    grant->held = *opened;
    *opened = (rd_grant){ .payload = { .secrets_count = 0 } };
    int64_t term_us = payload->not_after_us - payload->not_before_us;
    grant->is_held = true;
    grant->is_asked = false;
    grant->renew_us = grant->asked_us + term_us / 3;
    grant->end_us = grant->asked_us + term_us;
    bool is_capped = payload->requests_max > 0 && payload->requests_max < UINT64_MAX - grant->asked_requests;
    grant->renew_requests = is_capped ? grant->asked_requests + payload->requests_max / 3 : UINT64_MAX;
    grant->end_requests = is_capped ? grant->asked_requests + payload->requests_max : UINT64_MAX;
    encl_platform_raise_floor(grant->platform, payload->not_before_us);
}

int encl_grant_take(encl_grant *grant, rd_bytes answer, int64_t now_us, rd_err *err)
{
    const encl_app *app = grant->app;
    if (!grant->is_asked)
        return rd_err_set(err, RD_E_CONTROL_ORDER, "a grant that nobody asked for");
    const rd_grant_check check = {
        .request = { .kms = app->kms, .statement = rd_buf_bytes(&grant->statement), .nonce = grant->nonce },
        .kms_genesis = rd_buf_bytes(&app->kms_genesis),
        .grant_key = grant->key,
        .now_us = encl_platform_time_us(grant->platform),
        .secrets_count = app->secrets_count,
        .secrets_root = &app->secrets_root
    };
    rd_grant *opened = rd_alloc(sizeof(*opened));
    int outcome = rd_grant_open(answer, &check, opened, err);
    const rd_grant_payload *payload = &opened->payload;
    if (outcome == 0 && payload->head_seq != grant->head_seq)
        outcome =
            rd_err_set(err, RD_E_GRANT_MISMATCH, "the grant is for head %llu", (unsigned long long)payload->head_seq);
    if (outcome == 0 && (payload->not_after_us <= payload->not_before_us ||
                         payload->not_after_us - payload->not_before_us > (int64_t)RD_HEAD_GRANT_S_MAX * 1000000))
        outcome = rd_err_set(err, RD_E_GRANT_MISMATCH, "the grant has no term that a grant may have");
    if (outcome == 0 && grant->asked_us + (payload->not_after_us - payload->not_before_us) <= now_us)
        outcome = rd_err_set(err, RD_E_GRANT_EXPIRED, "the grant has ended on its way");
    if (outcome == 0)
        hold(grant, opened);
    rd_grant_done(opened);
    free(opened);
    return outcome < 0 ? rd_err_wrap(err, "grant") : 0;
}

bool encl_grant_is_held(const encl_grant *grant)
{
    return grant->is_held;
}

int encl_grant_code_key(const encl_grant *grant, const rd_digest *code, const uint8_t **ret, rd_err *err)
{
    const rd_grant_payload *payload = &grant->held.payload;
    char name[RD_SECRET_NAME_MAX + 1];
    rd_secret_code_name(code, name);
    for (size_t i = 0; i < payload->secrets_count; i++) {
        if (strcmp(payload->secrets[i].name, name) != 0)
            continue;
        if (payload->values[i].size != 32)
            return rd_err_set(err, RD_E_SEAL_FORMAT, "the key of the code has %zu bytes", payload->values[i].size);
        *ret = payload->values[i].data;
        return 0;
    }
    return rd_err_set(err, RD_E_SECRETS_INCOMPLETE, "the head lists no key for the code of this release");
}

const uint8_t *encl_grant_key(const encl_grant *grant, rd_grant_key label)
{
    return grant->is_held && label >= RD_GRANT_KEY_STORAGE && label < RD_GRANT_KEY_END ? grant->held.payload.keys[label]
                                                                                       : NULL;
}

bool encl_grant_next_secret(const encl_grant *grant, size_t *at, const char **ret_name, rd_bytes *ret_value)
{
    const rd_grant_payload *payload = &grant->held.payload;
    for (; *at < payload->secrets_count; (*at)++) {
        if (!rd_secret_name_is_ok(payload->secrets[*at].name))
            continue;
        *ret_name = payload->secrets[*at].name;
        *ret_value = payload->values[(*at)++];
        return true;
    }
    return false;
}

void encl_grant_forget_secrets(encl_grant *grant)
{
    grant->held.payload.secrets_count = 0;
    rd_buf_wipe(&grant->held.bytes);
    rd_buf_init(&grant->held.bytes, RD_GRANT_SIZE_MAX);
}

int64_t encl_grant_renew_us(const encl_grant *grant)
{
    return grant->renew_us;
}

int64_t encl_grant_end_us(const encl_grant *grant)
{
    return grant->end_us;
}

bool encl_grant_is_due(const encl_grant *grant, int64_t now_us, uint64_t requests)
{
    return grant->is_held && (now_us >= grant->renew_us || requests >= grant->renew_requests);
}

bool encl_grant_has_ended(const encl_grant *grant, int64_t now_us, uint64_t requests)
{
    return grant->is_held && (now_us >= grant->end_us || requests >= grant->end_requests);
}

uint64_t encl_grant_left(const encl_grant *grant, uint64_t requests)
{
    if (!grant->is_held || grant->end_requests == UINT64_MAX)
        return UINT64_MAX;
    return grant->end_requests - RD_MIN(requests, grant->end_requests);
}

void encl_grant_wished(encl_grant *grant, int64_t now_us, uint64_t requests)
{
    if (!grant->is_held)
        return;
    grant->renew_us = now_us + RD_MAX((grant->end_us - now_us) / 8, AGAIN_MIN_US);
    if (grant->end_requests != UINT64_MAX && requests < grant->end_requests)
        grant->renew_requests = requests + RD_MAX((grant->end_requests - requests) / 8, (uint64_t)1);
}
