/* Vectors: RFC 9458, appendix A; RFC 9292, section 5. */
#include "common/base/text.h"
#include "common/model/bhttp.h"
#include "common/model/ohttp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char private_hex[] = "3c168975674b2fa8e465970b79c8dcf09f1c741626480bd4c6162fc5b6a98e1a";
static const char config_hex[] =
    "01002031e1f05a740102115220e9af918f738674aec95f54db6e04eb705aae8e79815500080001000100010003";
static const char ephemeral_hex[] = "bc51d5e930bda26589890ac7032f70ad12e4ecb37abb1b65b1256c9c48999c73";
static const char request_hex[] = "00034745540568747470730b6578616d706c652e636f6d012f";
static const char sealed_hex[] =
    "010020000100014b28f881333e7c164ffc499ad9796f877f4e1051ee6d31bad19dec96c208b4726374e469135906992e"
    "1268c594d2a10c695d858c40a026e7965e7d86b83dd440b2c0185204b4d63525";
static const char nonce_hex[] = "c789e7151fcba46158ca84b04464910d";
static const char answer_hex[] = "c789e7151fcba46158ca84b04464910d86f9013e404feea014e7be4a441f234f857fbd";

typedef struct hex_bytes {
    uint8_t b[512];
    rd_bytes bytes;
} hex_bytes;

static rd_bytes unhex(const char *hex, hex_bytes *out)
{
    size_t size = strlen(hex) / 2;
    assert_int_equal(0, rd_hex_decode(hex, 2 * size, out->b, size));
    return out->bytes = rd_bytes_of(out->b, size);
}

static void assert_hex(rd_bytes got, const char *want)
{
    char text[1025];
    rd_hex_encode(got, text);
    assert_string_equal(want, text);
}

static void fill_from(void *context, void *out, size_t size)
{
    hex_bytes bytes;
    assert_int_equal(size, unhex(context, &bytes).size);
    memcpy(out, bytes.b, size);
}

static void read_key(rd_ohttp_key *key)
{
    rd_err err = RD_ERR_INIT;
    hex_bytes config;
    uint8_t list[47] = { 0, 45 };
    memcpy(list + 2, unhex(config_hex, &config).data, 45);
    assert_int_equal(0, rd_ohttp_keys_read(RD_BYTES_ARRAY(list), key, &err));
    assert_int_equal(1, key->id);
}

static void test_exchange_vector(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    hex_bytes request, sealed, answer, private_bytes;
    rd_ohttp_key key;
    rd_ohttp client, gateway;
    rd_buf out = { 0 };
    read_key(&key);
    unhex(request_hex, &request);
    unhex(sealed_hex, &sealed);
    unhex(answer_hex, &answer);
    const rd_random ephemeral = { .fill = fill_from, .context = (void *)ephemeral_hex };
    const rd_random nonce = { .fill = fill_from, .context = (void *)nonce_hex };

    assert_int_equal(0, rd_ohttp_seal_request(&key, request.bytes, &ephemeral, &client, &out, &err));
    assert_hex(rd_buf_bytes(&out), sealed_hex);

    rd_secret *private_key = rd_secret_copy(unhex(private_hex, &private_bytes));
    rd_hpke_recipient *recipient = rd_hpke_recipient_new(private_key);
    rd_buf_clear(&out);
    assert_int_equal(0, rd_ohttp_open_request(&key, recipient, sealed.bytes, &gateway, &out, &err));
    assert_hex(rd_buf_bytes(&out), request_hex);

    rd_buf_clear(&out);
    assert_int_equal(0, rd_ohttp_seal_answer(&gateway, RD_BYTES_LIT("\x01\x40\xc8"), &nonce, &out, &err));
    assert_hex(rd_buf_bytes(&out), answer_hex);
    rd_buf_clear(&out);
    assert_int_equal(0, rd_ohttp_open_answer(&client, answer.bytes, &out, &err));
    assert_hex(rd_buf_bytes(&out), "0140c8");

    rd_ohttp_done(&client);
    rd_ohttp_done(&gateway);
    rd_hpke_recipient_free(recipient);
    rd_secret_free(private_key);
    rd_buf_done(&out);
}

/* Every byte of a sealed request and of an answer matters, and every cut. */
static void test_spoiled(void **state RD_UNUSED)
{
    hex_bytes sealed, answer, private_bytes;
    rd_ohttp_key key;
    rd_ohttp exchange;
    rd_buf out = { 0 };
    read_key(&key);
    unhex(sealed_hex, &sealed);
    unhex(answer_hex, &answer);
    rd_secret *private_key = rd_secret_copy(unhex(private_hex, &private_bytes));
    rd_hpke_recipient *recipient = rd_hpke_recipient_new(private_key);
    for (size_t i = 0; i < sealed.bytes.size; i++) {
        rd_err err = RD_ERR_INIT;
        sealed.b[i] ^= 0x10;
        assert_int_equal(-1, rd_ohttp_open_request(&key, recipient, sealed.bytes, &exchange, &out, &err));
        assert_int_equal(RD_E_SEAL, err.code);
        sealed.b[i] ^= 0x10;
        assert_int_equal(-1, rd_ohttp_open_request(&key, recipient, rd_bytes_of(sealed.b, i), &exchange, &out, &err));
        assert_int_equal(RD_E_SEAL, err.code);
    }
    rd_err ignored = RD_ERR_INIT;
    assert_int_equal(0, rd_ohttp_open_request(&key, recipient, sealed.bytes, &exchange, &out, &ignored));
    rd_buf_clear(&out);
    for (size_t i = 0; i < answer.bytes.size; i++) {
        rd_err err = RD_ERR_INIT;
        answer.b[i] ^= 0x10;
        assert_int_equal(-1, rd_ohttp_open_answer(&exchange, answer.bytes, &out, &err));
        assert_int_equal(RD_E_SEAL, err.code);
        answer.b[i] ^= 0x10;
        assert_int_equal(-1, rd_ohttp_open_answer(&exchange, rd_bytes_of(answer.b, i), &out, &err));
    }
    assert_int_equal(0, out.size);
    rd_ohttp_done(&exchange);
    rd_hpke_recipient_free(recipient);
    rd_secret_free(private_key);
    rd_buf_done(&out);
}

static void test_keys(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    rd_ohttp_key key = { .id = 7, .public_key = { 9 } }, got;
    uint8_t list[2 + 3 + RD_OHTTP_KEYS_SIZE] = { 0, 3, 1, 0, 0x10 }; /* another KEM first */
    rd_ohttp_keys_write(&key, list + 5);
    assert_int_equal(0, rd_ohttp_keys_read(RD_BYTES_ARRAY(list), &got, &err));
    assert_memory_equal(&key, &got, sizeof key);
    for (size_t size = 0; size < sizeof list; size++)
        assert_int_equal(-1, rd_ohttp_keys_read(rd_bytes_of(list, size), &got, &err));
    list[sizeof list - 1] = 3; /* ChaCha20-Poly1305 */
    err.code = RD_OK;
    assert_int_equal(-1, rd_ohttp_keys_read(RD_BYTES_ARRAY(list), &got, &err));
    assert_int_equal(RD_E_UNSUPPORTED, err.code);
}

static void test_messages(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    rd_bhttp_message message = { .is_request = true,
                                 .method = RD_BYTES_LIT("POST"),
                                 .scheme = RD_BYTES_LIT("https"),
                                 .authority = RD_BYTES_LIT("app.example"),
                                 .path = RD_BYTES_LIT("/a?b=c"),
                                 .field_count = 1,
                                 .content = RD_BYTES_LIT("hello") };
    message.fields[0] = (rd_bhttp_field){ RD_BYTES_LIT("content-type"), RD_BYTES_LIT("text/plain") };
    rd_buf out = { 0 };
    rd_bhttp_message got;
    assert_int_equal(0, rd_bhttp_write(&message, &out, &err));
    assert_int_equal(256, out.size);
    assert_int_equal(0, rd_bhttp_read(rd_buf_bytes(&out), &got, &err));
    assert_true(got.is_request);
    assert_true(rd_bytes_equal(got.path, message.path));
    assert_true(rd_bytes_equal(got.content, message.content));
    assert_int_equal(1, got.field_count);
    assert_true(rd_bytes_equal(rd_bhttp_find(&got, "content-type")->value, RD_BYTES_LIT("text/plain")));
    out.data[out.size - 1] = 1;
    assert_int_equal(-1, rd_bhttp_read(rd_buf_bytes(&out), &got, &err));
    assert_int_equal(RD_E_TRAILING, err.code);
    rd_buf_done(&out);
}

static void test_refused(void **state RD_UNUSED)
{
    static const struct {
        const char *name, *hex;
        rd_code code; /* OK: accepted, the neighbour of a refused one */
    } rows[] = {
        { "the vector", "00034745540568747470730b6578616d706c652e636f6d012f", RD_OK },
        { "an empty part, left out or not",
          "0003474554000001"
          "2f"
          "00"
          "00"
          "00",
          RD_OK },
        { "cut in the path",
          "0003474554000002"
          "2f",
          RD_E_TRUNCATED },
        { "indeterminate", "02034745540000012f", RD_E_UNSUPPORTED },
        { "unknown framing", "04034745540000012f", RD_E_ENCODING },
        { "no method",
          "000000"
          "00012f",
          RD_E_HTTP_SYNTAX },
        { "a space in the method",
          "000347205400"
          "00012f",
          RD_E_HTTP_SYNTAX },
        { "no path",
          "000347455400"
          "0000",
          RD_E_HTTP_SYNTAX },
        { "a line end in the path",
          "000347455400"
          "00022f0a",
          RD_E_HTTP_SYNTAX },
        { "a field",
          "000347455400"
          "00012f"
          "04"
          "0161"
          "0162",
          RD_OK },
        { "a field in capitals",
          "000347455400"
          "00012f"
          "04"
          "0141"
          "0162",
          RD_E_HTTP_SYNTAX },
        { "a line end in a value",
          "000347455400"
          "00012f"
          "04"
          "0161"
          "010a",
          RD_E_HTTP_SYNTAX },
        { "a pseudo field",
          "000347455400"
          "00012f"
          "05"
          "023a61"
          "0162",
          RD_E_HTTP_SYNTAX },
        { "a field longer than its section",
          "000347455400"
          "00012f"
          "04"
          "0161"
          "0962",
          RD_E_TRUNCATED },
        { "a huge length",
          "000347455400"
          "00012f"
          "00"
          "ffffffffffffffff",
          RD_E_TRUNCATED },
        { "an answer", "0140c8", RD_OK },
        { "an informational answer", "014064", RD_E_HTTP_SYNTAX },
        { "status 600", "014258", RD_E_HTTP_SYNTAX },
        { "a trailer",
          "0140c8"
          "00"
          "00"
          "04"
          "0161"
          "0162",
          RD_OK },
        { "a bad trailer",
          "0140c8"
          "00"
          "00"
          "04"
          "0141"
          "0162",
          RD_E_HTTP_SYNTAX },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_err err = RD_ERR_INIT;
        hex_bytes bytes;
        rd_bhttp_message message;
        int status = rd_bhttp_read(unhex(rows[i].hex, &bytes), &message, &err);
        if ((status < 0) != (rows[i].code != RD_OK) || err.code != rows[i].code)
            fail_msg("%s: %d, %s", rows[i].name, status, err.text);
    }
}

static void test_buckets(void **state RD_UNUSED)
{
    static const size_t rows[][2] = { { 0, 256 },         { 1, 256 },          { 256, 256 },      { 257, 512 },
                                      { 40000, 65536 },   { 65536, 65536 },    { 65537, 131072 }, { 131073, 196608 },
                                      { 200000, 262144 }, { 1 << 20, 1 << 20 } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        assert_int_equal(rows[i][1], rd_bhttp_bucket(rows[i][0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchange_vector), cmocka_unit_test(test_spoiled), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_messages),        cmocka_unit_test(test_refused), cmocka_unit_test(test_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
