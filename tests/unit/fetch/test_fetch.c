// link: rd_fetch test_evidence
/* What comes from outside before any of it is believed: headers, the encoded chain, addresses, scopes; and the cache.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "fetch/cache.h"
#include "fetch/fetch.h"
#include "fetch/headers.h"
#include "fetch/validators.h"
#include "tests/support/evidence_builder.h"

static rd_code take(fetch_headers *headers, const char *line)
{
    rd_err err = RD_ERR_INIT;
    return fetch_headers_take(headers, rd_bytes_str(line), &err) < 0 ? err.code : RD_OK;
}

static void test_headers(void **state RD_UNUSED)
{
    RD_CLEANUP(fetch_headers_done) fetch_headers headers = { .chain_name = "tcb-info-issuer-chain" };
    assert_int_equal(take(&headers, "HTTP/1.1 100 Continue\r\n"), RD_OK);
    assert_int_equal(take(&headers, "Tcb-Info-Issuer-Chain: early\r\n"), RD_OK);
    assert_int_equal(take(&headers, "HTTP/1.1 200 OK\r\n"), RD_OK);
    assert_int_equal(headers.chain.size, 0);
    assert_int_equal(take(&headers, "eTaG:  \"a b\" \r\n"), RD_OK);
    assert_string_equal(headers.etag, "\"a b\"");
    assert_int_equal(take(&headers, "Last-Modified: Sat\x01\r\n"), RD_OK);
    assert_string_equal(headers.last_modified, ""); /* cannot be sent back */
    assert_int_equal(take(&headers, "TCB-INFO-ISSUER-CHAIN: %41"), RD_OK);
    assert_int_equal(headers.chain.size, 3);
    assert_int_equal(take(&headers, "TCB-Info-Issuer-Chain: again"), RD_E_COLLATERAL_FETCH);
    assert_int_equal(take(&headers, "no colon"), RD_OK);
    assert_int_equal(take(&headers, ""), RD_OK);
    char line[2048];
    memset(line, 'x', sizeof line - 1);
    line[1] = ':';
    line[sizeof line - 1] = 0;
    rd_code code = RD_OK;
    for (int i = 0; i < 40 && code == RD_OK; i++)
        code = take(&headers, line);
    assert_int_equal(code, RD_E_COLLATERAL_FETCH);
}

static void percent(rd_bytes pem, rd_buf *out)
{
    for (size_t i = 0; i < pem.size; i++)
        if (pem.data[i] == '\n' || pem.data[i] == ' ' || pem.data[i] == '=')
            rd_buf_printf(out, "%%%02X", pem.data[i]);
        else
            rd_buf_append_u8(out, pem.data[i]);
}

static rd_code decode(const char *text)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_err err = RD_ERR_INIT;
    return fetch_chain_decode(rd_bytes_str(text), &out, &err) < 0 ? err.code : RD_OK;
}

static void test_chain(void **state RD_UNUSED)
{
    agent_sim_ca ca;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf pem = { 0 }, text = { 0 }, out = { 0 };
    assert_int_equal(agent_sim_ca_make(EV_NOW_US, &ca, &err), 0);
    rd_cert_to_pem(ca.platform, &pem);
    rd_cert_to_pem(ca.root, &pem);
    percent(rd_buf_bytes(&pem), &text);
    assert_int_equal(fetch_chain_decode(rd_buf_bytes(&text), &out, &err), 0);
    assert_true(rd_bytes_equal(rd_buf_bytes(&out), rd_buf_bytes(&pem))); /* plus signs stayed */
    /* Every cut is refused, or is a whole first certificate. */
    for (size_t size = 0; size < text.size; size += 7) {
        RD_CLEANUP(rd_buf_done) rd_buf part = { 0 };
        if (fetch_chain_decode(rd_bytes_of(text.data, size), &part, &err) == 0)
            assert_true(size > text.size / 3);
    }
    static const char *const rows[] = { "",    "%",     "%4", "%zz", "%00", "hello", "-----BEGIN%20CERTIFICATE-----",
                                        "%7f", "%C3%A4" };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        if (decode(rows[i]) != RD_E_COLLATERAL_FORMAT)
            fail_msg("%s", rows[i]);
    agent_sim_ca_done(&ca);
}

static void test_addresses(void **state RD_UNUSED)
{
    static const struct {
        const char *text, *base; /* NULL: refused */
    } rows[] = {
        { "https://pccs.example:8081/", "https://pccs.example:8081" },
        { "https://h/a/b//", "https://h/a/b" },
        { "http://127.0.0.1:80", "http://127.0.0.1:80" },
        { "http://localhost", "http://localhost" },
        { "http://[::1]:1", "http://[::1]:1" },
        { "http://localhost.evil", NULL },
        { "http://127.0.0.1@evil", NULL },
        { "http://h", NULL },
        { "https://", NULL },
        { "https:///x", NULL },
        { "https://h?x", NULL },
        { "https://h#x", NULL },
        { "https://h x", NULL },
        { "file:///etc", NULL },
        { "", NULL },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        RD_CLEANUP(rd_free_p) char *base = NULL;
        rd_err err = RD_ERR_INIT;
        int rc = fetch_base_url(rows[i].text, &base, &err);
        if ((rc == 0) != (rows[i].base != NULL) || (base && strcmp(base, rows[i].base) != 0))
            fail_msg("%s: %s", rows[i].text, base ? base : err.text);
    }
}

static void test_scopes(void **state RD_UNUSED)
{
    static const char *const bad[] = { "tdx",
                                       "tdx:",
                                       "tdx:90c06f00000",
                                       "tdx:90c06f0000000",
                                       "TDX:90c06f000000",
                                       "snp:Naples",
                                       "snp:Milan-B0",
                                       "snp:Milan/00/1.2.3.4",
                                       "snp:Turin/0011223344556677/1.2.3.4",
                                       "snp:Turin/0011223344556677/1.2.3.4.256",
                                       "snp:",
                                       ":",
                                       "xyz:1" };
    RD_CLEANUP(rd_free_p) fetch_scopes *scopes = rd_alloc(sizeof *scopes);
    rd_err err = RD_ERR_INIT;
    for (size_t i = 0; i < RD_ARRAY_LEN(bad); i++)
        if (fetch_scopes_add(scopes, bad[i], &err) == 0)
            fail_msg("%s", bad[i]);
    assert_int_equal(scopes->count, 0);
    assert_int_equal(fetch_scopes_add(scopes,
                                      "tdx:90C06F000000,sgx/00906ed50000,tdx:90c06f000000,snp:Milan,"
                                      "snp:Turin/0011223344556677/1.2.3.4.5",
                                      &err),
                     0);
    assert_int_equal(scopes->count, 4);
    assert_int_equal(scopes->items[3].product, RD_SNP_TURIN);
    assert_true(scopes->items[3].has_chip);
    assert_int_equal(scopes->items[3].chip.tcb.fmc, 5);
    assert_int_equal(scopes->items[3].chip.tcb.boot_loader, 1);
}

static void put(fetch_cache *cache, const char *url, size_t size)
{
    rd_buf body = { 0 }, chain = { 0 };
    (void)rd_buf_reserve(&body, size);
    rd_buf_commit(&body, size);
    (void)fetch_cache_put(cache, url, "\"1\"", "", &body, &chain);
}

static void test_cache(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) fetch_cache *cache = rd_alloc(sizeof *cache);
    char url[32];
    for (int i = 0; i < 400; i++) {
        (void)snprintf(url, sizeof url, "u%d", i);
        put(cache, url, 10);
        assert_non_null(fetch_cache_find(cache, "u0")); /* what is asked for stays */
    }
    assert_int_equal(cache->count, FETCH_CACHE_ENTRIES_MAX);
    put(cache, "u0", 20);
    assert_int_equal(cache->count, FETCH_CACHE_ENTRIES_MAX);
    put(cache, "large", FETCH_CACHE_SIZE_MAX - 30);
    assert_true(cache->size <= FETCH_CACHE_SIZE_MAX);
    assert_non_null(fetch_cache_find(cache, "large"));
    fetch_cache_forget(cache, "large");
    assert_null(fetch_cache_find(cache, "large"));
    assert_non_null(fetch_cache_find(cache, "u0"));
    fetch_cache_done(cache);
    assert_int_equal(cache->size, 0);
}

/* --- validators --- */

static fetch_http *http_new(void)
{
    const fetch_http_options options = { .clock = rd_clock_system() };
    fetch_http *http = NULL;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(fetch_http_new(&options, &http, &err), 0);
    return http;
}

static void nothing(ev_builder *b RD_UNUSED)
{
}

static rd_code load(fetch_http *http, const char *text, const rd_collateral_set *set)
{
    rd_err err = RD_ERR_INIT;
    return fetch_validators_load(http, rd_bytes_str(text), set, &err) < 0 ? err.code : RD_OK;
}

/* What one process was answered, another asks about, with body and chain out of the set. */
static void test_validators(void **state RD_UNUSED)
{
    ev_builder b;
    rd_err err = RD_ERR_INIT;
    rd_collateral_set *set = NULL;
    fetch_http *first = http_new(), *second = http_new();
    ev_build(&b, EV_BODIES, nothing);
    assert_int_equal(rd_collateral_set_parse(rd_buf_bytes(&b.collateral_json), &set, &err), 0);
    const rd_piece *piece = rd_collateral_set_at(set, 0);
    rd_buf body = { 0 }, chain = { 0 };
    (void)rd_buf_append_bytes(&body, piece->body);
    (void)fetch_cache_put(fetch_http_cache(first), "https://h/a", "\"1\"", "", &body, &chain);
    put(fetch_http_cache(first), "https://h/not-in-the-set", 10);
    RD_CLEANUP(rd_json_free_p) json_t *json = fetch_validators_to_json(first);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 }, pem = { 0 };
    assert_true(rd_json_dump(json, &text));
    assert_int_equal(load(second, rd_buf_text(&text), set), RD_OK);
    assert_int_equal(fetch_http_cache(second)->count, 1);
    const fetch_entry *entry = fetch_cache_find(fetch_http_cache(second), "https://h/a");
    assert_non_null(entry);
    assert_string_equal(entry->etag, "\"1\"");
    assert_true(rd_bytes_equal(rd_buf_bytes(&entry->body), piece->body));
    assert_int_equal(fetch_chain_decode(rd_buf_bytes(&entry->chain), &pem, &err), 0);
    assert_true(rd_bytes_equal(rd_buf_bytes(&pem), piece->chain));
#define HEAD "{\"type\":\"redoubt/fetch-validators/v1\",\"answers\":"
#define BODY "\"body\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}]}"
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        HEAD "{}}",
        HEAD "[7]}",
        HEAD "[{\"url\":\"u\"}]}",
        HEAD "[{\"url\":\"u\",\"etag\":\"a\\r\\nX: y\",\"last_modified\":\"\"," BODY,
        HEAD "[{\"url\":\"\",\"etag\":\"a\",\"last_modified\":\"\"," BODY,
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(bad); i++)
        if (load(second, bad[i], set) != RD_E_COLLATERAL_FORMAT)
            fail_msg("%s", bad[i]);
    assert_int_equal(load(second, HEAD "[{\"url\":\"u\",\"etag\":\"a\",\"last_modified\":\"\"," BODY, set), RD_OK);
    fetch_http_forget(second, NULL);
    assert_int_equal(fetch_http_cache(second)->count, 0);
    rd_collateral_set_free(set);
    fetch_http_free(first);
    fetch_http_free(second);
    ev_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers), cmocka_unit_test(test_chain), cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_scopes),  cmocka_unit_test(test_cache), cmocka_unit_test(test_validators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
