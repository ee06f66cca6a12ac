/* Vector: draft-ietf-ohai-chunked-ohttp-08, appendix. What a relay may do to an answer's chunks, row by row. */
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/ohttp_chunks.h"
#include "common/model/ohttp_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char private_hex[] = "1c190d72acdbe4dbc69e680503bb781a932c70a12c8f3754434c67d8640d8698";
static const char config_hex[] =
    "002d0100"
    "20668eb21aace159803974a4c67f08b4152d29bed10735fd08f98ccdd6fe09570800080001000100010003";
static const char ephemeral_hex[] = "b26d565f3f875ed480d1abced3d665159650c99174fd0b124ac4bda0c64ae324";
static const char request_hex[] = "00034745540568747470730b6578616d706c652e636f6d012f";
static const char request_head_hex[] = "01002000010001"
                                       "8811eb457e100811c40a0aa71340a1b81d804bb986f736f2f566a7199761a032";
static const char request_chunks_hex[] = "1c2ad24942d4d692563012f2980c8fef437a336b9b2fc938ef77a5834f"
                                         "1d2e33d8fd25577afe31bd1c79d094f76b6250ae6549b473ecd950501311"
                                         "001c6c1395d0ef7c1022297966307b8a7f";
static const char nonce_hex[] = "bcce7f4cb921309ba5d62edf1769ef09";
static const char answer_hex[] = "bcce7f4cb921309ba5d62edf1769ef09"
                                 "1179bf1cc87fa0e2c02de4546945aa3d1e48"
                                 "12b348b5bd4c594c16b6170b07b475845d1f32"
                                 "00ed9d8a796617a5b27265f4d73247f639";

static void unhex(const char *hex, rd_buf *out)
{
    size_t size = strlen(hex) / 2;
    rd_buf_clear(out);
    assert_int_equal(0, rd_hex_decode(hex, 2 * size, rd_buf_reserve(out, size), size));
    rd_buf_commit(out, size);
}

static void assert_hex(rd_bytes got, const char *want)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    unhex(want, &bytes);
    assert_true(rd_bytes_equal(got, rd_buf_bytes(&bytes)));
}

static void fill_from(void *context, void *out, size_t size)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    unhex(context, &bytes);
    assert_int_equal(size, bytes.size);
    memcpy(out, bytes.data, size);
}

static const rd_random ephemeral = { .fill = fill_from, .context = (void *)ephemeral_hex };
static const rd_random nonce = { .fill = fill_from, .context = (void *)nonce_hex };

/* The exchange of the vector, from both ends. */
typedef struct pair {
    rd_ohttp_key key;
    rd_hpke_recipient *recipient;
    rd_ohttp client, gateway;
    rd_buf request; /* as it opened */
} pair;

static void pair_done(pair *p)
{
    rd_ohttp_done(&p->client);
    rd_ohttp_done(&p->gateway);
    rd_hpke_recipient_free(p->recipient);
    rd_buf_done(&p->request);
}

static void pair_open(pair *p)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    memset(p, 0, sizeof *p);
    unhex(config_hex, &bytes);
    assert_int_equal(0, rd_ohttp_keys_read(rd_buf_bytes(&bytes), &p->key, &err));
    unhex(private_hex, &bytes);
    rd_secret *private_key = rd_secret_copy(rd_buf_bytes(&bytes));
    p->recipient = rd_hpke_recipient_new(private_key);
    rd_secret_free(private_key);
    unhex(request_hex, &bytes);
    assert_int_equal(0, rd_ohttp_seal_chunked(&p->key, rd_buf_bytes(&bytes), &ephemeral, &p->client, &sealed, &err));
    assert_int_equal(
        0, rd_ohttp_open_chunked(&p->key, p->recipient, rd_buf_bytes(&sealed), &p->gateway, &p->request, &err));
}

static void test_request_vector(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(pair_done) pair p;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf chunks = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    pair_open(&p);
    assert_hex(rd_buf_bytes(&p.request), request_hex);
    rd_ohttp_done(&p.gateway);
    unhex(request_head_hex, &sealed);
    unhex(request_chunks_hex, &chunks);
    (void)rd_buf_append_bytes(&sealed, rd_buf_bytes(&chunks));
    (void)rd_buf_append_str(&message, "before ");
    assert_int_equal(0, rd_ohttp_open_chunked(&p.key, p.recipient, rd_buf_bytes(&sealed), &p.gateway, &message, &err));
    assert_hex(rd_bytes_of(message.data + 7, message.size - 7), request_hex);
    /* Every byte matters, and every cut; nothing of what opened before it stays. */
    for (size_t i = 0; i < sealed.size; i++) {
        rd_ohttp gateway;
        message.size = 7;
        sealed.data[i] ^= 0x10;
        err = (rd_err)RD_ERR_INIT;
        assert_int_equal(-1,
                         rd_ohttp_open_chunked(&p.key, p.recipient, rd_buf_bytes(&sealed), &gateway, &message, &err));
        assert_int_equal(RD_E_SEAL, err.code);
        sealed.data[i] ^= 0x10;
        assert_int_equal(
            -1, rd_ohttp_open_chunked(&p.key, p.recipient, rd_bytes_of(sealed.data, i), &gateway, &message, &err));
        assert_string_equal("before ", rd_buf_text(&message));
    }
}

static void test_forms_do_not_mix(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(pair_done) pair p;
    RD_CLEANUP(rd_buf_done) rd_buf whole = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf chunked = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_ohttp client;
    pair_open(&p);
    rd_ohttp_done(&p.gateway);
    assert_int_equal(0, rd_ohttp_seal_request(&p.key, RD_BYTES_LIT("x"), &ephemeral, &client, &whole, &err));
    rd_ohttp_done(&client);
    assert_int_equal(0, rd_ohttp_seal_chunked(&p.key, RD_BYTES_LIT("x"), &ephemeral, &client, &chunked, &err));
    rd_ohttp_done(&client);
    assert_int_equal(-1, rd_ohttp_open_chunked(&p.key, p.recipient, rd_buf_bytes(&whole), &p.gateway, &out, &err));
    assert_int_equal(-1, rd_ohttp_open_request(&p.key, p.recipient, rd_buf_bytes(&chunked), &p.gateway, &out, &err));
    assert_int_equal(0, out.size);
}

/* 0 and the message, or the code. */
static rd_code open_in_steps(const rd_ohttp *client, rd_bytes sealed, size_t step, rd_buf *message)
{
    rd_err err = RD_ERR_INIT;
    rd_ohttp_opener opener;
    int status = 0;
    rd_buf_clear(message);
    rd_ohttp_opener_init(&opener, client);
    for (size_t at = 0; at < sealed.size && status == 0; at += step)
        status =
            rd_ohttp_opener_feed(&opener, rd_bytes_of(sealed.data + at, RD_MIN(step, sealed.size - at)), message, &err);
    if (status == 0)
        status = rd_ohttp_opener_end(&opener, message, &err);
    rd_ohttp_opener_done(&opener);
    assert_int_equal(status < 0, err.code != RD_OK);
    return err.code;
}

static void test_answer_vector(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(pair_done) pair p;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    rd_ohttp_chunks chunks;
    pair_open(&p);
    rd_ohttp_chunks_begin(&p.gateway, &nonce, &chunks, &sealed);
    assert_int_equal(0, rd_ohttp_chunks_seal(&chunks, RD_BYTES_LIT("\x01"), false, &sealed, &err));
    assert_int_equal(0, rd_ohttp_chunks_seal(&chunks, RD_BYTES_LIT("\x40\xc8"), false, &sealed, &err));
    assert_int_equal(0, rd_ohttp_chunks_seal(&chunks, RD_BYTES_NULL, true, &sealed, &err));
    rd_hpke_done(&chunks);
    assert_hex(rd_buf_bytes(&sealed), answer_hex);
    for (size_t step = 1; step <= sealed.size; step++) {
        assert_int_equal(RD_OK, open_in_steps(&p.client, rd_buf_bytes(&sealed), step, &message));
        assert_hex(rd_buf_bytes(&message), "0140c8");
    }
    /* R45: a cut at and within each chunk, and a change of each bit, is never whole. */
    for (size_t i = 0; i < sealed.size; i++) {
        rd_code code = open_in_steps(&p.client, rd_bytes_of(sealed.data, i), i + 1, &message);
        assert_int_equal(i < sealed.size - 16 ? RD_E_TRUNCATED : RD_E_SEAL, code);
        sealed.data[i] ^= 0x10;
        code = open_in_steps(&p.client, rd_buf_bytes(&sealed), 7, &message);
        assert_true(code == RD_E_SEAL || code == RD_E_TRUNCATED);
        sealed.data[i] ^= 0x10;
    }
}

/* Three chunks of 40 bytes, the last final, and those of a second answer to the same request. */
typedef struct stream {
    rd_buf sealed;
    size_t at[4]; /* where chunks begin */
} stream;

static void make_stream(const rd_ohttp *gateway, stream *ret)
{
    rd_err err = RD_ERR_INIT;
    rd_ohttp_chunks chunks;
    uint8_t piece[40] = { 7 };
    rd_ohttp_chunks_begin(gateway, rd_random_system(), &chunks, &ret->sealed);
    for (size_t i = 0; i < 3; i++) {
        ret->at[i] = ret->sealed.size;
        assert_int_equal(0, rd_ohttp_chunks_seal(&chunks, RD_BYTES_ARRAY(piece), i == 2, &ret->sealed, &err));
    }
    ret->at[3] = ret->sealed.size;
    rd_hpke_done(&chunks);
}

/* Puts an answer together: digits name chunks of the first stream, A to C those of the second, a point makes the next
 * one final by its size, a comma not. */
static void arrange(const stream streams[2], const char *plan, rd_buf *ret)
{
    rd_buf_clear(ret);
    (void)rd_buf_append(ret, streams[0].sealed.data, 16);
    for (; *plan; plan++) {
        bool is_forged = *plan == '.' || *plan == ',';
        uint8_t size = *plan == '.' ? 0 : 56;
        if (is_forged)
            (void)rd_buf_append_u8(ret, size);
        plan += is_forged;
        const stream *from = &streams[*plan >= 'A'];
        size_t index = (size_t)(*plan - (*plan >= 'A' ? 'A' : '1'));
        size_t skip = is_forged ? 1 : 0;
        (void)rd_buf_append(ret, from->sealed.data + from->at[index] + skip,
                            from->at[index + 1] - from->at[index] - skip);
    }
}

static void test_r45_a_hostile_relay(void **state RD_UNUSED)
{
    static const struct {
        const char *name, *plan;
        rd_code code;
    } rows[] = {
        { "as it was sealed", "123", RD_OK },
        { "cut before its final chunk", "12", RD_E_TRUNCATED },
        { "cut before anything", "", RD_E_TRUNCATED },
        { "reordered", "213", RD_E_SEAL },
        { "one left out", "13", RD_E_SEAL },
        { "one doubled", "1123", RD_E_SEAL },
        { "the final one doubled", "1233", RD_E_SEAL },
        { "something behind its end", "1231", RD_E_SEAL },
        { "an early end", "1.2", RD_E_SEAL },
        { "the final one made a middle one", "12,3", RD_E_SEAL },
        { "the other answer's end", "12C", RD_E_SEAL },
        { "the other answer's middle", "1B3", RD_E_SEAL },
        { "the other answer under this one's nonce", "ABC", RD_E_SEAL },
    };
    RD_CLEANUP(pair_done) pair p;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    stream streams[2] = { 0 };
    pair_open(&p);
    make_stream(&p.gateway, &streams[0]);
    make_stream(&p.gateway, &streams[1]);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        arrange(streams, rows[i].plan, &sealed);
        rd_code code = open_in_steps(&p.client, rd_buf_bytes(&sealed), 11, &message);
        if (code != rows[i].code)
            fail_msg("%s: %d", rows[i].name, (int)code);
    }
    rd_buf_done(&streams[0].sealed);
    rd_buf_done(&streams[1].sealed);
}

/* A request of so many chunks of a byte each, and a final one; 0 when it opens. */
static int open_bytes(size_t count)
{
    RD_CLEANUP(pair_done) pair p = { 0 };
    pair_open(&p);
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    rd_ohttp client = { 0 }, gateway = { 0 };
    assert_int_equal(
        0, rd_ohttp_begin_request(&p.key, "message/bhttp chunked request", rd_random_system(), &client, &sealed, &err));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(0, rd_ohttp_chunks_seal(&client.hpke, RD_BYTES_LIT("x"), false, &sealed, &err));
    assert_int_equal(0, rd_ohttp_chunks_seal(&client.hpke, RD_BYTES_NULL, true, &sealed, &err));
    int outcome = rd_ohttp_open_chunked(&p.key, p.recipient, rd_buf_bytes(&sealed), &gateway, &message, &err);
    assert_int_equal(outcome < 0 ? 0 : count, message.size);
    rd_ohttp_done(&client);
    rd_ohttp_done(&gateway);
    return outcome;
}

static void test_chunks_have_a_size(void **state RD_UNUSED)
{
    assert_int_equal(0, open_bytes(3));
    assert_int_equal(0, open_bytes(60));
    assert_int_equal(-1, open_bytes(70));
    assert_int_equal(-1, open_bytes(5000));
}

static void test_bounds(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(pair_done) pair p;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf large = { 0 };
    rd_ohttp_chunks chunks;
    pair_open(&p);
    memset(rd_buf_reserve(&large, 50000), 5, 50000);
    rd_buf_commit(&large, 50000);
    rd_ohttp_chunks_begin(&p.gateway, rd_random_system(), &chunks, &sealed);
    assert_int_equal(0, rd_ohttp_chunks_seal(&chunks, rd_buf_bytes(&large), true, &sealed, &err));
    assert_int_equal(16 + 3 * (4 + 16384 + 16) + 1 + 848 + 16, sealed.size);
    assert_int_equal(RD_OK, open_in_steps(&p.client, rd_buf_bytes(&sealed), 1000, &message));
    assert_true(rd_bytes_equal(rd_buf_bytes(&message), rd_buf_bytes(&large)));
    rd_hpke_done(&chunks);
    /* What is larger, middle or final, is refused before it is gathered. */
    static const uint8_t middle[] = { 0x80, 0, 0x40, 0x11 }, final[] = { 0 };
    const rd_bytes sizes[] = { RD_BYTES_ARRAY(middle), RD_BYTES_ARRAY(final) };
    for (size_t i = 0; i < RD_ARRAY_LEN(sizes); i++) {
        sealed.size = 16;
        (void)rd_buf_append_bytes(&sealed, sizes[i]);
        (void)rd_buf_append_bytes(&sealed, rd_buf_bytes(&large));
        assert_int_equal(RD_E_SEAL, open_in_steps(&p.client, rd_buf_bytes(&sealed), 1000, &message));
    }
    /* A middle chunk of nothing (draft, 6). */
    rd_buf_clear(&sealed);
    rd_ohttp_chunks_begin(&p.gateway, rd_random_system(), &chunks, &sealed);
    assert_int_equal(0, rd_ohttp_chunks_seal(&chunks, RD_BYTES_NULL, false, &sealed, &err));
    assert_int_equal(RD_E_SEAL, open_in_steps(&p.client, rd_buf_bytes(&sealed), 100, &message));
    rd_hpke_done(&chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_vector),     cmocka_unit_test(test_forms_do_not_mix),
        cmocka_unit_test(test_answer_vector),      cmocka_unit_test(test_r45_a_hostile_relay),
        cmocka_unit_test(test_chunks_have_a_size), cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
