#include "agent/renewal.h"

#include "common/base/mem.h"
#include "common/crypto/x509_issue.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>

static int read_key(const agent_state *state, rd_buf *pem, rd_p256_key **ret, rd_err *err)
{
    if (agent_state_read(state, AGENT_FILE_KEY, pem, err) < 0)
        return -1;
    return rd_p256_key_from_pem(rd_buf_bytes(pem), ret, err);
}

int agent_renewal_csr(const agent_state *state, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf pem = { 0 };
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *key = NULL;
    if (read_key(state, &pem, &key, err) < 0)
        return -1;
    return rd_csr_create(key, state->host, out, err);
}

typedef struct renewed {
    char *certificate, *ca;
} renewed;

static const rd_json_field fields[] = {
    { .name = "certificate", .kind = RD_JSON_STRING, .offset = offsetof(renewed, certificate), .max = 65536 },
    { .name = "ca", .kind = RD_JSON_STRING, .offset = offsetof(renewed, ca), .max = 65536 },
    RD_JSON_END,
};

static int take(const agent_state *state, const renewed *with, rd_tls_context *tls, rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf pem = { 0 };
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *key = NULL;
    rd_bytes certificate = rd_bytes_str(with->certificate), ca = rd_bytes_str(with->ca);
    if (read_key(state, &pem, &key, err) < 0)
        return -1;
    /* Fails, and changes nothing, when the certificate is not for this key. */
    if (rd_tls_context_reload(tls, certificate, rd_buf_bytes(&pem), ca, err) < 0)
        return rd_err_wrap(err, "renewed certificate");
    if (agent_state_write(state, AGENT_FILE_CA, ca, err) < 0)
        return -1;
    return agent_state_write(state, AGENT_FILE_CERTIFICATE, certificate, err);
}

int agent_renewal_take(const agent_state *state, rd_bytes body, rd_tls_context *tls, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = (size_t)256 << 10 };
    renewed with = { 0 };
    int rc = rd_json_load(body, &limits, fields, RD_UNKNOWN_IGNORED, &with, err);
    if (rc == 0)
        rc = take(state, &with, tls, err);
    free(with.certificate);
    free(with.ca);
    return rc;
}
