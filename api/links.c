#include "api/links_private.h"

#include "api/collateral.h"
#include "api/metrics.h"
#include "api/refresh.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

#define BEAT_US     1000000
#define DEGRADED_US 4000000 /* no committed beat for so long: data-model.md section 9 */
#define START_US    10000000
#define STOP_US     3000000

static const rd_pg_stmt stmts[] = {
    { "links_beat",
      "INSERT INTO replicas AS r (replica_id, beat, addr, state) VALUES ($1, 1, $2, $3)"
      " ON CONFLICT (replica_id) DO UPDATE SET beat = r.beat + 1, addr = EXCLUDED.addr, state = EXCLUDED.state,"
      " at = clock_timestamp()",
      3 },
    { "links_replicas",
      "SELECT replica_id, beat, addr FROM replicas WHERE replica_id <> $1 AND state <> 3 AND addr <> ''"
      " AND at > clock_timestamp() - interval '1 minute' ORDER BY at DESC LIMIT 64",
      1 },
    { "links_evidence",
      "SELECT e.bundle FROM leases l JOIN lease_evidence e ON e.instance_id = l.instance_id AND e.epoch = l.epoch"
      " WHERE l.instance_id = $1 AND l.org_id = $2 ORDER BY l.epoch DESC LIMIT 1",
      2 },
};
static const rd_pg_stmts own_stmts = { stmts, RD_ARRAY_LEN(stmts) };

static int64_t boot_us(void)
{
    return rd_clock_boot_us(rd_clock_system());
}

/* ---- hints ---- */

static void on_app(void *context, const rd_app_id *app)
{
    api_links *links = context;
    if (links->routes)
        api_routes_load_app(links->routes, app);
}

static bool on_proved(void *context, const rd_app_id *app, const api_target_row *row)
{
    const api_links *links = context;
    return links->relay && api_targets_offer(api_relay_targets(links->relay), app, row);
}

static void on_asked(void *context, const rd_app_id *app, bool is_again)
{
    api_links *links = context;
    if (links->sleep)
        api_sleep_wake(links->sleep, app, is_again);
}

static void on_log(void *context, const api_log_line *line)
{
    api_links *links = context;
    api_log_hub_add(links->logs, line);
}

static rd_link *find_own(void *context, const rd_id *host)
{
    const api_links *links = context;
    return links->agents ? api_agents_link(links->agents, host) : NULL;
}

static rd_link *find_link(void *context, const api_target *target, api_reach *ret_reach)
{
    const api_links *links = context;
    rd_link *link = find_own(context, &target->host);
    *ret_reach = link ? API_REACH_OWN : API_REACH_PEER;
    return link || !links->peers ? link : api_peers_find(links->peers, &target->replica);
}

static rd_link *find_own_kms(void *context, const rd_kms_id *kms)
{
    const api_links *links = context;
    return links->agents ? api_agents_kms_link(links->agents, kms, 0) : NULL;
}

/* Links of this replica first, then every other replica: it answers 421 when it has none. */
static rd_link *find_way(void *context, const rd_kms_id *kms, size_t index, char authority[RD_KMS_ID_TEXT_SIZE])
{
    const api_links *links = context;
    size_t own = 0;
    rd_link *link;
    while (links->agents && (link = api_agents_kms_link(links->agents, kms, own)) != NULL) {
        if (own++ == index) {
            snprintf(authority, RD_KMS_ID_TEXT_SIZE, "kms");
            return link;
        }
    }
    rd_kms_id_format(kms, authority);
    return links->peers ? api_peers_at(links->peers, index - own) : NULL;
}

static void on_kms(void *context, const rd_kms_id *kms)
{
    api_links *links = context;
    if (links->agents)
        api_agents_kms_ready(links->agents, kms);
}

static void on_replica(void *context, rd_link *link, const rd_id *replica, bool is_up)
{
    api_links *links = context;
    if (links->peers)
        api_peers_link(links->peers, link, replica, is_up);
    else if (is_up)
        rd_link_close(link, "no peers");
}

/* jobs:{replica}: only which host has work; the work itself is read from PostgreSQL. */
static void on_job_hint(void *context, const rd_redis_entry *entry)
{
    api_links *links = context;
    if (!links->agents)
        return;
    if (!entry) {
        api_agents_hint_all(links->agents); /* entries may have been lost */
        return;
    }
    rd_bytes text = rd_redis_entry_get(entry, "host");
    rd_id host;
    rd_err err = RD_ERR_INIT;
    if (text.data && rd_id_parse(RD_PREFIX_HOST, (const char *)text.data, text.size, &host, &err) == 0)
        api_agents_hint(links->agents, &host);
}

static void use_collateral(api_links *links)
{
    RD_CLEANUP(api_collateral_drop_p)
    api_collateral_state *state = api_collateral_hold(links->context->collateral);
    if (state)
        api_believe_set_collateral(links->believe, state);
}

static void on_collateral(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                          const rd_err *err)
{
    (void)failed;
    api_links *links = context;
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        rd_log(RD_WARN, "collateral_not_read", RD_ERR(err));
    else if (count == 1 && !links->is_stopping && api_collateral_take_row(links->context->collateral, results[0])) {
        use_collateral(links);
        api_refresh_wake(links->context->refresh);
    }
}

/* Another set was taken into use, here or at another replica. */
static void read_collateral(api_links *links)
{
    rd_err err = RD_ERR_INIT;
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "collateral_follow");
    if (rd_pg_async_submit(links->control, batch, on_collateral, links, &err) < 0)
        rd_log(RD_WARN, "collateral_not_read", RD_ERR(&err));
}

/* Every committed event: routes of its app, links of hosts that were revoked here or elsewhere. */
static void on_event(void *context, const api_tail_event *event)
{
    api_links *links = context;
    if (links->waits)
        api_waits_event(links->waits, event);
    if (event->has_app)
        on_app(links, &event->app);
    else if (strcmp(event->kind, "app") == 0 && event->subject.size == sizeof(rd_app_id))
        on_app(links, (const rd_app_id *)(const void *)event->subject.data);
    if (strcmp(event->kind, "plane") == 0 && strstr(event->body, "\"collateral\"") && links->believe)
        read_collateral(links);
    if (strcmp(event->kind, "plane") == 0 && strstr(event->body, "\"refresh\""))
        api_refresh_wake(links->context->refresh);
    if (strcmp(event->kind, "host") != 0 || event->subject.size != 16 || !links->agents)
        return;
    if (links->routes && strstr(event->body, "\"link\""))
        api_routes_load_host(links->routes, (const rd_id *)(const void *)event->subject.data);
    if (strstr(event->body, "revoked"))
        api_agents_close(links->agents, (const rd_id *)(const void *)event->subject.data, "host_revoked");
}

/* ---- beat ---- */

static void read_replicas(api_links *links, const rd_pg_result *rows)
{
    for (size_t i = 0; i < rd_pg_rows(rows); i++) {
        rd_id id;
        if (rd_pg_get_fixed(rows, i, 0, id.b, sizeof id.b))
            api_peers_seen(links->peers, &id, rd_pg_get_i64(rows, i, 1), rd_pg_get_text(rows, i, 2));
    }
    api_peers_judge(links->peers);
}

static void on_beat_done(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                         const rd_err *err)
{
    (void)failed;
    api_links *links = context;
    links->is_beating = false;
    bool is_done = outcome == RD_PG_SOME || outcome == RD_PG_NONE;
    if (is_done)
        links->beat_us = boot_us();
    if (is_done && count == 2 && links->peers)
        read_replicas(links, results[1]);
    else if (is_done)
        return;
    else if (!links->is_stopping)
        rd_log(RD_WARN, "beat_failed", RD_ERR(err));
}

/* The stream of hints outlives this replica by a minute. */
static void keep_stream(api_links *links)
{
    rd_err err = RD_ERR_INIT;
    if (links->redis && rd_redis_is_connected(links->redis))
        (void)!rd_redis_command(links->redis, NULL, NULL, &err, RD_BYTES_LIT("PEXPIRE"), rd_bytes_str(links->jobs_key),
                                RD_BYTES_LIT("60000"));
}

static void send_beat(api_links *links, int state)
{
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "links_beat", rd_pg_uuid(links->context->replica_id), rd_pg_text(links->peer_address),
                     rd_pg_i64(state));
    rd_pg_batch_call(batch, "links_replicas", rd_pg_uuid(links->context->replica_id));
    rd_err err = RD_ERR_INIT;
    if (rd_pg_async_submit(links->control, batch, on_beat_done, links, &err) == 0)
        links->is_beating = true;
}

/* NULL when all moves. */
static const char *judge(const api_links *links)
{
    return boot_us() - links->beat_us > DEGRADED_US   ? "the replica's beat does not reach PostgreSQL"
           : !api_tail_is_moving(links->tail)         ? "the event log is not followed"
           : !api_routes_load_is_ready(links->routes) ? "routes are being loaded"
                                                      : NULL;
}

bool api_links_is_ready(api_links *links, char why[128])
{
    const char *reason = atomic_load(&links->why);
    snprintf(why, 128, "%s", reason ? reason : "");
    return reason == NULL;
}

static void on_beat(void *context)
{
    api_links *links = context;
    bool is_degraded = boot_us() - links->beat_us > DEGRADED_US;
    if (links->agents)
        api_agents_set_degraded(links->agents, is_degraded);
    if (!links->is_beating)
        send_beat(links, is_degraded ? 2 : 1);
    atomic_store(&links->why, judge(links));
    keep_stream(links);
    /* Without Redis nobody can say that there is work: look. */
    if (links->agents && (!links->redis || !rd_redis_is_connected(links->redis)))
        api_agents_hint_all(links->agents);
}

/* ---- start ---- */

static rd_pg_async *connect_pg(api_links *links, const char *name, const rd_pg_stmts *tables, size_t count)
{
    rd_pg_async_options options = { .pg = { .conninfo = links->context->config->database,
                                            .role = "rd_ingest",
                                            .application_name = name,
                                            .tables = tables,
                                            .table_count = count },
                                    .batches_max = 1024 };
    return rd_pg_async_new(rd_loop_uv(links->loop), &options);
}

static int start_believe(api_links *links, rd_err *err)
{
    const api_config *config = links->context->config;
    uint8_t root[32];
    const char *hex = config->simulation_root; /* main took "sha256:" off */
    bool has_root = hex && hex[0];
    if (has_root && rd_hex_decode(hex, strlen(hex), root, sizeof root) < 0)
        return rd_err_set(err, RD_E_CONFIG, "simulation-root must be 64 hex digits");
    api_believe_options options = { .loop = links->loop,
                                    .clock = links->context->clock,
                                    .pg = links->control,
                                    .plane_key = api_plane_mac_key(links->context->plane),
                                    .plane_id = api_plane_id(links->context->plane),
                                    .record_key = api_plane_record_key(links->context->plane),
                                    .simulated_root = has_root ? root : NULL,
                                    .verified = links->context->verified };
    if (api_believe_new(&options, &links->believe, err) < 0)
        return -1;
    use_collateral(links);
    return 0;
}

static int start_agents(api_links *links, rd_err *err)
{
    api_context *context = links->context;
    char host[256];
    api_agents_options options = { .loop = links->loop,
                                   .clock = context->clock,
                                   .pg = links->control,
                                   .receipts_pg = links->receipts,
                                   .redis = links->redis,
                                   .ingest = links->ingest,
                                   .believe = links->believe,
                                   .blobs = links->blobs,
                                   .plane = context->plane,
                                   .kms = links->kms,
                                   .replica_name = context->replica,
                                   .listen = { .host = host },
                                   .on_app = on_app,
                                   .on_proved = on_proved,
                                   .on_kms = on_kms,
                                   .on_log = on_log,
                                   .on_replica = on_replica,
                                   .context = links };
    memcpy(options.replica.b, context->replica_id, sizeof options.replica.b);
    if (rd_parse_endpoint(context->config->link_listen, host, sizeof host, &options.listen.port, err) < 0)
        return rd_err_wrap(err, "link-listen");
    return api_agents_new(&options, &links->agents, err);
}

/* What other replicas dial: as configured, else the link port on the address listened on when that is one. */
static int choose_peer_address(api_links *links, rd_err *err)
{
    const api_config *config = links->context->config;
    char host[256];
    uint16_t port;
    const char *given = config->peer_address;
    if (given && given[0]) {
        if (rd_parse_endpoint(given, host, sizeof host, &port, err) < 0)
            return rd_err_wrap(err, "peer-address");
        snprintf(links->peer_address, sizeof links->peer_address, "%s", given);
        return 0;
    }
    if (rd_parse_endpoint(config->link_listen, host, sizeof host, &port, err) < 0)
        return rd_err_wrap(err, "link-listen");
    if (host[0] && strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0)
        snprintf(links->peer_address, sizeof links->peer_address, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
                 (unsigned)api_agents_port(links->agents));
    else
        rd_log(RD_WARN, "no_peer_address", RD_STR("meaning", "other replicas cannot reach instances linked here"),
               RD_STR("hint", "set peer-address, or listen on one address"));
    return 0;
}

static int start_peers(api_links *links, rd_err *err)
{
    api_context *context = links->context;
    api_peers_options options = { .loop = links->loop,
                                  .clock = context->clock,
                                  .plane = context->plane,
                                  .replica_name = context->replica,
                                  .targets = api_relay_targets(links->relay),
                                  .find_own = find_own,
                                  .find_own_kms = find_own_kms,
                                  .context = links };
    memcpy(options.replica.b, context->replica_id, sizeof options.replica.b);
    if (choose_peer_address(links, err) < 0)
        return -1;
    return api_peers_new(&options, &links->peers, err);
}

static void start_connections(api_links *links)
{
    const rd_pg_stmts control[] = { own_stmts,
                                    api_attach_stmts,
                                    api_jobs_stmts,
                                    api_believe_stmts,
                                    api_blob_source_stmts,
                                    api_routes_stmts,
                                    api_sleep_stmts,
                                    api_collateral_follow_stmts,
                                    api_grants_stmts };
    _Static_assert(sizeof control == sizeof links->control_tables, "one slot for each table of statements");
    memcpy(links->control_tables, control, sizeof control);
    links->control = connect_pg(links, "redoubt-api-links", links->control_tables, RD_ARRAY_LEN(control));
    links->writer = connect_pg(links, "redoubt-api-ingest", &api_ingest_stmts, 1);
    links->follower = connect_pg(links, "redoubt-api-tail", &api_tail_stmts, 1);
    links->receipts_tables[0] = api_receipts_stmts;
    links->receipts_tables[1] = api_grant_log_stmts;
    links->receipts =
        connect_pg(links, "redoubt-api-receipts", links->receipts_tables, RD_ARRAY_LEN(links->receipts_tables));
}

static void start_redis(api_links *links)
{
    const char *address = links->context->config->redis;
    if (!address || !*address)
        return;
    rd_redis_options options = { .address = address };
    links->redis = rd_redis_new(rd_loop_uv(links->loop), &options);
    snprintf(links->jobs_key, sizeof links->jobs_key, "jobs:%s", links->context->replica);
    links->jobs =
        rd_redis_reader_new(rd_loop_uv(links->loop), &options, rd_bytes_str(links->jobs_key), on_job_hint, links);
}

static void start_relay(api_links *links)
{
    api_relay_options options = { .loop = links->loop,
                                  .clock = links->context->clock,
                                  .find_link = find_link,
                                  .on_stale = on_app,
                                  .on_asked = on_asked,
                                  .context = links };
    links->relay = api_relay_new(&options);
    api_targets *targets = api_relay_targets(links->relay);
    links->routes = api_routes_load_new(links->loop, links->control, targets);
    links->sleep = api_sleep_new(links->loop, links->control, links->redis, targets);
}

static void start_tail(api_links *links)
{
    api_tail_options options = { .loop = links->loop,
                                 .pg = links->follower,
                                 .redis = links->context->config->redis,
                                 .on_event = on_event,
                                 .context = links };
    links->tail = api_tail_new(&options);
    links->logs = api_log_hub_new(links->loop);
    links->waits = api_waits_new(links->loop);
}

static void start_kms(api_links *links)
{
    api_kms_options options = { .loop = links->loop,
                                .clock = links->context->clock,
                                .collateral = links->context->collateral,
                                .find_way = find_way,
                                .on_nonces = on_kms,
                                .context = links };
    links->kms = api_kms_new(&options);
}

static void start_ingest(api_links *links)
{
    api_ingest_options options = {
        .loop = links->loop, .pg = links->writer, .redis = links->redis, .on_app = on_app, .context = links
    };
    links->ingest = api_ingest_new(&options);
}

static int wait_until_ready(api_links *links, rd_err *err)
{
    int64_t limit_us = boot_us() + START_US;
    const char *why;
    while ((why = judge(links)) != NULL) {
        if (boot_us() > limit_us)
            return rd_err_set(err, RD_E_UNAVAILABLE, "not ready within 10 s: %s", why);
        rd_loop_turn(links->loop, true); /* the beat's timer bounds the wait */
    }
    return 0;
}

static void add_metrics(api_links *links)
{
    api_metrics *metrics = links->context->metrics;
    api_metrics_source(metrics, api_relay_metrics, links->relay);
    api_metrics_source(metrics, api_ingest_metrics, links->ingest);
    api_metrics_source(metrics, api_believe_metrics, links->believe);
    api_metrics_source(metrics, api_tail_metrics, links->tail);
    api_metrics_source(metrics, api_waits_metrics, links->waits);
    api_metrics_source(metrics, api_kms_metrics, links->kms);
    if (links->apps)
        api_metrics_source(metrics, api_front_metrics, api_apps_front(links->apps));
    if (links->passthrough)
        api_metrics_source(metrics, api_passthrough_metrics, links->passthrough);
    if (links->agents)
        api_metrics_source(metrics, api_agents_metrics, links->agents);
    if (links->peers)
        api_metrics_source(metrics, api_peers_metrics, links->peers);
}

static int start_passthrough(api_links *links, rd_err *err)
{
    const api_config *config = links->context->config;
    const api_passthrough_options options = { .loop = links->loop,
                                              .clock = links->context->clock,
                                              .listen = config->passthrough_listen,
                                              .domain = config->apps_domain,
                                              .seekers = api_relay_seekers(links->relay),
                                              .targets = api_relay_targets(links->relay) };
    return api_passthrough_new(&options, &links->passthrough, err);
}

int api_links_start(api_context *context, rd_loop *loop, api_links **ret, rd_err *err)
{
    api_links *links = rd_alloc(sizeof *links);
    *ret = links;
    links->context = context;
    links->loop = loop;
    start_connections(links);
    start_redis(links);
    start_relay(links);
    start_ingest(links);
    start_tail(links);
    start_kms(links);
    links->blobs = api_blob_source_new(loop, links->control, context->config->blob_dir);
    links->beat = rd_timer_new(loop, on_beat, links);
    send_beat(links, 1);
    rd_timer_start(links->beat, BEAT_US, BEAT_US);
    context->relay = links->relay;
    context->tail = links->tail;
    context->ingest = links->ingest;
    context->links = links;
    if (start_believe(links, err) < 0 || wait_until_ready(links, err) < 0)
        goto failed;
    const api_config *config = context->config;
    if (config->link_listen && config->link_listen[0] && (start_agents(links, err) < 0 || start_peers(links, err) < 0))
        goto failed;
    context->agents = links->agents;
    if (config->apps_listen && config->apps_listen[0] && api_apps_start(context, links->relay, &links->apps, err) < 0)
        goto failed;
    if (config->passthrough_listen && config->passthrough_listen[0] && start_passthrough(links, err) < 0)
        goto failed;
    add_metrics(links);
    return 0;
failed:
    *ret = api_links_stop(links);
    return -1;
}

uint16_t api_links_link_port(const api_links *links)
{
    return links->agents ? api_agents_port(links->agents) : 0;
}

uint16_t api_links_apps_port(const api_links *links)
{
    return links->apps ? api_front_port(api_apps_front(links->apps)) : 0;
}

void api_links_close_host(api_links *links, const uint8_t host_id[16], const char *reason)
{
    rd_id host;
    memcpy(host.b, host_id, sizeof host.b);
    if (links->agents)
        api_agents_close(links->agents, &host, reason);
}

/* ---- stop ---- */

static void on_connection_closed(void *context)
{
    api_links *links = context;
    links->closing--;
}

static void turn_until_written(api_links *links)
{
    int64_t limit_us = boot_us() + STOP_US;
    while (rd_pg_async_pending(links->control) + rd_pg_async_pending(links->writer) +
                   rd_pg_async_pending(links->receipts) >
               0 &&
           boot_us() < limit_us)
        rd_loop_turn(links->loop, true);
}

static void close_connections(api_links *links)
{
    rd_pg_async *all[] = { links->control, links->writer, links->follower, links->receipts };
    for (size_t i = 0; i < RD_ARRAY_LEN(all); i++) {
        links->closing++;
        rd_pg_async_close(all[i], on_connection_closed, links);
    }
    if (links->jobs) {
        links->closing++;
        rd_redis_reader_close(links->jobs, on_connection_closed, links);
    }
    if (links->redis) {
        links->closing++;
        rd_redis_close(links->redis, on_connection_closed, links);
    }
    int64_t limit_us = boot_us() + STOP_US;
    while (links->closing > 0 && boot_us() < limit_us)
        rd_loop_turn(links->loop, true);
}

static void clear_context(api_links *links)
{
    api_context *context = links->context;
    context->relay = NULL;
    context->tail = NULL;
    context->ingest = NULL;
    context->agents = NULL;
    context->apps = NULL;
    context->links = NULL;
}

api_links *api_links_stop(api_links *links)
{
    if (!links)
        return NULL;
    links->is_stopping = true;
    rd_timer_stop(links->beat); /* the last one is said now, and what it judges by goes below */
    send_beat(links, 3);
    api_apps_stop(links->apps);
    links->passthrough = api_passthrough_free(links->passthrough);
    links->kms = api_kms_free(links->kms);
    if (links->agents)
        api_agents_drop_kms(links->agents);
    links->peers = api_peers_free(links->peers);
    links->agents = api_agents_free(links->agents);
    turn_until_written(links);
    links->apps = api_apps_free(links->apps);
    links->tail = api_tail_free(links->tail);
    links->logs = api_log_hub_free(links->logs);
    links->waits = api_waits_free(links->waits);
    links->ingest = api_ingest_free(links->ingest);
    links->routes = api_routes_load_free(links->routes);
    links->sleep = api_sleep_free(links->sleep);
    close_connections(links);
    links->believe = api_believe_free(links->believe);
    links->blobs = api_blob_source_free(links->blobs);
    links->relay = api_relay_free(links->relay);
    rd_timer_free(links->beat);
    clear_context(links);
    free(links);
    return NULL;
}
