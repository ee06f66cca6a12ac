/* R10: what a delegated key signs is taken within the owners' words alone, and for as long as they said. */
#include "common/model/delegation.h"

#include "tests/unit/common/model/samples.h"

enum { OWNER = 1, HELPER = 20, STRANGER = 30 }; /* fills of keys */

/* Everything that goes into a delegated head or release, as it is right; rows change one thing. */
typedef struct parts {
    rd_genesis genesis;
    rd_delegation delegation;
    rd_head base, head;
    rd_head_known known;
    uint8_t delegation_signer, base_signer, signer;
    rd_sign_label delegation_label, base_label, label;
    bool has_known, without_delegation, without_base, base_is_delegated, is_signed_twice;
} parts;

static void make_parts(parts *p)
{
    *p = (parts){ .genesis = sample_genesis(1, 1),
                  .delegation = { .app = sample_app(),
                                  .key = sample_public_key(HELPER),
                                  .may = RD_MAY_ALL,
                                  .class = RD_CLASS_SIMULATED,
                                  .not_after_us = SAMPLE_TIME + 2000000 },
                  .base = sample_head(),
                  .head = sample_head(),
                  .delegation_signer = OWNER,
                  .base_signer = OWNER,
                  .signer = HELPER,
                  .delegation_label = RD_SIGN_DELEGATION,
                  .base_label = RD_SIGN_HEAD,
                  .label = RD_SIGN_HEAD };
    p->base.has_expires = false;
    p->base.kms_count = p->head.kms_count = 1;
    p->head.seq = 5;
    p->head.releases[0] = sample_digest(0x77);
    p->head.secrets_count = 1;
    p->head.secrets_root = sample_digest(0x78);
}

static void sign_document(const rd_buf *document, uint8_t fill, rd_sign_label label, rd_envelope *ret)
{
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = sample_key(fill);
    rd_envelope_init(ret, rd_buf_bytes(document));
    assert_int_equal(rd_envelope_sign(ret, key, label, NULL), 0);
}

static void put_delegation(const parts *p, rd_buf *ret)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    assert_int_equal(rd_delegation_encode(&p->delegation, &document, NULL), 0);
    sign_document(&document, p->delegation_signer, p->delegation_label, &envelope);
    assert_int_equal(rd_envelope_encode(&envelope, ret, NULL), 0);
}

static void put_base(const parts *p, rd_buf *ret)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    assert_int_equal(rd_head_encode(&p->base, &document, NULL), 0);
    sign_document(&document, p->base_signer, p->base_label, &envelope);
    if (p->base_is_delegated)
        put_delegation(p, &envelope.signatures[0].delegation);
    assert_int_equal(rd_envelope_encode(&envelope, ret, NULL), 0);
}

/* Signed, and once through its JSON, as it travels. */
static void wrap(const parts *p, const rd_buf *document, bool is_head, rd_envelope *ret)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope;
    RD_CLEANUP(rd_buf_done) rd_buf json = { 0 };
    sign_document(document, p->signer, p->label, &envelope);
    if (p->is_signed_twice) {
        RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *owner = sample_key(OWNER);
        assert_int_equal(rd_envelope_sign(&envelope, owner, p->label, NULL), 0);
    }
    if (!p->without_delegation)
        put_delegation(p, &envelope.signatures[0].delegation);
    if (is_head && !p->without_base)
        put_base(p, &envelope.signatures[0].base);
    assert_int_equal(rd_envelope_encode(&envelope, &json, NULL), 0);
    assert_int_equal(rd_envelope_parse(rd_buf_bytes(&json), ret, NULL), 0);
}

static int accept_head(const parts *p, rd_head *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { .signatures_count = 0 };
    const int64_t now_us = SAMPLE_TIME + 1;
    const rd_app_id app = sample_app();
    const rd_head_check check = {
        .genesis = &p->genesis, .app = &app, .known = p->has_known ? &p->known : NULL, .now_us = &now_us
    };
    assert_int_equal(rd_head_encode(&p->head, &document, NULL), 0);
    wrap(p, &document, true, &envelope);
    return rd_head_accept(&envelope, &check, ret, NULL, err);
}

#define ROW(name, change)                                                                                              \
    static void name(parts *p)                                                                                         \
    {                                                                                                                  \
        change;                                                                                                        \
    }
ROW(as_it_is, (void)p)
ROW(same_releases, memcpy(p->head.releases, p->base.releases, sizeof p->head.releases);
    p->delegation.may = RD_MAY_HEAD | RD_MAY_SECRET)
ROW(same_secrets, p->head.secrets_count = 0; p->delegation.may = RD_MAY_HEAD | RD_MAY_RELEASE)
ROW(fewer_releases, p->head.releases_count = 0; p->delegation.may = RD_MAY_HEAD | RD_MAY_SECRET)
ROW(ends_with_it, p->head.expires_us = p->delegation.not_after_us)
ROW(known_base, p->has_known = true; p->known.seq = 3; p->known.owners_seq = 2)
ROW(held_in_browser, p->delegation.held_in = RD_HELD_IN_BROWSER)

ROW(may_no_head, p->delegation.may = RD_MAY_RELEASE | RD_MAY_SECRET)
ROW(may_no_release, p->delegation.may = RD_MAY_HEAD | RD_MAY_SECRET)
ROW(may_no_secret, p->delegation.may = RD_MAY_HEAD | RD_MAY_RELEASE)
ROW(no_end, p->head.has_expires = false)
ROW(later_end, p->head.expires_us = p->delegation.not_after_us + 1)
ROW(other_policy, p->head.policy.max_collateral_age_s++)
ROW(other_measurement, (void)!rd_policy_add_mrtd(&p->head.policy, (const uint8_t[48]){ 9 }))
ROW(other_kms, p->head.kms[0].b[0] ^= 1)
ROW(no_kms, p->head.kms_count = 0; p->head.secrets_count = 0)
ROW(other_term, p->head.grant_s = 604800)
ROW(other_cap, p->head.grant_requests = 1000)
ROW(other_class, p->delegation.class = RD_CLASS_HARDWARE)
ROW(base_is_newer, p->base.seq = 6)
ROW(base_is_it, p->base.seq = 5)
ROW(base_of_another, p->base.app.b[0] ^= 1)
ROW(base_missing, p->without_base = true)
ROW(base_by_helper, p->base_signer = HELPER)
ROW(base_by_stranger, p->base_signer = STRANGER)
ROW(base_under_another_label, p->base_label = RD_SIGN_RELEASE)
ROW(base_delegated, p->base_signer = HELPER; p->base_is_delegated = true)
ROW(owners_signed_since, p->has_known = true; p->known.seq = 3; p->known.owners_seq = 3)
ROW(delegation_missing, p->without_delegation = true)
ROW(nothing_but_a_signature, p->without_delegation = p->without_base = true)
ROW(delegation_by_itself, p->delegation_signer = HELPER)
ROW(delegation_by_stranger, p->delegation_signer = STRANGER)
ROW(delegation_under_another_label, p->delegation_label = RD_SIGN_HEAD)
ROW(delegation_of_another_app, p->delegation.app.b[0] ^= 1)
ROW(delegation_for_another_key, p->delegation.key = sample_public_key(STRANGER))
ROW(signed_by_another, p->signer = STRANGER)
ROW(signed_by_owner_with_it, p->signer = OWNER)
ROW(another_label, p->label = RD_SIGN_RELEASE)
ROW(twice, p->is_signed_twice = true)
ROW(below_the_threshold, p->genesis = sample_genesis(2, 2))

static const struct {
    const char *name;
    void (*change)(parts *p);
    rd_code want;
} rows[] = {
    { "as it is", as_it_is, RD_OK },
    { "the same releases, without that right", same_releases, RD_OK },
    { "the same secrets, without that right", same_secrets, RD_OK },
    { "fewer releases, without that right", fewer_releases, RD_OK },
    { "ends with its delegation", ends_with_it, RD_OK },
    { "upon the owners' head that is known", known_base, RD_OK },
    { "a browser's, simulated", held_in_browser, RD_OK },
    { "no right to heads", may_no_head, RD_E_DELEGATION },
    { "no right to releases", may_no_release, RD_E_DELEGATION },
    { "no right to secrets", may_no_secret, RD_E_DELEGATION },
    { "no end", no_end, RD_E_DELEGATION },
    { "a later end", later_end, RD_E_DELEGATION },
    { "another policy", other_policy, RD_E_DELEGATION },
    { "one more measurement", other_measurement, RD_E_DELEGATION },
    { "another key service", other_kms, RD_E_DELEGATION },
    { "no key service", no_kms, RD_E_DELEGATION },
    { "another term", other_term, RD_E_DELEGATION },
    { "another cap of requests", other_cap, RD_E_DELEGATION },
    { "delegated for the other class", other_class, RD_E_DELEGATION },
    { "upon a newer one", base_is_newer, RD_E_HEAD_ROLLBACK },
    { "upon one of its number", base_is_it, RD_E_HEAD_ROLLBACK },
    { "upon another app's", base_of_another, RD_E_GENESIS_MISMATCH },
    { "upon nothing", base_missing, RD_E_DELEGATION },
    { "upon one that it signed itself", base_by_helper, RD_E_SIGNATURE },
    { "upon a stranger's", base_by_stranger, RD_E_SIGNATURE },
    { "upon one that was signed as a release", base_under_another_label, RD_E_SIGNATURE },
    { "upon a delegated one", base_delegated, RD_E_SIGNATURE },
    { "upon one that the owners replaced", owners_signed_since, RD_E_HEAD_ROLLBACK },
    { "without its delegation", delegation_missing, RD_E_SIGNATURE },
    { "a signature alone", nothing_but_a_signature, RD_E_SIGNATURE },
    { "delegated by itself", delegation_by_itself, RD_E_SIGNATURE },
    { "delegated by a stranger", delegation_by_stranger, RD_E_SIGNATURE },
    { "a delegation that was signed as a head", delegation_under_another_label, RD_E_SIGNATURE },
    { "delegated for another app", delegation_of_another_app, RD_E_GENESIS_MISMATCH },
    { "delegated to another key", delegation_for_another_key, RD_E_SIGNATURE },
    { "signed by another", signed_by_another, RD_E_SIGNATURE },
    { "an owner's own, with a delegation to another", signed_by_owner_with_it, RD_E_SIGNATURE },
    { "signed as a release", another_label, RD_E_SIGNATURE },
    { "signed twice", twice, RD_E_SIGNATURE },
    { "one owner of two", below_the_threshold, RD_E_SIGNATURE },
};

static void test_heads(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        parts p;
        rd_head head;
        rd_err err = RD_ERR_INIT;
        make_parts(&p);
        rows[i].change(&p);
        (void)!accept_head(&p, &head, &err);
        if (err.code != rows[i].want)
            fail_msg("%s: %s: %s", rows[i].name, rd_code_describe(err.code)->name, err.text);
        if (err.code == RD_OK)
            assert_int_equal(head.owners_seq, 2);
    }
}

static rd_code accept_release(const parts *p, bool with_base)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { .signatures_count = 0 };
    rd_release release;
    const rd_app_id app = sample_app();
    rd_err err = RD_ERR_INIT;
    sample_release(&release);
    assert_int_equal(rd_release_encode(&release, &document, NULL), 0);
    rd_release_done(&release);
    wrap(p, &document, with_base, &envelope);
    if (rd_release_accept(&envelope, &p->genesis, &app, &release, NULL, &err) == 0)
        rd_release_done(&release);
    return err.code;
}

static void test_releases(void **state RD_UNUSED)
{
    parts p;
    make_parts(&p);
    p.label = RD_SIGN_RELEASE;
    p.delegation.may = RD_MAY_RELEASE;
    assert_int_equal(accept_release(&p, false), RD_OK);
    assert_int_equal(accept_release(&p, true), RD_E_SIGNATURE);
    p.delegation.may = RD_MAY_HEAD | RD_MAY_SECRET;
    assert_int_equal(accept_release(&p, false), RD_E_DELEGATION);
    p.delegation.may = RD_MAY_RELEASE;
    p.label = RD_SIGN_HEAD;
    assert_int_equal(accept_release(&p, false), RD_E_SIGNATURE);
    p.label = RD_SIGN_RELEASE;
    p.delegation_signer = STRANGER;
    assert_int_equal(accept_release(&p, false), RD_E_SIGNATURE);
}

/* ---- the text ---- */

static int parse(rd_bytes bytes, rd_err *err)
{
    rd_delegation delegation;
    return rd_delegation_parse(bytes, &delegation, err);
}

static const spoil spoils[] = {
    { "unknown member", "/x", "1", RD_E_JSON_UNKNOWN },
    { "another type", "/type", "\"redoubt/head/v1\"", RD_E_PURPOSE },
    { "app missing", "/app", NULL, RD_E_JSON_MISSING },
    { "key of small order", "/key", "\"" B64_ZERO_32 "\"", RD_E_KEY_FORMAT },
    { "no rights", "/may", "[]", RD_E_JSON_RANGE },
    { "an unknown right", "/may/0", "\"policy\"", RD_E_JSON_RANGE },
    { "a right twice", "/may", "[\"head\",\"head\"]", RD_E_JSON_RANGE },
    { "rights in another order", "/may", "[\"head\",\"release\"]", RD_E_JSON_RANGE },
    { "rights by one word", "/may", "\"head\"", RD_E_JSON_TYPE },
    { "four rights", "/may", "[\"release\",\"head\",\"secret\",\"head\"]", RD_E_JSON_RANGE },
    { "unknown class", "/class", "\"any\"", RD_E_JSON_RANGE },
    { "held elsewhere", "/held_in", "\"cloud\"", RD_E_JSON_RANGE },
    { "held in a browser, hardware", "/class", "\"hardware\"", RD_E_DELEGATION },
    { "without an end", "/not_after", "null", RD_E_JSON_TYPE },
    { "an end that is a number", "/not_after", "1", RD_E_JSON_TYPE },
};

static void test_text(void **state RD_UNUSED)
{
    parts p;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_delegation again;
    make_parts(&p);
    p.delegation.held_in = RD_HELD_IN_BROWSER;
    assert_int_equal(rd_delegation_encode(&p.delegation, &text, NULL), 0);
    assert_int_equal(rd_delegation_parse(rd_buf_bytes(&text), &again, NULL), 0);
    assert_memory_equal(&again, &p.delegation, sizeof again);
    run_spoils(rd_buf_bytes(&text), parse, spoils, RD_ARRAY_LEN(spoils));
    run_form_spoils(rd_buf_bytes(&text), parse);
    for (unsigned may = 1; may <= RD_MAY_ALL; may++) {
        rd_buf_clear(&text);
        p.delegation.may = may;
        assert_int_equal(rd_delegation_encode(&p.delegation, &text, NULL), 0);
        assert_int_equal(rd_delegation_parse(rd_buf_bytes(&text), &again, NULL), 0);
        assert_int_equal(again.may, may);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_releases),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
