/* manifest: redoubt.yaml (or .json) as a checked struct.
 * Used by deploy. Read with libfyaml into JSON and then through one field list, so that both forms mean the same.
 * Refuses aliases, tags, deep nesting and unknown members. */
#ifndef CLI_MANIFEST_H
#define CLI_MANIFEST_H

#include "common/model/class.h"
#include "common/model/release.h"
#include "common/model/webhook.h"

#include <jansson.h>

typedef struct cli_manifest {
    char name[64]; /* [a-z][a-z0-9-]{0,62} */
    char *main;    /* relative to dir */
    char *dir;     /* where the manifest, or the single file, lies */
    char *path;    /* what was read */
    bool has_class;
    rd_class class;
    bool is_public_code; /* not sealed, although the app has a key service */
    rd_log_form logs;    /* unsaid: sealed in class hardware */
    uint64_t instances_min, instances_max;
    bool has_own_memory, has_own_cpu; /* resources that the manifest itself says */
    char *policy;                     /* of the next head: a file, relative ones beside the manifest; NULL: unsaid */
    uint32_t grant_s;                 /* of the next head; 0: unsaid */
    uint64_t grant_requests;          /* likewise */
    bool is_prepared;                 /* by somebody else: it names no file of this machine */
    uint64_t idle_s;                  /* with instances_min 0: how long one runs on without a call */
    rd_webhook webhook;               /* of the next head's policy; not set: unsaid, or none */
    bool has_no_webhook;              /* it says that there is none any more */
    rd_release release;               /* what callers may, env, egress, limits and resources only */
} cli_manifest;

/* path: a folder with redoubt.yaml, redoubt.yml or redoubt.json, such a file, a .js or .mjs file, or NULL for ".".
 * A single script gets its file name as its name and the default limits. */
int cli_manifest_load(const char *path, cli_manifest *ret, rd_err *err) RD_NODISCARD;
/* From what the dashboard prepared: the members of a manifest apart from name, main and whatever names a file.
 * settings may be NULL. */
int cli_manifest_from_settings(const char *name, const json_t *settings, cli_manifest *ret, rd_err *err) RD_NODISCARD;
/* Another policy than the manifest names: a file, or CLI_POLICY_PROFILE. */
void cli_manifest_set_policy(cli_manifest *manifest, const char *path);
/* Another engine than the manifest names: "quickjs" or "jsc". Errors: USAGE. */
int cli_manifest_set_engine(cli_manifest *manifest, const char *name, rd_err *err) RD_NODISCARD;
/* The member egress, for the manifest's own field list. */
int cli_manifest_read_egress(const json_t *value, void *manifest, const char *pointer, rd_err *err);
void cli_manifest_done(cli_manifest *manifest);

/* The script and everything that it imports by a relative name, encoded as a code bundle (docs/protocol/formats.md). */
int cli_bundle_collect(const cli_manifest *manifest, rd_buf *ret_bundle, rd_err *err) RD_NODISCARD;

#endif
