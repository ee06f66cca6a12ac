#include "common/model/secret_seal.h"

#include "tests/unit/common/model/samples.h"

typedef struct fixture {
    rd_secret *key;
    uint8_t public_key[RD_X25519_SIZE];
    rd_app_id app;
} fixture;

static fixture fresh(void)
{
    fixture f = { .key = rd_secret_random(RD_X25519_SIZE), .app = sample_app() };
    rd_x25519_public(f.key, f.public_key);
    return f;
}

static void fixture_done(fixture *f)
{
    f->key = rd_secret_free(f->key);
}

static void seal(const fixture *f, const char *name, uint64_t version, rd_bytes value, rd_buf *out)
{
    assert_int_equal(rd_secret_seal(f->public_key, &f->app, name, version, value, rd_random_system(), out, NULL), 0);
}

/* R72: lengths fall in steps. */
/* J12 */
static void test_sizes(void **state RD_UNUSED)
{
    static const size_t sizes[] = { 0, 1, 251, 252, 253, 508, 509, RD_SECRET_VALUE_MAX };
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(rd_free_p) uint8_t *value = rd_alloc(RD_SECRET_VALUE_MAX + 1);
    memset(value, 0x5c, RD_SECRET_VALUE_MAX);
    for (size_t i = 0; i < RD_ARRAY_LEN(sizes); i++) {
        RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
        RD_CLEANUP(rd_buf_done) rd_buf opened = { 0 };
        seal(&f, "TOKEN", 1, rd_bytes_of(value, sizes[i]), &sealed);
        assert_int_equal((sealed.size - 48) % RD_SECRET_STEP, 0);
        assert_true(sealed.size <= RD_SECRET_SEALED_MAX);
        assert_int_equal(rd_secret_open(f.key, &f.app, "TOKEN", 1, rd_buf_bytes(&sealed), &opened, NULL), 0);
        assert_true(rd_bytes_equal(rd_buf_bytes(&opened), rd_bytes_of(value, sizes[i])));
    }
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_secret_seal(f.public_key, &f.app, "TOKEN", 1, rd_bytes_of(value, RD_SECRET_VALUE_MAX + 1),
                                    rd_random_system(), &sealed, &err),
                     -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
}

static rd_code open_as(const fixture *f, const char *name, uint64_t version, rd_bytes sealed)
{
    RD_CLEANUP(rd_buf_done) rd_buf opened = { 0 };
    rd_err err = RD_ERR_INIT;
    (void)!rd_secret_open(f->key, &f->app, name, version, sealed, &opened, &err);
    assert_true(err.code == RD_OK || opened.size == 0);
    return err.code;
}

/* R68: another app's, another name's, another version's. */
/* J7 : moved to another app, name or version. */
static void test_context(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(fixture_done) fixture other = fresh();
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    seal(&f, "TOKEN", 3, RD_BYTES_LIT("hunter2"), &sealed);
    rd_bytes bytes = rd_buf_bytes(&sealed);
    assert_int_equal(open_as(&f, "TOKEN", 3, bytes), RD_OK);
    assert_int_equal(open_as(&f, "TOKEN", 2, bytes), RD_E_SEAL_CONTEXT);
    assert_int_equal(open_as(&f, "OTHER", 3, bytes), RD_E_SEAL_CONTEXT);
    assert_int_equal(open_as(&other, "TOKEN", 3, bytes), RD_E_SEAL_CONTEXT);
    fixture same_key = f;
    same_key.app.b[0] ^= 1;
    assert_int_equal(open_as(&same_key, "TOKEN", 3, bytes), RD_E_SEAL_CONTEXT);
    assert_int_equal(open_as(&f, "TOKEN", 0, bytes), RD_E_SEAL_FORMAT);
    assert_int_equal(open_as(&f, "token", 3, bytes), RD_E_SECRET_NAME);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_not_equal(open_as(&f, "TOKEN", 3, rd_bytes_of(bytes.data, size)), RD_OK);
    for (size_t at = 0; at < bytes.size; at++) {
        sealed.data[at] ^= 0x40;
        assert_int_equal(open_as(&f, "TOKEN", 3, bytes), RD_E_SEAL_CONTEXT);
        sealed.data[at] ^= 0x40;
    }
}

/* J8 */
static void test_names(void **state RD_UNUSED)
{
    char code[RD_SECRET_NAME_MAX + 1];
    rd_digest digest = sample_digest(0xab);
    rd_secret_code_name(&digest, code);
    assert_string_equal(code, "redoubt.code.abababababababababababababababababababababababababababababababab");
    assert_true(rd_secret_name_is_known(code));
    assert_false(rd_secret_name_is_ok(code));
    code[20] = 'A';
    assert_false(rd_secret_name_is_known(code));
    assert_false(rd_secret_name_is_known("redoubt.code."));
    assert_true(rd_secret_name_is_ok("_A9"));
    assert_false(rd_secret_name_is_ok(""));
    assert_false(rd_secret_name_is_ok("9A"));
    assert_false(rd_secret_name_is_ok("A-B"));
    assert_false(rd_secret_name_is_ok("../A"));
    assert_false(rd_secret_name_is_ok("A\xc3\x84"));
    assert_false(rd_secret_name_is_ok("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}

static void make_set(const fixture *f, rd_buf sealed[3], rd_secret_set *set)
{
    static const char *const names[] = { "A", "B", "C_LONGER" };
    *set = (rd_secret_set){ 0 };
    for (size_t i = 0; i < 3; i++) {
        seal(f, names[i], i + 1, RD_BYTES_LIT("value"), &sealed[i]);
        assert_int_equal(rd_secret_set_add(set, names[i], i + 1, rd_buf_bytes(&sealed[i]), NULL), 0);
    }
}

static rd_code check_refs(const rd_secret_ref *refs, size_t count, const rd_digest *root)
{
    rd_err err = RD_ERR_INIT;
    (void)!rd_secrets_check(refs, count, 3, root, &err);
    return err.code;
}

/* R4: one left out, one brought back, two swapped. */
static void test_set(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    rd_buf sealed[3] = { 0 };
    rd_secret_set set, read;
    rd_digest root;
    rd_err err = RD_ERR_INIT;
    make_set(&f, sealed, &set);
    rd_secrets_root(set.refs, set.count, &root);
    assert_int_equal(rd_secret_set_encode(&set, &bytes, NULL), 0);
    assert_int_equal(rd_secret_set_parse(rd_buf_bytes(&bytes), &read, NULL), 0);
    assert_int_equal(check_refs(read.refs, read.count, &root), RD_OK);
    assert_int_equal(check_refs(read.refs, 2, &root), RD_E_SECRETS_INCOMPLETE);
    read.refs[1].version = 1;
    assert_int_equal(check_refs(read.refs, 3, &root), RD_E_SECRETS_INCOMPLETE);
    read.refs[1].version = 2;
    rd_digest swapped = read.refs[0].sealed;
    read.refs[0].sealed = read.refs[1].sealed;
    read.refs[1].sealed = swapped;
    assert_int_equal(check_refs(read.refs, 3, &root), RD_E_SECRETS_INCOMPLETE);
    assert_int_equal(rd_secret_set_add(&set, "B", 1, rd_buf_bytes(&sealed[0]), &err), -1);
    assert_int_equal(err.code, RD_E_SEAL_FORMAT);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(rd_secret_set_parse(rd_bytes_of(bytes.data, size), &read, NULL), -1);
    (void)rd_buf_append_u8(&bytes, 0);
    assert_int_equal(rd_secret_set_parse(rd_buf_bytes(&bytes), &read, &err), -1);
    rd_secrets_root(NULL, 0, &root);
    rd_digest none;
    rd_h(RD_HASH_SECRETS, NULL, 0, none.b);
    assert_true(rd_digest_equal(&root, &none));
    for (size_t i = 0; i < 3; i++)
        rd_buf_done(&sealed[i]);
}

static void test_set_bounds(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) uint8_t *bytes = rd_alloc(RD_SECRET_SEALED_MAX + 1);
    rd_secret_set set = { 0 };
    rd_err err = RD_ERR_INIT;
    char name[8];
    assert_int_equal(rd_secret_set_add(&set, "A", 1, rd_bytes_of(bytes, RD_SECRET_SEALED_MAX + 1), &err), -1);
    assert_int_equal(err.code, RD_E_SEAL_FORMAT);
    for (unsigned i = 0; i < RD_SECRETS_MAX; i++) {
        (void)snprintf(name, sizeof name, "N%02u", i);
        assert_int_equal(rd_secret_set_add(&set, name, 1, rd_bytes_of(bytes, 304), NULL), 0);
    }
    assert_int_equal(rd_secret_set_add(&set, "Z", 1, rd_bytes_of(bytes, 304), &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
    set.count = 0;
    for (unsigned i = 0; i < 15; i++) {
        (void)snprintf(name, sizeof name, "N%02u", i);
        assert_int_equal(rd_secret_set_add(&set, name, 1, rd_bytes_of(bytes, RD_SECRET_SEALED_MAX), NULL), 0);
    }
    assert_int_equal(rd_secret_set_add(&set, "Z", 1, rd_bytes_of(bytes, RD_SECRET_SEALED_MAX), &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
}

static void test_seal_keys(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *root = sample_key(1);
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *other = sample_key(2);
    rd_signature signature;
    const rd_public_key *key = rd_signing_key_public(root);
    assert_int_equal(rd_seal_key_sign(root, &f.app, 1, f.public_key, &signature, NULL), 0);
    assert_int_equal(rd_seal_key_verify(key, &f.app, 1, f.public_key, &signature, NULL), 0);
    assert_int_equal(rd_seal_key_verify(key, &f.app, 2, f.public_key, &signature, NULL), -1);
    assert_int_equal(rd_seal_key_verify(rd_signing_key_public(other), &f.app, 1, f.public_key, &signature, NULL), -1);
    f.public_key[0] ^= 1;
    assert_int_equal(rd_seal_key_verify(key, &f.app, 1, f.public_key, &signature, NULL), -1);
    f.public_key[0] ^= 1;
    f.app.b[0] ^= 1;
    assert_int_equal(rd_seal_key_verify(key, &f.app, 1, f.public_key, &signature, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes), cmocka_unit_test(test_context),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_set),   cmocka_unit_test(test_set_bounds), cmocka_unit_test(test_seal_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
