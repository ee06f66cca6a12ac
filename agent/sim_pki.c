#include "agent/sim_pki.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/sim_files.h"
#include "agent/sim_issue.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "common/model/json.h"

#define COLLATERAL  "collateral.json"
#define STATE       "state.json"
#define FINGERPRINT "fingerprint"

typedef struct pki_state {
    uint8_t fmspc[6];
    uint64_t crl_number;
    uint32_t evaluation; /* 0 in folders of earlier versions: 1 */
} pki_state;

static const rd_json_field state_fields[] = {
    { "fmspc", RD_JSON_HEX, offsetof(pki_state, fmspc), RD_REQUIRED, .max = 6 },
    { "crl_number", RD_JSON_U64, offsetof(pki_state, crl_number), RD_REQUIRED },
    { "evaluation", RD_JSON_U32, offsetof(pki_state, evaluation), RD_OPTIONAL, .max = 1000 },
    RD_JSON_END,
};

static int read_state(const char *dir, pki_state *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    *ret = (pki_state){ 0 };
    if (agent_sim_read(dir, STATE, &text, err) < 0)
        return -1;
    int rc = rd_json_load(rd_buf_bytes(&text), NULL, state_fields, RD_UNKNOWN_REFUSED, ret, err);
    ret->evaluation = RD_MAX(ret->evaluation, 1u);
    return rc;
}

static int write_state(const char *dir, const pki_state *state, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    char fmspc[13];
    rd_hex_encode(RD_BYTES_ARRAY(state->fmspc), fmspc);
    rd_buf_printf(&text, "{\"fmspc\":\"%s\",\"crl_number\":%" PRIu64 ",\"evaluation\":%u}\n", fmspc, state->crl_number,
                  state->evaluation);
    return agent_sim_write(dir, STATE, 0644, rd_buf_bytes(&text), err);
}

static int write_ca(const char *dir, const agent_sim_ca *ca, rd_err *err)
{
    if (agent_sim_write_key(dir, "root.key", ca->root_key, err) < 0 ||
        agent_sim_write_key(dir, "platform-ca.key", ca->platform_key, err) < 0 ||
        agent_sim_write_key(dir, "tcb-signing.key", ca->tcb_key, err) < 0 ||
        agent_sim_write_cert(dir, "platform-ca.pem", ca->platform, err) < 0 ||
        agent_sim_write_cert(dir, "tcb-signing.pem", ca->tcb, err) < 0)
        return -1;
    return agent_sim_write_cert(dir, "root.pem", ca->root, err);
}

static int read_ca_pieces(const char *dir, agent_sim_ca *ret, rd_err *err)
{
    if (agent_sim_read_key(dir, "root.key", &ret->root_key, err) < 0 ||
        agent_sim_read_key(dir, "platform-ca.key", &ret->platform_key, err) < 0 ||
        agent_sim_read_key(dir, "tcb-signing.key", &ret->tcb_key, err) < 0 ||
        agent_sim_read_cert(dir, "platform-ca.pem", &ret->platform, err) < 0 ||
        agent_sim_read_cert(dir, "tcb-signing.pem", &ret->tcb, err) < 0)
        return -1;
    return agent_sim_read_cert(dir, "root.pem", &ret->root, err);
}

static int write_collateral(const char *dir, const agent_sim_ca *ca, const pki_state *state, int64_t now_us,
                            rd_err *err)
{
    RD_CLEANUP(agent_sim_collateral_done) agent_sim_collateral collateral = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf json = { 0 };
    if (agent_sim_collateral_make_at(ca, state->fmspc, state->crl_number, state->evaluation, now_us, &collateral, err) <
        0)
        return -1;
    agent_sim_collateral_json(&collateral, &json);
    return agent_sim_write(dir, COLLATERAL, 0644, rd_buf_bytes(&json), err);
}

static int write_fingerprint(const char *dir, const agent_sim_ca *ca, rd_err *err)
{
    uint8_t fingerprint[32];
    char text[66];
    rd_cert_fingerprint(ca->root, fingerprint);
    rd_hex_encode(RD_BYTES_ARRAY(fingerprint), text);
    memcpy(text + 64, "\n", 2);
    return agent_sim_write(dir, FINGERPRINT, 0644, rd_bytes_str(text), err);
}

/* root.pem is written last of the authorities and the fingerprint after all: a folder without it is not finished. */
static int write_all(const char *dir, const agent_sim_ca *ca, int64_t now_us, rd_err *err)
{
    pki_state state = { .crl_number = 1, .evaluation = 1 };
    rd_random_bytes(state.fmspc, sizeof state.fmspc);
    if (write_ca(dir, ca, err) < 0 || write_state(dir, &state, err) < 0 ||
        write_collateral(dir, ca, &state, now_us, err) < 0)
        return -1;
    return write_fingerprint(dir, ca, err);
}

int agent_sim_pki_create(const char *dir, int64_t now_us, rd_err *err)
{
    RD_CLEANUP(agent_sim_ca_done) agent_sim_ca ca = { 0 };
    if (agent_sim_make_dir(dir, err) < 0)
        return -1;
    if (agent_sim_exists(dir, FINGERPRINT))
        return rd_err_set(err, RD_E_USAGE, "%s holds a simulation PKI already", dir);
    if (agent_sim_ca_make(now_us, &ca, err) < 0)
        return -1;
    return write_all(dir, &ca, now_us, err);
}

int agent_sim_pki_refresh(const char *dir, bool is_recovery, int64_t now_us, rd_err *err)
{
    RD_CLEANUP(agent_sim_ca_done) agent_sim_ca ca = { 0 };
    pki_state state;
    if (read_ca_pieces(dir, &ca, err) < 0 || read_state(dir, &state, err) < 0)
        return rd_err_wrap(err, "simulation PKI %s", dir);
    state.crl_number++;
    state.evaluation += is_recovery;
    if (write_state(dir, &state, err) < 0)
        return -1;
    return write_collateral(dir, &ca, &state, now_us, err);
}

static int issue_leaf(const agent_sim_ca *ca, const pki_state *state, const rd_p256_key *key, int64_t now_us,
                      rd_buf *chain, rd_err *err)
{
    RD_CLEANUP(rd_cert_free_p) rd_cert *leaf = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf extension = { 0 };
    agent_sim_platform platform;
    uint8_t spki[RD_P256_SPKI_SIZE];
    agent_sim_platform_make(state->fmspc, &platform);
    agent_sim_pck_extension(&platform, &extension);
    rd_p256_key_spki(key, spki);
    if (agent_sim_pck_issue(ca, rd_buf_bytes(&extension), RD_BYTES_ARRAY(spki), now_us, &leaf, err) < 0)
        return -1;
    agent_sim_pck_chain(ca, leaf, chain);
    return 0;
}

static int write_platform(const char *dir, const char *out_dir, rd_bytes chain, const rd_p256_key *key, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf collateral = { 0 };
    if (agent_sim_read(dir, COLLATERAL, &collateral, err) < 0 || agent_sim_make_dir(out_dir, err) < 0 ||
        agent_sim_write_key(out_dir, "pck.key", key, err) < 0 ||
        agent_sim_write(out_dir, COLLATERAL, 0644, rd_buf_bytes(&collateral), err) < 0)
        return -1;
    return agent_sim_write(out_dir, "pck-chain.pem", 0644, chain, err);
}

int agent_sim_pki_issue_platform(const char *dir, const char *out_dir, int64_t now_us, rd_err *err)
{
    RD_CLEANUP(agent_sim_ca_done) agent_sim_ca ca = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf chain = { 0 };
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *key = rd_p256_key_new();
    pki_state state;
    if (agent_sim_exists(out_dir, "pck-chain.pem"))
        return rd_err_set(err, RD_E_USAGE, "%s holds a platform already", out_dir);
    if (read_ca_pieces(dir, &ca, err) < 0 || read_state(dir, &state, err) < 0)
        return rd_err_wrap(err, "simulation PKI %s", dir);
    if (issue_leaf(&ca, &state, key, now_us, &chain, err) < 0)
        return -1;
    return write_platform(dir, out_dir, rd_buf_bytes(&chain), key, err);
}

int agent_sim_pki_fingerprint(const char *dir, uint8_t ret[32], rd_err *err)
{
    RD_CLEANUP(rd_cert_free_p) rd_cert *root = NULL;
    if (agent_sim_read_cert(dir, "root.pem", &root, err) < 0)
        return rd_err_wrap(err, "simulation PKI %s", dir);
    rd_cert_fingerprint(root, ret);
    return 0;
}
