#include "cli/profile.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROFILE_SIZE_MAX 65536

const cli_setting_info cli_settings[CLI_SET_COUNT] = {
    [CLI_SET_API] = { "api", "REDOUBT_API", "http://127.0.0.1:8080", false, "address of the control plane" },
    [CLI_SET_TOKEN] = { "token", "REDOUBT_TOKEN", NULL, false, "the token itself; from the environment alone" },
    [CLI_SET_TOKEN_FILE] = { "token_file", "REDOUBT_TOKEN_FILE", NULL, true,
                             "file of the token, readable by you alone" },
    [CLI_SET_KEY_FILE] = { "key_file", "REDOUBT_KEY_FILE", NULL, true,
                           "file of the owner key (PKCS #8 PEM), readable by you alone; default keys/owner.pem beside "
                           "the user file" },
    [CLI_SET_DELEGATION_FILE] = { "delegation_file", "REDOUBT_DELEGATION_FILE", NULL, true,
                                  "file in which an app's owner lets the key of key_file sign for it (redoubt keys "
                                  "delegate)" },
    [CLI_SET_LOG_KEY_FILE] = { "log_key_file", "REDOUBT_LOG_KEY_FILE", NULL, true,
                               "file of the key that opens sealed logs, readable by you alone; default logs.json "
                               "beside the owner key" },
    [CLI_SET_CLASS] = { "class", "REDOUBT_CLASS", NULL, false,
                        "hardware or simulated, for manifests that do not say; default simulated when the profile "
                        "lists simulation roots" },
    [CLI_SET_STATE_DIR] = { "state_dir", "REDOUBT_STATE_DIR", NULL, true,
                            "folder that remembers the newest head of each app, so that an older one is refused; "
                            "default $XDG_STATE_HOME/redoubt" },
    [CLI_SET_CALLER_POLICY] = { "caller_policy", "REDOUBT_CALLER_POLICY", NULL, true,
                                "file of the policy (docs/policy.md) that evidence must meet besides the owner's, "
                                "measurements included; default: UpToDate or SWHardeningNeeded, collateral of at most "
                                "7 days, nothing loosened" },
    [CLI_SET_COLLATERAL] = { "collateral", "REDOUBT_COLLATERAL", NULL, false,
                             "where collateral is asked for before the plane is: vendor, the address of a mirror, or "
                             "an "
                             "absolute path of a folder; default vendor, for evidence of hardware" },
};

static void set(cli_profile *profile, cli_setting_key key, const char *value, const char *origin)
{
    cli_setting *setting = &profile->settings[key];
    if (setting->value || !value || !value[0])
        return;
    setting->value = rd_strdup(value);
    setting->origin = origin;
}

static char *resolve(const char *dir, const char *path)
{
    return path[0] == '/' ? rd_strdup(path) : rd_asprintf("%s/%s", dir, path);
}

static int read_roots(cli_profile *profile, const json_t *list, rd_err *err)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        if (!text || !rd_starts_with(text, "sha256:") || profile->simulation_root_count == CLI_TRUST_MAX)
            return rd_err_set(err, RD_E_CONFIG, "simulation_roots: expected at most %d \"sha256:…\" texts",
                              CLI_TRUST_MAX);
        if (rd_hex_decode(text + 7, strlen(text + 7), profile->simulation_roots[profile->simulation_root_count], 32) <
            0)
            return rd_err_set(err, RD_E_CONFIG, "simulation_roots: %s is not a SHA-256 digest", text);
        profile->simulation_root_count++;
    }
    return 0;
}

static int read_measurements(const json_t *list, const char *name, char (*ret)[97], size_t *ret_count, rd_err *err)
{
    size_t i;
    json_t *item;
    uint8_t raw[48];
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        if (!text || rd_hex_decode(text, strlen(text), raw, sizeof raw) < 0 || *ret_count == CLI_TRUST_MAX)
            return rd_err_set(err, RD_E_CONFIG, "%s: expected at most %d texts of 96 hex digits", name, CLI_TRUST_MAX);
        rd_hex_encode(RD_BYTES_ARRAY(raw), ret[(*ret_count)++]);
    }
    return 0;
}

static int read_settings(cli_profile *profile, const json_t *document, const char *dir, const char *origin, rd_err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)document, name, value)
    {
        if (strcmp(name, "simulation_roots") == 0 || strcmp(name, "measurements") == 0 ||
            strcmp(name, "kms_measurements") == 0)
            continue;
        size_t key = 0;
        while (key < CLI_SET_COUNT && strcmp(cli_settings[key].key, name) != 0)
            key++;
        if (key == CLI_SET_COUNT || key == CLI_SET_TOKEN || !json_is_string(value))
            return rd_err_set(err, RD_E_CONFIG, "unknown key or wrong type: %s", name);
        RD_CLEANUP(rd_free_p)
        char *text =
            cli_settings[key].is_path ? resolve(dir, json_string_value(value)) : rd_strdup(json_string_value(value));
        set(profile, (cli_setting_key)key, text, origin);
    }
    if (read_roots(profile, json_object_get(document, "simulation_roots"), err) < 0)
        return -1;
    if (read_measurements(json_object_get(document, "measurements"), "measurements", profile->measurements,
                          &profile->measurement_count, err) < 0)
        return -1;
    return read_measurements(json_object_get(document, "kms_measurements"), "kms_measurements",
                             profile->kms_measurements, &profile->kms_measurement_count, err);
}

static int read_profile_file(cli_profile *profile, const char *path, const char *origin, rd_err *err)
{
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size;
    if (cli_read_file(path, PROFILE_SIZE_MAX, &data, &size, err) < 0)
        return -1;
    json_error_t where;
    json_t *document = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(document)) {
        json_decref(document);
        return rd_err_set(err, RD_E_CONFIG, "%s:%d: %s", path, where.line, where.text);
    }
    RD_CLEANUP(rd_free_p) char *dir = rd_strdup(path);
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = '\0';
    int status = read_settings(profile, document, slash ? dir : ".", origin, err);
    json_decref(document);
    if (status < 0)
        return rd_err_wrap(err, "%s", path);
    if (!profile->path)
        profile->path = rd_strdup(path);
    return 0;
}

/* A profile decides whom the tool talks to and which roots it believes, so one that was merely found in a folder above
 * counts only when this user, root, or the user behind sudo wrote it. */
static int check_owner(const char *path, rd_err *err)
{
    struct stat info;
    if (stat(path, &info) < 0)
        return rd_err_set(err, RD_E_CONFIG, "%s: %m", path);
    const char *behind = geteuid() == 0 ? getenv("SUDO_UID") : NULL;
    uint64_t behind_uid = 0;
    bool is_behind =
        behind && rd_parse_u64(behind, strlen(behind), UINT32_MAX, &behind_uid) == 0 && behind_uid == info.st_uid;
    bool is_ours = info.st_uid == geteuid() || info.st_uid == 0 || is_behind;
    if (is_ours && (info.st_mode & S_IWOTH) == 0)
        return 0;
    return rd_err_set(err, RD_E_CONFIG, "%s %s: not used; name it by --profile if you trust it", path,
                      is_ours ? "can be written by everybody" : "belongs to another user");
}

/* The nearest .redoubt/profile.json from the working directory upwards; *ret NULL: none. */
static int find_project_profile(char **ret, rd_err *err)
{
    *ret = NULL;
    RD_CLEANUP(rd_free_p) char *dir = getcwd(NULL, 0);
    while (dir && dir[0]) {
        RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/.redoubt/profile.json", dir);
        if (access(path, R_OK) == 0) {
            if (check_owner(path, err) < 0)
                return -1;
            *ret = RD_TAKE(path);
            return 0;
        }
        char *slash = strrchr(dir, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    return 0;
}

static int read_files(cli_profile *profile, const char *flag_profile, rd_err *err)
{
    const char *named = flag_profile ? flag_profile : getenv("REDOUBT_PROFILE");
    if (named && named[0])
        return read_profile_file(profile, named, "profile", err);
    RD_CLEANUP(rd_free_p) char *project = NULL;
    if (find_project_profile(&project, err) < 0)
        return -1;
    if (project && read_profile_file(profile, project, "project file", err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) char *config = cli_config_dir();
    RD_CLEANUP(rd_free_p) char *user = rd_asprintf("%s/profile.json", config);
    if (access(user, R_OK) == 0 && (!project || strcmp(project, user) != 0))
        return read_profile_file(profile, user, "user file", err);
    return 0;
}

int cli_profile_load(const char *flag_profile, const char *flag_api, cli_profile **ret, rd_err *err)
{
    cli_profile *profile = rd_alloc(sizeof *profile);
    for (size_t key = 0; key < CLI_SET_COUNT; key++)
        profile->settings[key].key = cli_settings[key].key;
    set(profile, CLI_SET_API, flag_api, "flag");
    for (size_t key = 0; key < CLI_SET_COUNT; key++)
        set(profile, (cli_setting_key)key, getenv(cli_settings[key].variable), "environment");
    if (read_files(profile, flag_profile, err) < 0) {
        cli_profile_free(profile);
        return -1;
    }
    for (size_t key = 0; key < CLI_SET_COUNT; key++)
        set(profile, (cli_setting_key)key, cli_settings[key].fallback, "default");
    RD_CLEANUP(rd_free_p) char *state = cli_state_dir();
    set(profile, CLI_SET_STATE_DIR, state, "default");
    *ret = profile;
    return 0;
}

void cli_profile_free(cli_profile *profile)
{
    if (!profile)
        return;
    for (size_t key = 0; key < CLI_SET_COUNT; key++) {
        if (key == CLI_SET_TOKEN)
            cli_token_free(&profile->settings[key].value);
        free(profile->settings[key].value);
    }
    free(profile->path);
    free(profile);
}

const char *cli_profile_get(const cli_profile *profile, cli_setting_key key)
{
    return profile->settings[key].value;
}

void cli_token_free(char **token)
{
    if (*token)
        rd_wipe(*token, strlen(*token));
    free(*token);
    *token = NULL;
}

char *cli_profile_token(const cli_profile *profile, rd_err *err)
{
    const char *direct = cli_profile_get(profile, CLI_SET_TOKEN);
    if (direct)
        return rd_strdup(direct);
    const char *path = cli_profile_get(profile, CLI_SET_TOKEN_FILE);
    struct stat status;
    if (!path || stat(path, &status) < 0) {
        (void)rd_err_set(err, RD_E_CLI_NO_TOKEN, "no token for %s", cli_profile_get(profile, CLI_SET_API));
        return NULL;
    }
    if (status.st_mode & 077) {
        (void)rd_err_set(err, RD_E_CLI_FILE_MODE, "%s is readable by others; run: chmod 600 %s", path, path);
        return NULL;
    }
    uint8_t *data;
    size_t size;
    if (cli_read_file(path, 4096, &data, &size, err) < 0)
        return NULL;
    char *token = (char *)data;
    token[strcspn(token, " \r\n")] = '\0';
    return token;
}

int cli_profile_save_login(const char *api, const char *token, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *dir = cli_config_dir();
    RD_CLEANUP(rd_free_p) char *token_path = rd_asprintf("%s/token", dir);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/profile.json", dir);
    if (cli_make_dirs(dir, err) < 0 || cli_write_file(token_path, token, strlen(token), 0600, err) < 0)
        return -1;
    json_t *document = json_load_file(path, 0, NULL);
    if (!json_is_object(document)) {
        json_decref(document);
        document = json_object();
    }
    (void)json_object_set_new(document, "api", json_string(api));
    (void)json_object_set_new(document, "token_file", json_string("token"));
    RD_CLEANUP(rd_free_p) char *text = json_dumps(document, JSON_INDENT(2));
    json_decref(document);
    return cli_write_file(path, text, strlen(text), 0600, err);
}

int cli_profile_forget_login(rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *dir = cli_config_dir();
    RD_CLEANUP(rd_free_p) char *token_path = rd_asprintf("%s/token", dir);
    if (unlink(token_path) < 0 && access(token_path, F_OK) == 0)
        return rd_err_set(err, RD_E_IO, "cannot remove %s", token_path);
    return 0;
}
