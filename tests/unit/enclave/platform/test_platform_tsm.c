/* The file logic of configfs-tsm against prepared entries, and plain refusals where there is no provider. outblob is a
 * FIFO: the thread that writes it plays the kernel, and learns from its reader that inblob was written. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "enclave/platform/platform.h"
#include "enclave/platform/platform_tsm_priv.h"

typedef struct entry {
    char root[32];
    const char *generation_after;
    size_t quote_size;
} entry;

static void put(const entry *e, const char *file, const char *text)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/one/%s", e->root, file);
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    (void)fputs(text, out);
    (void)fclose(out);
}

static void *play_kernel(void *context)
{
    const entry *e = context;
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/one/outblob", e->root);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    put(e, "generation", e->generation_after);
    RD_CLEANUP(rd_free_p) char *quote = rd_alloc(e->quote_size + 1);
    memset(quote, 'q', e->quote_size);
    for (size_t done = 0; done < e->quote_size;) {
        ssize_t wrote = write(fd, quote + done, e->quote_size - done);
        if (wrote <= 0)
            break;
        done += (size_t)wrote;
    }
    (void)close(fd);
    return NULL;
}

static void make_entry(entry *e, const char *provider)
{
    char path[64];
    (void)snprintf(e->root, sizeof(e->root), "/tmp/rd-tsm-XXXXXX");
    assert_non_null(mkdtemp(e->root));
    (void)snprintf(path, sizeof(path), "%s/one", e->root);
    assert_int_equal(mkdir(path, 0700), 0);
    put(e, "provider", provider);
    put(e, "generation", "4\n");
    put(e, "inblob", "");
    (void)snprintf(path, sizeof(path), "%s/one/outblob", e->root);
    assert_int_equal(mkfifo(path, 0600), 0);
}

static void remove_entry(const entry *e)
{
    static const char *const files[] = {
        "/one/provider", "/one/generation", "/one/inblob", "/one/outblob", "/one", ""
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(files); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s%s", e->root, files[i]);
        (void)remove(path);
    }
}

static void test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *name, *provider, *generation_after;
        size_t quote_size;
        int want; /* outcome */
        rd_code code;
        bool is_asked; /* reaches outblob */
    } rows[] = {
        { "good", "tdx_guest\n", "5\n", 5006, 0, RD_OK, true },
        { "generation moved twice", "tdx_guest\n", "6\n", 5006, 1, RD_OK, true },
        { "write did not count", "tdx_guest\n", "4\n", 5006, 1, RD_OK, true },
        { "generation is no number", "tdx_guest\n", "five\n", 5006, -1, RD_E_TEE_REFUSED, true },
        { "quote too long", "tdx_guest\n", "5\n", 20000, -1, RD_E_TEE_REFUSED, true },
        { "other provider", "sev_guest\n", "5\n", 0, -1, RD_E_TEE_UNAVAILABLE, false },
    };
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        entry e = { .generation_after = rows[i].generation_after, .quote_size = rows[i].quote_size };
        make_entry(&e, rows[i].provider);
        pthread_t kernel;
        if (rows[i].is_asked)
            assert_int_equal(pthread_create(&kernel, NULL, play_kernel, &e), 0);
        RD_CLEANUP(rd_close_p) int dir = open(e.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
        rd_err err = RD_ERR_INIT;
        uint8_t report_data[64] = { 1 };
        int outcome = encl_tsm_entry_quote(dir, "one", report_data, &quote, &err);
        if (rows[i].is_asked)
            (void)pthread_join(kernel, NULL);
        if (outcome != rows[i].want || err.code != rows[i].code)
            fail_msg("%s: %d, %s", rows[i].name, outcome, err.text);
        if (outcome == 0)
            assert_int_equal(quote.size, 5006);
        if (outcome == 1)
            assert_int_equal(quote.size, 0);
        remove_entry(&e);
    }
}

static void test_absent(void **state)
{
    (void)state;
    rd_err err = RD_ERR_INIT;
    encl_platform *platform = NULL;
    assert_int_equal(encl_platform_tsm_new("/nonexistent", "/nonexistent", &platform, &err), -1);
    assert_int_equal(err.code, RD_E_TEE_UNAVAILABLE);
    entry e;
    make_entry(&e, "tdx_guest\n");
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/report", e.root);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(encl_platform_tsm_new(e.root, "/nonexistent", &platform, &err), -1);
    assert_int_equal(err.code, RD_E_TEE_UNAVAILABLE);
    assert_int_equal(rmdir(path), 0);
    remove_entry(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_absent) };
    return cmocka_run_group_tests_name("platform_tsm", tests, NULL, NULL);
}
