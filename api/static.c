#include "api/static.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

#include "api/reply.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/io/config.h"

#define FILES_MAX     256
#define FILE_SIZE_MAX ((size_t)8 << 20)
#define TOTAL_MAX     ((size_t)32 << 20)
#define DEPTH_MAX     4

typedef struct static_file {
    char *path; /* "app.js", "icons/x.svg" */
    const char *type;
    rd_buf plain, gzip; /* gzip empty when it would not be smaller */
    char etag[40];
    bool is_immutable; /* the name carries a hash of the content */
} static_file;

struct api_static {
    static_file files[FILES_MAX];
    size_t count, total;
};

static const struct {
    const char *suffix, *type;
} types[] = {
    { ".html", "text/html; charset=utf-8" },
    { ".js", "text/javascript; charset=utf-8" },
    { ".mjs", "text/javascript; charset=utf-8" },
    { ".css", "text/css; charset=utf-8" },
    { ".svg", "image/svg+xml" },
    { ".png", "image/png" },
    { ".ico", "image/x-icon" },
    { ".json", "application/json" },
    { ".woff2", "font/woff2" },
    { ".wasm", "application/wasm" },
    { ".txt", "text/plain; charset=utf-8" },
    { ".webmanifest", "application/manifest+json" },
};

static const char *type_of(const char *path)
{
    size_t size = strlen(path);
    for (size_t i = 0; i < RD_ARRAY_LEN(types); i++) {
        size_t suffix = strlen(types[i].suffix);
        if (size > suffix && strcmp(path + size - suffix, types[i].suffix) == 0)
            return types[i].type;
    }
    return NULL;
}

static void compress_file(static_file *file)
{
    z_stream z = { .next_in = file->plain.data, .avail_in = (uInt)file->plain.size };
    if (file->plain.size < 512 || deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return;
    size_t bound = deflateBound(&z, (uLong)file->plain.size);
    rd_buf_init(&file->gzip, bound + 1);
    uint8_t *out = rd_buf_reserve(&file->gzip, bound);
    z.next_out = out;
    z.avail_out = (uInt)bound;
    if (out && deflate(&z, Z_FINISH) == Z_STREAM_END && z.total_out + 64 < file->plain.size)
        rd_buf_commit(&file->gzip, z.total_out);
    deflateEnd(&z);
}

/* name.<at least 8 hex digits>.ext */
static bool is_hashed_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (!dot)
        return false;
    size_t digits = 0;
    const char *c = dot - 1;
    for (; c > path && ((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'f')); c--)
        digits++;
    return digits >= 8 && (*c == '.' || *c == '-');
}

static int add_file(api_static *files, const char *full, const char *path, rd_err *err)
{
    const char *type = type_of(path);
    if (!type)
        return 0;
    if (files->count == FILES_MAX)
        return rd_err_set(err, RD_E_CONFIG, "more than %d files for the dashboard", FILES_MAX);
    static_file *file = &files->files[files->count];
    if (rd_file_read(full, FILE_SIZE_MAX, &file->plain, err) < 0)
        return -1;
    files->total += file->plain.size;
    if (files->total > TOTAL_MAX)
        return rd_err_set(err, RD_E_CONFIG, "more than 32 MiB of files for the dashboard");
    files->count++;
    file->path = rd_strdup(path);
    file->type = type;
    file->is_immutable = is_hashed_name(path);
    uint8_t digest[RD_SHA256_SIZE];
    char hex[33];
    rd_sha256(rd_buf_bytes(&file->plain), digest);
    rd_hex_encode(rd_bytes_of(digest, 16), hex);
    snprintf(file->etag, sizeof(file->etag), "\"%s\"", hex);
    compress_file(file);
    return 0;
}

static int add_folder(api_static *files, const char *full, const char *path, int depth, rd_err *err)
{
    DIR *dir = opendir(full);
    if (!dir)
        return rd_err_set_errno(err, RD_E_IO, errno, "reading %s", full);
    int rc = 0;
    for (struct dirent *entry = readdir(dir); entry && rc == 0; entry = readdir(dir)) {
        struct stat st;
        if (entry->d_name[0] == '.')
            continue;
        RD_CLEANUP(rd_free_p) char *sub_full = rd_asprintf("%s/%s", full, entry->d_name);
        RD_CLEANUP(rd_free_p) char *sub = rd_asprintf("%s%s%s", path, path[0] ? "/" : "", entry->d_name);
        if (lstat(sub_full, &st) < 0)
            continue;
        if (S_ISREG(st.st_mode))
            rc = add_file(files, sub_full, sub, err);
        else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
            rc = add_folder(files, sub_full, sub, depth + 1, err);
    }
    closedir(dir);
    return rc;
}

int api_static_load(const char *dir, api_static **ret, rd_err *err)
{
    api_static *files = rd_alloc(sizeof(*files));
    struct stat st;
    if (!dir || !dir[0] || stat(dir, &st) < 0) {
        rd_log(RD_WARN, "dashboard_missing", RD_STR("dir", dir ? dir : ""));
    } else if (add_folder(files, dir, "", 0, err) < 0) {
        api_static_free(files);
        return -1;
    }
    *ret = files;
    return 0;
}

api_static *api_static_free(api_static *files)
{
    if (!files)
        return NULL;
    for (size_t i = 0; i < files->count; i++) {
        free(files->files[i].path);
        rd_buf_done(&files->files[i].plain);
        rd_buf_done(&files->files[i].gzip);
    }
    free(files);
    return NULL;
}

static const static_file *find_file(const api_static *files, const char *path)
{
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->files[i].path, path) == 0)
            return &files->files[i];
    return NULL;
}

/* The dashboard's own paths have no dot in their last segment and are not the API's. */
static bool is_page_path(const char *path)
{
    const char *last = strrchr(path, '/');
    if (rd_starts_with(path, "v1/") || strcmp(path, "v1") == 0)
        return false;
    return strchr(last ? last : path, '.') == NULL;
}

static void add_security_headers(struct api_request *request)
{
    api_reply_header(
        request, "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
        "require-trusted-types-for 'script'");
    api_reply_header(request, "Cross-Origin-Opener-Policy", "same-origin");
    api_reply_header(request, "Cross-Origin-Resource-Policy", "same-origin");
    api_reply_header(request, "Referrer-Policy", "no-referrer");
    api_reply_header(request, "Permissions-Policy",
                     "accelerometer=(), camera=(), geolocation=(), gyroscope=(), microphone=(), payment=(), usb=()");
    api_reply_header(request, "X-Frame-Options", "DENY");
}

void api_static_get(struct api_request *request)
{
    const api_static *files = api_request_context(request)->files;
    const char *path = api_request_param(request, "path");
    const static_file *file = files ? find_file(files, path[0] ? path : "index.html") : NULL;
    if (!file && files && is_page_path(path))
        file = find_file(files, "index.html");
    if (!file) {
        rd_err err = RD_ERR_INIT;
        (void)rd_err_set(&err, RD_E_NOT_FOUND, "nothing is here");
        api_reply_problem(request, &err);
        return;
    }
    add_security_headers(request);
    api_reply_header(request, "ETag", file->etag);
    api_reply_header(request, "Vary", "Accept-Encoding");
    api_reply_header(request, "Cache-Control", file->is_immutable ? "public, max-age=31536000, immutable" : "no-cache");
    const char *known = api_request_header(request, "If-None-Match");
    if (known && strstr(known, file->etag)) {
        api_reply_empty(request, 304);
        return;
    }
    const char *encodings = api_request_header(request, "Accept-Encoding");
    bool wants_gzip =
        file->gzip.size > 0 && encodings && strcasestr(encodings, "gzip") && !strcasestr(encodings, "gzip;q=0");
    if (wants_gzip)
        api_reply_header(request, "Content-Encoding", "gzip");
    api_reply_bytes(request, 200, file->type, rd_buf_bytes(wants_gzip ? &file->gzip : &file->plain));
}
