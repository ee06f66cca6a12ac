/* profile: where the control plane is, who we are there, and what this machine trusts.
 * Order: flag, environment, .redoubt/profile.json found upwards from the working directory, user file, default.
 * Simulation roots, runtime measurements and the caller's policy are the caller's own: no server and no app may add to
 * them. */
#ifndef CLI_PROFILE_H
#define CLI_PROFILE_H

#include "common/base/err.h"

#define CLI_TRUST_MAX 16

typedef struct cli_setting {
    const char *key;
    char *value;        /* NULL: not set */
    const char *origin; /* "flag", "environment", "project file", "user file", "default" */
} cli_setting;

typedef enum cli_setting_key {
    CLI_SET_API,
    CLI_SET_TOKEN,
    CLI_SET_TOKEN_FILE,
    CLI_SET_KEY_FILE,
    CLI_SET_DELEGATION_FILE,
    CLI_SET_LOG_KEY_FILE,
    CLI_SET_CLASS,
    CLI_SET_STATE_DIR,
    CLI_SET_CALLER_POLICY,
    CLI_SET_COLLATERAL,
    CLI_SET_COUNT
} cli_setting_key;

/* What a setting is called and means; the manual is made from it. */
typedef struct cli_setting_info {
    const char *key;      /* member of profile.json */
    const char *variable; /* of the environment */
    const char *fallback; /* or NULL */
    bool is_path;         /* relative to the profile's folder */
    const char *help;     /* lower case, no full stop */
} cli_setting_info;
extern const cli_setting_info cli_settings[CLI_SET_COUNT];

typedef struct cli_profile {
    char *path; /* the file that was read, or NULL */
    cli_setting settings[CLI_SET_COUNT];
    uint8_t simulation_roots[CLI_TRUST_MAX][32]; /* SHA-256 of the DER of each root */
    size_t simulation_root_count;
    char measurements[CLI_TRUST_MAX][97]; /* lower-case hex MRTD */
    size_t measurement_count;
    char kms_measurements[CLI_TRUST_MAX][97]; /* of key services */
    size_t kms_measurement_count;
} cli_profile;

/* Reads environment and files; flag values may be NULL. */
int cli_profile_load(const char *flag_profile, const char *flag_api, cli_profile **ret, rd_err *err) RD_NODISCARD;
void cli_profile_free(cli_profile *profile);

/* The value of a setting, or NULL. */
const char *cli_profile_get(const cli_profile *profile, cli_setting_key key);
/* The token from its setting or its file (mode 0600 or stricter is demanded); NULL with err when there is none.
 * Free with cli_token_free, which wipes. */
char *cli_profile_token(const cli_profile *profile, rd_err *err);
void cli_token_free(char **token);

/* Writes token and API to the user's profile (directory 0700, files 0600). */
int cli_profile_save_login(const char *api, const char *token, rd_err *err) RD_NODISCARD;
/* Removes the stored token of the user's profile. */
int cli_profile_forget_login(rd_err *err) RD_NODISCARD;

/* "$XDG_CONFIG_HOME/redoubt" and "$XDG_STATE_HOME/redoubt" with their defaults; free() the text. */
char *cli_config_dir(void);
char *cli_state_dir(void);
/* mkdir -p with mode 0700. */
int cli_make_dirs(const char *path, rd_err *err) RD_NODISCARD;
/* Reads a whole file of at most size_max bytes into fresh, NUL-terminated memory; "-" is stdin. */
int cli_read_file(const char *path, size_t size_max, uint8_t **ret_data, size_t *ret_size, rd_err *err) RD_NODISCARD;
/* Writes by rename, with the mode given. */
int cli_write_file(const char *path, const void *data, size_t size, unsigned mode, rd_err *err) RD_NODISCARD;

#endif
