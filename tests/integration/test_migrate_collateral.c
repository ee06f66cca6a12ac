// link: rd_data rd_io test_evidence
/* Collateral of a plane that was made before 0011: its set stays in use, and what may never go down is what each piece
 * of it says, not the lower number of two. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "attest/collateral_set.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/migrate.h"
#include "common/io/config.h"
#include "tests/support/evidence_builder.h"
#include "tests/support/private_pg.h"
#include "tests/support/private_sql.h"

static private_pg server;
static private_sql *sql;
static char dir[] = "/tmp/rd-migc-XXXXXX";

/* The project's own files, up to a number. */
static int migrate_to(int last)
{
    glob_t files;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(glob("migrations/*.sql", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        RD_CLEANUP(rd_free_p) char *copy = rd_asprintf("%s/%s", dir, strrchr(files.gl_pathv[i], '/') + 1);
        RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
        if (atoi(strrchr(files.gl_pathv[i], '/') + 1) > last)
            continue;
        if (rd_file_read(files.gl_pathv[i], (size_t)1 << 20, &text, &err) < 0 ||
            rd_file_write_atomic(copy, text.data, text.size, 0600, &err) < 0)
            fail_msg("%s", err.text);
    }
    globfree(&files);
    int status = rd_migrate(server.conninfo, dir, 5000, NULL, &err);
    if (status < 0)
        fail_msg("%s", err.text);
    return status;
}

static int group_setup(void **state RD_UNUSED)
{
    private_pg_start(&server, NULL);
    assert_non_null(mkdtemp(dir));
    sql = private_sql_open(server.conninfo);
    return migrate_to(10);
}

static int group_teardown(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) char *pattern = rd_asprintf("%s/*", dir);
    glob_t files;
    private_sql_close(sql);
    private_pg_stop(&server);
    if (glob(pattern, 0, NULL, &files) == 0)
        for (size_t i = 0; i < files.gl_pathc; i++)
            (void)unlink(files.gl_pathv[i]);
    globfree(&files);
    return rmdir(dir);
}

static void newer(ev_builder *b)
{
    ev_replace(&b->tcb_info_body, "\"tcbEvaluationDataNumber\":1", "\"tcbEvaluationDataNumber\":7");
    ev_replace(&b->qe_identity_body, "\"tcbEvaluationDataNumber\":1", "\"tcbEvaluationDataNumber\":5");
}

static void plain(ev_builder *b RD_UNUSED)
{
}

static char *hex_of(rd_bytes bytes)
{
    char *hex = rd_alloc(2 * bytes.size + 1);
    rd_hex_encode(bytes, hex);
    return hex;
}

/* As the API of that time stored it: one FMSPC, one number for both, the document as it came. */
static void store_old(const ev_builder *b, const char *root, int evaluation)
{
    RD_CLEANUP(rd_free_p) char *document = hex_of(rd_buf_bytes(&b->collateral_json));
    private_sql_run(
        sql,
        "SELECT collateral_adopt(sha256('\\x%s'), '\\x%s', 'platform', %d, 3, 1, '2026-11-01', '2026-12-01',"
        " 'file', '\\x%s')",
        document, root, evaluation, document);
}

static const rd_piece *piece_of(const rd_collateral_set *set, rd_piece_kind kind)
{
    for (size_t i = 0; i < rd_collateral_set_count(set); i++)
        if (rd_collateral_set_at(set, i)->kind == kind)
            return rd_collateral_set_at(set, i);
    fail();
    return NULL;
}

/* What the API of today would hold a set to: its own words for the piece. */
static void assert_mark(const rd_collateral_set *set, rd_piece_kind kind, const char *root, int64_t number,
                        bool is_dated)
{
    const rd_piece *piece = piece_of(set, kind);
    assert_int_equal(piece->number, number);
    const char *mark = private_sql_text(sql, "SELECT highest FROM collateral_marks WHERE mark = '%s/%s/%s'",
                                        rd_piece_names[kind], root, piece->scope);
    RD_CLEANUP(rd_free_p)
    char *expected = rd_asprintf("{%lld,%lld}", (long long)number, (long long)(is_dated ? piece->issued_us : 0));
    assert_string_equal(mark, expected);
}

static const char *adopt(const char *mark, int64_t number, int64_t issued_us)
{
    return private_sql_state(sql,
                             "SELECT collateral_adopt(sha256('%lld%lld'), '{\"%s\":[%lld,%lld]}', 5, '2026-11-02',"
                             " '2026-12-02', 'test', '{}')",
                             (long long)number, (long long)issued_us, mark, (long long)number, (long long)issued_us);
}

static void test_old_rows(void **state RD_UNUSED)
{
    ev_builder b, other;
    rd_err err = RD_ERR_INIT;
    rd_collateral_set *set = NULL, *simple = NULL;
    ev_build(&b, EV_BODIES, newer);
    ev_build(&other, EV_BODIES, plain);
    assert_int_equal(rd_collateral_set_parse(rd_buf_bytes(&b.collateral_json), &set, &err), 0);
    assert_int_equal(rd_collateral_set_parse(rd_buf_bytes(&other.collateral_json), &simple, &err), 0);
    const rd_piece *info = piece_of(set, RD_PIECE_TCB_INFO);
    RD_CLEANUP(rd_free_p) char *root = hex_of(RD_BYTES_ARRAY(info->root));
    RD_CLEANUP(rd_free_p) char *root_of_other = hex_of(RD_BYTES_ARRAY(piece_of(simple, RD_PIECE_TCB_INFO)->root));
    store_old(&other, root_of_other, 1);
    store_old(&b, root, 5);
    assert_int_equal(private_sql_number(sql, "SELECT count(*) FROM collateral_sets"), 2);
    const char *digest = private_sql_text(sql, "SELECT string_agg(encode(digest, 'hex'), ',' ORDER BY number) FROM"
                                               " collateral_sets");
    RD_CLEANUP(rd_free_p) char *before = rd_strdup(digest);
    assert_int_equal(migrate_to(11), 0);
    assert_mark(set, RD_PIECE_IDENTITY, root, 5, false);
    migrate_to(9999);
    /* The sets are what they were, byte by byte. */
    assert_string_equal(private_sql_text(sql, "SELECT string_agg(encode(digest, 'hex'), ',' ORDER BY number) FROM"
                                              " collateral_sets WHERE digest = sha256(document)"),
                        before);
    assert_mark(set, RD_PIECE_TCB_INFO, root, 7, true);
    assert_mark(set, RD_PIECE_IDENTITY, root, 5, true);
    assert_mark(set, RD_PIECE_PCK_CRL, root, 3, false);
    assert_mark(simple, RD_PIECE_TCB_INFO, root_of_other, 1, true);
    assert_mark(simple, RD_PIECE_IDENTITY, root_of_other, 1, true);
    /* And they hold. */
    RD_CLEANUP(rd_free_p) char *mark = rd_asprintf("tcb_info/%s/%s", root, info->scope);
    assert_string_equal(adopt(mark, 6, info->issued_us + 1000000), "RD002");
    assert_string_equal(adopt(mark, 7, info->issued_us - 1000000), "RD002");
    assert_string_equal(adopt(mark, 7, info->issued_us), "00000");
    assert_string_equal(adopt(mark, 8, info->issued_us), "00000");
    assert_string_equal(adopt(mark, 7, info->issued_us), "RD002");
    rd_collateral_set_free(set);
    rd_collateral_set_free(simple);
    ev_done(&b);
    ev_done(&other);
}

static void test_refresh_row(void **state RD_UNUSED)
{
    private_sql *api = private_sql_open(private_pg_as(&server, "rd_api"));
    assert_string_equal(private_sql_state(api, "UPDATE collateral_refresh SET failures = 0"), "42501");
    assert_string_equal(private_sql_state(api, "SELECT collateral_refresh_now()"), "00000"); /* before the first */
    private_sql_run(api, "SELECT collateral_refreshed(60000000, 'collateral_fetch', 'x', 's', '')");
    private_sql_run(api, "SELECT collateral_refreshed(60000000, 'collateral_fetch', repeat('y', 2000), 's', '')");
    assert_int_equal(private_sql_number(api, "SELECT failures FROM collateral_refresh WHERE succeeded_at IS NULL AND"
                                             " next_at - tried_at = interval '1 minute'"),
                     2);
    private_sql_run(api, "SELECT collateral_refreshed(1, '', 'well', 's', '{}')");
    private_sql_run(api, "SELECT collateral_refreshed(1, 'tcb_mismatch', 'z', 's', '{}')");
    assert_int_equal(private_sql_number(api, "SELECT failures FROM collateral_refresh WHERE succeeded_at < tried_at"),
                     1);
    assert_int_equal(private_sql_number(sql, "SELECT count(*) FROM events WHERE kind = 'plane' AND body ? 'refresh'"),
                     5);
    private_sql_close(api);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_old_rows), cmocka_unit_test(test_refresh_row) };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
