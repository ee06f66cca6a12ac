#include "cli/evidence_files.h"

#include "attest/cert_table.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)256 << 10)

enum piece {
    QUOTE,
    REPORT,
    CERTIFICATE,
    OUTBLOB,
    AUXBLOB,
    TD_REPORT,
    CCEL,
    CCEL_TABLE,
    EVENT_LOG,
    EXPECT,
    /* From here on: collateral. */
    PCK_CHAIN,
    PCK_CRL,
    PCK_CRL_CHAIN,
    ROOT_CA_CRL,
    TCB_INFO,
    TCB_INFO_CHAIN,
    QE_IDENTITY,
    QE_IDENTITY_CHAIN,
    VCEK,
    VLEK,
    ASK,
    ASVK,
    ARK,
    SNP_CRL,
    PIECE_COUNT
};

static const struct {
    const char *name;
    size_t size_max;
} pieces[PIECE_COUNT] = {
    [QUOTE] = { "quote.bin", RD_QUOTE_SIZE_MAX },
    [REPORT] = { "report.bin", RD_QUOTE_SIZE_MAX + RD_CERT_TABLE_SIZE_MAX },
    [CERTIFICATE] = { "certificate.pem", TEXT_MAX },
    /* As configfs-tsm names them: quote or report, and the host's certificate table. */
    [OUTBLOB] = { "outblob", RD_QUOTE_SIZE_MAX },
    [AUXBLOB] = { "auxblob", RD_CERT_TABLE_SIZE_MAX },
    [TD_REPORT] = { "td_report.bin", RD_QUOTE_SIZE_MAX },
    [CCEL] = { "ccel.bin", RD_EVENTLOG_SIZE_MAX },
    [CCEL_TABLE] = { "ccel_table.bin", 4096 },
    [EVENT_LOG] = { "event_log.json", RD_EVENTLOG_SIZE_MAX },
    [EXPECT] = { "expect.json", TEXT_MAX },
    [PCK_CHAIN] = { "pck_chain.pem", TEXT_MAX },
    [PCK_CRL] = { "pck_crl.der", RD_COLLATERAL_SIZE_MAX },
    [PCK_CRL_CHAIN] = { "pck_crl_issuer_chain.pem", TEXT_MAX },
    [ROOT_CA_CRL] = { "root_ca_crl.der", RD_COLLATERAL_SIZE_MAX },
    [TCB_INFO] = { "tcb_info.json", RD_COLLATERAL_SIZE_MAX },
    [TCB_INFO_CHAIN] = { "tcb_info_issuer_chain.pem", TEXT_MAX },
    [QE_IDENTITY] = { "qe_identity.json", RD_COLLATERAL_SIZE_MAX },
    [QE_IDENTITY_CHAIN] = { "qe_identity_issuer_chain.pem", TEXT_MAX },
    [VCEK] = { "vcek.der", TEXT_MAX },
    [VLEK] = { "vlek.der", TEXT_MAX },
    [ASK] = { "ask.pem", TEXT_MAX },
    [ASVK] = { "asvk.pem", TEXT_MAX },
    [ARK] = { "ark.pem", TEXT_MAX },
    [SNP_CRL] = { "crl.der", RD_COLLATERAL_SIZE_MAX },
};

struct cli_evidence_files {
    rd_buf files[PIECE_COUNT];
    bool has[PIECE_COUNT];
    rd_buf snp_chain;
    rd_collateral_set *set; /* of collateral_path, when it is one file */
    rd_collateral collateral;
    bool is_folder;
};

cli_evidence_files *cli_evidence_free(cli_evidence_files *files)
{
    for (size_t i = 0; files && i < PIECE_COUNT; i++)
        rd_buf_done(&files->files[i]);
    if (files) {
        rd_buf_done(&files->snp_chain);
        rd_collateral_set_free(files->set);
    }
    free(files);
    return NULL;
}

void cli_evidence_free_p(cli_evidence_files **files)
{
    *files = cli_evidence_free(*files);
}

/* --- reading --- */

static int read_some(const char *path, size_t size_max, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rd_err_set_errno(err, errno == ENOENT ? RD_E_CLI_FILE : RD_E_IO, errno, "%s", path);
    while (out->size <= size_max) {
        size_t want = RD_MIN((size_t)65536, size_max + 1 - out->size);
        uint8_t *room = rd_buf_reserve(out, want);
        ssize_t got = room ? read(fd, room, want) : -1;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
        if (got == 0)
            break;
        rd_buf_commit(out, (size_t)got);
    }
    return 0;
}

static int read_piece(cli_evidence_files *files, enum piece piece, const char *path, rd_err *err)
{
    if (read_some(path, pieces[piece].size_max, &files->files[piece], err) < 0)
        return -1;
    files->has[piece] = true;
    return 0;
}

static int read_folder(cli_evidence_files *files, const char *path, enum piece from, enum piece to, rd_err *err)
{
    for (int i = (int)from; i < (int)to; i++) {
        RD_CLEANUP(rd_free_p) char *file = rd_asprintf("%s/%s", path, pieces[i].name);
        if (access(file, F_OK) == 0 && read_piece(files, (enum piece)i, file, err) < 0)
            return -1;
    }
    return 0;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* A file of a known name is what its name says; any other is told by its first bytes. */
static enum piece kind_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    uint8_t head[64] = { 0 };
    RD_CLEANUP(rd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < EXPECT; i++)
        if (strcmp(name, pieces[i].name) == 0)
            return (enum piece)i;
    if (fd < 0 || read(fd, head, sizeof head) < 4)
        return QUOTE;
    if (head[0] < 16 && head[2] == 0 && head[3] == 0)
        return REPORT;
    if (memcmp(head + 32, "Spec ID Event03", 15) == 0)
        return CCEL;
    if (head[0] == '[')
        return EVENT_LOG;
    return memcmp(head, "-----BEGIN", 10) == 0 || head[0] == 0x30 ? CERTIFICATE : QUOTE;
}

static int load_evidence(cli_evidence_files *files, const char *path, rd_err *err)
{
    files->is_folder = is_folder(path);
    if (!files->is_folder)
        return read_piece(files, kind_of(path), path, err);
    if (read_folder(files, path, QUOTE, PIECE_COUNT, err) < 0)
        return -1;
    if (files->has[QUOTE] + files->has[REPORT] + files->has[CERTIFICATE] + files->has[OUTBLOB] > 1)
        return rd_err_set(err, RD_E_USAGE, "%s holds two of quote.bin, report.bin, certificate.pem and outblob", path);
    for (int i = QUOTE; i < EXPECT; i++)
        if (files->has[i] && i != CCEL_TABLE && i != AUXBLOB)
            return 0;
    return rd_err_set(err, RD_E_USAGE,
                      "%s holds no quote.bin, report.bin, certificate.pem, outblob, ccel.bin or event_log.json", path);
}

static int read_set(const char *path, rd_collateral_set **ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    if (read_some(path, RD_COLLATERAL_SIZE_MAX, &text, err) < 0)
        return -1;
    if (rd_collateral_set_parse(rd_buf_bytes(&text), ret, err) < 0)
        return rd_err_wrap(err, "%s", path);
    return 0;
}

static int load_collateral(cli_evidence_files *files, const char *path, rd_err *err)
{
    if (!path)
        return 0;
    for (int i = PCK_CHAIN; i < PIECE_COUNT; i++) {
        rd_buf_done(&files->files[i]);
        files->has[i] = false;
    }
    if (!is_folder(path))
        return read_set(path, &files->set, err);
    RD_CLEANUP(rd_free_p) char *whole = rd_asprintf("%s/" CLI_COLLATERAL_FILE, path);
    if (access(whole, F_OK) == 0)
        return read_set(whole, &files->set, err);
    return read_folder(files, path, PCK_CHAIN, PIECE_COUNT, err);
}

static rd_bytes bytes_of(const cli_evidence_files *files, enum piece piece)
{
    rd_bytes bytes = rd_buf_bytes(&files->files[piece]);
    if (!files->has[piece])
        return RD_BYTES_NULL;
    /* An empty file is there, and is refused as empty. */
    return bytes.data ? bytes : RD_BYTES_LIT("");
}

/* NULL without any of its files: then a set may bring one. */
static rd_bytes gather_chain(cli_evidence_files *files)
{
    bool has_any = false;
    for (int i = VCEK; i <= ARK; i++) {
        has_any |= files->has[i];
        if (files->has[i])
            rd_buf_append_bytes(&files->snp_chain, rd_buf_bytes(&files->files[i]));
    }
    if (!has_any)
        return RD_BYTES_NULL;
    return files->snp_chain.size > 0 ? rd_buf_bytes(&files->snp_chain) : RD_BYTES_LIT("");
}

static void gather(cli_evidence_files *files)
{
    files->collateral = (rd_collateral){
        .pck_chain = bytes_of(files, PCK_CHAIN),
        .pck_crl = bytes_of(files, PCK_CRL),
        .pck_crl_chain = bytes_of(files, PCK_CRL_CHAIN),
        .root_ca_crl = bytes_of(files, ROOT_CA_CRL),
        .tcb_info = bytes_of(files, TCB_INFO),
        .tcb_info_chain = bytes_of(files, TCB_INFO_CHAIN),
        .qe_identity = bytes_of(files, QE_IDENTITY),
        .qe_identity_chain = bytes_of(files, QE_IDENTITY_CHAIN),
        .snp_chain = gather_chain(files),
        .snp_crl = bytes_of(files, SNP_CRL),
    };
}

int cli_evidence_load(const char *path, const char *collateral_path, cli_evidence_files **ret, rd_err *err)
{
    RD_CLEANUP(cli_evidence_free_p) cli_evidence_files *files = rd_alloc(sizeof *files);
    if (load_evidence(files, path, err) < 0 || load_collateral(files, collateral_path, err) < 0)
        return -1;
    gather(files);
    files->is_folder = files->is_folder && !collateral_path;
    *ret = RD_TAKE(files);
    return 0;
}

int cli_collateral_load(const char *path, rd_collateral_set **ret, rd_err *err)
{
    RD_CLEANUP(cli_evidence_free_p) cli_evidence_files *files = rd_alloc(sizeof *files);
    if (load_collateral(files, path, err) < 0)
        return -1;
    gather(files);
    if (!files->set) {
        files->set = rd_collateral_set_new();
        if (rd_collateral_set_put_pieces(files->set, &files->collateral, err) < 0)
            return rd_err_wrap(err, "%s", path);
    }
    *ret = RD_TAKE(files->set);
    return 0;
}

void cli_evidence_fill(const cli_evidence_files *files, rd_judge_input *ret)
{
    static const enum piece kinds[] = { QUOTE, REPORT, CERTIFICATE, OUTBLOB, TD_REPORT };
    ret->evidence = RD_BYTES_NULL;
    bool has_log = files->has[CCEL] || files->has[EVENT_LOG];
    /* A raw TDREPORT is judged only where it stands alone: beside a log or a quote it proves nothing. */
    for (size_t i = 0; i < RD_ARRAY_LEN(kinds) && !ret->evidence.data; i++)
        if (kinds[i] != TD_REPORT || !has_log)
            ret->evidence = bytes_of(files, kinds[i]);
    ret->cert_table = bytes_of(files, AUXBLOB);
    ret->ccel = bytes_of(files, CCEL);
    ret->ccel_table = files->has[CCEL] ? bytes_of(files, CCEL_TABLE) : RD_BYTES_NULL;
    ret->event_log = bytes_of(files, EVENT_LOG);
    ret->collateral = &files->collateral;
    ret->set = files->set;
    ret->is_reading = files->is_folder;
}

bool cli_evidence_time(const cli_evidence_files *files, int64_t *ret_us)
{
    static const rd_json_limits limits = { .size_max = TEXT_MAX };
    RD_CLEANUP(rd_json_free_p) json_t *expect = NULL;
    rd_err err = RD_ERR_INIT;
    if (!files->has[EXPECT] || rd_json_parse(bytes_of(files, EXPECT), &limits, &expect, &err) < 0)
        return false;
    const json_t *at = json_object_get(expect, "verify_at");
    return json_is_string(at) && rd_time_parse(json_string_value(at), json_string_length(at), ret_us) == 0;
}

int cli_evidence_instant(const cli_context *context, const cli_args *args, const cli_evidence_files *files,
                         int64_t *ret_us, rd_err *err)
{
    const char *at = cli_args_value(args, "at");
    *ret_us = rd_clock_wall_us(context->clock);
    if (at && rd_time_parse(at, strlen(at), ret_us) < 0)
        return rd_err_set(err, RD_E_USAGE, "--at takes a time like 2026-11-22T20:00:00Z, not %s", at);
    if (!at)
        (void)cli_evidence_time(files, ret_us);
    return 0;
}
