#include "agent/state.h"

#include "common/base/mem.h"
#include "common/io/config.h"
#include "common/model/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)256 << 10)

char *agent_state_path(const agent_state *state, const char *name)
{
    return rd_asprintf("%s/%s", state->dir, name);
}

int agent_state_read(const agent_state *state, const char *name, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = agent_state_path(state, name);
    return rd_file_read(path, FILE_MAX, out, err);
}

int agent_state_write(const agent_state *state, const char *name, rd_bytes content, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = agent_state_path(state, name);
    return rd_file_write_atomic(path, content.data, content.size, 0600, err);
}

typedef struct host_file {
    char host[RD_ID_TEXT_SIZE];
    char *link, *plane_id, *api, *name;
    bool is_simulated;
} host_file;

static const rd_json_field host_fields[] = {
    { .name = "host",
      .kind = RD_JSON_TEXT,
      .offset = offsetof(host_file, host),
      .min = RD_ID_TEXT_SIZE - 1,
      .max = RD_ID_TEXT_SIZE - 1 },
    { .name = "link", .kind = RD_JSON_STRING, .offset = offsetof(host_file, link), .min = 1, .max = 4096 },
    { .name = "plane_id", .kind = RD_JSON_STRING, .offset = offsetof(host_file, plane_id), .max = 256 },
    { .name = "api", .kind = RD_JSON_STRING, .offset = offsetof(host_file, api), .max = 2048 },
    { .name = "name", .kind = RD_JSON_STRING, .offset = offsetof(host_file, name), .max = 256 },
    { .name = "simulated", .kind = RD_JSON_BOOL, .offset = offsetof(host_file, is_simulated) },
    RD_JSON_END,
};

static int read_host(agent_state *state, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = agent_state_path(state, AGENT_FILE_HOST);
    if (access(path, F_OK) != 0)
        return 0;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    host_file file = { 0 };
    int rc = agent_state_read(state, AGENT_FILE_HOST, &text, err);
    if (rc == 0)
        rc = rd_json_load(rd_buf_bytes(&text), NULL, host_fields, RD_UNKNOWN_IGNORED, &file, err);
    if (rc == 0) {
        memcpy(state->host, file.host, sizeof state->host);
        state->is_simulated = file.is_simulated;
    }
    state->link = file.link;
    state->plane_id = file.plane_id;
    state->api = file.api;
    state->name = file.name;
    return rc < 0 ? rd_err_wrap(err, "%s", path) : 0;
}

int agent_state_open(const char *dir, bool may_create, agent_state *ret, rd_err *err)
{
    if (may_create && mkdir(dir, 0700) < 0 && errno != EEXIST)
        return rd_err_set_errno(err, RD_E_CONFIG, errno, "state folder %s", dir);
    struct stat status;
    if (stat(dir, &status) < 0)
        return rd_err_set_errno(err, RD_E_CONFIG, errno, "state folder %s", dir);
    if (!S_ISDIR(status.st_mode) || (status.st_mode & 077))
        return rd_err_set(err, RD_E_CONFIG, "state folder %s: must be a folder of mode 0700, as it holds a key", dir);
    agent_state state = { .dir = rd_strdup(dir) };
    if (read_host(&state, err) < 0) {
        agent_state_done(&state);
        return -1;
    }
    *ret = state;
    return 0;
}

void agent_state_done(agent_state *state)
{
    free(state->dir);
    free(state->link);
    free(state->plane_id);
    free(state->api);
    free(state->name);
    *state = (agent_state){ 0 };
}

int agent_state_save(const agent_state *state, rd_err *err)
{
    json_t *object = json_object();
    rd_json_set_str(object, "host", state->host);
    rd_json_set_str(object, "link", state->link);
    rd_json_set_str(object, "plane_id", state->plane_id);
    rd_json_set_str(object, "api", state->api);
    rd_json_set_str(object, "name", state->name);
    rd_json_set_bool(object, "simulated", state->is_simulated);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    (void)rd_json_dump(object, &text);
    json_decref(object);
    (void)rd_buf_append_u8(&text, '\n');
    return agent_state_write(state, AGENT_FILE_HOST, rd_buf_bytes(&text), err);
}
