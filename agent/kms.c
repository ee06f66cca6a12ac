#include "agent/kms.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/config.h"
#include "common/model/kms_genesis.h"

void agent_kms_init(agent_kms *kms, const char *dir, const char *run_dir)
{
    *kms = (agent_kms){ .dir = dir ? rd_strdup(dir) : NULL };
    if (dir)
        kms->socket = rd_asprintf("%s/" AGENT_KMS_SOCKET, run_dir);
}

void agent_kms_done(agent_kms *kms)
{
    free(kms->dir);
    free(kms->socket);
    free(kms->splices.buffer);
}

/* --- the order --- */

static int take_path(const char *path, const char *option, char out[AGENT_KMS_PATH_SIZE], rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *whole = realpath(path, NULL);
    const char *found = whole ? whole : path; /* a folder that is not there yet is made by the key service */
    if (found[0] != '/')
        return rd_err_set(err, RD_E_CONFIG, "%s %s must be an absolute path", option, path);
    if (snprintf(out, AGENT_KMS_PATH_SIZE, "%s", found) >= AGENT_KMS_PATH_SIZE)
        return rd_err_set(err, RD_E_CONFIG, "%s is too long", option);
    return 0;
}

static int take_key(const char *text, const char *option, char out[AGENT_KMS_KEY_TEXT], rd_err *err)
{
    uint8_t key[32];
    if (!text || rd_base64url_decode(text, strlen(text), key, sizeof key) != sizeof key)
        return rd_err_set(err, RD_E_CONFIG, "%s is not 32 bytes in base64url", option);
    memcpy(out, text, AGENT_KMS_KEY_TEXT);
    return 0;
}

static int beside_us(char out[AGENT_KMS_PATH_SIZE], rd_err *err)
{
    ssize_t size = readlink("/proc/self/exe", out, AGENT_KMS_PATH_SIZE - sizeof "/redoubt-kms");
    char *slash = size > 0 ? memrchr(out, '/', (size_t)size) : NULL;
    if (!slash)
        return rd_err_set(err, RD_E_CONFIG, "cannot tell where this program lies; name the key service: kms");
    memcpy(slash, "/redoubt-kms", sizeof "/redoubt-kms");
    return 0;
}

static int take_join(const char *text, agent_sim_kms_order *ret, rd_err *err)
{
    rd_kms_id id;
    if (!text || !text[0])
        return 0;
    if (rd_kms_id_parse(text, strlen(text), &id, err) < 0)
        return rd_err_set(err, RD_E_CONFIG, "kms-join %s is no id of a key service (kms_ and 52 characters)", text);
    rd_kms_id_format(&id, ret->join);
    return 0;
}

static int take_platforms(const rd_option_list *list, agent_sim_kms_order *ret, rd_err *err)
{
    uint8_t id[32];
    if (list->count > RD_ARRAY_LEN(ret->platforms))
        return rd_err_set(err, RD_E_CONFIG, "kms-platforms names more than %zu further machines",
                          RD_ARRAY_LEN(ret->platforms));
    for (size_t i = 0; i < list->count; i++) {
        const char *text = list->items[i];
        if (rd_hex_decode(text, strlen(text), id, sizeof id) < 0)
            return rd_err_set(err, RD_E_CONFIG, "kms-platforms: %s is not a platform id of 64 hex digits", text);
        memcpy(ret->platforms[i], text, AGENT_KMS_PLATFORM_TEXT);
    }
    ret->platforms_count = list->count;
    return 0;
}

static int take_recovery(const agent_kms_wish *wish, agent_sim_kms_order *ret, rd_err *err)
{
    size_t count = wish->recovery_keys->count;
    if (count > RD_KMS_RECOVERY_MAX || wish->recovery_threshold > count ||
        (wish->recovery_threshold == 0) != (count == 0) || wish->recovery_threshold == 1)
        return rd_err_set(err, RD_E_CONFIG,
                          "kms-recovery-threshold is how many of the kms-recovery-keys (at most %d) bring the root "
                          "back: from 2 to their number",
                          RD_KMS_RECOVERY_MAX);
    for (size_t i = 0; i < count; i++)
        if (take_key(wish->recovery_keys->items[i], "kms-recovery-keys", ret->recovery_keys[i], err) < 0)
            return -1;
    ret->recovery_count = count;
    ret->recovery_threshold = (uint32_t)wish->recovery_threshold;
    return 0;
}

int agent_kms_order(const agent_kms *kms, const agent_kms_wish *wish, agent_sim_kms_order *ret, rd_err *err)
{
    *ret = (agent_sim_kms_order){ .program = "" };
    if (take_path(kms->dir, "kms-dir", ret->dir, err) < 0 ||
        (wish->program ? take_path(wish->program, "kms", ret->program, err) : beside_us(ret->program, err)) < 0 ||
        take_join(wish->join, ret, err) < 0 || take_platforms(wish->platforms, ret, err) < 0 ||
        take_recovery(wish, ret, err) < 0)
        return -1;
    return take_key(wish->ticket_key, "kms-ticket-key", ret->ticket_key, err);
}

/* --- who it says it is --- */

json_t *agent_kms_json(const agent_kms *kms)
{
    if (!kms || !kms->dir || !kms->is_ready)
        return json_null();
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/genesis.json", kms->dir);
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    rd_kms_genesis genesis;
    rd_kms_id id;
    rd_err err = RD_ERR_INIT;
    if (rd_file_read(path, RD_JSON_SIZE_MAX, &bytes, &err) < 0 ||
        rd_kms_genesis_parse(rd_buf_bytes(&bytes), &genesis, &err) < 0) {
        rd_log(RD_ERROR, "kms_genesis", RD_ERR(&err));
        return json_null();
    }
    rd_kms_genesis_id(rd_buf_bytes(&bytes), &id);
    json_t *object = json_object();
    rd_json_set_kms_id(object, "id", &id);
    rd_json_set_b64(object, "genesis", rd_buf_bytes(&bytes));
    rd_json_set_str(object, "class", rd_class_name(genesis.class));
    return object;
}
