#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "api/apps_listener.h"
#include "api/auth.h"
#include "api/collateral.h"
#include "api/limits.h"
#include "api/links.h"
#include "api/metrics.h"
#include "api/plane.h"
#include "api/refresh.h"
#include "api/refresh_fetch.h"
#include "api/routes.h"
#include "api/server.h"
#include "api/static.h"
#include "api/store_orgs.h"
#include "attest/attest.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "common/data/migrate.h"
#include "common/data/redis.h"
#include "common/io/config.h"
#include "common/io/loop.h"

#define PEM_MAX ((size_t)256 << 10)

static const char *const levels[] = { "debug", "info", "warning", "error", NULL };

#define FIELD(member) offsetof(api_config, member)
static const rd_option options[] = {
    { "listen", 0, RD_OPTION_STRING, FIELD(listen), "127.0.0.1:8080", .group = "Listening",
      .help = "address of the REST API and the dashboard" },
    { "apps-listen", 0, RD_OPTION_STRING, FIELD(apps_listen), "127.0.0.1:8081", .group = "Listening",
      .help = "address of the applications' origins; empty: off" },
    { "apps-domain", 0, RD_OPTION_STRING, FIELD(apps_domain), "apps.localhost", .group = "Listening",
      .help = "applications are reached at app-<id>.<this domain>" },
    { "passthrough-listen", 0, RD_OPTION_STRING, FIELD(passthrough_listen), NULL, .group = "Listening",
      .help = "address of TLS connections to applications that end inside their enclaves; without it there are none" },
    { "public-url", 0, RD_OPTION_STRING, FIELD(public_url), "http://127.0.0.1:8080", .group = "Listening",
      .help = "how people reach the API, without a final slash" },
    { "link-listen", 0, RD_OPTION_STRING, FIELD(link_listen), "127.0.0.1:8082", .group = "Listening",
      .help = "address that agents dial; empty: off" },
    { "link-address", 0, RD_OPTION_STRING, FIELD(link_address), "127.0.0.1:8082", .group = "Listening",
      .help = "address that enrolment tells agents to dial" },
    { "peer-address", 0, RD_OPTION_STRING, FIELD(peer_address), NULL, .group = "Listening",
      .help = "address of the link port that other replicas dial to forward calls; without it the one of link-listen" },
    { "tls-cert", 0, RD_OPTION_PATH, FIELD(tls_cert), NULL, .group = "Listening",
      .help = "certificate chain of the API in PEM; without it the API speaks plain HTTP" },
    { "tls-key", 0, RD_OPTION_PATH, FIELD(tls_key), NULL, .group = "Listening", .help = "its private key in PEM" },
    { "database", 0, RD_OPTION_STRING, FIELD(database), "dbname=redoubt", .flags = RD_OPTION_SECRET, .group = "Data",
      .help = "libpq connection string; roles rd_api and rd_ingest log in" },
    { "redis", 0, RD_OPTION_STRING, FIELD(redis), "127.0.0.1:6379", .group = "Data",
      .help = "host:port with a numeric host, or unix:/path" },
    { "blob-dir", 0, RD_OPTION_PATH, FIELD(blob_dir), "blobs", .group = "Data", .help = "folder of code bundles" },
    { "state", 0, RD_OPTION_PATH, FIELD(state_dir), "state", .group = "Data",
      .help = "folder of the plane's identity: CA and key (redoubt-api init makes it)" },
    { "collateral", 0, RD_OPTION_PATH, FIELD(collateral), NULL, .group = "Trust",
      .help =
          "file with a collateral set, offered to the plane at the start; taken unless older than what was in use" },
    { "collateral-pcs", 0, RD_OPTION_STRING, FIELD(collateral_pcs), NULL, .group = "Trust",
      .help = "address of Intel's service or of a mirror of it (PCCS) that the plane fetches collateral from; without "
              "it none of Intel's is fetched" },
    { "collateral-kds", 0, RD_OPTION_STRING, FIELD(collateral_kds), NULL, .group = "Trust",
      .help = "the same for AMD's service or a mirror of it" },
    { "collateral-root-crl", 0, RD_OPTION_STRING, FIELD(collateral_root_crl), NULL, .group = "Trust",
      .help = "where the list of Intel's root lies; without it the service's own rootcacrl" },
    { "collateral-scopes", 0, RD_OPTION_STRING, FIELD(collateral_scopes), NULL, .group = "Trust",
      .help = "platforms to fetch for beside those that the set in use covers: tdx:FMSPC, sgx:FMSPC, snp:PRODUCT, "
              "separated by commas" },
    { "collateral-ca", 0, RD_OPTION_PATH, FIELD(collateral_ca), NULL, .group = "Trust",
      .help = "PEM of the CA of these services' certificates; without it the system's" },
    { "collateral-tls12", 0, RD_OPTION_BOOL, FIELD(collateral_tls12), NULL, .group = "Trust",
      .help = "allow TLS 1.2, for a service that has no 1.3" },
    { "runtime-measurement", 0, RD_OPTION_STRING, FIELD(runtime_measurement), NULL, .group = "Trust",
      .help = "MRTD that /v1/version names for simulated apps which a browser signs, 96 hex digits; nothing here "
              "believes it" },
    { "simulation-root", 0, RD_OPTION_STRING, FIELD(simulation_root), NULL, .group = "Trust",
      .help = "SHA-256 of the simulation PKI's root, 64 hex digits; without it simulated hosts cannot enrol" },
    { "web-dir", 0, RD_OPTION_PATH, FIELD(web_dir), "web-static", .group = "Dashboard",
      .help = "folder of the dashboard's files" },
    { "workers", 0, RD_OPTION_U64, FIELD(workers), "4", .min = 1, .max = 64, .group = "Limits",
      .help = "threads for requests that need PostgreSQL, one connection each" },
    { "body-memory", 0, RD_OPTION_SIZE, FIELD(body_memory), "256MiB", .min = 1 << 20, .max = UINT64_C(1) << 40,
      .group = "Limits",
      .help = "memory for request bodies, for the REST API and for applications each; of it an app, an organisation or "
              "an address holds at most as much as is free" },
    { "log-level", 0, RD_OPTION_ENUM, FIELD(log_level), "info", .names = levels, .group = "Logging",
      .help = "lowest level written" },
    { "org", 0, RD_OPTION_STRING, FIELD(org), NULL, .flags = RD_OPTION_FLAG_ONLY, .group = "bootstrap",
      .help = "name of the first organisation" },
    { "user", 0, RD_OPTION_STRING, FIELD(user), NULL, .flags = RD_OPTION_FLAG_ONLY, .group = "bootstrap",
      .help = "name of its first user" },
};

static int check_options(const void *values, rd_err *err)
{
    const api_config *c = values;
    if (!c->tls_cert != !c->tls_key)
        return rd_err_set(err, RD_E_CONFIG, "tls-cert and tls-key go together");
    size_t size = strlen(c->public_url);
    if (size == 0 || c->public_url[size - 1] == '/')
        return rd_err_set(err, RD_E_CONFIG, "public-url must be a URL without a final slash");
    uint8_t digest[32];
    uint8_t mrtd[48];
    const char *measured = c->runtime_measurement;
    if (measured && measured[0] && rd_hex_decode(measured, strlen(measured), mrtd, sizeof(mrtd)) < 0)
        return rd_err_set(err, RD_E_CONFIG, "runtime-measurement must be 96 hex digits");
    api_refresh_sources sources;
    if (api_refresh_sources_read(c, &sources, err) < 0)
        return -1;
    const char *root = c->simulation_root;
    if (root && rd_starts_with(root, "sha256:"))
        root += strlen("sha256:");
    if (root && root[0] && rd_hex_decode(root, strlen(root), digest, sizeof(digest)) < 0)
        return rd_err_set(err, RD_E_CONFIG,
                          "simulation-root must be 64 hex digits, with or without sha256: before them");
    return 0;
}

static const rd_config_spec spec = {
    .program = "redoubt-api",
    .process = "API",
    .summary = "the control plane's API: REST, dashboard, agents' links, relay of invocations",
    .usage = "[run | migrate | init | bootstrap --org NAME --user NAME] [options]",
    .options = options,
    .count = RD_ARRAY_LEN(options),
    .values_size = sizeof(api_config),
    .check = check_options,
};

/* --- run --- */

typedef struct process {
    api_context context;
    rd_loop *loop;
    bool is_stopping; /* asked to, perhaps while the parts were still starting */
    rd_buf tls_cert, tls_key;
    rd_pg_stmts stmts[API_STORE_COUNT];
} process;

static void on_stop(void *arg)
{
    process *p = arg;
    rd_log(RD_INFO, "stopping");
    p->is_stopping = true;
    rd_loop_stop(p->loop);
}

static void write_own_metrics(void *arg, rd_buf *out)
{
    const api_context *context = arg;
    rd_buf_printf(out,
                  "# HELP redoubt_worker_queue_depth Requests waiting for a worker.\n"
                  "# TYPE redoubt_worker_queue_depth gauge\nredoubt_worker_queue_depth %zu\n"
                  "# HELP redoubt_workers Worker threads, one database connection each.\n"
                  "# TYPE redoubt_workers gauge\nredoubt_workers %llu\n"
                  "# HELP redoubt_redis_up Whether Redis is connected.\n"
                  "# TYPE redoubt_redis_up gauge\nredoubt_redis_up %d\n",
                  context->server ? api_server_queue_depth(context->server) : 0,
                  (unsigned long long)context->config->workers,
                  context->redis && rd_redis_is_connected(context->redis));
}

static void write_bodies(const char *listener, const api_bodies *bodies, rd_buf *out)
{
    api_bodies_stats stats = api_bodies_statistics(bodies);
    const struct {
        const char *why;
        uint64_t count;
    } refused[] = { { "share", stats.refused_share }, { "memory", stats.refused_all }, { "slow", stats.slow } };
    rd_buf_printf(out, "redoubt_body_bytes{listener=\"%s\"} %zu\n", listener, stats.held);
    for (size_t i = 0; i < RD_ARRAY_LEN(refused); i++)
        rd_buf_printf(out, "redoubt_bodies_refused_total{listener=\"%s\",why=\"%s\"} %llu\n", listener, refused[i].why,
                      (unsigned long long)refused[i].count);
}

static void write_body_metrics(void *arg, rd_buf *out)
{
    const api_context *context = arg;
    rd_buf_printf(out, "# HELP redoubt_body_bytes Memory of request bodies.\n# TYPE redoubt_body_bytes gauge\n"
                       "# HELP redoubt_bodies_refused_total Request bodies that were not taken.\n"
                       "# TYPE redoubt_bodies_refused_total counter\n");
    if (context->server)
        write_bodies("rest", api_server_bodies(context->server), out);
    if (context->apps)
        write_bodies("apps", api_front_bodies(api_apps_front(context->apps)), out);
}

static int load_files(process *p, const api_config *config, rd_err *err)
{
    if (config->tls_cert && (rd_file_read(config->tls_cert, PEM_MAX, &p->tls_cert, err) < 0 ||
                             rd_file_read(config->tls_key, PEM_MAX, &p->tls_key, err) < 0))
        return rd_err_wrap(err, "TLS");
    (void)mkdir(config->blob_dir, 0700);
    if (api_plane_load(config->state_dir, &p->context.plane, err) < 0)
        return -1;
    p->context.verified = rd_attest_cache_new(0);
    return api_static_load(config->web_dir, &p->context.files, err);
}

static int start_parts(process *p, const api_config *config, rd_err *err)
{
    api_context *context = &p->context;
    *context = (api_context){ .magic = API_CONTEXT_MAGIC, .config = config, .clock = rd_clock_system() };
    rd_id id = rd_id_new(rd_clock_wall_us(context->clock), rd_random_system());
    memcpy(context->replica_id, id.b, sizeof(context->replica_id));
    rd_id_format(RD_PREFIX_REPLICA, &id, context->replica);
    api_store_all(p->stmts);
    context->stmts = p->stmts;
    context->stmts_count = RD_ARRAY_LEN(p->stmts);
    if (load_files(p, config, err) < 0 || api_collateral_new(context, &context->collateral, err) < 0 ||
        rd_loop_new(&p->loop, err) < 0 || rd_loop_on_signals(p->loop, on_stop, NULL, p, err) < 0)
        return -1;
    context->loop = rd_loop_uv(p->loop);
    context->metrics = api_metrics_new();
    context->auth = api_auth_new(context->clock);
    context->limits = api_limits_new(context->clock);
    rd_redis_options redis = { .address = config->redis };
    context->redis = rd_redis_new(context->loop, &redis);
    api_limits_share(context->limits, context->redis);
    api_server_options server = { .name = "rest",
                                  .listen = config->listen,
                                  .routes = api_routes,
                                  .route_count = api_route_count,
                                  .workers = (size_t)config->workers,
                                  .body_memory_max = (size_t)config->body_memory };
    if (config->tls_cert) {
        server.tls_cert_pem = rd_buf_text(&p->tls_cert);
        server.tls_key_pem = rd_buf_text(&p->tls_key);
    }
    api_metrics_source(context->metrics, write_own_metrics, context);
    api_metrics_source(context->metrics, write_body_metrics, context);
    api_metrics_source(context->metrics, api_collateral_metrics, context->collateral);
    /* The listener last: whoever reaches it finds every app known. */
    if (api_links_start(context, p->loop, &context->links, err) < 0 ||
        api_refresh_start(context, &context->refresh, err) < 0 ||
        api_server_start(context, &server, &context->server, err) < 0)
        return -1;
    if (context->refresh)
        api_metrics_source(context->metrics, api_refresh_metrics, context->refresh);
    return 0;
}

static void stop_parts(process *p)
{
    api_context *context = &p->context;
    if (context->server)
        api_server_stop(context->server);
    context->refresh = api_refresh_stop(context->refresh);
    context->links = api_links_stop(context->links);
    if (context->limits)
        api_limits_share(context->limits, NULL);
    if (context->redis)
        rd_redis_close(context->redis, NULL, NULL);
    context->redis = NULL;
    for (int i = 0; p->loop && i < 4; i++)
        rd_loop_turn(p->loop, false);
    context->server = api_server_free(context->server);
    p->loop = rd_loop_free(p->loop);
    context->limits = api_limits_free(context->limits);
    context->auth = api_auth_free(context->auth);
    context->metrics = api_metrics_free(context->metrics);
    context->files = api_static_free(context->files);
    context->plane = api_plane_free(context->plane);
    context->verified = rd_attest_cache_free(context->verified);
    context->collateral = api_collateral_free(context->collateral);
    rd_buf_done(&p->tls_cert);
    rd_buf_wipe(&p->tls_key);
}

static int run(const api_config *config, rd_err *err)
{
    process p = { .loop = NULL };
    /* A heap for each thread kept what an attach had used once: twice the memory of an idle link. */
    (void)mallopt(M_ARENA_MAX, 1);
    int rc = start_parts(&p, config, err);
    if (rc == 0) {
        rd_log(RD_INFO, "ready", RD_STR("listen", config->listen), RD_U64("port", api_server_port(p.context.server)),
               RD_STR("replica", p.context.replica), RD_STR("version", REDOUBT_VERSION));
        if (!p.is_stopping)
            rc = rd_loop_run(p.loop, err);
    }
    stop_parts(&p);
    return rc;
}

/* --- the other verbs --- */

static int migrate(const api_config *config, rd_err *err)
{
    rd_migrate_report report = { 0 };
    if (rd_migrate(config->database, NULL, 60000, &report, err) < 0)
        return -1;
    printf("{\"applied\":%d,\"total\":%d,\"last\":%d}\n", report.applied, report.total, report.last);
    return 0;
}

static int init(const api_config *config, rd_err *err)
{
    api_plane *plane = NULL;
    if (api_plane_init(config->state_dir, rd_clock_wall_us(rd_clock_system()), err) < 0 ||
        api_plane_load(config->state_dir, &plane, err) < 0)
        return -1;
    printf("{\"plane_id\":\"%s\",\"state\":\"%s\"}\n", api_plane_id(plane), config->state_dir);
    api_plane_free(plane);
    return 0;
}

static int bootstrap(const api_config *config, rd_err *err)
{
    if (!config->org || !config->user)
        return rd_err_set(err, RD_E_USAGE, "bootstrap needs --org NAME and --user NAME");
    api_bootstrap b = { .org_name = config->org,
                        .user_name = config->user,
                        .now_us = rd_clock_wall_us(rd_clock_system()) };
    char token[API_SECRET_TEXT_SIZE], code[API_SECRET_TEXT_SIZE];
    char org[RD_ID_TEXT_SIZE], user[RD_ID_TEXT_SIZE];
    b.org = rd_id_new(b.now_us, rd_random_system());
    b.user = rd_id_new(b.now_us, rd_random_system());
    b.token = rd_id_new(b.now_us, rd_random_system());
    api_secret_new("rdt_", token, b.token_hash);
    api_secret_new("", code, b.login_hash);
    rd_pg_stmts stmts[API_STORE_COUNT];
    api_store_all(stmts);
    rd_pg_options pg_options = { .conninfo = config->database,
                                 .role = "rd_api",
                                 .application_name = "redoubt-api",
                                 .tables = stmts,
                                 .table_count = RD_ARRAY_LEN(stmts) };
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = rd_pg_new(&pg_options);
    if (api_orgs_bootstrap(pg, &b, err) < 0)
        return -1;
    rd_id_format(RD_PREFIX_ORG, &b.org, org);
    rd_id_format(RD_PREFIX_USER, &b.user, user);
    json_t *answer = json_object();
    rd_json_set_str(answer, "organisation", org);
    rd_json_set_str(answer, "user", user);
    rd_json_set_str(answer, "token", token);
    rd_json_set_str(answer, "login_code", code);
    RD_CLEANUP(rd_free_p) char *url = rd_asprintf("%s/login#%s", config->public_url, code);
    rd_json_set_str(answer, "login_url", url);
    json_dumpf(answer, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(answer);
    return 0;
}

static const struct {
    const char *name;
    int (*fn)(const api_config *config, rd_err *err);
} verbs[] = { { "run", run }, { "migrate", migrate }, { "init", init }, { "bootstrap", bootstrap } };

static int dispatch(const rd_config *config, const api_config *values, rd_err *err)
{
    const char *verb = rd_config_positional_count(config) > 0 ? rd_config_positional(config, 0) : "run";
    if (rd_config_positional_count(config) > 1)
        return rd_err_set(err, RD_E_USAGE, "one verb at a time; %s is one too many", rd_config_positional(config, 1));
    for (size_t i = 0; i < RD_ARRAY_LEN(verbs); i++)
        if (strcmp(verb, verbs[i].name) == 0)
            return verbs[i].fn(values, err);
    return rd_err_set(err, RD_E_USAGE, "%s is no verb: run, migrate, init or bootstrap", verb);
}

int main(int argc, char **argv)
{
    RD_CLEANUP(rd_config_free_p) rd_config *config = NULL;
    rd_err err = RD_ERR_INIT;
    int rc = rd_config_load(&spec, argc, argv, &config, &err);
    if (rc == RD_CONFIG_DONE)
        return 0;
    if (rc == RD_CONFIG_RUN) {
        api_config values = *(const api_config *)rd_config_values(config);
        if (values.simulation_root && rd_starts_with(values.simulation_root, "sha256:"))
            values.simulation_root += strlen("sha256:");
        rd_log_init("redoubt-api", (rd_log_level)values.log_level, 2);
        rc = dispatch(config, &values, &err);
    }
    if (rc == 0)
        return 0;
    const rd_code_info *info = rd_code_describe(err.code);
    fprintf(stderr, "error: %s\n", err.text);
    if (info->hint[0])
        fprintf(stderr, "  hint   %s\n", info->hint);
    return info->exit_code;
}
