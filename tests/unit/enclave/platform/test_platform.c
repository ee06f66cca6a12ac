/* The simulated port against a scripted quoter, the floor under the host's clock, and the closed register. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "enclave/platform/platform.h"

static int64_t host_now;

static int64_t host_us(void)
{
    return host_now;
}

static void test_floor(void **state)
{
    (void)state;
    encl_platform *platform = encl_platform_skeleton_new();
    platform->host_us = host_us;
    int64_t build = encl_platform_build_floor_us();
    host_now = 0;
    assert_int_equal(encl_platform_time_us(platform), build);
    host_now = build + 5000;
    assert_int_equal(encl_platform_time_us(platform), build + 5000);
    host_now = build + 1000; /* set back */
    assert_int_equal(encl_platform_time_us(platform), build + 5000);
    encl_platform_raise_floor(platform, build + 4000);
    assert_int_equal(encl_platform_time_us(platform), build + 5000);
    encl_platform_raise_floor(platform, build + 9000);
    assert_int_equal(encl_platform_time_us(platform), build + 9000);
    encl_platform_free(platform);
}

static void test_sim(void **state)
{
    (void)state;
    static const struct {
        const char *name, *answer;
        size_t size;
        bool is_quote;
        rd_code want;
    } rows[] = {
        { "extended", "\0\0\0\1\x81", 5, false, RD_OK },
        { "quoted",
          "\0\0\0\4\x82"
          "abc",
          8, true, RD_OK },
        { "refused", "\0\0\0\3\xffno", 7, false, RD_E_TEE_REFUSED },
        { "answer of the other kind", "\0\0\0\1\x81", 5, true, RD_E_TEE_REFUSED },
        { "payload where none is", "\0\0\0\2\x81x", 6, false, RD_E_TEE_REFUSED },
        { "length 0", "\0\0\0\0\x81", 5, false, RD_E_TEE_REFUSED },
        { "huge", "\x7f\0\0\0\x82", 5, true, RD_E_TEE_REFUSED },
        { "cut short",
          "\0\0\0\4\x82"
          "ab",
          7, true, RD_E_TEE_UNAVAILABLE },
        { "closed", "", 0, true, RD_E_TEE_UNAVAILABLE },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        encl_platform *platform = encl_platform_sim_new(pair[0]);
        assert_int_equal(write(pair[1], rows[i].answer, rows[i].size), (ssize_t)rows[i].size);
        (void)shutdown(pair[1], SHUT_WR);
        RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
        rd_err err = RD_ERR_INIT;
        const uint8_t data[64] = { 7 }, digest[1][48] = { { 7 } };
        int outcome = rows[i].is_quote ? encl_platform_quote(platform, data, &quote, &err)
                                       : encl_platform_extend(platform, digest, 1, &err);
        if (err.code != rows[i].want || (outcome == 0) != (rows[i].want == RD_OK))
            fail_msg("%s: %d, %s", rows[i].name, outcome, err.text);
        encl_platform_free(platform);
        (void)close(pair[1]);
    }
}

/* Two extensions are asked for at once; a second answer that refuses is a failure. */
static void test_extend_many(void **state)
{
    (void)state;
    static const struct {
        const char *name, *answer;
        size_t size;
        rd_code want;
    } rows[] = {
        { "both", "\0\0\0\1\x81\0\0\0\1\x81", 10, RD_OK },
        { "the second refused", "\0\0\0\1\x81\0\0\0\3\xffno", 12, RD_E_TEE_REFUSED },
        { "the second missing", "\0\0\0\1\x81", 5, RD_E_TEE_UNAVAILABLE },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        int pair[2];
        uint8_t asked[256];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        encl_platform *platform = encl_platform_sim_new(pair[0]);
        assert_int_equal(write(pair[1], rows[i].answer, rows[i].size), (ssize_t)rows[i].size);
        (void)shutdown(pair[1], SHUT_WR);
        rd_err err = RD_ERR_INIT;
        const uint8_t digests[2][48] = { { 1 }, { 2 } };
        if ((encl_platform_extend(platform, digests, 2, &err) == 0) != (rows[i].want == RD_OK) ||
            err.code != rows[i].want)
            fail_msg("%s: %s", rows[i].name, err.text);
        assert_int_equal(recv(pair[1], asked, sizeof(asked), MSG_DONTWAIT), 2 * (4 + 1 + 1 + 48));
        assert_memory_equal(asked, "\0\0\0\x32\1\3\1", 7);
        assert_memory_equal(asked + 54, "\0\0\0\x32\1\3\2", 7);
        encl_platform_free(platform);
        (void)close(pair[1]);
    }
}

/* A quote that was begun is not asked for again; one over other data is, and gets its own answer. */
static void test_begun_quote(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t wanted;
        size_t asked;
        const char *quote;
    } rows[] = { { "the one that was begun", 7, 1, "first" }, { "another one", 8, 2, "other" } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        int pair[2];
        uint8_t asked[256];
        static const char answers[] = "\0\0\0\6\x82"
                                      "first\0\0\0\6\x82"
                                      "other";
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        encl_platform *platform = encl_platform_sim_new(pair[0]);
        assert_int_equal(write(pair[1], answers, sizeof(answers) - 1), (ssize_t)sizeof(answers) - 1);
        RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
        rd_err err = RD_ERR_INIT;
        const uint8_t begun[64] = { 7 }, wanted[64] = { rows[i].wanted };
        assert_int_equal(encl_platform_begin_quote(platform, begun, &err), 0);
        assert_int_equal(encl_platform_quote(platform, wanted, &quote, &err), 0);
        assert_string_equal(rd_buf_text(&quote), rows[i].quote);
        assert_int_equal(recv(pair[1], asked, sizeof(asked), MSG_DONTWAIT), (int)rows[i].asked * (4 + 1 + 64));
        encl_platform_free(platform);
        (void)close(pair[1]);
    }
    encl_platform *none = encl_platform_skeleton_new(); /* nothing to gain: quote says what is wrong */
    const uint8_t data[64] = { 1 };
    rd_err err = RD_ERR_INIT;
    assert_int_equal(encl_platform_begin_quote(none, data, &err), 0);
    encl_platform_free(none);
}

/* R78, R20: without a register that closes nothing starts. */
static void test_closed_register(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    encl_platform *platform = encl_platform_sim_new(pair[0]);
    rd_err err = RD_ERR_INIT;
    const uint8_t digest[1][48] = { { 1 } };
    encl_platform_close_register(platform);
    assert_int_equal(encl_platform_extend(platform, digest, 1, &err), -1);
    assert_int_equal(err.code, RD_E_TEE_CLOSED);
    char byte; /* and nothing was asked of the quoter */
    assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), -1);
    encl_platform_free(platform);
    (void)close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_floor),           cmocka_unit_test(test_sim),
        cmocka_unit_test(test_extend_many),     cmocka_unit_test(test_begun_quote),
        cmocka_unit_test(test_closed_register),
    };
    return cmocka_run_group_tests_name("platform", tests, NULL, NULL);
}
