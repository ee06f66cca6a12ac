// link: agent_core
/* The plane's answer with a new certificate: whatever comes, what lies in the agent's folder fits its key, and one that
 * is taken is loaded. "$C" and "$A" in the input stand for a certificate for that key and its CA, "$O" for another's.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/renewal.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/crypto/x509_issue.h"
#include "common/io/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define YEAR_US (INT64_C(365) * 86400 * 1000000)
#define MUST(what)                                                                                                     \
    do {                                                                                                               \
        if ((what) < 0)                                                                                                \
            abort();                                                                                                   \
    } while (0)

static char dir[] = "/tmp/rd-fuzz-renew-XXXXXX";
static agent_state state;
static rd_tls_context *tls;
static rd_buf ca_pem, certificate_pem, other_pem, key_pem;
static uint8_t spki[RD_P256_SPKI_SIZE];

static void clean_up(void)
{
    static const char *const names[] = { AGENT_FILE_KEY, AGENT_FILE_CERTIFICATE, AGENT_FILE_CA };
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        RD_CLEANUP(rd_free_p) char *path = agent_state_path(&state, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

static void issue(const rd_cert *ca, const rd_p256_key *ca_key, const rd_p256_key *key, rd_buf *pem)
{
    const int64_t now_us = rd_clock_wall_us(rd_clock_system());
    RD_CLEANUP(rd_cert_free_p) rd_cert *made = NULL;
    uint8_t of[RD_P256_SPKI_SIZE];
    const rd_cert_spec spec = { .kind = ca ? RD_CERT_KIND_CLIENT : RD_CERT_KIND_CA,
                                .common_name = ca ? "hst_a" : "CA",
                                .path_length = ca ? -1 : 0,
                                .not_before_us = now_us - 1000000,
                                .not_after_us = now_us + YEAR_US };
    rd_p256_key_spki(key, of);
    MUST(rd_cert_issue(&spec, RD_BYTES_ARRAY(of), ca, ca_key, &made, NULL));
    rd_cert_to_pem(made, pem);
}

int LLVMFuzzerInitialize(int *argc RD_UNUSED, char ***argv RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    rd_p256_key *ca_key = rd_p256_key_new(), *key = rd_p256_key_new(), *other = rd_p256_key_new();
    RD_CLEANUP(rd_cert_free_p) rd_cert *ca = NULL;
    if (!mkdtemp(dir))
        abort();
    issue(NULL, ca_key, ca_key, &ca_pem);
    MUST(rd_cert_parse_pem(rd_buf_bytes(&ca_pem), &ca, &err));
    issue(ca, ca_key, key, &certificate_pem);
    issue(ca, ca_key, other, &other_pem);
    MUST(rd_p256_key_to_pem(key, &key_pem, &err));
    rd_p256_key_spki(key, spki);
    MUST(agent_state_open(dir, true, &state, &err));
    MUST(agent_state_write(&state, AGENT_FILE_KEY, rd_buf_bytes(&key_pem), &err));
    MUST(agent_state_write(&state, AGENT_FILE_CERTIFICATE, rd_buf_bytes(&certificate_pem), &err));
    MUST(agent_state_write(&state, AGENT_FILE_CA, rd_buf_bytes(&ca_pem), &err));
    const rd_tls_config config = { .role = RD_TLS_LINK_CLIENT,
                                   .certificate_pem = rd_buf_bytes(&certificate_pem),
                                   .key_pem = rd_buf_bytes(&key_pem),
                                   .ca_pem = rd_buf_bytes(&ca_pem),
                                   .alpn = RD_LINK_ALPN };
    MUST(rd_tls_context_new(&config, &tls, &err));
    rd_p256_key_free(ca_key), rd_p256_key_free(key), rd_p256_key_free(other);
    return atexit(clean_up);
}

static void put_pem(rd_buf *out, const rd_buf *pem)
{
    for (size_t i = 0; i < pem->size; i++)
        if (pem->data[i] == '\n')
            rd_buf_append_str(out, "\\n");
        else
            rd_buf_append_u8(out, pem->data[i]);
}

static void expand(rd_bytes in, rd_buf *out)
{
    for (size_t i = 0; i < in.size; i++) {
        const rd_buf *pem = NULL;
        if (in.data[i] == '$' && i + 1 < in.size)
            pem = in.data[i + 1] == 'C'   ? &certificate_pem
                  : in.data[i + 1] == 'A' ? &ca_pem
                  : in.data[i + 1] == 'O' ? &other_pem
                                          : NULL;
        if (!pem) {
            rd_buf_append_u8(out, in.data[i]);
            continue;
        }
        put_pem(out, pem);
        i++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 }, kept = { 0 }, before = { 0 };
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    rd_err err = RD_ERR_INIT;
    if (size > 4096)
        return 0;
    expand(rd_bytes_of(data, size), &body);
    MUST(agent_state_read(&state, AGENT_FILE_CERTIFICATE, &before, &err));
    int rc = agent_renewal_take(&state, rd_buf_bytes(&body), tls, &err);
    MUST(agent_state_read(&state, AGENT_FILE_CERTIFICATE, &kept, &err));
    if (rc < 0 && !rd_bytes_equal(rd_buf_bytes(&before), rd_buf_bytes(&kept)))
        abort();
    if (rd_tls_context_not_after_us(tls) <= rd_clock_wall_us(rd_clock_system()))
        abort();
    MUST(rd_certs_parse_pem(rd_buf_bytes(&kept), RD_CERT_COUNT_MAX, &certs, &err));
    if (!rd_bytes_equal(rd_cert_spki(certs.items[0]), RD_BYTES_ARRAY(spki)))
        abort();
    return 0;
}
