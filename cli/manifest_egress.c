/* The manifest's member egress: places as texts, or as objects with what else is said of them. */
#include "cli/manifest.h"

#include "cli/profile.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>

#define CA_FILE_MAX 65536

typedef struct egress_item {
    char *host;
    char *ca; /* a file beside the manifest, or PEM */
    bool is_private;
    const json_t *secrets; /* borrowed */
} egress_item;

static int keep_secrets(const json_t *value, void *into, const char *pointer RD_UNUSED, rd_err *err RD_UNUSED)
{
    *(const json_t **)into = value;
    return 0;
}

static const rd_json_field item_fields[] = {
    { "host", RD_JSON_STRING, offsetof(egress_item, host), RD_REQUIRED, 1, 300 },
    { "ca", RD_JSON_STRING, offsetof(egress_item, ca), RD_OPTIONAL, 1, CA_FILE_MAX },
    { "private", RD_JSON_BOOL, offsetof(egress_item, is_private), RD_OPTIONAL },
    { "secrets", RD_JSON_CUSTOM, offsetof(egress_item, secrets), RD_OPTIONAL, .parse = keep_secrets },
    RD_JSON_END,
};

static int read_ca(const cli_manifest *manifest, const char *text, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size = strlen(text);
    if (!rd_starts_with(text, "-----BEGIN")) {
        if (manifest->is_prepared)
            return rd_err_set(err, RD_E_CLI_MANIFEST, "what was prepared elsewhere names no file: ca must be PEM");
        RD_CLEANUP(rd_free_p)
        char *path = text[0] == '/' || !manifest->dir ? rd_strdup(text) : rd_asprintf("%s/%s", manifest->dir, text);
        if (cli_read_file(path, CA_FILE_MAX, &data, &size, err) < 0)
            return -1;
    }
    if (rd_cert_parse_pem(rd_bytes_of(data ? (const char *)data : text, size), &cert, err) < 0)
        return rd_err_wrap(err, "ca must be one PEM certificate");
    rd_buf_append_bytes(ret, rd_cert_der(cert));
    return 0;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(left, right);
}

static int read_secrets(const json_t *names, rd_egress_entry *entry, rd_err *err)
{
    size_t i;
    json_t *name;
    if (names && !json_is_array(names))
        return rd_err_set(err, RD_E_JSON_TYPE, "secrets must be a list of names");
    json_array_foreach((json_t *)names, i, name)
    {
        const char *text = json_string_value(name);
        if (!text || strlen(text) == 0 || strlen(text) > RD_EGRESS_SECRET_MAX || i == RD_EGRESS_SECRETS_MAX)
            return rd_err_set(err, RD_E_JSON_RANGE, "secrets must be at most %d names", RD_EGRESS_SECRETS_MAX);
        memcpy(entry->secrets[entry->secrets_count++], text, strlen(text) + 1);
    }
    qsort(entry->secrets, entry->secrets_count, sizeof entry->secrets[0], compare_names);
    return 0;
}

static int read_object(const json_t *value, const cli_manifest *manifest, const char *pointer, rd_egress_entry *ret,
                       rd_err *err)
{
    egress_item item = { .is_private = false };
    int status = rd_json_read(value, item_fields, RD_UNKNOWN_REFUSED, pointer, &item, err);
    if (status == 0)
        status = rd_egress_place_parse(item.host, ret, err);
    ret->is_private = item.is_private;
    if (status == 0 && item.ca)
        status = read_ca(manifest, item.ca, &ret->ca, err);
    if (status == 0)
        status = read_secrets(item.secrets, ret, err);
    free(item.host);
    free(item.ca);
    return status;
}

static int read_place(const json_t *value, size_t index RD_UNUSED, void *context, const char *pointer, rd_err *err)
{
    cli_manifest *manifest = context;
    rd_egress_entry entry = { .port = 0 };
    int status = json_is_string(value) ? rd_egress_place_parse(json_string_value(value), &entry, err)
                                       : read_object(value, manifest, pointer, &entry, err);
    if (status < 0)
        rd_buf_done(&entry.ca);
    else
        status = rd_egress_add(&manifest->release.egress, &entry, err);
    if (status < 0 && err->pointer[0] == '\0')
        (void)rd_err_at(err, pointer);
    return status;
}

int cli_manifest_read_egress(const json_t *value, void *manifest, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_EGRESS_MAX, pointer, read_place, manifest, err);
}
