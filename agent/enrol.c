#include "agent/enrol.h"

#include "agent/machine.h"
#include "agent/measure.h"
#include "agent/sim_quoter.h"
#include "agent/state.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509_issue.h"
#include "common/io/config.h"
#include "common/model/evidence.h"
#include "common/model/json.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX  ((size_t)256 << 10)
#define TRIES       5
#define TIMEOUT_S   30L
#define CONNECT_S   10L
#define WAIT_MAX_MS 8000

typedef struct options {
    const char *api, *token, *token_file, *state, *name, *sim_platform, *enclave, *ca;
    uint64_t cpu_m, memory_bytes, slots;
    bool is_simulated;
    bool may_replace;
} options;

#define OPTION(field) offsetof(options, field)

static const rd_option rows[] = {
    { "api", 0, RD_OPTION_STRING, OPTION(api), NULL, 0, 0, NULL, RD_OPTION_REQUIRED, "Enrolment",
      "the control plane, for example https://api.example.net" },
    { "token", 0, RD_OPTION_STRING, OPTION(token), NULL, 0, 0, NULL, RD_OPTION_FLAG_ONLY | RD_OPTION_SECRET,
      "Enrolment", "the one-time token of `redoubt enroll-token`" },
    { "token-file", 0, RD_OPTION_PATH, OPTION(token_file), NULL, 0, 0, NULL, 0, "Enrolment",
      "a file that holds the token, so that it stays out of the process list" },
    { "state", 0, RD_OPTION_PATH, OPTION(state), "/var/lib/redoubt-agent", 0, 0, NULL, 0, "Enrolment",
      "folder for key, certificate and journal" },
    { "name", 0, RD_OPTION_STRING, OPTION(name), NULL, 0, 0, NULL, 0, "Enrolment",
      "what people call this host; default: the host name" },
    { "replace", 0, RD_OPTION_BOOL, OPTION(may_replace), NULL, 0, 0, NULL, RD_OPTION_FLAG_ONLY, "Enrolment",
      "enrol again although the folder belongs to an enrolled host" },
    { "api-ca", 0, RD_OPTION_PATH, OPTION(ca), NULL, 0, 0, NULL, 0, "Enrolment",
      "PEM file of the CA of the control plane's HTTPS; default: the system's" },
    { "cpu-m", 0, RD_OPTION_U64, OPTION(cpu_m), NULL, 0, 0, NULL, 0, "Capacity",
      "thousandths of a core to offer; default: all cores" },
    { "memory", 0, RD_OPTION_SIZE, OPTION(memory_bytes), NULL, 0, 0, NULL, 0, "Capacity",
      "memory to offer; default: four fifths" },
    { "slots", 0, RD_OPTION_U64, OPTION(slots), NULL, 0, 0, NULL, 0, "Capacity",
      "instances at a time; default: by memory" },
    { "simulated", 0, RD_OPTION_BOOL, OPTION(is_simulated), NULL, 0, 0, NULL, RD_OPTION_FLAG_ONLY, "Simulation",
      "enrol a SIMULATED host: everything is checked, nothing is confidential" },
    { "sim-platform", 0, RD_OPTION_PATH, OPTION(sim_platform), NULL, 0, 0, NULL, 0, "Simulation",
      "platform folder of `redoubt-agent sim-pki platform`; implies --simulated" },
    { "enclave", 0, RD_OPTION_PATH, OPTION(enclave), NULL, 0, 0, NULL, 0, "Simulation",
      "the redoubt-enclave binary to measure; default: beside this program" },
};

static const rd_config_spec spec = {
    .program = "redoubt-agent enroll",
    .process = "AGENT",
    .summary = "make this machine a host of a control plane",
    .usage = "--api URL --token TOKEN [options]",
    .options = rows,
    .count = RD_ARRAY_LEN(rows),
    .values_size = sizeof(options),
};

/* ---- what is sent ---- */

static int copy_file(const char *from_dir, const char *to_dir, const char *name, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *from = rd_asprintf("%s/%s", from_dir, name);
    RD_CLEANUP(rd_free_p) char *to = rd_asprintf("%s/%s", to_dir, name);
    rd_buf content = { 0 };
    if (rd_file_read(from, (size_t)1 << 20, &content, err) < 0)
        return -1;
    int rc = rd_file_write_atomic(to, content.data, content.size, 0600, err);
    rd_buf_wipe(&content);
    return rc;
}

static int copy_platform(const agent_state *state, const char *from, rd_err *err)
{
    static const char *const names[] = { "pck.key", "pck-chain.pem", "collateral.json" };
    RD_CLEANUP(rd_free_p) char *to = agent_state_path(state, AGENT_DIR_PLATFORM);
    if (mkdir(to, 0700) < 0 && errno != EEXIST)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", to);
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++)
        if (copy_file(from, to, names[i], err) < 0)
            return rd_err_wrap(err, "simulated platform");
    return 0;
}

/* The enclave's measurement where the binary is at hand, else zero: evidence of purpose enrol speaks of the platform.
 */
static void measure_enclave(const char *enclave, uint8_t mrtd[48])
{
    char path[4096];
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_close_p) int fd = -1;
    if (agent_enclave_path(enclave, path, sizeof path, &err) < 0 || agent_measure_open(path, &fd, mrtd, &err) < 0)
        memset(mrtd, 0, 48);
}

/* The nonce is the token's hash: the evidence was made for this enrolment and no other. */
static int make_evidence(const agent_state *state, const options *with, const char *token, const rd_p256_key *key,
                         rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *platform = agent_state_path(state, AGENT_DIR_PLATFORM);
    RD_CLEANUP(agent_sim_quoter_free_p) agent_sim_quoter *quoter = NULL;
    RD_CLEANUP(agent_sim_door_free_p) agent_sim_door *door = NULL;
    if (agent_sim_quoter_open(platform, &quoter, err) < 0)
        return rd_err_wrap(err, "simulated platform");
    agent_sim_launch launch = { 0 };
    measure_enclave(with->enclave, launch.mrtd);
    door = agent_sim_door_new(quoter, &launch);
    rd_statement statement = { .purpose = RD_PURPOSE_ENROL, .class = RD_CLASS_SIMULATED, .has_tls = true };
    rd_sha256(rd_bytes_str(token), statement.nonce);
    rd_p256_key_spki_digest(key, statement.tls);
    RD_CLEANUP(rd_buf_done) rd_buf canonical = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf quote = { 0 };
    uint8_t report_data[RD_REPORT_DATA_SIZE];
    if (rd_statement_encode(&statement, &canonical, err) < 0)
        return -1;
    rd_statement_report_data(rd_buf_bytes(&canonical), report_data);
    if (agent_sim_door_quote(door, report_data, &quote, err) < 0)
        return -1;
    return rd_evidence_encode(rd_buf_bytes(&quote), rd_buf_bytes(&canonical), NULL, NULL, out, err);
}

static int load_or_make_key(const agent_state *state, rd_p256_key **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = agent_state_path(state, AGENT_FILE_KEY);
    rd_buf pem = { 0 };
    int rc;
    if (access(path, F_OK) == 0) { /* of a try that did not come through: the same key may go on */
        rc = rd_file_read(path, 4096, &pem, err);
        if (rc == 0)
            rc = rd_p256_key_from_pem(rd_buf_bytes(&pem), ret, err);
    } else {
        *ret = rd_p256_key_new();
        rc = rd_p256_key_to_pem(*ret, &pem, err);
        if (rc == 0)
            rc = agent_state_write(state, AGENT_FILE_KEY, rd_buf_bytes(&pem), err);
    }
    rd_buf_wipe(&pem);
    return rc;
}

static agent_capacity offered(const options *with)
{
    agent_capacity all = agent_machine_capacity();
    return (agent_capacity){ .cpu_m = with->cpu_m ? with->cpu_m : all.cpu_m,
                             .memory_bytes = with->memory_bytes ? with->memory_bytes : all.memory_bytes,
                             .slots = with->slots ? with->slots : all.slots };
}

static int make_request(const agent_state *state, const options *with, const char *token, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *key = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf csr = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf evidence = { .size_max = RD_EVIDENCE_SIZE_MAX };
    if (load_or_make_key(state, &key, err) < 0 || rd_csr_create(key, "redoubt host", &csr, err) < 0 ||
        make_evidence(state, with, token, key, &evidence, err) < 0)
        return -1;
    agent_capacity capacity = offered(with);
    json_t *numbers = json_object();
    rd_json_set_int(numbers, "cpu_m", (int64_t)capacity.cpu_m);
    rd_json_set_int(numbers, "memory_bytes", (int64_t)capacity.memory_bytes);
    rd_json_set_int(numbers, "slots", (int64_t)capacity.slots);
    json_t *object = json_object();
    rd_json_set_str(object, "token", token);
    rd_json_set_str(object, "csr", rd_buf_text(&csr));
    rd_json_set_b64(object, "evidence", rd_buf_bytes(&evidence));
    rd_json_set(object, "capacity", numbers);
    rd_json_set_str(object, "name", state->name);
    (void)rd_json_dump(object, out);
    json_decref(object);
    return 0;
}

/* ---- sending ---- */

typedef struct exchange {
    rd_buf body;
    long status;
    int64_t retry_after_ms;
} exchange;

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    exchange *answer = context;
    return rd_buf_append(&answer->body, data, size * count) ? size * count : 0;
}

static CURLcode post(const options *with, rd_bytes body, exchange *answer)
{
    CURL *curl = curl_easy_init();
    if (!curl)
        return CURLE_OUT_OF_MEMORY;
    RD_CLEANUP(rd_free_p) char *url = rd_asprintf("%s/v1/enroll", with->api);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    answer->body.size_max = ANSWER_MAX;
    rd_buf_clear(&answer->body);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)body.data);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "redoubt-agent/" REDOUBT_VERSION);
    if (with->ca)
        (void)curl_easy_setopt(curl, CURLOPT_CAINFO, with->ca);
    CURLcode rc = curl_easy_perform(curl);
    curl_off_t retry_s = 0;
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    (void)curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_s);
    answer->retry_after_ms = (int64_t)retry_s * 1000;
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return rc;
}

/* Only while no byte of the request can have been acted on. */
static bool is_safe_to_repeat(CURLcode rc, const exchange *answer)
{
    if (rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_CONNECT)
        return true;
    return rc == CURLE_OK && (answer->status == 429 || (answer->status == 503 && answer->retry_after_ms > 0));
}

static void wait_ms(int64_t ms)
{
    const struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000 };
    (void)nanosleep(&pause, NULL); /* between two tries of a command line: there is no event to wait for */
}

static int refused(const exchange *answer, rd_err *err)
{
    rd_bytes text = rd_bytes_of(answer->body.data, answer->body.size);
    RD_CLEANUP(rd_json_free_p) json_t *problem = NULL;
    rd_err parsing = RD_ERR_INIT;
    const char *code = NULL, *detail = NULL;
    if (rd_json_parse(text, NULL, &problem, &parsing) == 0) {
        code = json_string_value(json_object_get(problem, "code"));
        detail = json_string_value(json_object_get(problem, "detail"));
    }
    rd_code known = code ? rd_code_by_name(code) : RD_OK;
    return rd_err_set(err, known == RD_OK ? RD_E_UNAVAILABLE : known, "the control plane refused (%ld %.60s): %.300s",
                      answer->status, code ? code : "", detail ? detail : "no reason given");
}

static int send_request(const options *with, rd_bytes body, exchange *answer, rd_err *err)
{
    int64_t wait = 500;
    CURLcode rc = CURLE_OK;
    for (int try = 1;; try++) {
        rc = post(with, body, answer);
        if (rc == CURLE_OK && answer->status == 201)
            return 0;
        if (!is_safe_to_repeat(rc, answer) || try == TRIES)
            break;
        fprintf(stderr, "  waiting       %s\n", rc == CURLE_OK ? "the control plane is busy" : curl_easy_strerror(rc));
        wait_ms(RD_MIN(RD_MAX(wait, answer->retry_after_ms), (int64_t)WAIT_MAX_MS));
        wait *= 2;
    }
    if (rc == CURLE_OK)
        return refused(answer, err);
    bool was_sent = rc != CURLE_COULDNT_RESOLVE_HOST && rc != CURLE_COULDNT_CONNECT;
    return rd_err_set(err, RD_E_UNAVAILABLE, "cannot reach %s: %s%s", with->api, curl_easy_strerror(rc),
                      was_sent ? "; the token may be used up: ask for a new one" : "");
}

/* ---- what comes back ---- */

typedef struct reply {
    char *host, *certificate, *ca, *link, *plane_id, *expires;
} reply;

static const rd_json_field reply_fields[] = {
    { .name = "host", .kind = RD_JSON_STRING, .offset = offsetof(reply, host), .min = 30, .max = 30 },
    { .name = "certificate", .kind = RD_JSON_STRING, .offset = offsetof(reply, certificate), .min = 1, .max = 65536 },
    { .name = "ca", .kind = RD_JSON_STRING, .offset = offsetof(reply, ca), .min = 1, .max = 65536 },
    { .name = "link", .kind = RD_JSON_STRING, .offset = offsetof(reply, link), .min = 1, .max = 4096 },
    { .name = "plane_id", .kind = RD_JSON_STRING, .offset = offsetof(reply, plane_id), .min = 1, .max = 256 },
    { .name = "expires", .kind = RD_JSON_STRING, .offset = offsetof(reply, expires), .min = 1, .max = 64 },
    RD_JSON_END,
};

static void reply_done(reply *r)
{
    free(r->host);
    free(r->certificate);
    free(r->ca);
    free(r->link);
    free(r->plane_id);
    free(r->expires);
}

static int keep_reply(agent_state *state, const reply *r, rd_err *err)
{
    rd_id host;
    if (rd_id_parse(RD_PREFIX_HOST, r->host, strlen(r->host), &host, err) < 0 ||
        agent_state_write(state, AGENT_FILE_CERTIFICATE, rd_bytes_str(r->certificate), err) < 0 ||
        agent_state_write(state, AGENT_FILE_CA, rd_bytes_str(r->ca), err) < 0)
        return rd_err_wrap(err, "the control plane's answer");
    memcpy(state->host, r->host, sizeof state->host);
    free(state->link);
    free(state->plane_id);
    state->link = rd_strdup(r->link);
    state->plane_id = rd_strdup(r->plane_id);
    return agent_state_save(state, err); /* last: its presence says that enrolment is complete */
}

static int take_reply(agent_state *state, const exchange *answer, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = ANSWER_MAX };
    reply r = { 0 };
    int rc = rd_json_load(rd_bytes_of(answer->body.data, answer->body.size), &limits, reply_fields, RD_UNKNOWN_IGNORED,
                          &r, err);
    if (rc == 0)
        rc = keep_reply(state, &r, err);
    if (rc == 0) {
        printf("  host          %s   certificate until %s, renews itself\n", r.host, r.expires);
        printf("  link          %s\n", r.link);
    }
    reply_done(&r);
    return rc;
}

/* ---- command ---- */

/* Before anything is written. */
static int check_platform(const options *with, rd_err *err)
{
    if (!with->sim_platform && !with->is_simulated)
        return agent_machine_tee(err);
    if (!with->sim_platform)
        return rd_err_set(err, RD_E_USAGE,
                          "a simulated host needs --sim-platform DIR (redoubt-agent sim-pki platform)");
    return 0;
}

static int prepare(agent_state *state, const options *with, rd_err *err)
{
    if (state->host[0] && !with->may_replace)
        return rd_err_set(err, RD_E_CONFIG, "%s is enrolled as %s already; --replace enrols it anew", state->dir,
                          state->host);
    char name[256] = "";
    (void)gethostname(name, sizeof name - 1);
    free(state->name);
    free(state->api);
    state->name = rd_strdup(with->name ? with->name : name);
    state->api = rd_strdup(with->api);
    state->is_simulated = true;
    return copy_platform(state, with->sim_platform, err);
}

static int read_token(const options *with, rd_buf *out, rd_err *err)
{
    if (with->token)
        return rd_buf_append_str(out, with->token) ? 0 : -1;
    if (!with->token_file)
        return rd_err_set(err, RD_E_USAGE, "--token or --token-file is needed");
    if (rd_file_read(with->token_file, 4096, out, err) < 0)
        return -1;
    while (out->size > 0 && (out->data[out->size - 1] == '\n' || out->data[out->size - 1] == ' '))
        out->size--;
    return 0;
}

static int enrol(const options *with, rd_err *err)
{
    agent_state state = { 0 };
    rd_buf token = { 0 };
    rd_buf request = { 0 };
    exchange answer = { 0 };
    int rc = check_platform(with, err);
    if (rc == 0)
        rc = read_token(with, &token, err);
    if (rc == 0)
        rc = agent_state_open(with->state, true, &state, err);
    if (rc == 0)
        rc = prepare(&state, with, err);
    if (rc == 0) {
        printf("  hardware      none used: SIMULATED, not confidential\n");
        rc = make_request(&state, with, rd_buf_text(&token), &request, err);
    }
    if (rc == 0) {
        printf("  key           made here, never leaves\n");
        rc = send_request(with, rd_buf_bytes(&request), &answer, err);
    }
    if (rc == 0) {
        printf("  evidence      simulated TDX v4, verified by the control plane\n");
        rc = take_reply(&state, &answer, err);
    }
    rd_buf_wipe(&token);
    rd_buf_wipe(&request);
    rd_buf_done(&answer.body);
    agent_state_done(&state);
    return rc;
}

int agent_enrol_main(int argc, char **argv)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_config_free_p) rd_config *config = NULL;
    int rc = rd_config_load(&spec, argc, argv, &config, &err);
    if (rc == RD_CONFIG_DONE)
        return 0;
    if (rc == RD_CONFIG_RUN) {
        const options *with = rd_config_values(config);
        (void)curl_global_init(CURL_GLOBAL_DEFAULT);
        rc = enrol(with, &err);
        curl_global_cleanup();
        if (rc == 0) {
            printf("Start it: redoubt-agent run --state %s\n", with->state);
            return 0;
        }
    }
    const rd_code_info *info = rd_code_describe(err.code);
    fprintf(stderr, "error: %s\n", err.text);
    if (info->hint[0])
        fprintf(stderr, "  hint   %s\n", info->hint);
    if (err.code == RD_E_NO_TEE)
        fprintf(stderr, "         a simulated host: --sim-platform DIR (not confidential, and shown as such)\n");
    fprintf(stderr, "  code   %s\n", info->name);
    return info->exit_code;
}
