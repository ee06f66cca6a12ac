#include "cli/keys.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *cli_keys_path(const cli_profile *profile)
{
    const char *given = cli_profile_get(profile, CLI_SET_KEY_FILE);
    if (given)
        return rd_strdup(given);
    RD_CLEANUP(rd_free_p) char *config = cli_config_dir();
    return rd_asprintf("%s/keys/owner.pem", config);
}

int cli_keys_load(const cli_profile *profile, rd_signing_key **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = cli_keys_path(profile);
    return cli_keys_read(path, ret, err);
}

int cli_keys_read(const char *path, rd_signing_key **ret, rd_err *err)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return rd_err_set(err, RD_E_CLI_NO_KEY, "no key at %s", path);
    if (status.st_mode & 077)
        return rd_err_set(err, RD_E_CLI_FILE_MODE, "%s is readable by others; run: chmod 600 %s", path, path);
    uint8_t *pem = NULL;
    size_t size = 0;
    if (cli_read_file(path, 16384, &pem, &size, err) < 0)
        return -1;
    int result = rd_signing_key_from_pem(rd_bytes_of(pem, size), ret, err);
    rd_wipe(pem, size);
    free(pem);
    return result < 0 ? rd_err_wrap(err, "%s", path) : 0;
}

int cli_keys_create(const char *path, rd_signing_key **ret, rd_err *err)
{
    if (access(path, F_OK) == 0)
        return rd_err_set(err, RD_E_CLI_CONFLICT, "%s is there already; nothing was changed", path);
    RD_CLEANUP(rd_free_p) char *dir = rd_strdup(path);
    char *slash = strrchr(dir, '/');
    if (slash && slash != dir) {
        *slash = '\0';
        if (cli_make_dirs(dir, err) < 0)
            return -1;
    }
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = rd_signing_key_new();
    rd_buf pem;
    rd_buf_init(&pem, 16384);
    int status = rd_signing_key_to_pem(key, &pem, err);
    if (status == 0)
        status = cli_write_file(path, pem.data, pem.size, 0600, err);
    rd_buf_wipe(&pem);
    if (status == 0 && ret)
        *ret = RD_TAKE(key);
    return status;
}

void cli_keys_text(const rd_signing_key *key, char out[CLI_KEY_TEXT_SIZE])
{
    rd_base64url_encode(RD_BYTES_ARRAY(rd_signing_key_public(key)->b), out);
}
