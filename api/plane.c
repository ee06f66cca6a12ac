#include "api/plane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "common/crypto/secret.h"
#include "common/crypto/x509_issue.h"
#include "common/io/config.h"

#define YEAR_US      ((int64_t)365 * 24 * 3600 * 1000000)
#define SKEW_US      ((int64_t)5 * 60 * 1000000)
#define LINK_TERM_US ((int64_t)30 * 24 * 3600 * 1000000)
#define FILE_MAX     ((size_t)16 << 10)

struct api_plane {
    char id[40];
    rd_secret *mac_key;
    rd_signing_key *record_key;
    rd_cert *ca;
    rd_p256_key *ca_key;
    rd_buf ca_pem;
};

static const char *const names[] = { "plane.id", "plane.key", "ca.pem", "ca.key" };

static char *path_in(const char *dir, const char *name)
{
    return rd_asprintf("%s/%s", dir, name);
}

static size_t count_files(const char *dir)
{
    size_t count = 0;
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        RD_CLEANUP(rd_free_p) char *path = path_in(dir, names[i]);
        count += access(path, F_OK) == 0;
    }
    return count;
}

static int write_file(const char *dir, const char *name, rd_bytes bytes, unsigned mode, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = path_in(dir, name);
    return rd_file_write_atomic(path, bytes.data, bytes.size, mode, err);
}

static int make_ca(const char *dir, int64_t now_us, rd_err *err)
{
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *key = rd_p256_key_new();
    uint8_t spki[RD_P256_SPKI_SIZE];
    RD_CLEANUP(rd_cert_free_p) rd_cert *ca = NULL;
    rd_cert_spec spec = { .kind = RD_CERT_KIND_CA,
                          .common_name = "Redoubt plane CA",
                          .path_length = 0,
                          .not_before_us = now_us - SKEW_US,
                          .not_after_us = now_us + 10 * YEAR_US };
    rd_buf key_pem = { 0 }, ca_pem = { 0 };
    rd_p256_key_spki(key, spki);
    int rc = rd_cert_issue(&spec, RD_BYTES_ARRAY(spki), NULL, key, &ca, err);
    if (rc == 0)
        rc = rd_p256_key_to_pem(key, &key_pem, err);
    if (rc == 0) {
        rd_cert_to_pem(ca, &ca_pem);
        rc = write_file(dir, "ca.key", rd_buf_bytes(&key_pem), 0600, err);
    }
    if (rc == 0)
        rc = write_file(dir, "ca.pem", rd_buf_bytes(&ca_pem), 0644, err);
    rd_buf_wipe(&key_pem);
    rd_buf_done(&ca_pem);
    return rc;
}

int api_plane_init(const char *dir, int64_t now_us, rd_err *err)
{
    size_t there = count_files(dir);
    if (there == RD_ARRAY_LEN(names))
        return 0;
    if (there > 0)
        return rd_err_set(err, RD_E_CONFIG, "%s holds part of a plane's identity: restore the rest, or empty it", dir);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return rd_err_set_errno(err, RD_E_IO, errno, "making %s", dir);
    uint8_t raw[16], key[32];
    char id[40] = "pln_", key_hex[66];
    rd_random_bytes(raw, sizeof(raw));
    rd_base32_encode(RD_BYTES_ARRAY(raw), id + 4);
    memcpy(id + strlen(id), "\n", 2);
    rd_random_bytes(key, sizeof(key));
    rd_hex_encode(RD_BYTES_ARRAY(key), key_hex);
    memcpy(key_hex + strlen(key_hex), "\n", 2);
    int rc = write_file(dir, "plane.id", rd_bytes_str(id), 0644, err);
    if (rc == 0)
        rc = write_file(dir, "plane.key", rd_bytes_str(key_hex), 0600, err);
    rd_wipe(key, sizeof(key));
    rd_wipe(key_hex, sizeof(key_hex));
    return rc < 0 ? -1 : make_ca(dir, now_us, err);
}

static int read_file(const char *dir, const char *name, bool is_secret, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = path_in(dir, name);
    struct stat st;
    if (is_secret && stat(path, &st) == 0 && (st.st_mode & 077) != 0)
        return rd_err_set(err, RD_E_CONFIG, "%s is readable by others: chmod 600 it", path);
    if (rd_file_read(path, FILE_MAX, out, err) < 0)
        return rd_err_wrap(err, "plane identity (redoubt-api init --state DIR makes it)");
    return 0;
}

static int load_key(const char *dir, api_plane *plane, rd_err *err)
{
    rd_buf text = { 0 };
    int rc = read_file(dir, "plane.key", true, &text, err);
    plane->mac_key = rd_secret_new(32);
    if (rc == 0 &&
        rd_hex_decode((const char *)text.data, RD_MIN(text.size, (size_t)64), rd_secret_data(plane->mac_key), 32) < 0)
        rc = rd_err_set(err, RD_E_CONFIG, "plane.key must hold 64 hex digits");
    uint8_t seed[RD_SEED_SIZE];
    rd_kdf(rd_secret_bytes(plane->mac_key), RD_KDF_PLANE_RECORD, NULL, 0, seed);
    plane->record_key = rd_signing_key_from_seed(seed);
    rd_wipe(seed, sizeof(seed));
    rd_buf_wipe(&text);
    return rc;
}

static int load_id(const char *dir, api_plane *plane, rd_err *err)
{
    rd_buf text = { 0 };
    int rc = read_file(dir, "plane.id", false, &text, err);
    if (rc == 0) {
        const char *id = rd_buf_text(&text);
        snprintf(plane->id, sizeof(plane->id), "%.*s", (int)RD_MIN(strcspn(id, "\r\n "), sizeof(plane->id) - 1), id);
        if (!rd_starts_with(plane->id, "pln_"))
            rc = rd_err_set(err, RD_E_CONFIG, "plane.id must begin with pln_");
    }
    rd_buf_done(&text);
    return rc;
}

static int load_ca(const char *dir, api_plane *plane, rd_err *err)
{
    rd_buf key = { 0 };
    int rc = read_file(dir, "ca.pem", false, &plane->ca_pem, err);
    if (rc == 0)
        rc = rd_cert_parse_pem(rd_buf_bytes(&plane->ca_pem), &plane->ca, err);
    if (rc == 0)
        rc = read_file(dir, "ca.key", true, &key, err);
    if (rc == 0)
        rc = rd_p256_key_from_pem(rd_buf_bytes(&key), &plane->ca_key, err);
    rd_buf_wipe(&key);
    uint8_t spki[RD_P256_SPKI_SIZE];
    if (rc == 0)
        rd_p256_key_spki(plane->ca_key, spki);
    if (rc == 0 && !rd_bytes_equal(rd_cert_spki(plane->ca), RD_BYTES_ARRAY(spki)))
        rc = rd_err_set(err, RD_E_CONFIG, "ca.key is not the key of ca.pem");
    return rc;
}

int api_plane_load(const char *dir, api_plane **ret, rd_err *err)
{
    api_plane *plane = rd_alloc(sizeof(*plane));
    if (load_id(dir, plane, err) < 0 || load_key(dir, plane, err) < 0 || load_ca(dir, plane, err) < 0) {
        api_plane_free(plane);
        return -1;
    }
    *ret = plane;
    return 0;
}

api_plane *api_plane_free(api_plane *plane)
{
    if (!plane)
        return NULL;
    rd_secret_free(plane->mac_key);
    rd_signing_key_free(plane->record_key);
    rd_cert_free(plane->ca);
    rd_p256_key_free(plane->ca_key);
    rd_buf_done(&plane->ca_pem);
    free(plane);
    return NULL;
}

const char *api_plane_id(const api_plane *plane)
{
    return plane->id;
}

const uint8_t *api_plane_mac_key(const api_plane *plane)
{
    return rd_secret_bytes(plane->mac_key).data;
}

const rd_signing_key *api_plane_record_key(const api_plane *plane)
{
    return plane->record_key;
}

rd_bytes api_plane_ca_pem(const api_plane *plane)
{
    return rd_buf_bytes(&plane->ca_pem);
}

int api_plane_issue_host(const api_plane *plane, const char *host_id, rd_bytes csr_pem, int64_t now_us, rd_buf *ret_pem,
                         uint8_t ret_spki_digest[32], int64_t *ret_expires_us, rd_err *err)
{
    RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
    RD_CLEANUP(rd_free_p) char *uri = rd_asprintf("redoubt:host:%s", host_id);
    rd_csr csr = { .common_name = "" };
    rd_cert_spec spec = { .kind = RD_CERT_KIND_CLIENT,
                          .common_name = host_id,
                          .san_uri = uri,
                          .path_length = -1,
                          .not_before_us = now_us - SKEW_US,
                          .not_after_us = now_us + API_HOST_TERM_US };
    int rc = rd_csr_parse(csr_pem, &csr, err);
    if (rc < 0)
        rd_err_wrap(err, "csr");
    else
        rc = rd_cert_issue(&spec, rd_buf_bytes(&csr.spki), plane->ca, plane->ca_key, &cert, err);
    if (rc == 0) {
        rd_cert_to_pem(cert, ret_pem);
        memcpy(ret_spki_digest, csr.spki_digest, 32);
        *ret_expires_us = rd_cert_not_after_us(cert);
    }
    rd_csr_done(&csr);
    return rc;
}

int api_plane_issue_link(const api_plane *plane, const char *replica, bool is_client, int64_t now_us,
                         rd_buf *ret_certificate, rd_buf *ret_key, rd_err *err)
{
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *key = rd_p256_key_new();
    uint8_t spki[RD_P256_SPKI_SIZE];
    RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
    RD_CLEANUP(rd_free_p) char *uri = rd_asprintf("redoubt:replica:%s", replica);
    static const char *const dns[] = { "redoubt-link", NULL };
    rd_cert_spec spec = { .kind = is_client ? RD_CERT_KIND_CLIENT : RD_CERT_KIND_SERVER,
                          .common_name = is_client ? replica : "redoubt-link",
                          .san_uri = uri,
                          .san_dns = is_client ? NULL : dns,
                          .path_length = -1,
                          .not_before_us = now_us - SKEW_US,
                          .not_after_us = now_us + LINK_TERM_US };
    rd_p256_key_spki(key, spki);
    if (rd_cert_issue(&spec, RD_BYTES_ARRAY(spki), plane->ca, plane->ca_key, &cert, err) < 0 ||
        rd_p256_key_to_pem(key, ret_key, err) < 0)
        return -1;
    rd_cert_to_pem(cert, ret_certificate);
    return 0;
}
