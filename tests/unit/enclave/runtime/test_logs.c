/* R53: what of a log leaves an enclave, by the release's word and the class. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "enclave/runtime/logs.h"

typedef struct fixture {
    int epoll_fd, agent_fd;
    encl_uplink uplink;
    encl_logs logs;
    rd_secret *key;
    rd_release release;
    rd_log_origin origin;
} fixture;

static void open_fixture(fixture *f)
{
    int control[2];
    rd_err err = RD_ERR_INIT;
    *f = (fixture){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .key = rd_secret_random(RD_X25519_SIZE) };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, control), 0);
    f->agent_fd = control[1];
    assert_int_equal(encl_uplink_init(&f->uplink, f->epoll_fd, control[0], -1, &err), 0);
    encl_logs_init(&f->logs, &f->uplink);
    rd_x25519_public(f->key, f->release.log_key);
}

static void close_fixture(fixture *f)
{
    encl_logs_done(&f->logs);
    encl_uplink_done(&f->uplink);
    rd_secret_free(f->key);
    (void)close(f->agent_fd);
    (void)close(f->epoll_fd);
}

/* The next log frame's document, or NULL: none came. */
static json_t *heard(fixture *f)
{
    uint8_t frame[8192];
    ssize_t size = recv(f->agent_fd, frame, sizeof frame, MSG_DONTWAIT);
    if (size <= 5)
        return NULL;
    return json_loadb((const char *)frame + 5, (size_t)size - 5, 0, NULL);
}

static void begin(fixture *f, rd_log_form form, rd_class class)
{
    f->release.logs = form;
    assert_int_equal(encl_logs_open(&f->logs, &f->release, class, &f->origin, rd_random_system(), NULL), 0);
}

static void test_clear(void **state RD_UNUSED)
{
    static const struct {
        rd_log_form form;
        rd_class class;
    } rows[] = { { RD_LOGS_UNSAID, RD_CLASS_SIMULATED },
                 { RD_LOGS_CLEAR, RD_CLASS_SIMULATED },
                 { RD_LOGS_CLEAR, RD_CLASS_HARDWARE } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        fixture f;
        rd_err err = RD_ERR_INIT;
        open_fixture(&f);
        begin(&f, rows[i].form, rows[i].class);
        encl_logs_write(&f.logs, "warn", RD_BYTES_LIT("seen"));
        json_t *line = heard(&f);
        assert_string_equal(json_string_value(json_object_get(line, "text")), "seen");
        assert_string_equal(json_string_value(json_object_get(line, "level")), "warn");
        json_decref(line);
        (void)rd_err_set(&err, RD_E_ENGINE_REJECTED, "why");
        assert_string_equal(encl_logs_tell(&f.logs, &err), "why");
        assert_null(heard(&f));
        close_fixture(&f);
    }
}

static void test_hardware_that_is_silent_keeps_lines_in(void **state RD_UNUSED)
{
    fixture f;
    rd_err err = RD_ERR_INIT;
    open_fixture(&f);
    begin(&f, RD_LOGS_UNSAID, RD_CLASS_HARDWARE);
    encl_logs_write(&f.logs, "error", RD_BYTES_LIT("not seen"));
    (void)rd_err_set(&err, RD_E_ENGINE_REJECTED, "not seen");
    assert_null(strstr(encl_logs_tell(&f.logs, &err), "not seen"));
    assert_null(heard(&f));
    close_fixture(&f);
}

static void open_heard(fixture *f, rd_log_line *ret)
{
    uint8_t record[RD_LOG_SEALED_MAX];
    json_t *line = heard(f);
    const char *text = json_string_value(json_object_get(line, "text"));
    assert_string_equal(json_string_value(json_object_get(line, "level")), "sealed");
    ssize_t size = rd_base64url_decode(text, strlen(text), record, sizeof record);
    assert_true(size > 0);
    assert_int_equal(rd_log_open(f->key, &f->origin, rd_bytes_of(record, (size_t)size), ret, NULL), 0);
    json_decref(line);
}

static void test_sealed(void **state RD_UNUSED)
{
    fixture f;
    rd_log_line line;
    rd_err err = RD_ERR_INIT;
    open_fixture(&f);
    begin(&f, RD_LOGS_SEALED, RD_CLASS_HARDWARE);
    encl_logs_write(&f.logs, "debug", RD_BYTES_LIT("for the owner"));
    open_heard(&f, &line);
    assert_true(rd_bytes_equal(rd_buf_bytes(&line.text), RD_BYTES_LIT("for the owner")));
    assert_int_equal(line.level, RD_LINE_DEBUG);
    rd_log_line_done(&line);
    (void)rd_err_set(&err, RD_E_ENGINE_REJECTED, "a stack");
    assert_null(strstr(encl_logs_tell(&f.logs, &err), "a stack"));
    open_heard(&f, &line);
    assert_true(rd_bytes_equal(rd_buf_bytes(&line.text), RD_BYTES_LIT("a stack")));
    assert_int_equal(line.number, 1);
    rd_log_line_done(&line);
    close_fixture(&f);
}

static void test_a_bad_key_leaves_nothing_clear(void **state RD_UNUSED)
{
    fixture f;
    rd_err err = RD_ERR_INIT;
    open_fixture(&f);
    memset(f.release.log_key, 0, sizeof f.release.log_key);
    f.release.logs = RD_LOGS_SEALED;
    assert_int_equal(encl_logs_open(&f.logs, &f.release, RD_CLASS_SIMULATED, &f.origin, rd_random_system(), &err), -1);
    assert_int_equal(err.code, RD_E_KEY_FORMAT);
    encl_logs_write(&f.logs, "info", RD_BYTES_LIT("not seen"));
    assert_null(heard(&f));
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clear),
        cmocka_unit_test(test_hardware_that_is_silent_keeps_lines_in),
        cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_a_bad_key_leaves_nothing_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
