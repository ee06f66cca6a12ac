/* crypto.subtle against Node's webcrypto, both ways, and what the host enforces whatever the guest says. */
#include "tests/unit/enclave/engine/engine_fixture.h"

#include <unistd.h>

#include "common/base/text.h"
#include "enclave/engine/engine_priv.h"

#define PEER_DIR "tests/support/"

static rd_buf read_all(FILE *file)
{
    rd_buf out = { 0 };
    uint8_t chunk[4096];

    for (size_t got; (got = fread(chunk, 1, sizeof(chunk), file)) > 0;)
        rd_buf_append(&out, chunk, got);
    return out;
}

static rd_buf read_command(const char *command)
{
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c): a fixed command line of this test */
    assert_non_null(pipe);
    rd_buf out = read_all(pipe);
    assert_int_equal(pclose(pipe), 0);
    return out;
}

static void post(fixture *f, const char *path, rd_bytes body, rd_buf *ret)
{
    rd_err err = RD_ERR_INIT;
    char url[64];
    (void)snprintf(url, sizeof(url), "https://app.example%s", path);
    encl_request request = { .method = rd_bytes_str("POST"), .url = rd_bytes_str(url), .body = body };
    encl_response response;

    if (encl_engine_call(f->engine, &request, &response, &err) < 0)
        fail_msg("%s: %s\n%s", path, err.text, f->log);
    rd_buf_append_bytes(ret, response.body);
    encl_engine_reset(f->engine);
}

static void agrees_with_node(void **state)
{
    static const char handler[] =
        "import { make, check } from './peer.js';\n"
        "export default async (request) => Response.json(request.url.endsWith('/make') ? await make(crypto)\n"
        "  : await check(crypto, await request.json()));";
    (void)state;
    if (system("node --version > /dev/null 2>&1") != 0) /* NOLINT(cert-env33-c) */
        skip();
    FILE *file = fopen(PEER_DIR "webcrypto_peer.mjs", "r");
    assert_non_null(file);
    rd_buf peer = read_all(file);
    (void)fclose(file);
    const encl_module modules[] = { { "index.js", rd_bytes_str(handler) }, { "peer.js", rd_buf_bytes(&peer) } };
    const encl_engine_limits limits = { .time_us = 60000000 };
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;
    fixture_open(&f, &limits);
    if (encl_engine_load(f.engine, modules, 2, "index.js", RD_BYTES_NULL, &err) < 0)
        fail_msg("%s\n%s", err.text, f.log);

    rd_buf theirs = read_command("node " PEER_DIR "webcrypto_node.mjs make");
    rd_buf verdict = { 0 };
    post(&f, "/check", rd_buf_bytes(&theirs), &verdict);
    assert_string_equal(rd_buf_text(&verdict), "{\"count\":101,\"wrong\":[]}");

    rd_buf ours = { 0 };
    post(&f, "/make", RD_BYTES_NULL, &ours);
    char path[] = "/tmp/redoubt-webcrypto-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, ours.data, ours.size), (ssize_t)ours.size);
    (void)close(fd);
    char command[128];
    (void)snprintf(command, sizeof(command), "node " PEER_DIR "webcrypto_node.mjs check %s", path);
    rd_buf said = read_command(command);
    (void)unlink(path);
    assert_string_equal(rd_buf_text(&said), "101 checked, 0 wrong\n");
    rd_buf_done(&said);
    rd_buf_done(&ours);
    rd_buf_done(&verdict);
    rd_buf_done(&theirs);
    rd_buf_done(&peer);
    fixture_close(&f);
}

/* What must be refused, and under which name. `s` is crypto.subtle, u a shorthand for bytes. */
static const struct {
    const char *name, *source, *want;
} refusals[] = {
    { "not extractable", "s.exportKey('raw', await s.generateKey({name:'AES-GCM',length:128}, false, ['encrypt']))",
      "InvalidAccessError" },
    { "private key not extractable", "s.exportKey('jwk', (await s.generateKey('Ed25519', false, ['sign'])).privateKey)",
      "InvalidAccessError" },
    { "usage", "s.sign('HMAC', await s.importKey('raw', u(9), {name:'HMAC',hash:'SHA-256'}, false, ['verify']), u(1))",
      "InvalidAccessError" },
    { "algorithm",
      "s.sign('Ed25519', await s.importKey('raw', u(9), {name:'HMAC',hash:'SHA-256'}, false, ['sign']), u(1))",
      "InvalidAccessError" },
    { "public key signs", "s.generateKey('Ed25519', false, ['verify'])", "SyntaxError" },
    { "hkdf extractable", "s.importKey('raw', u(9), 'HKDF', true, ['deriveBits'])", "SyntaxError" },
    { "no usage", "s.importKey('raw', u(16), 'AES-GCM', true, [])", "SyntaxError" },
    { "wrong usage", "s.importKey('raw', u(16), 'AES-GCM', true, ['sign'])", "SyntaxError" },
    { "unknown usage", "s.importKey('raw', u(16), 'AES-GCM', true, ['wrapKey'])", "SyntaxError" },
    { "aes size", "s.importKey('raw', u(15), 'AES-GCM', true, ['encrypt'])", "DataError" },
    { "empty hmac", "s.importKey('raw', u(0), {name:'HMAC',hash:'SHA-1'}, true, ['sign'])", "DataError" },
    { "point off the curve",
      "s.importKey('raw', new Uint8Array([4, ...u(64)]), {name:'ECDSA',namedCurve:'P-256'}, true, ['verify'])",
      "DataError" },
    { "curve", "s.generateKey({name:'ECDSA',namedCurve:'P-384'}, true, ['sign'])", "NotSupportedError" },
    { "spki of another kind",
      "s.importKey('spki', await s.exportKey('spki', (await s.generateKey('X25519', true, ['deriveBits'])).publicKey), "
      "'Ed25519', true, ['verify'])",
      "DataError" },
    { "spki with a tail",
      "s.importKey('spki', new Uint8Array([...new Uint8Array(await s.exportKey('spki', (await s.generateKey('Ed25519', "
      "true, ['sign'])).publicKey)), 0]), 'Ed25519', true, ['verify'])",
      "DataError" },
    { "jwk whose halves differ",
      "s.importKey('jwk', {...await s.exportKey('jwk', (await s.generateKey('Ed25519', true, ['sign'])).privateKey), "
      "x: 'PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw'}, 'Ed25519', true, ['sign'])",
      "DataError" },
    { "jwk of ec whose halves differ",
      "s.importKey('jwk', {...await s.exportKey('jwk', (await s.generateKey({name:'ECDSA',namedCurve:'P-256'}, true, "
      "['sign'])).privateKey), d: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE'}, {name:'ECDSA',namedCurve:'P-256'}, "
      "true, ['sign'])",
      "DataError" },
    { "jwk key_ops",
      "s.importKey('jwk', {kty:'oct',k:'AAAA',key_ops:['verify']}, {name:'HMAC',hash:'SHA-1'}, true, "
      "['sign'])",
      "DataError" },
    { "jwk alg", "s.importKey('jwk', {kty:'oct',k:'AAAA',alg:'HS512'}, {name:'HMAC',hash:'SHA-1'}, true, ['sign'])",
      "DataError" },
    { "x25519 of small order",
      "s.deriveBits({name:'X25519',public: await s.importKey('raw', u(32), 'X25519', true, [])}, (await "
      "s.generateKey('X25519', false, ['deriveBits'])).privateKey, 256)",
      "OperationError" },
    { "short tag",
      "s.encrypt({name:'AES-GCM',iv:u(12),tagLength:32}, await s.generateKey({name:'AES-GCM',length:128}, "
      "true, ['encrypt']), u(1))",
      "OperationError" },
    { "no iv", "s.encrypt({name:'AES-GCM'}, await s.generateKey({name:'AES-GCM',length:128}, true, ['encrypt']), u(1))",
      "TypeError" },
    { "iv twice with one key",
      "(async k => { await s.encrypt({name:'AES-GCM',iv:u(12)}, k, u(1)); return s.encrypt({name:'AES-GCM',iv:u(12)}, "
      "k, "
      "u(2)) })(await s.generateKey({name:'AES-GCM',length:128}, true, ['encrypt']))",
      "OperationError" },
    { "hkdf too long",
      "s.deriveBits({name:'HKDF',hash:'SHA-256',salt:u(0),info:u(0)}, await s.importKey('raw', u(9), 'HKDF', false, "
      "['deriveBits']), 255*256+8)",
      "OperationError" },
    { "made-up key", "s.sign('HMAC', Object.create(CryptoKey.prototype), u(1))", "TypeError" },
    { "more keys than there is room for",
      "(async () => { for (let i = 0; i < 1100; i++) await s.importKey('raw', u(16), 'AES-GCM', true, ['encrypt']) "
      "})()",
      "QuotaExceededError" },
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(refusals); i++) {
        char source[2048];
        fixture f = { 0 };
        (void)snprintf(source, sizeof(source),
                       "const s = crypto.subtle, u = (n) => new Uint8Array(n);\n"
                       "export default async () => new Response(await (async () => %s)().then(() => 'allowed', e => "
                       "e.name === 'TypeError' ? 'TypeError' : e.name));",
                       refusals[i].source);
        fixture_start(&f, NULL, source);
        print_message("%s\n", refusals[i].name);
        fixture_expect(&f, "/", "", refusals[i].want);
        fixture_close(&f);
    }
}

/* R17: a module's counter as iv is the same in every request; the host notices. */
static void r17_an_iv_out_of_the_snapshot_is_refused(void **state)
{
    fixture f = { 0 };
    (void)state;
    fixture_start(
        &f, NULL,
        "let counter = 0;\n"
        "const key = await crypto.subtle.importKey('raw', new Uint8Array(32), 'AES-GCM', false, ['encrypt']);\n"
        "export default async () => new Response(await crypto.subtle.encrypt({ name: 'AES-GCM', iv: new "
        "Uint8Array([...new Uint8Array(11), ++counter]) }, key, new Uint8Array(1)).then(() => 'sealed', e => "
        "e.name));");
    fixture_expect(&f, "/", "", "sealed");
    fixture_expect(&f, "/", "", "OperationError");
    fixture_close(&f);
}

static const struct {
    const char *name, *source;
} drawing[] = {
    { "generateKey", "await crypto.subtle.generateKey('Ed25519', true, ['sign']);" },
    { "generateKey aes", "await crypto.subtle.generateKey({name:'AES-GCM',length:128}, true, ['encrypt']);" },
    { "encrypt",
      "await crypto.subtle.encrypt({name:'AES-GCM',iv:new Uint8Array(12)}, await "
      "crypto.subtle.importKey('raw', new Uint8Array(16), 'AES-GCM', true, ['encrypt']), new Uint8Array(1));" },
    { "ecdsa",
      "await crypto.subtle.sign({name:'ECDSA',hash:'SHA-256'}, await crypto.subtle.importKey('jwk', {kty:'EC',"
      "crv:'P-256',d:'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE',x:'axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwp"
      "Y',y:'T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU'}, {name:'ECDSA',namedCurve:'P-256'}, true, ['sign']), "
      "new Uint8Array(1));" },
};

static void r17_nothing_is_drawn_before_the_snapshot(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(drawing); i++) {
        char source[1024];
        fixture f = { 0 };
        rd_err err = RD_ERR_INIT;
        (void)snprintf(source, sizeof(source), "%s export default () => new Response('');", drawing[i].source);
        fixture_open(&f, NULL);
        print_message("%s\n", drawing[i].name);
        assert_int_equal(fixture_load(&f, source, "", &err), -1);
        assert_int_equal(err.code, RD_E_ENGINE_ENTROPY_BEFORE_SNAPSHOT);
        fixture_close(&f);
    }
}

static bool opens(encl_engine *engine, uint32_t index, uint32_t generation)
{
    rd_buf question = { 0 }, reply = { 0 };
    rd_buf_append_u32le(&question, 4);
    rd_buf_append_u32le(&question, ENCL_FORMAT_RAW);
    rd_buf_append_u32le(&question, 8);
    rd_buf_append_u32le(&question, index);
    rd_buf_append_u32le(&question, generation);
    encl_subtle_ask(engine->subtle, ENCL_ASK_EXPORT, rd_buf_bytes(&question), &reply);
    bool is_open = reply.data[0] == ENCL_ASK_OK;
    rd_buf_done(&question);
    rd_buf_done(&reply);
    return is_open;
}

/* R18: whatever handle a corrupted guest makes up, the keys of an earlier request are gone. */
static void r18_no_handle_outlives_its_request(void **state)
{
    fixture f = { 0 };
    encl_response response;
    rd_err err = RD_ERR_INIT;
    (void)state;
    fixture_start(
        &f, NULL,
        "export default async () => { for (let i = 0; i < 50; i++) await crypto.subtle.generateKey({name:'HMAC',"
        "hash:'SHA-256'}, true, ['sign']); return new Response('ok') };");
    assert_int_equal(fixture_call(&f, "/", "", &response, &err), 0);
    assert_true(opens(f.engine, 0, 1)); /* while it lasts */
    encl_engine_reset(f.engine);
    for (uint32_t generation = 0; generation < 8; generation++)
        for (uint32_t index = 0; index < 2000; index++)
            assert_false(opens(f.engine, index, generation));
    fixture_close(&f);
}

/* A key that a module imports is part of the snapshot, as its variables are. */
static void keys_of_the_module_stay(void **state)
{
    fixture f = { 0 };
    (void)state;
    fixture_start(&f, NULL,
                  "const key = await crypto.subtle.importKey('raw', new TextEncoder().encode('Jefe'), {name:'HMAC',"
                  "hash:'SHA-256'}, false, ['sign']);\n"
                  "export default async () => new Response(new Uint8Array(await crypto.subtle.sign('HMAC', key, new "
                  "Uint8Array(0))).toHex().slice(0, 8));");
    for (int i = 0; i < 3; i++)
        fixture_expect(&f, "/", "", "923598ca");
    fixture_close(&f);
}

/* No question of any shape does more than be refused. */
static void malformed_questions_are_refused(void **state)
{
    fixture f = { 0 };
    uint64_t word = 1;
    (void)state;
    fixture_open(&f, NULL);
    for (uint32_t round = 0; round < 20000; round++) {
        uint8_t question[64];
        rd_buf reply = { 0 };
        for (size_t i = 0; i < sizeof(question); i++) {
            word = word * UINT64_C(6364136223846793005) + 1442695040888963407u;
            question[i] = (uint8_t)(i % 4 == 0 ? (word >> 59) : i % 8 < 4 ? 0 : word >> 60);
        }
        encl_subtle_ask(f.engine->subtle, round % 11, rd_bytes_of(question, round % 64), &reply);
        assert_true(reply.size > 0);
        rd_buf_done(&reply);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_node),
        cmocka_unit_test(refuses),
        cmocka_unit_test(r17_an_iv_out_of_the_snapshot_is_refused),
        cmocka_unit_test(r17_nothing_is_drawn_before_the_snapshot),
        cmocka_unit_test(r18_no_handle_outlives_its_request),
        cmocka_unit_test(keys_of_the_module_stay),
        cmocka_unit_test(malformed_questions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
