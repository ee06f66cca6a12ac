#include "cli/key_file.h"

#include "cli/keys.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_KEY_TYPE "redoubt/log-key/v1"

int cli_document_read(const char *path, const char *type, json_t **ret, rd_err *err)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (cli_read_file(path, RD_JSON_SIZE_MAX, &bytes, &size, err) < 0)
        return -1;
    int outcome = rd_json_parse(rd_bytes_of(bytes, size), NULL, ret, err);
    rd_wipe(bytes, size);
    free(bytes);
    if (outcome < 0)
        return rd_err_wrap(err, "%s", path);
    const char *found = json_string_value(json_object_get(*ret, "type"));
    return found && strcmp(found, type) == 0
               ? 0
               : rd_err_set(err, RD_E_JSON_RANGE, "%s is no document of type %s", path, type);
}

static int make_folder(const char *path, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *dir = rd_strdup(path);
    char *slash = strrchr(dir, '/');
    if (!slash || slash == dir)
        return 0;
    *slash = '\0';
    return access(dir, F_OK) == 0 ? 0 : cli_make_dirs(dir, err);
}

int cli_key_file_create(const char *path, const char *type, uint8_t ret_public[RD_X25519_SIZE], rd_err *err)
{
    if (access(path, F_OK) == 0)
        return rd_err_set(err, RD_E_CLI_CONFLICT, "%s is there already; a key is never written over", path);
    RD_CLEANUP(rd_secret_free_p) rd_secret *key = rd_secret_random(RD_X25519_SIZE);
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    RD_CLEANUP(rd_buf_wipe) rd_buf content = { 0 };
    rd_x25519_public(key, ret_public);
    rd_json_set_str(document, "type", type);
    rd_json_set_b64(document, "private", rd_secret_bytes(key));
    (void)rd_buf_reserve(&content, 256);
    if (!rd_json_dump(document, &content))
        return rd_err_set(err, RD_E_INTERNAL, "key");
    return make_folder(path, err) < 0 ? -1 : cli_write_file(path, content.data, content.size, 0600, err);
}

int cli_key_file_read(const char *path, const char *type, rd_secret **ret, rd_err *err)
{
    struct stat status;
    RD_CLEANUP(rd_json_free_p) json_t *document = NULL;
    if (stat(path, &status) < 0)
        return rd_err_set(err, RD_E_CLI_NOT_FOUND, "no key at %s", path);
    if (status.st_mode & 077)
        return rd_err_set(err, RD_E_CLI_FILE_MODE, "%s is readable by others; run: chmod 600 %s", path, path);
    RD_CLEANUP(rd_secret_free_p) rd_secret *key = rd_secret_new(RD_X25519_SIZE);
    if (cli_document_read(path, type, &document, err) < 0 ||
        rd_json_b64(json_object_get(document, "private"), "/private", rd_secret_data(key), RD_X25519_SIZE, err) < 0)
        return -1;
    *ret = RD_TAKE(key);
    return 0;
}

/* --- the log key --- */

char *cli_log_key_path(const cli_profile *profile)
{
    const char *given = cli_profile_get(profile, CLI_SET_LOG_KEY_FILE);
    if (given)
        return rd_strdup(given);
    RD_CLEANUP(rd_free_p) char *owner = cli_keys_path(profile);
    char *slash = strrchr(owner, '/');
    return slash ? rd_asprintf("%.*s/logs.json", (int)(slash - owner), owner) : rd_strdup("logs.json");
}

int cli_log_key_read(const cli_profile *profile, rd_secret **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = cli_log_key_path(profile);
    return cli_key_file_read(path, LOG_KEY_TYPE, ret, err) < 0 ? rd_err_wrap(err, "log key") : 0;
}

int cli_log_key_public(const cli_profile *profile, bool may_create, uint8_t ret[RD_X25519_SIZE], bool *ret_is_new,
                       rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = cli_log_key_path(profile);
    RD_CLEANUP(rd_secret_free_p) rd_secret *key = NULL;
    bool is_new = may_create && access(path, F_OK) != 0;
    if (ret_is_new)
        *ret_is_new = is_new;
    if (is_new)
        return cli_key_file_create(path, LOG_KEY_TYPE, ret, err);
    if (cli_key_file_read(path, LOG_KEY_TYPE, &key, err) < 0)
        return rd_err_wrap(err, "log key");
    rd_x25519_public(key, ret);
    return 0;
}
