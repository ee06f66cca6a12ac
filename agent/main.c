#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/enrol.h"
#include "agent/launcher.h"
#include "agent/sim_pki.h"
#include "agent/state.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/config.h"

typedef struct run_config {
    agent_options agent;
    int log_level;
    bool json;
} run_config;

static const char *const levels[] = { "debug", "info", "warning", "error", NULL };
static const char *const stops[] = { "kill", "keep", "drain", NULL };

#define FIELD(member) offsetof(run_config, member)
static const rd_option options[] = {
    { "state", 0, RD_OPTION_PATH, FIELD(agent.state_dir), "/var/lib/redoubt-agent", .group = "Host",
      .help = "folder that enroll made: key, certificate, journal, blobs" },
    { "cpu-m", 0, RD_OPTION_U64, FIELD(agent.cpu_m), "0", .max = 10000000, .group = "Capacity",
      .help = "thousandths of cores to offer; 0: all" },
    { "memory", 0, RD_OPTION_SIZE, FIELD(agent.memory_bytes), "0", .group = "Capacity",
      .help = "memory to offer; 0: four fifths" },
    { "slots", 0, RD_OPTION_U64, FIELD(agent.slots), "0", .max = 4096, .group = "Capacity",
      .help = "enclaves at once; 0: by memory" },
    { "enclave", 0, RD_OPTION_PATH, FIELD(agent.enclave), NULL, .group = "Enclaves",
      .help = "the redoubt-enclave binary; default: beside this program" },
    { "enclave-jsc", 0, RD_OPTION_STRING, FIELD(agent.enclave_jsc), "auto", .group = "Enclaves",
      .help =
          "the same with the engine JavaScriptCore; auto: redoubt-enclave-jsc beside the other, when it is there; off: "
          "this host runs no release with engine jsc" },
    { "pool", 0, RD_OPTION_U64, FIELD(agent.pool), "2", .max = 64, .group = "Enclaves",
      .help = "blank enclaves kept ready; 0 launches on demand" },
    { "cgroup", 0, RD_OPTION_STRING, FIELD(agent.cgroup), "auto", .group = "Enclaves",
      .help = "auto, off, or a folder below which groups are made" },
    { "insecure-unsandboxed", 0, RD_OPTION_BOOL, FIELD(agent.insecure_unsandboxed), "false", .group = "Enclaves",
      .help = "run enclaves where namespaces or seccomp are missing" },
    { "egress-allow", 0, RD_OPTION_LIST, FIELD(agent.egress_allow), NULL, .group = "Enclaves",
      .help =
          "private, loopback or other closed address ranges that functions may reach when their release declares it, "
          "e.g. 10.1.0.0/16; default: none" },
    { "kms-dir", 0, RD_OPTION_PATH, FIELD(agent.kms_dir), NULL, .group = "Key service",
      .help = "folder of a key service that runs beside the enclaves (absolute; made when it is not there); default: "
              "none" },
    { "kms", 0, RD_OPTION_PATH, FIELD(agent.kms), NULL, .group = "Key service",
      .help = "the redoubt-kms binary; default: beside this program" },
    { "kms-ticket-key", 0, RD_OPTION_STRING, FIELD(agent.kms_ticket_key), NULL, .group = "Key service",
      .help = "the control plane's record key (record_key of GET /v1/version): it says which starts are wanted" },
    { "kms-join", 0, RD_OPTION_STRING, FIELD(agent.kms_join), NULL, .group = "Key service",
      .help = "a folder without a root waits for that of this key service (kms_…), which runs on another host already: "
              "redoubt kms join brings it; default: a new key service is made" },
    { "kms-platforms", 0, RD_OPTION_LIST, FIELD(agent.kms_platforms), NULL, .group = "Key service",
      .help = "of a new key service: the other machines that may ever carry it, at most six platform ids (platform of "
              "GET /v1/hosts/{host}); they stand in its genesis, which never changes; default: this machine alone" },
    { "kms-recovery-keys", 0, RD_OPTION_LIST, FIELD(agent.kms_recovery_keys), NULL, .group = "Key service",
      .help = "of a new key service: the holders of recovery shares, at most 16 keys of redoubt kms recovery-key; the "
              "sealed shares are then in recovery.json of kms-dir: keep copies elsewhere; default: no recovery" },
    { "kms-recovery-threshold", 0, RD_OPTION_U64, FIELD(agent.kms_recovery_threshold), "0", .max = 16,
      .group = "Key service",
      .help = "how many of the holders bring the root back, when kms-recovery-keys is given: two at least" },
    { "on-stop", 0, RD_OPTION_ENUM, FIELD(agent.on_stop), "kill", .names = stops, .group = "Stopping",
      .help = "what happens to enclaves at an orderly stop: kill, keep (the next agent adopts them), drain" },
    { "drain-timeout", 0, RD_OPTION_DURATION, FIELD(agent.drain_timeout_us), "30s", .group = "Stopping",
      .help = "how long a drain may take" },
    { "blob-cache", 0, RD_OPTION_SIZE, FIELD(agent.blob_bytes), "1GiB", .group = "Storage",
      .help = "most bytes of code and documents kept" },
    { "journal-size", 0, RD_OPTION_SIZE, FIELD(agent.journal_bytes), "64MiB", .group = "Storage",
      .help = "most bytes of the journal" },
    { "link-address", 0, RD_OPTION_STRING, FIELD(agent.link_address), NULL, .group = "Link",
      .help = "where the control plane takes links, HOST:PORT,…, when it has moved; default: what enrolment named" },
    { "dial-jitter", 0, RD_OPTION_DURATION, FIELD(agent.dial_jitter_us), "2s", .group = "Link",
      .help = "longest random wait before a first dial, so that a fleet does not come back at once" },
    { "log-level", 0, RD_OPTION_ENUM, FIELD(log_level), "info", .names = levels, .group = "Logging",
      .help = "lowest level written" },
    { "json", 0, RD_OPTION_BOOL, FIELD(json), "false", .flags = RD_OPTION_FLAG_ONLY, .group = "status",
      .help = "print status as JSON" },
};

static const rd_config_spec spec = {
    .program = "redoubt-agent",
    .process = "AGENT",
    .summary = "makes a TEE machine a host: launches enclaves, splices bytes, streams status and evidence",
    .usage = "[run | status | enroll --api URL --token T | measure [PATH] | sim-pki create|refresh|platform --dir D] "
             "[options]",
    .options = options,
    .count = RD_ARRAY_LEN(options),
    .values_size = sizeof(run_config),
    .file_standard = "/etc/redoubt/agent.conf",
};

/* The file of an agent that was killed is still there: its process must be, and be an agent. */
static bool is_running(const json_t *document)
{
    char path[64], name[32] = "";
    (void)snprintf(path, sizeof path, "/proc/%lld/comm",
                   (long long)json_integer_value(json_object_get(document, "pid")));
    FILE *file = fopen(path, "re");
    bool is_agent = file && fgets(name, sizeof name, file) && strcmp(name, "redoubt-agent\n") == 0;
    if (file)
        (void)fclose(file);
    return is_agent;
}

static int read_status(const agent_state *state, rd_buf *content, json_t **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = agent_state_path(state, AGENT_FILE_STATUS);
    if (access(path, F_OK) == 0 && agent_state_read(state, AGENT_FILE_STATUS, content, err) < 0)
        return -1;
    *ret = json_loadb((const char *)content->data, content->size, 0, NULL);
    if (*ret && is_running(*ret))
        return 0;
    return rd_err_set(err, RD_E_UNAVAILABLE, "no agent runs with state folder %s", state->dir);
}

static int print_status(const run_config *config, rd_err *err)
{
    agent_state state = { 0 };
    rd_buf content = { 0 };
    int status = agent_state_open(config->agent.state_dir, false, &state, err);
    json_t *document = NULL;
    if (status == 0)
        status = read_status(&state, &content, &document, err);
    const char *name;
    json_t *value;
    if (status == 0 && config->json)
        (void)printf("%s\n", rd_buf_text(&content));
    else if (status == 0)
        json_object_foreach(document, name, value)
        {
            RD_CLEANUP(rd_free_p)
            char *text =
                json_is_string(value) ? rd_strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);
            (void)printf("%-13s %s\n", name, text);
        }
    json_decref(document);
    rd_buf_done(&content);
    agent_state_done(&state);
    return status;
}

static int dispatch(const rd_config *config, rd_err *err)
{
    const run_config *values = rd_config_values(config);
    const char *verb = rd_config_positional(config, 0);
    rd_log_init("redoubt-agent", (rd_log_level)values->log_level, 2);
    const char *extra = rd_config_positional(config, 1);
    if (extra)
        return rd_err_set(err, RD_E_USAGE, "%s takes no argument %s", verb, extra);
    if (!verb || strcmp(verb, "run") == 0)
        return agent_run(&values->agent, err);
    if (strcmp(verb, "status") == 0)
        return print_status(values, err);
    return rd_err_set(err, RD_E_USAGE, "unknown command %s: run, status, enroll, measure or sim-pki", verb);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *verb;
        int (*run)(int argc, char **argv);
    } verbs[] = { { "enroll", agent_enrol_main },
                  { "measure", agent_measure_main },
                  { "sim-pki", agent_sim_pki_main },
                  { "sim-tee", agent_sim_tee_main } };
    for (size_t i = 0; argc > 1 && i < RD_ARRAY_LEN(verbs); i++)
        if (strcmp(argv[1], verbs[i].verb) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_config_free_p) rd_config *config = NULL;
    int outcome = rd_config_load(&spec, argc, argv, &config, &err);
    if (outcome == RD_CONFIG_DONE)
        return 0;
    if (outcome == RD_CONFIG_RUN && dispatch(config, &err) == 0)
        return 0;
    (void)fprintf(stderr, "error: %s\n", err.text);
    if (rd_code_describe(err.code)->hint[0])
        (void)fprintf(stderr, "  hint   %s\n", rd_code_describe(err.code)->hint);
    return rd_code_describe(err.code)->exit_code;
}
