#include "cli/seen.h"

#include "cli/profile.h"
#include "common/base/mem.h"
#include "common/model/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SEEN_MAX 128 /* roots are the profile's and the vendors' */

typedef enum pck_ca { CA_NONE = 1, CA_PLATFORM, CA_PROCESSOR } pck_ca;
static const char *const ca_names[] = { "", "none", "platform", "processor", NULL };

typedef struct sighting {
    uint8_t root[32];
    int tee, ca;
    uint32_t evaluation_number;
    int64_t pck_crl_number, root_crl_number;
} sighting;

typedef struct sightings {
    sighting items[SEEN_MAX];
    size_t count;
} sightings;

static sighting of_verdict(const rd_verdict *verdict)
{
    const rd_claims *claims = &verdict->claims;
    sighting ret = { .tee = (int)claims->tee,
                     .ca = claims->tee == RD_TEE_SNP ? CA_NONE
                           : claims->pck.has_piid    ? CA_PLATFORM
                                                     : CA_PROCESSOR,
                     .evaluation_number = RD_MIN(verdict->tcb.evaluation_number, verdict->tcb.qe_evaluation_number),
                     .pck_crl_number = verdict->pck_crl_number,
                     .root_crl_number = verdict->root_crl_number };
    memcpy(ret.root, verdict->root, sizeof ret.root);
    return ret;
}

/* ---- the compiled floor ---- */

/* Intel's set of the recovery of 2024-11-12: since a year after it no service gives a lower one, on either of its
 * channels. Its lists have been number 1 since they began. */
#define INTEL_EVALUATION_MIN 18

static void raise_compiled(const rd_verdict *verdict, rd_attest_floor *ret)
{
    const rd_claims *claims = &verdict->claims;
    if (claims->class != RD_CLASS_HARDWARE || claims->tee == RD_TEE_SNP)
        return;
    ret->evaluation_number = RD_MAX(ret->evaluation_number, (uint32_t)INTEL_EVALUATION_MIN);
    ret->pck_crl_number = RD_MAX(ret->pck_crl_number, INT64_C(1));
    ret->root_crl_number = RD_MAX(ret->root_crl_number, INT64_C(1));
}

/* ---- the file ---- */

static int read_sighting(const json_t *item, size_t index RD_UNUSED, void *context, const char *pointer, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "root", RD_JSON_HEX, offsetof(sighting, root), RD_REQUIRED, .max = 32 },
        { "tee", RD_JSON_ENUM, offsetof(sighting, tee), RD_REQUIRED, .names = rd_tee_names },
        { "pck_ca", RD_JSON_ENUM, offsetof(sighting, ca), RD_REQUIRED, .names = ca_names },
        { "evaluation_number", RD_JSON_U32, offsetof(sighting, evaluation_number), RD_REQUIRED },
        { "pck_crl_number", RD_JSON_I64, offsetof(sighting, pck_crl_number), RD_REQUIRED, .max = RD_JSON_INT_MAX },
        { "root_crl_number", RD_JSON_I64, offsetof(sighting, root_crl_number), RD_REQUIRED, .max = RD_JSON_INT_MAX },
        RD_JSON_END,
    };
    sightings *into = context;
    return rd_json_read(item, fields, RD_UNKNOWN_REFUSED, pointer, &into->items[into->count++], err);
}

static int read_list(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, SEEN_MAX, pointer, read_sighting, into, err);
}

static int load(const char *path, sightings *ret, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = CLI_SEEN_TYPE },
        { "seen", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_list },
        RD_JSON_END,
    };
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size = 0;
    rd_err why = RD_ERR_INIT;
    *ret = (sightings){ .count = 0 };
    int status = cli_read_file(path, RD_JSON_SIZE_MAX, &data, &size, &why);
    if (status < 0 && why.code == RD_E_CLI_FILE)
        return 0;
    if (status == 0)
        status = rd_json_load(rd_bytes_of(data, size), NULL, fields, RD_UNKNOWN_REFUSED, ret, &why);
    if (status == 0)
        return 0;
    return rd_err_set(err, RD_E_CONFIG,
                      "%s is not what this program wrote (%s); it says which collateral is too old: take it away only "
                      "when you know who changed it",
                      path, why.text);
}

static int save(const char *path, const sightings *seen, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    json_t *list = json_array();
    for (size_t i = 0; i < seen->count; i++) {
        const sighting *one = &seen->items[i];
        json_t *item = json_object();
        rd_json_set_hex(item, "root", RD_BYTES_ARRAY(one->root));
        rd_json_set_str(item, "tee", rd_tee_names[one->tee]);
        rd_json_set_str(item, "pck_ca", ca_names[one->ca]);
        rd_json_set_int(item, "evaluation_number", one->evaluation_number);
        rd_json_set_int(item, "pck_crl_number", one->pck_crl_number);
        rd_json_set_int(item, "root_crl_number", one->root_crl_number);
        (void)json_array_append_new(list, item);
    }
    rd_json_set_str(document, "type", CLI_SEEN_TYPE);
    rd_json_set(document, "seen", list);
    RD_CLEANUP(rd_free_p) char *text = json_dumps(document, JSON_INDENT(1));
    return cli_write_file(path, text, strlen(text), 0600, err);
}

static char *path_of(const char *state_dir)
{
    return rd_asprintf("%s/collateral-seen.json", state_dir);
}

/* ---- floor and memory ---- */

/* Each number by what it counts for: a root's list, the sets of a TEE, the list of one PCK CA. */
static void raise_seen(const sightings *seen, const sighting *now, rd_attest_floor *ret)
{
    for (size_t i = 0; i < seen->count; i++) {
        const sighting *one = &seen->items[i];
        if (memcmp(one->root, now->root, sizeof now->root) != 0)
            continue;
        ret->root_crl_number = RD_MAX(ret->root_crl_number, one->root_crl_number);
        if (one->tee == now->tee)
            ret->evaluation_number = RD_MAX(ret->evaluation_number, one->evaluation_number);
        if (one->ca == now->ca)
            ret->pck_crl_number = RD_MAX(ret->pck_crl_number, one->pck_crl_number);
    }
}

int cli_seen_floor(const char *state_dir, const rd_verdict *verdict, rd_attest_floor *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) sightings *seen = rd_alloc(sizeof *seen);
    const sighting now = of_verdict(verdict);
    if (state_dir) {
        RD_CLEANUP(rd_free_p) char *path = path_of(state_dir);
        if (load(path, seen, err) < 0)
            return -1;
    }
    raise_seen(seen, &now, ret);
    raise_compiled(verdict, ret);
    return 0;
}

/* Whether anything of it is new. The oldest leaves a full list. */
static bool merge(sightings *seen, const sighting *now)
{
    sighting *same = NULL;
    for (size_t i = 0; i < seen->count && !same; i++) {
        sighting *one = &seen->items[i];
        if (one->tee == now->tee && one->ca == now->ca && memcmp(one->root, now->root, sizeof now->root) == 0)
            same = one;
    }
    if (!same) {
        if (seen->count == SEEN_MAX)
            memmove(seen->items, seen->items + 1, --seen->count * sizeof *seen->items);
        seen->items[seen->count++] = *now;
        return true;
    }
    sighting before = *same;
    same->evaluation_number = RD_MAX(before.evaluation_number, now->evaluation_number);
    same->pck_crl_number = RD_MAX(before.pck_crl_number, now->pck_crl_number);
    same->root_crl_number = RD_MAX(before.root_crl_number, now->root_crl_number);
    return same->evaluation_number > before.evaluation_number || same->pck_crl_number > before.pck_crl_number ||
           same->root_crl_number > before.root_crl_number;
}

int cli_seen_remember(const char *state_dir, const rd_verdict *verdict, rd_err *err)
{
    RD_CLEANUP(rd_free_p) sightings *seen = rd_alloc(sizeof *seen);
    RD_CLEANUP(rd_free_p) char *path = path_of(state_dir);
    RD_CLEANUP(rd_free_p) char *lock_path = rd_asprintf("%s.lock", path);
    const sighting now = of_verdict(verdict);
    if (load(path, seen, err) < 0)
        return -1;
    if (!merge(seen, &now))
        return 0;
    if (cli_make_dirs(state_dir, err) < 0)
        return -1;
    /* Read, raised and written under a lock, so that none of two who see something new is lost. */
    RD_CLEANUP(rd_close_p) int lock = open(lock_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", lock_path);
    if (load(path, seen, err) < 0)
        return -1;
    return merge(seen, &now) ? save(path, seen, err) : 0;
}
