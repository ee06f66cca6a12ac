#include "common/model/receipt.h"

#include "tests/unit/common/model/samples.h"

static int parse_claims(rd_bytes bytes, rd_err *err)
{
    rd_receipt_claims claims;
    return rd_receipt_claims_parse(bytes, &claims, err);
}

static const spoil claims_rows[] = {
    { "unknown member", "/x", "1", RD_E_JSON_UNKNOWN },
    { "other type", "/type", "\"redoubt/receipt-root/v1\"", RD_E_PURPOSE },
    { "app missing", "/app", NULL, RD_E_JSON_MISSING },
    { "release missing", "/release", NULL, RD_E_JSON_MISSING },
    { "head null", "/head", "null", RD_E_JSON_TYPE },
    { "class unknown", "/class", "\"x\"", RD_E_JSON_RANGE },
    { "kind container", "/kind", "\"container\"", RD_E_JSON_RANGE },
    { "instance short", "/instance", "\"AAAA\"", RD_E_ENCODING },
    { "seq 0", "/seq", "0", RD_E_JSON_RANGE },
    { "seq a string", "/seq", "\"1\"", RD_E_JSON_TYPE },
    { "request missing", "/request", NULL, RD_E_JSON_MISSING },
    { "response null", "/response", "null", RD_E_JSON_TYPE },
    { "status 99", "/status", "99", RD_E_JSON_RANGE },
    { "status 600", "/status", "600", RD_E_JSON_RANGE },
    { "status 599 (ok)", "/status", "599", RD_OK },
    { "nonce null (ok)", "/nonce", "null", RD_OK },
    { "nonce short", "/nonce", "\"AAAA\"", RD_E_ENCODING },
    { "nonce missing", "/nonce", NULL, RD_E_JSON_MISSING },
    { "kv", "/kv", "{}", RD_E_JSON_RANGE },
    { "egress missing", "/egress", NULL, RD_E_JSON_MISSING },
    { "egress negative", "/egress/failed", "-1", RD_E_JSON_RANGE },
    { "egress with more", "/egress/x", "1", RD_E_JSON_UNKNOWN },
    { "inputs", "/inputs", "\"own\"", RD_E_JSON_RANGE },
    { "evidence malformed", "/evidence", "\"x\"", RD_E_ENCODING },
    { "log", "/log", "{}", RD_E_JSON_RANGE },
    { "host_time a number", "/host_time", "0", RD_E_JSON_TYPE },
};

static const spoil root_rows[] = {
    { "unknown member", "/x", "1", RD_E_JSON_UNKNOWN },
    { "other type", "/type", "\"redoubt/receipt/v1\"", RD_E_PURPOSE },
    { "count 0", "/count", "0", RD_E_JSON_RANGE },
    { "count 65", "/count", "65", RD_E_JSON_RANGE },
    { "first 0", "/first", "0", RD_E_JSON_RANGE },
    { "prev missing", "/prev", NULL, RD_E_JSON_MISSING },
    { "prev a number", "/prev", "1", RD_E_JSON_TYPE },
    { "root null", "/root", "null", RD_E_JSON_TYPE },
    { "instance missing", "/instance", NULL, RD_E_JSON_MISSING },
};

static int parse_root(rd_bytes bytes, rd_err *err)
{
    rd_receipt_root root;
    return rd_receipt_root_parse(bytes, &root, err);
}

static void test_spoiled_parts(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_receipt_claims claims = sample_claims();
    assert_true(rd_receipt_claims_encode(&claims, &document));
    run_spoils(rd_buf_bytes(&document), parse_claims, claims_rows, RD_ARRAY_LEN(claims_rows));
    run_form_spoils(rd_buf_bytes(&document), parse_claims);
    rd_receipt_root root = { .first = 5, .count = 3, .root = sample_digest(1), .has_prev = true };
    rd_buf_clear(&document);
    assert_true(rd_receipt_root_encode(&root, &document));
    run_spoils(rd_buf_bytes(&document), parse_root, root_rows, RD_ARRAY_LEN(root_rows));
    run_form_spoils(rd_buf_bytes(&document), parse_root);
}

/* What the writer makes without a tree is what the canonicaliser makes of it. */
static void test_writers_are_canonical(void **state RD_UNUSED)
{
    static const int64_t times[] = { 0, 1, SAMPLE_TIME, SAMPLE_TIME + 123456, INT64_C(253402300799999999) };
    for (unsigned i = 0; i < 40; i++) {
        RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
        RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
        rd_receipt_claims claims = sample_claims();
        rd_receipt_claims read;
        claims.has_nonce = i % 2;
        claims.class = i % 3 ? RD_CLASS_SIMULATED : RD_CLASS_HARDWARE;
        claims.seq = i % 5 ? i + 1 : (uint64_t)RD_JSON_INT_MAX;
        claims.status = 100 + i * 12;
        claims.egress_asked = i % 7 ? i : UINT32_MAX;
        claims.host_time_us = times[i % RD_ARRAY_LEN(times)];
        memset(claims.request, (int)i * 7, sizeof claims.request);
        assert_true(rd_receipt_claims_encode(&claims, &text));
        assert_int_equal(rd_canonical_check(rd_buf_bytes(&text), NULL, NULL), 0);
        assert_int_equal(rd_receipt_claims_parse(rd_buf_bytes(&text), &read, NULL), 0);
        assert_true(rd_receipt_claims_encode(&read, &again));
        assert_true(rd_bytes_equal(rd_buf_bytes(&text), rd_buf_bytes(&again)));
        rd_receipt_root root = { .first = claims.seq, .count = i + 1, .has_prev = i % 2 };
        rd_buf_clear(&text);
        assert_true(rd_receipt_root_encode(&root, &text));
        assert_int_equal(rd_canonical_check(rd_buf_bytes(&text), NULL, NULL), 0);
        assert_int_equal(parse_root(rd_buf_bytes(&text), NULL), 0);
    }
}

/* Made with Python's hmac from docs/protocol/formats.md. */
static void test_commitments_of_another_implementation(void **state RD_UNUSED)
{
    uint8_t salt[RD_SALT_SIZE], out[32];
    char text[65];
    memset(salt, 7, sizeof salt);
    rd_commit_request(salt, RD_BYTES_LIT("POST"), RD_BYTES_LIT("/a?b=c"), RD_BYTES_LIT("application/json"),
                      RD_BYTES_LIT("{}"), out);
    rd_hex_encode(RD_BYTES_ARRAY(out), text);
    assert_string_equal(text, "cd4ce6a720bdc47f3b43e50188b8a20209ae055b70864b6e8e8162b9501474db");
    rd_commit_response(salt, 200, RD_BYTES_NULL, RD_BYTES_LIT("ok"), out);
    rd_hex_encode(RD_BYTES_ARRAY(out), text);
    assert_string_equal(text, "ed2fd7d226abc4bd0c6921f90c3ae67dde4c5e72bd7378bd54a6a4772e5adee1");
}

/* A burst of one instance, with a status statement for it. */
typedef struct burst {
    rd_signing_key *key;
    rd_receipt_signer *signer;
    rd_buf statement;
    rd_statement fields;
    rd_buf headers[RD_TREE_LEAVES_MAX];
    size_t count;
} burst;

static const rd_exchange exchange = {
    .method = { (const uint8_t *)"POST", 4 },
    .target = { (const uint8_t *)"/score?x=1", 10 },
    .request_type = { (const uint8_t *)"text/plain", 10 },
    .request_body = { (const uint8_t *)"question", 8 },
    .status = 200,
    .response_type = { (const uint8_t *)"text/plain", 10 },
    .response_body = { (const uint8_t *)"answer", 6 },
};
static const uint8_t salt_bytes[RD_SALT_SIZE] = { 1, 2, 3 };

static void burst_sign(burst *made, size_t count)
{
    rd_receipt_claims claims[RD_TREE_LEAVES_MAX];
    rd_buf *out[RD_TREE_LEAVES_MAX];
    rd_digest evidence;
    rd_statement_digest(rd_buf_bytes(&made->statement), &evidence);
    for (size_t i = 0; i < count; i++) {
        claims[i] = sample_claims();
        claims[i].evidence = evidence;
        rd_commit_request(salt_bytes, exchange.method, exchange.target, exchange.request_type, exchange.request_body,
                          claims[i].request);
        rd_commit_response(salt_bytes, exchange.status, exchange.response_type, exchange.response_body,
                           claims[i].response);
        rd_buf_clear(&made->headers[i]);
        out[i] = &made->headers[i];
    }
    made->count = count;
    assert_int_equal(rd_receipt_sign_burst(made->signer, claims, count, out, NULL), 0);
}

static void burst_init(burst *made, size_t count)
{
    *made = (burst){ .key = sample_key(9) };
    made->signer = rd_receipt_signer_new(made->key);
    made->fields = sample_statement(RD_PURPOSE_STATUS);
    assert_int_equal(rd_statement_encode(&made->fields, &made->statement, NULL), 0);
    burst_sign(made, count);
}

static void burst_done(burst *made)
{
    (void)rd_receipt_signer_free(made->signer);
    (void)rd_signing_key_free(made->key);
    rd_buf_done(&made->statement);
    for (size_t i = 0; i < RD_TREE_LEAVES_MAX; i++)
        rd_buf_done(&made->headers[i]);
}

static void read_receipt(burst *made, size_t index, rd_receipt *ret)
{
    rd_err err = RD_ERR_INIT;
    if (rd_receipt_parse_header(rd_buf_text(&made->headers[index]), made->headers[index].size, ret, &err) < 0)
        fail_msg("receipt %zu: %s", index, err.text);
}

static void test_bursts_of_every_size(void **state RD_UNUSED)
{
    RD_CLEANUP(burst_done) burst made;
    burst_init(&made, 1);
    rd_bytes statement = rd_buf_bytes(&made.statement);
    rd_receipt_expect expect = { .statement = &statement, .salt = salt_bytes, .exchange = &exchange };
    uint64_t seq = 1;
    for (size_t count = 1; count <= RD_TREE_LEAVES_MAX; count++) {
        if (count > 1)
            burst_sign(&made, count);
        for (size_t i = 0; i < count; i++) {
            RD_CLEANUP(rd_receipt_done) rd_receipt receipt;
            rd_step_result steps[RD_STEP_COUNT];
            rd_err err = RD_ERR_INIT;
            read_receipt(&made, i, &receipt);
            if (rd_receipt_verify(&receipt, &expect, steps, &err) < 0)
                fail_msg("%zu of %zu: %s", i, count, err.text);
            assert_int_equal(receipt.claims.seq, seq++);
            assert_int_equal(steps[RD_STEP_SIGNATURE], RD_STEP_PASSED);
            assert_int_equal(steps[RD_STEP_RESPONSE], RD_STEP_PASSED);
            assert_int_equal(steps[RD_STEP_NONCE], RD_STEP_SKIPPED);
        }
        assert_int_equal(rd_receipt_signer_next_seq(made.signer), seq);
    }
}

static void test_chain_of_bursts(void **state RD_UNUSED)
{
    RD_CLEANUP(burst_done) burst made;
    rd_digest prev = { { 0 } };
    burst_init(&made, 1);
    for (int round = 0; round < 3; round++) {
        RD_CLEANUP(rd_receipt_done) rd_receipt receipt;
        read_receipt(&made, 0, &receipt);
        assert_int_equal(receipt.root.has_prev, round > 0);
        if (round > 0)
            assert_true(rd_digest_equal(&receipt.root.prev, &prev));
        rd_receipt_root_chain(rd_buf_bytes(&receipt.payload), &prev);
        burst_sign(&made, 2);
    }
}

static void test_burst_bounds(void **state RD_UNUSED)
{
    RD_CLEANUP(burst_done) burst made;
    burst_init(&made, 1);
    rd_receipt_claims claims = sample_claims();
    rd_buf *none[1] = { NULL };
    assert_int_equal(rd_receipt_sign_burst(made.signer, &claims, 0, none, NULL), -1);
    assert_int_equal(rd_receipt_sign_burst(made.signer, &claims, RD_TREE_LEAVES_MAX + 1, none, NULL), -1);
    assert_int_equal(rd_receipt_sign_burst(made.signer, &claims, 1, none, NULL), 0);
    RD_CLEANUP(rd_buf_done) rd_buf small = { .size_max = 100 };
    rd_buf *out[1] = { &small };
    assert_int_equal(rd_receipt_sign_burst(made.signer, &claims, 1, out, NULL), -1);
    assert_int_equal(rd_receipt_signer_next_seq(made.signer), 4); /* the numbers are used up all the same */
}

static rd_step_result first_failure(const rd_receipt *receipt, const rd_receipt_expect *expect, rd_receipt_step *ret,
                                    rd_code *ret_code)
{
    rd_step_result steps[RD_STEP_COUNT];
    rd_err err = RD_ERR_INIT;
    int outcome = rd_receipt_verify(receipt, expect, steps, &err);
    *ret_code = err.code;
    for (int i = 0; i < RD_STEP_COUNT; i++) {
        if (steps[i] == RD_STEP_FAILED) {
            assert_int_equal(outcome, -1);
            *ret = (rd_receipt_step)i;
            return RD_STEP_FAILED;
        }
    }
    assert_int_equal(outcome, 0);
    return RD_STEP_PASSED;
}

static void spoil_signature(rd_receipt *receipt)
{
    receipt->signature.b[5] ^= 1;
}
static void spoil_payload(rd_receipt *receipt)
{
    receipt->payload.data[10] ^= 1;
}
static void spoil_header(rd_receipt *receipt)
{
    receipt->protected_text.data[3] ^= 1;
}
static void spoil_header_longer(rd_receipt *receipt)
{
    (void)rd_buf_append_str(&receipt->protected_text, "IA");
}
static void spoil_claims(rd_receipt *receipt)
{
    receipt->claims_bytes.data[100] ^= 1;
}
static void spoil_path(rd_receipt *receipt)
{
    receipt->path.siblings[0].b[0] ^= 1;
}
static void spoil_path_shorter(rd_receipt *receipt)
{
    receipt->path.count--;
}
static void spoil_index(rd_receipt *receipt)
{
    receipt->index++;
}
static void spoil_seq(rd_receipt *receipt)
{
    receipt->claims.seq++;
}
static void spoil_count(rd_receipt *receipt)
{
    receipt->root.count = 1;
}
static void spoil_instance(rd_receipt *receipt)
{
    receipt->claims.instance[0] ^= 1;
}
static void spoil_root_instance(rd_receipt *receipt)
{
    receipt->root.instance[0] ^= 1;
}
static void spoil_evidence(rd_receipt *receipt)
{
    receipt->claims.evidence.b[0] ^= 1;
}
static void spoil_app(rd_receipt *receipt)
{
    receipt->claims.app.b[0] ^= 1;
}
static void spoil_head(rd_receipt *receipt)
{
    receipt->claims.head.b[0] ^= 1;
}
static void spoil_class(rd_receipt *receipt)
{
    receipt->claims.class = RD_CLASS_HARDWARE;
}
static void spoil_request(rd_receipt *receipt)
{
    receipt->claims.request[31] ^= 1;
}
static void spoil_response(rd_receipt *receipt)
{
    receipt->claims.response[31] ^= 1;
}
static void spoil_status(rd_receipt *receipt)
{
    receipt->claims.status = 201;
}

static const struct {
    const char *name;
    void (*spoil)(rd_receipt *receipt);
    rd_receipt_step step;
    rd_code want;
} spoils[] = {
    { "signature", spoil_signature, RD_STEP_SIGNATURE, RD_E_SIGNATURE },
    { "payload", spoil_payload, RD_STEP_SIGNATURE, RD_E_SIGNATURE },
    { "header", spoil_header, RD_STEP_HEADER, RD_E_SIGNATURE },
    { "header with more", spoil_header_longer, RD_STEP_HEADER, RD_E_SIGNATURE },
    { "claims", spoil_claims, RD_STEP_PATH, RD_E_RECEIPT_PATH },
    { "path", spoil_path, RD_STEP_PATH, RD_E_RECEIPT_PATH },
    { "path shorter", spoil_path_shorter, RD_STEP_PATH, RD_E_RECEIPT_PATH },
    { "index", spoil_index, RD_STEP_PATH, RD_E_RECEIPT_PATH },
    { "seq", spoil_seq, RD_STEP_PATH, RD_E_RECEIPT_PATH },
    { "count", spoil_count, RD_STEP_PATH, RD_E_RECEIPT_PATH },
    { "instance", spoil_instance, RD_STEP_INSTANCE, RD_E_RECEIPT_CLAIMS },
    { "instance of the root", spoil_root_instance, RD_STEP_INSTANCE, RD_E_RECEIPT_CLAIMS },
    { "evidence", spoil_evidence, RD_STEP_EVIDENCE, RD_E_RECEIPT_CLAIMS },
    { "app", spoil_app, RD_STEP_EVIDENCE, RD_E_RECEIPT_CLAIMS },
    { "head", spoil_head, RD_STEP_EVIDENCE, RD_E_RECEIPT_CLAIMS },
    { "class", spoil_class, RD_STEP_EVIDENCE, RD_E_RECEIPT_CLAIMS },
    { "request", spoil_request, RD_STEP_REQUEST, RD_E_RECEIPT_COMMITMENT },
    { "response", spoil_response, RD_STEP_RESPONSE, RD_E_RECEIPT_COMMITMENT },
    { "status", spoil_status, RD_STEP_RESPONSE, RD_E_RECEIPT_COMMITMENT },
};

static void test_spoiled_receipts(void **state RD_UNUSED)
{
    RD_CLEANUP(burst_done) burst made;
    burst_init(&made, 5);
    rd_bytes statement = rd_buf_bytes(&made.statement);
    rd_receipt_expect expect = { .statement = &statement, .salt = salt_bytes, .exchange = &exchange };
    for (size_t i = 0; i < RD_ARRAY_LEN(spoils); i++) {
        RD_CLEANUP(rd_receipt_done) rd_receipt receipt;
        rd_receipt_step step = RD_STEP_COUNT;
        rd_code code;
        read_receipt(&made, 2, &receipt);
        spoils[i].spoil(&receipt);
        (void)first_failure(&receipt, &expect, &step, &code);
        if (step != spoils[i].step || code != spoils[i].want)
            fail_msg("%s: step %d, %s", spoils[i].name, (int)step, rd_code_describe(code)->name);
    }
}

static void test_other_expectations(void **state RD_UNUSED)
{
    RD_CLEANUP(burst_done) burst made;
    RD_CLEANUP(rd_receipt_done) rd_receipt receipt;
    burst_init(&made, 3);
    read_receipt(&made, 1, &receipt);
    rd_public_key key = *rd_signing_key_public(made.key);
    rd_public_key other_key = sample_public_key(8);
    rd_app_id app = receipt.claims.app;
    rd_app_id other_app = { { 1 } };
    rd_digest other_digest = sample_digest(0x99);
    rd_class hardware = RD_CLASS_HARDWARE;
    uint8_t other_salt[RD_SALT_SIZE] = { 9 };
    uint8_t zeros[RD_NONCE_SIZE] = { 0 };
    rd_exchange other_body = exchange;
    rd_exchange other_method = exchange;
    other_body.response_body = RD_BYTES_LIT("answes");
    other_method.method = RD_BYTES_LIT("GET");
    const struct {
        const char *name;
        rd_receipt_expect expect;
        rd_receipt_step step;
        rd_code want;
    } rows[] = {
        { "key alone", { .key = &key }, RD_STEP_COUNT, RD_OK },
        { "key and app", { .key = &key, .app = &app, .nonce = receipt.claims.nonce }, RD_STEP_COUNT, RD_OK },
        { "other key", { .key = &other_key }, RD_STEP_HEADER, RD_E_SIGNATURE },
        { "other app", { .key = &key, .app = &other_app }, RD_STEP_APP, RD_E_RECEIPT_CLAIMS },
        { "other release", { .key = &key, .release = &other_digest }, RD_STEP_APP, RD_E_RECEIPT_CLAIMS },
        { "other head", { .key = &key, .head = &other_digest }, RD_STEP_APP, RD_E_RECEIPT_CLAIMS },
        { "other class", { .key = &key, .class = &hardware }, RD_STEP_APP, RD_E_CLASS_MISMATCH },
        { "other nonce", { .key = &key, .nonce = zeros }, RD_STEP_NONCE, RD_E_NONCE },
        { "other salt",
          { .key = &key, .salt = other_salt, .exchange = &exchange },
          RD_STEP_REQUEST,
          RD_E_RECEIPT_COMMITMENT },
        { "other answer",
          { .key = &key, .salt = salt_bytes, .exchange = &other_body },
          RD_STEP_RESPONSE,
          RD_E_RECEIPT_COMMITMENT },
        { "other method",
          { .key = &key, .salt = salt_bytes, .exchange = &other_method },
          RD_STEP_REQUEST,
          RD_E_RECEIPT_COMMITMENT },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_receipt_step step = RD_STEP_COUNT;
        rd_code code;
        (void)first_failure(&receipt, &rows[i].expect, &step, &code);
        if (step != rows[i].step || code != rows[i].want)
            fail_msg("%s: step %d, %s", rows[i].name, (int)step, rd_code_describe(code)->name);
    }
    rd_err err = RD_ERR_INIT;
    rd_receipt_expect nothing = { .app = &app };
    assert_int_equal(rd_receipt_verify(&receipt, &nothing, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_USAGE);
    rd_bytes statement = rd_buf_bytes(&made.statement);
    rd_receipt_expect two_keys = { .key = &other_key, .statement = &statement };
    assert_int_equal(rd_receipt_verify(&receipt, &two_keys, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_RECEIPT_CLAIMS);
    receipt.claims.has_nonce = false;
    rd_receipt_expect no_nonce = { .key = &key, .nonce = zeros };
    assert_int_equal(rd_receipt_verify(&receipt, &no_nonce, NULL, &err), -1);
}

static void test_client_statement_is_not_the_status_statement(void **state RD_UNUSED)
{
    RD_CLEANUP(burst_done) burst made;
    RD_CLEANUP(rd_receipt_done) rd_receipt receipt;
    RD_CLEANUP(rd_buf_done) rd_buf client = { 0 };
    rd_err err = RD_ERR_INIT;
    burst_init(&made, 1);
    read_receipt(&made, 0, &receipt);
    rd_statement statement = sample_statement(RD_PURPOSE_CLIENT);
    assert_int_equal(rd_statement_encode(&statement, &client, NULL), 0);
    rd_bytes bytes = rd_buf_bytes(&client);
    rd_receipt_expect expect = { .statement = &bytes };
    assert_int_equal(rd_receipt_verify(&receipt, &expect, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_PURPOSE);
}

static int parse_receipt(rd_bytes bytes, rd_err *err)
{
    rd_receipt receipt;
    int outcome = rd_receipt_parse(bytes, &receipt, err);
    rd_receipt_done(&receipt);
    return outcome;
}

/* R61: nothing of a JWS is for its sender to choose. */
static const spoil receipt_rows[] = {
    { "unknown member", "/x", "1", RD_E_JSON_UNKNOWN },
    { "claims missing", "/claims", NULL, RD_E_JSON_MISSING },
    { "claims a string", "/claims", "\"x\"", RD_E_JSON_TYPE },
    { "claims with more", "/claims/x", "1", RD_E_JSON_UNKNOWN },
    { "index 64", "/index", "64", RD_E_JSON_RANGE },
    { "index -1", "/index", "-1", RD_E_JSON_RANGE },
    { "path missing", "/path", NULL, RD_E_JSON_MISSING },
    { "path an object", "/path", "{}", RD_E_JSON_TYPE },
    { "path with a number", "/path/0", "1", RD_E_JSON_TYPE },
    { "unprotected header", "/root/header", "{}", RD_E_JSON_UNKNOWN },
    { "protected missing", "/root/protected", NULL, RD_E_JSON_MISSING },
    { "protected an object", "/root/protected", "{}", RD_E_JSON_TYPE },
    { "payload empty", "/root/payload", "\"\"", RD_E_JSON_RANGE },
    { "payload not base64url", "/root/payload", "\"????\"", RD_E_ENCODING },
    { "payload no root statement", "/root/payload", "\"e30\"", RD_E_JSON_MISSING },
    { "signature short", "/root/signature", "\"AA\"", RD_E_ENCODING },
    { "signature missing", "/root/signature", NULL, RD_E_JSON_MISSING },
    { "several signatures", "/root/signatures", "[]", RD_E_JSON_UNKNOWN },
};

static void test_spoiled_text(void **state RD_UNUSED)
{
    RD_CLEANUP(burst_done) burst made;
    uint8_t bytes[RD_RECEIPT_SIZE_MAX];
    rd_receipt receipt;
    burst_init(&made, 3);
    ssize_t size = rd_base64url_decode(rd_buf_text(&made.headers[0]), made.headers[0].size, bytes, sizeof bytes);
    assert_true(size > 0);
    run_spoils(rd_bytes_of(bytes, (size_t)size), parse_receipt, receipt_rows, RD_ARRAY_LEN(receipt_rows));
    run_form_spoils(rd_bytes_of(bytes, (size_t)size), parse_receipt);
    assert_int_equal(rd_receipt_parse_header("????", 4, &receipt, NULL), -1);
    assert_int_equal(rd_receipt_parse_header("", 0, &receipt, NULL), -1);
    RD_CLEANUP(rd_free_p) char *large = rd_alloc(30000);
    memset(large, 'A', 30000);
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_receipt_parse_header(large, 30000, &receipt, &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
}

/* R12: whoever has a stored receipt and all answers that there can be reads none of them from it, with nothing that a
 * store holds in the salt's place; who has the salt finds the one. */
static void test_answers_cannot_be_tried_out(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_receipt_done) rd_receipt receipt;
    RD_CLEANUP(burst_done) burst made;
    burst_init(&made, 1);
    read_receipt(&made, 0, &receipt);
    const rd_receipt_claims *claims = &receipt.claims;
    static const uint8_t zero[RD_SALT_SIZE] = { 0 };
    const uint8_t *const known[] = { zero,          claims->request,     claims->response, claims->evidence.b,
                                     claims->app.b, claims->release.b,   claims->head.b,   receipt.root.root.b,
                                     claims->nonce, receipt.signature.b, salt_bytes };
    size_t found = 0;
    for (unsigned score = 0; score <= 850; score++) {
        char number[12];
        uint8_t tried[RD_SHA256_SIZE];
        snprintf(number, sizeof number, "%u", score);
        rd_bytes body = score ? rd_bytes_str(number) : exchange.response_body;
        rd_sha256(body, tried);
        assert_memory_not_equal(tried, claims->response, sizeof tried);
        for (size_t i = 0; i < RD_ARRAY_LEN(known); i++) {
            rd_commit_response(known[i], exchange.status, exchange.response_type, body, tried);
            bool is_equal = memcmp(tried, claims->response, sizeof tried) == 0;
            assert_int_equal(is_equal, known[i] == salt_bytes && score == 0);
            found += is_equal;
        }
    }
    assert_int_equal(found, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled_parts),
        cmocka_unit_test(test_writers_are_canonical),
        cmocka_unit_test(test_commitments_of_another_implementation),
        cmocka_unit_test(test_answers_cannot_be_tried_out),
        cmocka_unit_test(test_bursts_of_every_size),
        cmocka_unit_test(test_chain_of_bursts),
        cmocka_unit_test(test_burst_bounds),
        cmocka_unit_test(test_spoiled_receipts),
        cmocka_unit_test(test_other_expectations),
        cmocka_unit_test(test_client_statement_is_not_the_status_statement),
        cmocka_unit_test(test_spoiled_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
