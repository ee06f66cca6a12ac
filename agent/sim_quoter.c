#include "agent/sim_quoter.h"

#include <stdlib.h>
#include <string.h>

#include "agent/sim_files.h"
#include "agent/sim_issue.h"
#include "agent/sim_quote.h"
#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/crypto/frame.h"
#include "common/crypto/secret.h"
#include "common/crypto/x509.h"

#define FRAME_MAX 128

/* docs/protocol/enclave.md, quoter stream */
enum {
    REQUEST_EXTEND = 1,
    REQUEST_QUOTE = 2,
    REQUEST_SEAL_KEY = 3,
    ANSWER_EXTENDED = 0x81,
    ANSWER_QUOTE = 0x82,
    ANSWER_SEAL_KEY = 0x83,
    ANSWER_REFUSED = 0xff
};

#define SEAL_FILE      "seal.key"
#define SEAL_LABEL_MAX 32

/* TDATTRIBUTES bit 28, SEPT_VE_DISABLE. */
static const uint8_t td_attributes[8] = { 0, 0, 0, 0x10 };

struct agent_sim_quoter {
    agent_sim_qe qe;
    rd_secret *seal_secret;
};

struct agent_sim_door {
    agent_sim_quoter *quoter;
    agent_sim_td td;
    rd_buf pending;
};

/* --- the quoting enclave --- */

agent_sim_quoter *agent_sim_quoter_free(agent_sim_quoter *quoter)
{
    if (!quoter)
        return NULL;
    agent_sim_qe_done(&quoter->qe);
    rd_secret_free(quoter->seal_secret);
    free(quoter);
    return NULL;
}

void agent_sim_quoter_free_p(agent_sim_quoter **quoter)
{
    *quoter = agent_sim_quoter_free(*quoter);
}

/* The key in the folder must be the leaf's, else every quote would be refused far from here. */
static int check_pair(const rd_p256_key *key, rd_bytes chain_pem, rd_err *err)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    uint8_t ours[32], theirs[32];
    if (rd_certs_parse_pem(chain_pem, 3, &certs, err) < 0)
        return -1;
    rd_p256_key_spki_digest(key, ours);
    rd_cert_spki_digest(certs.items[0], theirs);
    if (memcmp(ours, theirs, 32) != 0)
        return rd_err_set(err, RD_E_KEY_FORMAT, "pck.key is not the key of the first certificate of pck-chain.pem");
    return 0;
}

static int open_seal_secret(const char *platform_dir, agent_sim_quoter *quoter, rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf bytes = { 0 };
    if (!agent_sim_exists(platform_dir, SEAL_FILE)) {
        quoter->seal_secret = rd_secret_random(32);
        return agent_sim_write(platform_dir, SEAL_FILE, 0600, rd_secret_bytes(quoter->seal_secret), err);
    }
    if (agent_sim_read(platform_dir, SEAL_FILE, &bytes, err) < 0)
        return -1;
    if (bytes.size != 32)
        return rd_err_set(err, RD_E_KEY_FORMAT, SEAL_FILE " has %zu bytes, not 32", bytes.size);
    quoter->seal_secret = rd_secret_copy(rd_buf_bytes(&bytes));
    return 0;
}

static int open_platform(const char *platform_dir, agent_sim_quoter *quoter, rd_err *err)
{
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *key = NULL;
    if (agent_sim_read_key(platform_dir, "pck.key", &key, err) < 0 ||
        agent_sim_read(platform_dir, "pck-chain.pem", &quoter->qe.pck_chain, err) < 0 ||
        check_pair(key, rd_buf_bytes(&quoter->qe.pck_chain), err) < 0)
        return -1;
    if (open_seal_secret(platform_dir, quoter, err) < 0)
        return -1;
    return agent_sim_qe_sign(&quoter->qe, key, err);
}

int agent_sim_quoter_open(const char *platform_dir, agent_sim_quoter **ret, rd_err *err)
{
    RD_CLEANUP(agent_sim_quoter_free_p) agent_sim_quoter *quoter = rd_alloc(sizeof *quoter);
    agent_sim_qe_make(&quoter->qe);
    if (open_platform(platform_dir, quoter, err) < 0)
        return rd_err_wrap(err, "simulated platform %s", platform_dir);
    *ret = RD_TAKE(quoter);
    return 0;
}

/* --- the registers of one instance --- */

/* RTMR := SHA-384(RTMR ‖ digest) (Intel TDX Module ABI, TDG.MR.RTMR.EXTEND). */
static void extend(uint8_t rtmr[48], const uint8_t digest[48])
{
    rd_hasher hasher;
    rd_hasher_init(&hasher, RD_SHA384);
    rd_hasher_update(&hasher, rd_bytes_of(rtmr, 48));
    rd_hasher_update(&hasher, rd_bytes_of(digest, 48));
    rd_hasher_final(&hasher, rtmr);
}

static void measure(uint8_t rtmr[48], const uint8_t digest[48])
{
    static const uint8_t none[48];
    if (memcmp(digest, none, sizeof none) != 0)
        extend(rtmr, digest);
}

agent_sim_door *agent_sim_door_new(agent_sim_quoter *quoter, const agent_sim_launch *launch)
{
    agent_sim_door *door = rd_alloc(sizeof *door);
    door->quoter = quoter;
    door->pending.size_max = 4 * FRAME_MAX;
    memcpy(door->td.tee_tcb_svn, agent_sim_tee_tcb_svn, 16);
    memcpy(door->td.td_attributes, td_attributes, 8);
    memcpy(door->td.mrtd, launch->mrtd, 48);
    measure(door->td.rtmr[0], launch->configuration);
    measure(door->td.rtmr[1], launch->engine);
    measure(door->td.rtmr[2], launch->platform);
    return door;
}

agent_sim_door *agent_sim_door_free(agent_sim_door *door)
{
    if (!door)
        return NULL;
    rd_buf_done(&door->pending);
    free(door);
    return NULL;
}

void agent_sim_door_free_p(agent_sim_door **door)
{
    *door = agent_sim_door_free(*door);
}

int agent_sim_door_extend(agent_sim_door *door, unsigned register_index, const uint8_t digest[48], rd_err *err)
{
    if (register_index != 3)
        return rd_err_set(err, RD_E_UNSUPPORTED, "register %u cannot be extended, only 3", register_index);
    extend(door->td.rtmr[3], digest);
    return 0;
}

int agent_sim_door_quote(const agent_sim_door *door, const uint8_t report_data[64], rd_buf *out, rd_err *err)
{
    uint8_t report[AGENT_SIM_TD_REPORT_SIZE];
    agent_sim_td_report(&door->td, report_data, report);
    return agent_sim_quote_assemble(&door->quoter->qe, report, out, err);
}

int agent_sim_door_seal_key(const agent_sim_door *door, rd_bytes label, uint8_t ret[32], rd_err *err)
{
    static const uint8_t none[48];
    if (label.size == 0 || label.size > SEAL_LABEL_MAX)
        return rd_err_set(err, RD_E_ENCODING, "a purpose has 1 to %d bytes", SEAL_LABEL_MAX);
    if (memcmp(door->td.rtmr[3], none, sizeof none) != 0)
        return rd_err_set(err, RD_E_TEE_CLOSED, "register 3 was extended: no key is given any more");
    rd_kdf(rd_secret_bytes(door->quoter->seal_secret), RD_KDF_SIM_SEAL,
           (const rd_bytes[]){ RD_BYTES_ARRAY(door->td.mrtd), label }, 2, ret);
    return 0;
}

/* --- the stream --- */

static int put_frame(rd_buf *out, uint8_t type, rd_bytes payload, rd_err *err)
{
    rd_buf_append_u32be(out, (uint32_t)payload.size + 1);
    rd_buf_append_u8(out, type);
    rd_buf_append_bytes(out, payload);
    return out->has_failed ? rd_err_set(err, RD_E_TOO_LARGE, "quoter stream: the answer buffer is full") : 0;
}

static int refuse(rd_buf *out, const rd_err *why, rd_err *err)
{
    return put_frame(out, ANSWER_REFUSED, rd_bytes_str(why->text), err);
}

static int answer_extend(agent_sim_door *door, rd_bytes payload, rd_buf *out, rd_err *err)
{
    rd_err why = RD_ERR_INIT;
    if (payload.size != 49)
        rd_err_set(&why, RD_E_ENCODING, "extend takes 49 bytes, not %zu", payload.size);
    else if (agent_sim_door_extend(door, payload.data[0], payload.data + 1, &why) == 0)
        return put_frame(out, ANSWER_EXTENDED, RD_BYTES_NULL, err);
    return refuse(out, &why, err);
}

static int answer_quote(agent_sim_door *door, rd_bytes payload, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
    rd_err why = RD_ERR_INIT;
    if (payload.size != 64)
        rd_err_set(&why, RD_E_ENCODING, "quote takes 64 bytes, not %zu", payload.size);
    else if (agent_sim_door_quote(door, payload.data, &quote, &why) == 0)
        return put_frame(out, ANSWER_QUOTE, rd_buf_bytes(&quote), err);
    return refuse(out, &why, err);
}

static int answer_seal_key(const agent_sim_door *door, rd_bytes payload, rd_buf *out, rd_err *err)
{
    uint8_t key[32];
    rd_err why = RD_ERR_INIT;
    if (agent_sim_door_seal_key(door, payload, key, &why) < 0)
        return refuse(out, &why, err);
    int outcome = put_frame(out, ANSWER_SEAL_KEY, RD_BYTES_ARRAY(key), err);
    rd_wipe(key, sizeof key);
    return outcome;
}

static int answer(agent_sim_door *door, rd_bytes frame, rd_buf *out, rd_err *err)
{
    rd_err why = RD_ERR_INIT;
    uint8_t type = frame.data[0];
    rd_bytes payload = rd_bytes_of(frame.data + 1, frame.size - 1);
    if (type == REQUEST_EXTEND)
        return answer_extend(door, payload, out, err);
    if (type == REQUEST_QUOTE)
        return answer_quote(door, payload, out, err);
    if (type == REQUEST_SEAL_KEY)
        return answer_seal_key(door, payload, out, err);
    rd_err_set(&why, RD_E_UNSUPPORTED, "request type %u is not known", type);
    return refuse(out, &why, err);
}

/* Answers one complete frame at the front of pending; 1 when there was one. */
static int take_frame(agent_sim_door *door, rd_buf *out, rd_err *err)
{
    rd_cursor in = rd_cursor_of(rd_buf_bytes(&door->pending));
    if (rd_cursor_left(&in) < 4)
        return 0;
    uint32_t size = rd_cursor_u32be(&in);
    if (size == 0 || size > FRAME_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "quoter stream: frame of %u bytes, 1 to %d", size, FRAME_MAX);
    if (rd_cursor_left(&in) < size)
        return 0;
    if (answer(door, rd_cursor_take(&in, size), out, err) < 0)
        return -1;
    rd_buf_consume(&door->pending, 4 + size);
    return 1;
}

int agent_sim_door_feed(agent_sim_door *door, rd_bytes in, rd_buf *out, rd_err *err)
{
    while (in.size > 0) {
        size_t piece = RD_MIN(in.size, (size_t)FRAME_MAX);
        rd_buf_append(&door->pending, in.data, piece);
        in = rd_bytes_of(in.data + piece, in.size - piece);
        int rc;
        while ((rc = take_frame(door, out, err)) > 0)
            ;
        if (rc < 0)
            return -1;
    }
    return 0;
}
