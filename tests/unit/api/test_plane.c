#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/blobs.h"
#include "api/peers.h"
#include "api/plane.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/crypto/x509_issue.h"

static const int64_t now_us = INT64_C(1790000000000000);
static char dir[64];

static char *in_dir(const char *name)
{
    return rd_asprintf("%s/%s", dir, name);
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/rd-plane-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    RD_CLEANUP(rd_free_p) char *command = rd_asprintf("rm -rf '%s'", dir);
    return system(command);
}

static void test_identity(void **state)
{
    (void)state;
    RD_CLEANUP(rd_free_p) char *where = in_dir("state");
    api_plane *plane = NULL, *again = NULL;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(api_plane_load(where, &plane, &err), -1);
    assert_int_equal(api_plane_init(where, now_us, &err), 0);
    assert_int_equal(api_plane_load(where, &plane, &err), 0);
    assert_int_equal(api_plane_init(where, now_us, &err), 0); /* keeps what is there */
    assert_int_equal(api_plane_load(where, &again, &err), 0);
    assert_string_equal(api_plane_id(plane), api_plane_id(again));
    assert_memory_equal(api_plane_mac_key(plane), api_plane_mac_key(again), 32);

    struct stat st;
    RD_CLEANUP(rd_free_p) char *key = in_dir("state/ca.key");
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(chmod(key, 0644), 0);
    api_plane *loose = NULL;
    assert_int_equal(api_plane_load(where, &loose, &err), -1);
    assert_int_equal(err.code, RD_E_CONFIG);
    assert_int_equal(unlink(key), 0);
    assert_int_equal(api_plane_init(where, now_us, &err), -1); /* half a set is nobody's to complete */
    api_plane_free(plane);
    api_plane_free(again);
}

static void test_host_certificate(void **state)
{
    (void)state;
    RD_CLEANUP(rd_free_p) char *where = in_dir("issuing");
    api_plane *plane = NULL;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(api_plane_init(where, now_us, &err), 0);
    assert_int_equal(api_plane_load(where, &plane, &err), 0);
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *key = rd_p256_key_new();
    RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
    rd_buf csr = { 0 }, pem = { 0 };
    uint8_t spki[32], own[32];
    int64_t expires_us;
    assert_int_equal(rd_csr_create(key, "hst_somebody_else", &csr, &err), 0);
    assert_int_equal(api_plane_issue_host(plane, "hst_me", rd_buf_bytes(&csr), now_us, &pem, spki, &expires_us, &err),
                     0);
    rd_p256_key_spki_digest(key, own);
    assert_memory_equal(spki, own, 32);
    assert_int_equal(expires_us, now_us + API_HOST_TERM_US);
    assert_int_equal(rd_cert_parse_pem(rd_buf_bytes(&pem), &cert, &err), 0);
    assert_string_equal(rd_cert_subject_cn(cert), "hst_me"); /* not what the CSR asked for */
    assert_string_equal(rd_cert_san_uri(cert, 0), "redoubt:host:hst_me");
    assert_false(rd_cert_is_ca(cert));
    csr.data[csr.size / 2] ^= 1;
    assert_int_equal(api_plane_issue_host(plane, "hst_me", rd_buf_bytes(&csr), now_us, &pem, spki, &expires_us, &err),
                     -1);
    rd_buf_done(&csr);
    rd_buf_done(&pem);
    api_plane_free(plane);
}

static void test_replica_certificates(void **state)
{
    (void)state;
    RD_CLEANUP(rd_free_p) char *where = in_dir("replicas");
    api_plane *plane = NULL;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(api_plane_init(where, now_us, &err), 0);
    assert_int_equal(api_plane_load(where, &plane, &err), 0);
    rd_id id = { { 7 } };
    char name[RD_ID_TEXT_SIZE];
    rd_id_format(RD_PREFIX_REPLICA, &id, name);
    for (int is_client = 0; is_client < 2; is_client++) {
        rd_buf pem = { 0 }, key = { 0 };
        RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
        assert_int_equal(api_plane_issue_link(plane, name, is_client != 0, now_us, &pem, &key, &err), 0);
        assert_int_equal(rd_cert_parse_pem(rd_buf_bytes(&pem), &cert, &err), 0);
        assert_string_equal(rd_cert_subject_cn(cert), is_client ? name : "redoubt-link");
        rd_tls_peer peer = { 0 };
        rd_id found;
        snprintf(peer.common_name, sizeof peer.common_name, "%s", rd_cert_subject_cn(cert));
        snprintf(peer.uri, sizeof peer.uri, "%s", rd_cert_san_uri(cert, 0));
        /* the server's certificate is no replica that dials */
        assert_int_equal(api_peers_parse(&peer, &found), is_client != 0);
        if (is_client)
            assert_true(rd_id_equal(&found, &id));
        snprintf(peer.uri, sizeof peer.uri, "redoubt:host:%s", name);
        assert_false(api_peers_parse(&peer, &found));
        rd_buf_done(&pem);
        rd_buf_wipe(&key);
    }
    api_plane_free(plane);
}

static void test_blobs(void **state)
{
    (void)state;
    RD_CLEANUP(rd_free_p) char *where = in_dir("blobs");
    rd_err err = RD_ERR_INIT;
    rd_bytes bytes = RD_BYTES_LIT("some code");
    uint8_t digest[32];
    rd_buf got = { 0 };
    rd_sha256(bytes, digest);
    assert_int_equal(api_blob_read(where, digest, 100, &got, &err), -1);
    assert_int_equal(err.code, RD_E_BLOB_MISSING);
    assert_int_equal(api_blob_store(where, digest, bytes, &err), 0);
    assert_int_equal(api_blob_store(where, digest, bytes, &err), 0);
    assert_int_equal(api_blob_read(where, digest, 100, &got, &err), 0);
    assert_true(rd_bytes_equal(rd_buf_bytes(&got), bytes));
    rd_buf_clear(&got);
    assert_int_equal(api_blob_read(where, digest, 3, &got, &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
    /* Other bytes of the same length under that name: a damaged disk is said, not served. */
    RD_CLEANUP(rd_free_p)
    char *spoil = rd_asprintf("for f in '%s'/*/*; do printf 'some c0de' > \"$f\"; done", where);
    assert_int_equal(system(spoil), 0);
    assert_int_equal(api_blob_read(where, digest, 100, &got, &err), -1);
    assert_int_equal(err.code, RD_E_DIGEST_MISMATCH);
    rd_buf_done(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_host_certificate),
        cmocka_unit_test(test_replica_certificates),
        cmocka_unit_test(test_blobs),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
