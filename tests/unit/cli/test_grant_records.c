/* Records of key services as the plane shows them: what holds, what nobody can tell, and what does not hold. */
#include "cli/grant_records.h"

#include "cli/out.h"
#include "common/model/json.h"
#include "tests/unit/common/model/samples_kms.h"

#define CHAIN 4

typedef struct fixture {
    rd_buf document, certificate;
    rd_kms_genesis genesis;
    rd_kms_id kms;
    rd_app_id app;
    rd_signing_key *root, *replica;
    rd_kms_record records[CHAIN]; /* a grant, a refusal, a refusal that knows nothing, a grant */
    rd_buf envelopes[CHAIN];
    json_t *items;
    rd_code missing; /* why no key service can be had; RD_OK: it can */
    size_t asked;
    json_t *trusted;
    cli_grant_findings found;
    json_t *rows;
} fixture;

static void fixture_done(fixture *f)
{
    rd_buf_done(&f->document);
    rd_buf_done(&f->certificate);
    for (size_t i = 0; i < CHAIN; i++)
        rd_buf_done(&f->envelopes[i]);
    (void)rd_signing_key_free(f->root);
    (void)rd_signing_key_free(f->replica);
    json_decref(f->items);
    json_decref(f->trusted);
    json_decref(f->rows);
}

static void certify(fixture *f, const rd_signing_key *key, const rd_signing_key *by)
{
    rd_kms_certificate certificate = sample_kms_certificate(&f->genesis, &f->kms);
    certificate.key = *rd_signing_key_public(key);
    rd_buf_clear(&f->certificate);
    assert_int_equal(rd_kms_certificate_sign(&certificate, by, &f->certificate, NULL), 0);
}

static void certify_until(fixture *f, int64_t until_us)
{
    rd_kms_certificate certificate = sample_kms_certificate(&f->genesis, &f->kms);
    certificate.key = *rd_signing_key_public(f->replica);
    certificate.not_after_us = until_us;
    rd_buf_clear(&f->certificate);
    assert_int_equal(rd_kms_certificate_sign(&certificate, f->root, &f->certificate, NULL), 0);
}

static void trust(fixture *f, const rd_kms_id *kms)
{
    char text[RD_KMS_ID_TEXT_SIZE];
    rd_kms_id_format(kms, text);
    (void)json_array_append_new(f->trusted, json_string(text));
}

/* Signs what the i-th record is now, and shows it as the plane would. */
static rd_digest sign_one(fixture *f, size_t i)
{
    rd_digest digest;
    rd_buf_clear(&f->envelopes[i]);
    assert_int_equal(rd_kms_record_sign(&f->records[i], f->replica, &f->envelopes[i], &digest, NULL), 0);
    return digest;
}

static void show(fixture *f, size_t i, bool has_certificate)
{
    json_t *item = json_object();
    rd_json_set_time(item, "at", SAMPLE_TIME);
    rd_json_set_str(item, "kind", "what the plane says");
    rd_json_set_str(item, "instance", "the plane's");
    rd_json_set_int(item, "epoch", 12);
    rd_json_set_b64(item, "record", rd_buf_bytes(&f->envelopes[i]));
    if (has_certificate)
        rd_json_set_b64(item, "certificate", rd_buf_bytes(&f->certificate));
    else
        rd_json_set_null(item, "certificate");
    (void)json_array_append_new(f->items, item);
}

static fixture fresh(void)
{
    fixture f = { .root = sample_key(SAMPLE_ROOT_FILL), .replica = sample_key(SAMPLE_REPLICA_FILL) };
    rd_digest digest = { { 0 } };
    f.genesis = sample_kms_genesis(&f.document);
    rd_kms_genesis_id(rd_buf_bytes(&f.document), &f.kms);
    memset(f.app.b, 0xa1, sizeof f.app.b);
    certify(&f, f.replica, f.root);
    f.items = json_array();
    f.trusted = json_array();
    trust(&f, &f.kms);
    for (size_t i = 0; i < CHAIN; i++) {
        bool is_grant = i == 0 || i == 3, is_bare = i == 2;
        f.records[i] = (rd_kms_record){ .kms = f.kms,
                                        .replica = *rd_signing_key_public(f.replica),
                                        .number = i + 1,
                                        .has_prev = i > 0,
                                        .prev = digest,
                                        .kind = is_grant ? RD_KMS_RECORD_GRANT : RD_KMS_RECORD_REFUSAL,
                                        .at_us = SAMPLE_TIME - 5,
                                        .has_app = !is_bare,
                                        .app = f.app,
                                        .has_instance = !is_bare,
                                        .epoch = is_bare ? 0 : 7,
                                        .has_until = is_grant,
                                        .until_us = is_grant ? SAMPLE_TIME : 0 };
        if (!is_grant)
            memcpy(f.records[i].reason, "head_rollback", 14);
        digest = sign_one(&f, i);
    }
    return f;
}

static int genesis_of(void *context, const rd_kms_id *kms, rd_kms_genesis *ret, rd_err *err)
{
    fixture *f = context;
    f->asked++;
    if (f->missing != RD_OK)
        return rd_err_set(err, f->missing, "it cannot be had");
    if (!rd_kms_id_equal(kms, &f->kms))
        return rd_err_set(err, RD_E_KMS_UNKNOWN, "no such key service");
    *ret = f->genesis;
    return 0;
}

static int try_all(fixture *f, rd_err *err)
{
    const cli_grant_services from = { .genesis_of = genesis_of, .context = f, .trusted = f->trusted };
    json_decref(f->rows);
    f->asked = 0;
    return cli_grant_records_read(f->items, &f->app, &from, &f->rows, &f->found, err);
}

static void read_all(fixture *f)
{
    const cli_grant_findings *found = &f->found;
    rd_err err = RD_ERR_INIT;
    if (try_all(f, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(json_array_size(f->rows), json_array_size(f->items));
    assert_int_equal(found->verified + found->unknown + found->failed + found->strangers_failed,
                     json_array_size(f->rows));
}

static bool is_null(const fixture *f, size_t row, const char *name)
{
    return json_is_null(json_object_get(json_array_get(f->rows, row), name));
}

static const char *text_of(const fixture *f, size_t row, const char *name)
{
    const char *text = cli_text(json_array_get(f->rows, row), name);
    return text ? text : "";
}

/* Newest first, as the plane lists them; the grants alone bring a certificate. */
static void test_verified(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    for (size_t i = CHAIN; i > 0; i--)
        show(&f, i - 1, i == 1 || i == 4);
    read_all(&f);
    assert_int_equal(f.found.verified, CHAIN - 1);
    assert_int_equal(f.found.unknown, 1); /* it names no app */
    assert_string_equal(text_of(&f, 0, "kind"), "grant");
    assert_string_not_equal(text_of(&f, 0, "instance"), "the plane's");
    assert_string_equal(text_of(&f, 1, "verification"), "unknown");
    assert_true(is_null(&f, 1, "instance") && is_null(&f, 1, "epoch")); /* nor these: the plane's word is not shown */
    assert_string_equal(text_of(&f, 2, "reason"), "head_rollback");
    assert_non_null(strstr(text_of(&f, 2, "words"), "a grant was refused (head_rollback)"));
    assert_true(json_is_true(json_object_get(json_array_get(f.rows, 3), "verified")));
    assert_true(json_is_true(json_object_get(json_array_get(f.rows, 3), "trusted")));
    assert_true(is_null(&f, 3, "problem"));
    json_array_clear(f.items); /* a record that is missing between two is no failure: others' lie there as well */
    show(&f, 3, true);
    show(&f, 0, false);
    show(&f, 0, true);
    read_all(&f);
    assert_int_equal(f.found.verified, 3);
}

static void test_unknown(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    show(&f, 1, false);
    read_all(&f);
    assert_int_equal(f.found.unknown, 1);
    assert_string_equal(text_of(&f, 0, "verification"), "unknown");
    assert_true(json_is_false(json_object_get(json_array_get(f.rows, 0), "verified")));
    json_array_clear(f.items);
    show(&f, 0, false); /* a grant never comes without */
    read_all(&f);
    assert_int_equal(f.found.failed, 1);
    assert_non_null(strstr(f.found.first, "without its replica's certificate"));
}

static void expect_failed(fixture *f, size_t failed, const char *why)
{
    read_all(f);
    if (f->found.failed != failed || !strstr(f->found.first, why))
        fail_msg("%zu failed (%s), not %zu (%s)", f->found.failed, f->found.first, failed, why);
    json_array_clear(f->items);
}

static void test_not_of_this(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    f.records[0].app.b[0] ^= 1;
    (void)sign_one(&f, 0);
    show(&f, 0, true);
    expect_failed(&f, 1, "of another app");
    f.records[0].has_app = false;
    (void)sign_one(&f, 0);
    show(&f, 0, true);
    expect_failed(&f, 1, "of another app");
    f.records[2].kind = RD_KMS_RECORD_JOIN;
    f.records[2].reason[0] = '\0';
    (void)sign_one(&f, 2);
    show(&f, 2, true);
    expect_failed(&f, 1, "neither a grant nor a refusal");
    certify(&f, f.replica, f.replica); /* a root of its own */
    show(&f, 3, true);
    expect_failed(&f, 1, "not signed by the root");
    certify(&f, f.root, f.root); /* of another key */
    show(&f, 3, true);
    expect_failed(&f, 1, "of another key");
    certify(&f, f.replica, f.root);
    static const rd_code missing[] = { RD_E_KMS_UNKNOWN, RD_E_NOT_FOUND, RD_E_JSON_TYPE };
    for (size_t i = 0; i < RD_ARRAY_LEN(missing); i++) {
        f.missing = missing[i];
        show(&f, 3, true);
        show(&f, 3, true);
        expect_failed(&f, 2, "it cannot be had");
        assert_int_equal(f.asked, 1); /* a failure is remembered, too */
    }
    (void)json_array_append_new(f.items, json_integer(7));
    (void)json_array_append_new(f.items, json_object());
    expect_failed(&f, 2, "no record");
    f.missing = RD_OK;
    f.envelopes[0].data[f.envelopes[0].size / 2] ^= 0x80;
    show(&f, 0, true);
    expect_failed(&f, 1, "");
    assert_true(is_null(&f, 0, "instance") && is_null(&f, 0, "kind") && is_null(&f, 0, "kms"));
}

/* A plane that does not answer is judged by nobody: no row, one question, its own code. */
static void test_no_answer(void **state RD_UNUSED)
{
    static const rd_code codes[] = { RD_E_CLI_UNREACHABLE, RD_E_UNAVAILABLE, RD_E_TIMEOUT,      RD_E_IO,
                                     RD_E_RATE_LIMITED,    RD_E_CLI_DENIED,  RD_E_CLI_NO_TOKEN, RD_E_TRUNCATED,
                                     RD_E_INTERNAL,        RD_E_CLI_REFUSED };
    RD_CLEANUP(fixture_done) fixture f = fresh();
    show(&f, 3, true);
    show(&f, 0, true);
    for (size_t i = 0; i < RD_ARRAY_LEN(codes); i++) {
        rd_err err = RD_ERR_INIT;
        f.missing = codes[i];
        assert_int_equal(try_all(&f, &err), -1);
        assert_int_equal(err.code, codes[i]);
        assert_null(f.rows);
        assert_int_equal(f.asked, 1);
    }
    f.missing = RD_OK;
    read_all(&f);
    assert_int_equal(f.found.verified, 2);
    assert_int_equal(f.asked, 1);
}

/* Each record by its own time, whichever certificate came with it. */
static void test_out_of_date(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    certify_until(&f, SAMPLE_TIME - 5);
    show(&f, 1, true); /* a refusal with it */
    show(&f, 0, false);
    read_all(&f);
    assert_string_equal(text_of(&f, 0, "verification"), "unknown");
    assert_string_equal(text_of(&f, 1, "verification"), "failed");
    assert_non_null(strstr(f.found.first, "after its replica's certificate had ended"));
    json_array_clear(f.items);
    show(&f, 0, true);
    expect_failed(&f, 1, "after its replica's certificate had ended");
    for (int is_last = 0; is_last < 2; is_last++) {
        certify_until(&f, is_last ? SAMPLE_TIME - 4 : SAMPLE_TIME - 5);
        show(&f, 0, true);
        certify_until(&f, is_last ? SAMPLE_TIME - 5 : SAMPLE_TIME - 4);
        show(&f, 1, true); /* the one that runs longer is what counts, in whatever order they come */
        read_all(&f);
        assert_int_equal(f.found.verified, 2);
        json_array_clear(f.items);
    }
}

/* Whoever makes a key service has it sign what does not hold: that says nothing of those that are trusted. */
static void test_strangers(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    json_array_clear(f.trusted);
    show(&f, 0, true);
    show(&f, 1, false);
    f.records[1].epoch++;
    (void)sign_one(&f, 1);
    show(&f, 1, false);
    read_all(&f);
    assert_int_equal(f.found.verified, 1);
    assert_int_equal(f.found.failed, 0);
    assert_int_equal(f.found.strangers_failed, 2);
    assert_int_equal(f.found.equivocations, 0);
    assert_string_equal(f.found.first, "");
    assert_string_equal(text_of(&f, 1, "verification"), "failed");
    assert_true(json_is_false(json_object_get(json_array_get(f.rows, 1), "trusted")));
    json_array_clear(f.items);
    trust(&f, &f.kms);
    for (size_t i = 0; i < CLI_GRANT_STRANGERS_MAX + 3; i++) {
        f.records[0].kms.b[0] = (uint8_t)(f.kms.b[0] + 1 + i);
        (void)sign_one(&f, 0);
        show(&f, 0, true);
    }
    show(&f, 3, true); /* of the trusted one: behind all of them */
    read_all(&f);
    assert_int_equal(f.asked, CLI_GRANT_STRANGERS_MAX + 1);
    assert_int_equal(f.found.strangers_failed, CLI_GRANT_STRANGERS_MAX);
    assert_int_equal(f.found.unknown, 3);
    assert_int_equal(f.found.failed, 0);
    assert_int_equal(f.found.verified, 1);
}

/* Two faces of one replica: the same number twice, and one that leaves out what was told to another. */
static void test_two_faces(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    show(&f, 0, true);
    show(&f, 1, false);
    f.records[1].epoch++;
    (void)sign_one(&f, 1);
    show(&f, 1, false);
    expect_failed(&f, 2, "two different records with the number 2");
    assert_int_equal(f.found.equivocations, 1);
    show(&f, 0, true);
    show(&f, 1, false);
    show(&f, 2, false); /* names the record 2 of before */
    expect_failed(&f, 1, "record 3 does not follow record 2");
    assert_int_equal(f.found.equivocations, 0);
    assert_int_equal(f.found.verified, 2);
    show(&f, 0, true);
    show(&f, 2, false);
    f.records[2].at_us++;
    (void)sign_one(&f, 2);
    show(&f, 2, false); /* no app is named: whose they are is open, that there are two is not */
    expect_failed(&f, 2, "two different records with the number 3");
    assert_int_equal(f.found.equivocations, 1);
}

static void test_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    for (size_t at = 0; at < f.envelopes[0].size; at += 3) {
        f.envelopes[0].data[at] ^= 0x80;
        show(&f, 0, true);
        read_all(&f);
        assert_int_equal(f.found.failed, 1);
        json_array_clear(f.items);
        f.envelopes[0].data[at] ^= 0x80;
    }
    for (size_t at = 0; at < f.certificate.size; at += 3) {
        f.certificate.data[at] ^= 0x80;
        show(&f, 0, true);
        read_all(&f);
        assert_int_equal(f.found.failed, 1);
        json_array_clear(f.items);
        f.certificate.data[at] ^= 0x80;
    }
    show(&f, 0, true);
    read_all(&f);
    assert_int_equal(f.found.verified, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verified),    cmocka_unit_test(test_unknown),   cmocka_unit_test(test_not_of_this),
        cmocka_unit_test(test_two_faces),   cmocka_unit_test(test_spoiled),   cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_out_of_date), cmocka_unit_test(test_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
