#include "api/agents_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HOST_URI     "redoubt:host:"
#define KEYS_EVERY_S 3u
#define TLS_EVERY_S  (24u * 3600u)
#define KEYS_A_CALL  500u

api_lease_key api_lease_key_of(const rd_id *instance, uint64_t epoch)
{
    api_lease_key key;
    memcpy(key.b, instance->b, 16);
    memcpy(key.b + 16, &epoch, 8);
    return key;
}

api_host_lease *api_host_lease_of(const api_host_link *host, const rd_id *instance, uint64_t epoch)
{
    api_lease_key key = api_lease_key_of(instance, epoch);
    return rd_table_get(host->leases, RD_BYTES_ARRAY(key.b));
}

int64_t api_agents_wall_us(const api_agents *agents)
{
    return rd_clock_wall_us(agents->options.clock);
}

/* ---- life of a host link ---- */

static void agents_end(api_agents *agents)
{
    rd_table_free(agents->hosts);
    api_replica_certificates_done(&agents->certificates);
    free(agents);
}

static void host_free(api_host_link *host)
{
    api_agents *agents = host->agents;
    size_t iterator = 0;
    void *lease;
    while (rd_table_next(host->leases, &iterator, NULL, &lease))
        free(lease);
    rd_table_free(host->leases);
    rd_table_free(host->strays);
    api_events_free(host);
    api_grants_free(host);
    api_receipts_free(host);
    if (host->next)
        host->next->previous = host->previous;
    *(host->previous ? &host->previous->next : &agents->first) = host->next;
    agents->count--;
    host->magic = 0;
    free(host);
    if (agents->is_closing && !agents->first)
        agents_end(agents);
}

void api_host_hold(api_host_link *host)
{
    host->holders++;
}

void api_host_release(api_host_link *host)
{
    if (--host->holders == 0)
        host_free(host);
}

static void drop_link(api_host_link *host, const char *reason)
{
    if (host->link && rd_link_is_up(host->link))
        rd_link_close(host->link, reason);
}

void api_host_close(api_host_link *host, const char *reason)
{
    host->close_cause = "closed";
    drop_link(host, reason);
}

void api_host_fail(api_host_link *host, const char *what, const rd_err *err)
{
    if (!host->link || !rd_link_is_up(host->link))
        return; /* what was under way fails with its link; that was told */
    rd_log(RD_WARN, "link_failed", RD_STR("host", host->name), RD_STR("at", what), RD_ERR(err));
    drop_link(host, what);
}

static int parse_peer(const rd_tls_peer *peer, rd_id *ret, rd_err *err)
{
    if (!rd_starts_with(peer->uri, HOST_URI))
        return rd_err_set(err, RD_E_HOST_UNKNOWN, "the certificate has no host URI");
    const char *text = peer->uri + strlen(HOST_URI);
    if (strcmp(text, peer->common_name) != 0)
        return rd_err_set(err, RD_E_HOST_UNKNOWN, "the certificate's common name and URI differ");
    return rd_id_parse(RD_PREFIX_HOST, text, strlen(text), ret, err);
}

static api_host_link *host_new(api_agents *agents, rd_link *link, const rd_id *id)
{
    const rd_tls_peer *peer = rd_link_peer(link);
    api_host_link *host = rd_alloc(sizeof *host);
    host->magic = API_HOST_LINK_MAGIC;
    host->agents = agents;
    host->link = link;
    host->host = *id;
    host->holders = 1;
    rd_id_format(RD_PREFIX_HOST, id, host->name);
    host->leases = rd_table_new(API_LEASES_A_HOST);
    host->strays = rd_table_new(API_LEASES_A_HOST);
    host->evidence_tokens = API_EVIDENCE_A_SECOND;
    host->cert_begin_us = peer->not_before_us;
    host->cert_end_us = peer->not_after_us;
    memcpy(host->spki, peer->spki_sha256, sizeof host->spki);
    host->next = agents->first;
    if (host->next)
        host->next->previous = host;
    agents->first = host;
    agents->count++;
    rd_link_set_context(link, host);
    return host;
}

static void on_up(void *context, rd_link *link)
{
    api_agents *agents = context;
    rd_id id;
    rd_err err = RD_ERR_INIT;
    rd_link_set_context(link, NULL);
    if (!agents->is_closing && api_peers_parse(rd_link_peer(link), &id)) {
        agents->options.on_replica(agents->options.context, link, &id, true);
        return;
    }
    if (agents->is_closing || parse_peer(rd_link_peer(link), &id, &err) < 0) {
        rd_log(RD_WARN, "link_refused", RD_STR("address", rd_link_address(link)), RD_ERR(&err));
        rd_link_close(link, "unknown host");
        return;
    }
    api_attach_begin(host_new(agents, link, &id));
}

/* Apps whose instances stand on this host: their routes lost or gained it. */
static void touch_apps(api_host_link *host)
{
    size_t iterator = 0;
    void *value;
    while (rd_table_next(host->leases, &iterator, NULL, &value)) {
        const api_host_lease *lease = value;
        if (lease->is_live)
            host->agents->options.on_app(host->agents->options.context, &lease->app);
    }
}

static void on_down(void *context, rd_link *link, const char *reason)
{
    api_agents *agents = context;
    api_host_link *host = rd_link_context(link);
    rd_id replica;
    if (!host && !agents->is_closing && api_peers_parse(rd_link_peer(link), &replica))
        agents->options.on_replica(agents->options.context, link, &replica, false);
    if (!host)
        return;
    rd_log(RD_INFO, "link_down", RD_STR("host", host->name), RD_STR("reason", reason),
           RD_I64("session", host->session));
    if (!host->close_cause)
        host->close_cause = rd_link_fell_silent(link) ? "host" : "closed";
    host->link = NULL;
    host->events = NULL;
    host->logs = NULL;
    host->grants = NULL;
    host->receipts = NULL;
    bool was_open = host->state == API_ATTACH_OPEN;
    host->state = API_ATTACH_DOWN;
    if (rd_table_get(agents->hosts, RD_BYTES_ARRAY(host->host.b)) == host)
        (void)rd_table_remove(agents->hosts, RD_BYTES_ARRAY(host->host.b));
    if (host->session > 0)
        api_attach_down(host);
    if (was_open && !agents->is_closing)
        touch_apps(host);
    api_host_release(host);
}

/* ---- questions and hints ---- */

static api_host_link *host_of(const api_agents *agents, const rd_id *id)
{
    return rd_table_get(agents->hosts, RD_BYTES_ARRAY(id->b));
}

rd_link *api_agents_link(const api_agents *agents, const rd_id *id)
{
    const api_host_link *host = host_of(agents, id);
    return host && host->state == API_ATTACH_OPEN ? host->link : NULL;
}

rd_link *api_agents_kms_link(const api_agents *agents, const rd_kms_id *kms, size_t index)
{
    for (const api_host_link *host = agents->first; host; host = host->next)
        if (host->has_kms && host->state == API_ATTACH_OPEN && host->link && rd_kms_id_equal(&host->kms, kms) &&
            index-- == 0)
            return host->link;
    return NULL;
}

void api_agents_hint(api_agents *agents, const rd_id *id)
{
    api_host_link *host = host_of(agents, id);
    if (host && (host->state == API_ATTACH_SENDING || host->state == API_ATTACH_OPEN))
        api_jobs_want(host);
}

void api_agents_hint_all(api_agents *agents)
{
    for (api_host_link *host = agents->first; host; host = host->next)
        if (host->state == API_ATTACH_OPEN)
            api_jobs_want(host);
}

void api_agents_close(api_agents *agents, const rd_id *id, const char *reason)
{
    api_host_link *host = host_of(agents, id);
    if (host)
        api_host_close(host, reason);
}

size_t api_agents_count(const api_agents *agents)
{
    return agents->count;
}

uint16_t api_agents_port(const api_agents *agents)
{
    return rd_link_plane_port(agents->plane);
}

static void on_state_answer(void *context, int status, rd_bytes body, const rd_err *error)
{
    (void)status;
    (void)body;
    (void)error;
    api_host_release(context);
}

static void tell_state(api_host_link *host, const char *state)
{
    if (!host->link || host->state < API_ATTACH_SENDING)
        return;
    char body[40];
    snprintf(body, sizeof body, "{\"state\":\"%s\"}", state);
    rd_link_request request = { .method = "PUT", .path = "/state", .body = rd_bytes_str(body) };
    rd_err err = RD_ERR_INIT;
    if (rd_link_send(host->link, &request, on_state_answer, host, &err) == 0)
        api_host_hold(host);
}

void api_agents_set_degraded(api_agents *agents, bool is_degraded)
{
    if (agents->is_degraded == is_degraded)
        return;
    agents->is_degraded = is_degraded;
    for (api_host_link *host = agents->first; host; host = host->next)
        tell_state(host, is_degraded ? "degraded" : "ready");
}

/* ---- link:{host} in Redis ---- */

/* Sets "session replica" unless a higher session stands there; answers the hosts that others hold. */
static const char keys_script[] = "local taken = {}\n"
                                  "for i, key in ipairs(KEYS) do\n"
                                  "  local mine = tonumber(ARGV[i + 1])\n"
                                  "  local there = redis.call('GET', key)\n"
                                  "  local other = there and tonumber(string.match(there, '^(%d+)'))\n"
                                  "  if other and other > mine then taken[#taken + 1] = i\n"
                                  "  else redis.call('SET', key, ARGV[i + 1] .. ' ' .. ARGV[1], 'PX', 10000) end\n"
                                  "end\n"
                                  "return taken\n";

typedef struct keys_call {
    rd_redis_script script;
    size_t count;
    api_host_link *hosts[KEYS_A_CALL];
} keys_call;

static void on_keys(void *context, const rd_redis_reply *reply)
{
    keys_call *call = context;
    size_t taken = reply && rd_redis_reply_kind(reply) == RD_REDIS_ARRAY ? rd_redis_reply_count(reply) : 0;
    for (size_t i = 0; i < taken; i++) {
        int64_t index = rd_redis_reply_i64(rd_redis_reply_at(reply, i));
        if (index >= 1 && (size_t)index <= call->count && call->hosts[index - 1]->link)
            api_host_close(call->hosts[index - 1], "a newer session of this host is elsewhere");
    }
    for (size_t i = 0; i < call->count; i++)
        api_host_release(call->hosts[i]);
    free(call);
}

static void send_keys(api_agents *agents, keys_call *call)
{
    char(*names)[48] = rd_alloc_array(call->count, sizeof *names);
    char(*sessions)[24] = rd_alloc_array(call->count, sizeof *sessions);
    rd_bytes *keys = rd_alloc_array(call->count, sizeof *keys);
    rd_bytes *args = rd_alloc_array(call->count + 1, sizeof *args);
    args[0] = rd_bytes_str(agents->options.replica_name);
    for (size_t i = 0; i < call->count; i++) {
        snprintf(names[i], sizeof names[i], "link:%s", call->hosts[i]->name);
        snprintf(sessions[i], sizeof sessions[i], "%" PRId64, call->hosts[i]->session);
        keys[i] = rd_bytes_str(names[i]);
        args[i + 1] = rd_bytes_str(sessions[i]);
        api_host_hold(call->hosts[i]);
    }
    rd_err err = RD_ERR_INIT;
    if (rd_redis_eval(agents->options.redis, &call->script, keys, call->count, args, call->count + 1, on_keys, call,
                      &err) < 0)
        on_keys(call, NULL);
    free(names);
    free(sessions);
    free(keys);
    free(args);
}

static keys_call *keys_call_new(void)
{
    keys_call *call = rd_alloc(sizeof *call);
    call->script.text = keys_script;
    return call;
}

static void refresh_keys(api_agents *agents)
{
    if (!agents->options.redis || !rd_redis_is_connected(agents->options.redis))
        return;
    keys_call *call = keys_call_new();
    for (api_host_link *host = agents->first; host; host = host->next) {
        if (host->state < API_ATTACH_GREETING || host->state == API_ATTACH_DOWN)
            continue;
        call->hosts[call->count++] = host;
        if (call->count == KEYS_A_CALL) {
            send_keys(agents, call);
            call = keys_call_new();
        }
    }
    if (call->count > 0)
        send_keys(agents, call);
    else
        free(call);
}

/* ---- time ---- */

static int load_certificate(api_agents *agents, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf certificate = { 0 };
    RD_CLEANUP(rd_buf_wipe) rd_buf key = { 0 };
    if (api_plane_issue_link(agents->options.plane, agents->options.replica_name, false, api_agents_wall_us(agents),
                             &certificate, &key, err) < 0)
        return rd_err_wrap(err, "link certificate");
    rd_bytes ca = api_plane_ca_pem(agents->options.plane);
    if (agents->tls)
        return rd_tls_context_reload(agents->tls, rd_buf_bytes(&certificate), rd_buf_bytes(&key), ca, err);
    rd_tls_config config = { .role = RD_TLS_LINK_SERVER,
                             .certificate_pem = rd_buf_bytes(&certificate),
                             .key_pem = rd_buf_bytes(&key),
                             .ca_pem = ca,
                             .alpn = RD_LINK_ALPN };
    return rd_tls_context_new(&config, &agents->tls, err);
}

static void on_second(void *context)
{
    api_agents *agents = context;
    agents->seconds++;
    int64_t now_us = api_agents_wall_us(agents);
    for (api_host_link *host = agents->first; host; host = host->next) {
        if (!host->link)
            continue;
        if (now_us >= host->cert_end_us) {
            api_host_close(host, "its certificate ended"); /* TLS looks at dates at the handshake only */
            continue;
        }
        if (host->state != API_ATTACH_OPEN)
            continue;
        api_events_second(host);
        api_grants_second(host);
        api_receipts_second(host);
        api_renew_second(host);
    }
    if (agents->seconds % KEYS_EVERY_S == 0)
        refresh_keys(agents);
    rd_err err = RD_ERR_INIT;
    if (agents->seconds % TLS_EVERY_S == 0 && load_certificate(agents, &err) < 0)
        rd_log(RD_ERROR, "link_certificate_failed", RD_ERR(&err));
}

static void on_flush(void *context)
{
    api_agents *agents = context;
    if (agents->has_wanting)
        api_jobs_flush(agents);
}

int api_agents_new(const api_agents_options *options, api_agents **ret, rd_err *err)
{
    api_agents *agents = rd_alloc(sizeof *agents);
    agents->options = *options;
    agents->hosts = rd_table_new(0);
    agents->marks = rd_table_new(100000);
    rd_link_plane_config config = { .listen = options->listen, .context = agents, .on_up = on_up, .on_down = on_down };
    if (load_certificate(agents, err) < 0)
        goto failed;
    config.tls = agents->tls;
    if (rd_link_plane_new(options->loop, &config, &agents->plane, err) < 0)
        goto failed;
    agents->flusher = rd_flusher_new(options->loop, on_flush, agents);
    agents->second = rd_timer_new(options->loop, on_second, agents);
    rd_timer_start(agents->second, 1000000, 1000000);
    agents->receipts_turn = rd_timer_new(options->loop, api_receipts_turn, agents);
    *ret = agents;
    return 0;
failed:
    rd_tls_context_free(agents->tls);
    rd_table_free(agents->hosts);
    rd_table_free(agents->marks);
    free(agents);
    return -1;
}

api_agents *api_agents_free(api_agents *agents)
{
    if (!agents)
        return NULL;
    for (api_host_link *host = agents->first; host; host = host->next) {
        tell_state(host, "closing");
        host->close_cause = "replica";
    }
    rd_flusher_free(agents->flusher);
    rd_timer_free(agents->second);
    rd_timer_free(agents->receipts_turn);
    agents->is_closing = true;
    rd_link_plane_free(agents->plane); /* on_down comes for each link */
    rd_tls_context_free(agents->tls);
    size_t iterator = 0;
    void *mark;
    while (rd_table_next(agents->marks, &iterator, NULL, &mark))
        free(mark);
    rd_table_free(agents->marks);
    if (!agents->first)
        agents_end(agents);
    return NULL;
}

void api_agents_metrics(void *context, rd_buf *out)
{
    api_agents *agents = context;
    size_t open = 0;
    for (api_host_link *host = agents->first; host; host = host->next)
        open += host->state == API_ATTACH_OPEN;
    (void)rd_buf_printf(
        out,
        "# TYPE redoubt_links gauge\nredoubt_links{state=\"any\"} %zu\n"
        "redoubt_links{state=\"open\"} %zu\n"
        "# TYPE redoubt_links_attached_total counter\nredoubt_links_attached_total %" PRIu64 "\n"
        "# TYPE redoubt_links_refused_total counter\nredoubt_links_refused_total %" PRIu64 "\n"
        "# TYPE redoubt_jobs_sent_total counter\nredoubt_jobs_sent_total %" PRIu64 "\n"
        "# TYPE redoubt_jobs_failed_total counter\nredoubt_jobs_failed_total %" PRIu64 "\n"
        "# TYPE redoubt_agent_events_total counter\nredoubt_agent_events_total %" PRIu64 "\n"
        "# TYPE redoubt_blobs_pushed_total counter\nredoubt_blobs_pushed_total %" PRIu64 "\n"
        "# TYPE redoubt_strays_unknown_total counter\nredoubt_strays_unknown_total %" PRIu64 "\n"
        "# TYPE redoubt_certificates_renewed_total counter\n"
        "redoubt_certificates_renewed_total %" PRIu64 "\n"
        "# TYPE redoubt_grants_total counter\nredoubt_grants_total{result=\"given\"} %" PRIu64 "\n"
        "redoubt_grants_total{result=\"refused\"} %" PRIu64 "\n"
        "# HELP redoubt_grants_led_total Instances that callers were led to by a grant, ahead of the plane's verdict.\n"
        "# TYPE redoubt_grants_led_total counter\nredoubt_grants_led_total %" PRIu64 "\n"
        "# TYPE redoubt_receipt_records_total counter\nredoubt_receipt_records_total{result=\"kept\"} %" PRIu64 "\n"
        "redoubt_receipt_records_total{result=\"malformed\"} %" PRIu64 "\n"
        "# HELP redoubt_grant_records_total Records of key services: kept, not what they were said to be, no room.\n"
        "# TYPE redoubt_grant_records_total counter\nredoubt_grant_records_total{result=\"kept\"} %" PRIu64 "\n"
        "redoubt_grant_records_total{result=\"unproven\"} %" PRIu64 "\n"
        "redoubt_grant_records_total{result=\"dropped\"} %" PRIu64 "\n",
        agents->count, open, agents->attached, agents->refused, agents->jobs_sent, agents->jobs_failed,
        agents->events_taken, agents->blobs_sent, agents->strays_unknown, agents->renewed, agents->grants,
        agents->grants_refused, agents->grants_led, agents->receipts_kept, agents->receipts_malformed,
        agents->grant_records_kept, agents->grant_records_unproven, agents->grant_records_dropped);
}
