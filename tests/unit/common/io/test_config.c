#include "common/io/config.h"

#include "common/base/bytes.h"
#include "common/base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct values {
    const char *text;
    bool flag;
    uint64_t number, size;
    int64_t duration_us;
    const char *path;
    int level;
    rd_option_list list;
    rd_endpoint endpoint;
    const char *token;
} values;

static const char *const levels[] = { "debug", "info", NULL };

#define AT(field) offsetof(values, field)
static const rd_option rows[] = {
    { "text", 't', RD_OPTION_STRING, AT(text), "standard", 0, 0, NULL, 0, "One", "a text" },
    { "flag", 0, RD_OPTION_BOOL, AT(flag), NULL, 0, 0, NULL, 0, "One", "a flag" },
    { "number", 'n', RD_OPTION_U64, AT(number), "5", 1, 10, NULL, 0, "One", "a number" },
    { "size", 0, RD_OPTION_SIZE, AT(size), "4KiB", 0, 0, NULL, 0, "Two", "a size" },
    { "link-wait", 0, RD_OPTION_DURATION, AT(duration_us), "6s", 1000, 60000000, NULL, 0, "Two", "a duration" },
    { "path", 0, RD_OPTION_PATH, AT(path), NULL, 0, 0, NULL, 0, "Two", "a path" },
    { "level", 0, RD_OPTION_ENUM, AT(level), "info", 0, 0, levels, 0, "Two", "a level" },
    { "list", 0, RD_OPTION_LIST, AT(list), NULL, 0, 3, NULL, 0, "Two", "a list" },
    { "listen", 0, RD_OPTION_ENDPOINT, AT(endpoint), "127.0.0.1:80", 0, 0, NULL, 0, "Two", "an address" },
    { "token", 0, RD_OPTION_STRING, AT(token), NULL, 0, 0, NULL, RD_OPTION_FLAG_ONLY | RD_OPTION_SECRET, "Two",
      "once" },
};

static int no_thirteen(const void *given, rd_err *err)
{
    const values *v = given;
    return v->size == 13 ? rd_err_set(err, RD_E_CONFIG, "size must not be 13") : 0;
}

static const rd_config_spec spec = { .program = "redoubt-test",
                                     .process = "TESTER",
                                     .summary = "tests options",
                                     .usage = "[options]",
                                     .options = rows,
                                     .count = RD_ARRAY_LEN(rows),
                                     .values_size = sizeof(values),
                                     .check = no_thirteen };

#define ARGS_MAX 12

static int load(rd_config **ret, rd_err *err, const char *first, ...)
{
    const char *argv[ARGS_MAX] = { "redoubt-test" };
    int argc = 1;
    va_list list;
    va_start(list, first);
    for (const char *one = first; one && argc < ARGS_MAX; one = va_arg(list, const char *))
        argv[argc++] = one;
    va_end(list);
    return rd_config_load(&spec, argc, (char *const *)argv, ret, err);
}

static void test_defaults(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    rd_config *config = NULL;
    assert_int_equal(RD_CONFIG_RUN, load(&config, &err, NULL));
    const values *v = rd_config_values(config);
    assert_string_equal("standard", v->text);
    assert_false(v->flag);
    assert_int_equal(5, v->number);
    assert_int_equal(4096, v->size);
    assert_int_equal(6000000, v->duration_us);
    assert_null(v->path);
    assert_int_equal(1, v->level);
    assert_int_equal(0, v->list.count);
    assert_string_equal("127.0.0.1", v->endpoint.host);
    assert_int_equal(80, v->endpoint.port);
    assert_string_equal("default", rd_config_origin(config, "text"));
    assert_null(rd_config_origin(config, "nothing"));
    rd_config_free(config);
}

static void test_flags_and_positionals(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    rd_config *config = NULL;
    assert_int_equal(RD_CONFIG_RUN, load(&config, &err, "run", "--flag", "-n7", "--size=1MiB", "--list", "a, b",
                                         "--list=c", "--listen", "[::1]:443", "--", "--text"));
    const values *v = rd_config_values(config);
    assert_true(v->flag);
    assert_int_equal(7, v->number);
    assert_int_equal(1 << 20, v->size);
    assert_int_equal(3, v->list.count);
    assert_string_equal("b", v->list.items[1]);
    assert_string_equal("c", v->list.items[2]);
    assert_string_equal("::1", v->endpoint.host);
    assert_int_equal(2, rd_config_positional_count(config));
    assert_string_equal("run", rd_config_positional(config, 0));
    assert_string_equal("--text", rd_config_positional(config, 1));
    assert_null(rd_config_positional(config, 2));
    assert_string_equal("flag", rd_config_origin(config, "number"));
    rd_config_free(config);
    assert_int_equal(RD_CONFIG_RUN, load(&config, &err, "--flag", "--no-flag", NULL));
    assert_false(((const values *)rd_config_values(config))->flag);
    rd_config_free(config);
}

static void write_file(char path[64], const char *text)
{
    (void)snprintf(path, 64, "/tmp/test-config-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(strlen(text), write(fd, text, strlen(text)));
    close(fd);
}

/* default < file < environment (its own before the common one) < flag */
static void test_order(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    rd_config *config = NULL;
    char path[64];
    write_file(path, "# a comment\n\n  text = from file \nnumber=2\nlevel = debug\nlink-wait = 20ms\n");
    setenv("REDOUBT_TESTER_NUMBER", "3", 1);
    setenv("REDOUBT_NUMBER", "4", 1);
    setenv("REDOUBT_LINK_WAIT", "1s", 1);
    assert_int_equal(RD_CONFIG_RUN, load(&config, &err, "--config", path, "--level", "info", NULL));
    const values *v = rd_config_values(config);
    assert_string_equal("from file", v->text);
    assert_int_equal(3, v->number);
    assert_int_equal(1000000, v->duration_us);
    assert_int_equal(1, v->level);
    char origin[128];
    (void)snprintf(origin, sizeof origin, "file %s:3", path);
    assert_string_equal(origin, rd_config_origin(config, "text"));
    assert_string_equal("environment REDOUBT_TESTER_NUMBER", rd_config_origin(config, "number"));
    assert_string_equal("environment REDOUBT_LINK_WAIT", rd_config_origin(config, "link-wait"));
    rd_config_free(config);
    unsetenv("REDOUBT_TESTER_NUMBER");
    unsetenv("REDOUBT_NUMBER");
    unsetenv("REDOUBT_LINK_WAIT");
    unlink(path);
}

static void test_bad_flags(void **state)
{
    (void)state;
    static const struct {
        const char *name, *first, *second, *says;
    } cases[] = {
        { "unknown", "--nothing", NULL, "unknown option --nothing" },
        { "unknown short", "-x", NULL, "unknown option -x" },
        { "no- of a text", "--no-text", NULL, "unknown option" },
        { "value missing", "--text", NULL, "needs a value" },
        { "number above", "--number", "11", "from 1 to 10" },
        { "number below", "--number", "0", "from 1 to 10" },
        { "number signed", "--number", "-1", "not a number" },
        { "number overflow", "--number", "99999999999999999999", "not a number" },
        { "number with tail", "--number", "5x", "not a number" },
        { "size without unit name", "--size", "4 MiB", "not a size" },
        { "size overflow", "--size", "99999999TiB", "not a size" },
        { "size in thousands", "--size", "4MB", "not a size" },
        { "duration without unit", "--link-wait", "6", "not a duration" },
        { "duration too long", "--link-wait", "2m", "from 1ms to 1m" },
        { "empty path", "--path", "", "not a path" },
        { "enum", "--level", "loud", "one of debug, info" },
        { "list too long", "--list", "a,b,c,d", "with 0 to 3 items" },
        { "list with a hole", "--list", "a,,b", "not a list" },
        { "endpoint without port", "--listen", "localhost", "not an address" },
        { "endpoint port", "--listen", "localhost:65536", "not an address" },
        { "endpoint v6 bare", "--listen", "::1:80", "not an address" },
        { "endpoint bracket", "--listen", "[::1:80", "not an address" },
        { "bool value", "--flag=maybe", NULL, "true or false" },
        { "check over options", "--size", "13", "must not be 13" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(cases); i++) {
        rd_err err = RD_ERR_INIT;
        rd_config *config = NULL;
        if (load(&config, &err, cases[i].first, cases[i].second, NULL) != -1)
            fail_msg("%s: accepted", cases[i].name);
        if (!strstr(err.text, cases[i].says))
            fail_msg("%s: %s", cases[i].name, err.text);
        assert_true(err.code == RD_E_USAGE || err.code == RD_E_CONFIG);
    }
}

static void test_bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *says;
    } cases[] = {
        { "no equals sign", "text = a\nnumber 5\n", ":2: expected 'key = value'" },
        { "unknown key", "texts = a\n", ":1: unknown key 'texts'" },
        { "bad value", "\n\nnumber = 0x5\n", ":3: number: '0x5' is not a number" },
        { "flag only", "token = abc\n", ":1: token can only be given as a flag" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(cases); i++) {
        rd_err err = RD_ERR_INIT;
        rd_config *config = NULL;
        char path[64];
        write_file(path, cases[i].text);
        if (load(&config, &err, "--config", path, NULL) != -1)
            fail_msg("%s: accepted", cases[i].name);
        if (!strstr(err.text, cases[i].says) || !strstr(err.text, path))
            fail_msg("%s: %s", cases[i].name, err.text);
        unlink(path);
    }
    rd_err err = RD_ERR_INIT;
    rd_config *config = NULL;
    assert_int_equal(-1, load(&config, &err, "--config", "/nonexistent/file", NULL));
    setenv("REDOUBT_TESTER_LEVEL", "loud", 1);
    assert_int_equal(-1, load(&config, &err, NULL));
    assert_non_null(strstr(err.text, "environment REDOUBT_TESTER_LEVEL"));
    unsetenv("REDOUBT_TESTER_LEVEL");
    setenv("REDOUBT_TOKEN", "x", 1); /* a one-time token is not read from the environment */
    assert_int_equal(RD_CONFIG_RUN, load(&config, &err, NULL));
    assert_null(((const values *)rd_config_values(config))->token);
    rd_config_free(config);
    unsetenv("REDOUBT_TOKEN");
}

static void test_what_is_printed(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    rd_config *config = NULL;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    rd_config_print_help(&spec, out);
    rd_config_print_man(&spec, out);
    assert_int_equal(RD_CONFIG_RUN, load(&config, &err, "--token", "s3cret", "--size", "3MiB", NULL));
    rd_config_print_values(config, out);
    rd_config_free(config);
    (void)fclose(out);
    for (size_t i = 0; i < spec.count; i++)
        assert_non_null(strstr(text, spec.options[i].help));
    assert_non_null(strstr(text, ".TH redoubt\\-test 8"));
    assert_non_null(strstr(text, "size = 3MiB"));
    assert_non_null(strstr(text, "token = (hidden)"));
    assert_null(strstr(text, "s3cret"));
    for (const char *line = text, *end;
         (end = strchr(line, '\n')) && !rd_bytes_equal(rd_bytes_of(line, 3), RD_BYTES_LIT(".TH")); line = end + 1)
        assert_true(end - line <= 80);
    free(text);
}

static void test_files(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    char path[64];
    write_file(path, "0123456789");
    rd_buf content = { 0 };
    assert_int_equal(-1, rd_file_read(path, 9, &content, &err));
    assert_int_equal(RD_E_TOO_LARGE, err.code);
    assert_int_equal(0, rd_file_read(path, 10, &content, &err));
    assert_string_equal("0123456789", rd_buf_text(&content));
    rd_buf_done(&content);
    assert_int_equal(0, rd_file_write_atomic(path, "new", 3, 0600, &err));
    assert_int_equal(0, rd_file_read(path, 10, &content, &err));
    assert_string_equal("new", rd_buf_text(&content));
    rd_buf_done(&content);
    unlink(path);
    assert_int_equal(-1, rd_file_write_atomic("/nonexistent/x", "new", 3, 0600, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),  cmocka_unit_test(test_flags_and_positionals),
        cmocka_unit_test(test_order),     cmocka_unit_test(test_bad_flags),
        cmocka_unit_test(test_bad_files), cmocka_unit_test(test_what_is_printed),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
