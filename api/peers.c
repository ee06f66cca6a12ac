#include "api/peers.h"

#include "api/forward.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define REPLICA_URI "redoubt:replica:"
#define RENEW_US    ((int64_t)24 * 3600 * 1000000)
#define HOST_SIZE   256

typedef struct peer {
    rd_id id;
    int64_t beat;
    int64_t moved_us;      /* boot time at which it was first seen, or its beat moved last */
    rd_link *link;         /* it dialled this replica: calls for its hosts go here */
    rd_link_agent *dialer; /* this replica dials it: calls for this one's hosts come here */
} peer;

struct api_peers {
    api_peers_options options;
    rd_table *peers; /* replica id → peer */
    rd_tls_context *tls;
    rd_timer *renewal;
    api_forwards *forwards;
};

/* ---- who ---- */

bool api_peers_parse(const rd_tls_peer *tls, rd_id *ret)
{
    if (!rd_starts_with(tls->uri, REPLICA_URI))
        return false;
    const char *text = tls->uri + strlen(REPLICA_URI);
    rd_err err = RD_ERR_INIT;
    return strcmp(text, tls->common_name) == 0 && rd_id_parse(RD_PREFIX_REPLICA, text, strlen(text), ret, &err) == 0;
}

static peer *peer_of(const api_peers *peers, const rd_id *id)
{
    return rd_table_get(peers->peers, RD_BYTES_ARRAY(id->b));
}

static peer *peer_make(api_peers *peers, const rd_id *id)
{
    peer *known = peer_of(peers, id);
    if (known || rd_id_equal(id, &peers->options.replica))
        return known;
    known = rd_alloc(sizeof *known);
    known->id = *id;
    known->moved_us = rd_clock_boot_us(peers->options.clock);
    if (rd_table_set(peers->peers, RD_BYTES_ARRAY(id->b), known, NULL))
        return known;
    free(known); /* API_PEERS_MAX are known */
    return NULL;
}

/* ---- calls that come in from another replica ---- */

int api_peers_authority_parse(const char *text, rd_id *ret, uint64_t *ret_epoch, rd_err *err)
{
    const char *dot = strchr(text, '.');
    if (!dot || rd_parse_u64(dot + 1, strlen(dot + 1), INT64_MAX, ret_epoch) < 0)
        return rd_err_set(err, RD_E_LINK_PROTOCOL, "not an instance and epoch");
    return rd_id_parse(RD_PREFIX_INSTANCE, text, (size_t)(dot - text), ret, err);
}

/* The pipe to a key service of a host that is linked here. */
static void open_kms(api_peers *peers, rd_link_stream *stream, const char *authority)
{
    rd_kms_id kms;
    rd_err err = RD_ERR_INIT;
    rd_link *agent = NULL;
    if (rd_kms_id_parse(authority, strlen(authority), &kms, &err) == 0) {
        agent = peers->options.find_own_kms(peers->options.context, &kms);
        (void)rd_err_set(&err, RD_E_EPOCH_STALE, "no link here leads to that key service");
    }
    if (agent)
        api_forward(peers->forwards, stream, agent, "kms");
    else
        rd_link_answer_error(stream, &err);
}

static void on_request(void *context, rd_link_stream *stream, const rd_link_exchange *exchange)
{
    api_peers *peers = context;
    rd_id id;
    uint64_t epoch;
    rd_err err = RD_ERR_INIT;
    if (strcmp(exchange->method, "CONNECT") != 0) {
        (void)rd_err_set(&err, RD_E_NOT_FOUND, "replicas open pipes and ask nothing else");
    } else if (rd_starts_with(exchange->authority, "kms_")) {
        open_kms(peers, stream, exchange->authority);
        return;
    } else if (api_peers_authority_parse(exchange->authority, &id, &epoch, &err) == 0) {
        const api_target *target = api_targets_instance(peers->options.targets, &id);
        rd_link *agent = NULL;
        if (target && target->epoch == epoch && api_target_is_valid(target, rd_clock_wall_us(peers->options.clock)))
            agent = peers->options.find_own(peers->options.context, &target->host);
        if (agent) {
            api_forward(peers->forwards, stream, agent, exchange->authority);
            return;
        }
        (void)rd_err_set(&err, RD_E_EPOCH_STALE, "no link here carries that instance and epoch");
    }
    rd_link_answer_error(stream, &err);
}

static void on_dialled(void *context, rd_link *link)
{
    (void)context;
    rd_log(RD_INFO, "peer_up", RD_STR("address", rd_link_address(link)));
}

static void on_lost(void *context, rd_link *link, const char *reason)
{
    (void)context;
    rd_log(RD_INFO, "peer_down", RD_STR("address", rd_link_address(link)), RD_STR("reason", reason));
}

static void on_dial_failed(void *context, const char *address, const rd_err *error)
{
    (void)context;
    rd_log(RD_WARN, "peer_dial_failed", RD_STR("address", address), RD_ERR(error));
}

/* ---- dialling ---- */

static void dial(api_peers *peers, peer *to, const char *address)
{
    char host[HOST_SIZE];
    rd_endpoint endpoint = { .host = host };
    rd_link_agent_config config = { .endpoints = &endpoint,
                                    .endpoint_count = 1,
                                    .tls = peers->tls,
                                    .dial_first_max_us = 100000,
                                    .dial_backoff_max_us = 5000000,
                                    .context = peers,
                                    .on_up = on_dialled,
                                    .on_down = on_lost,
                                    .on_dial_failed = on_dial_failed,
                                    .on_request = on_request };
    rd_err err = RD_ERR_INIT;
    if (rd_parse_endpoint(address, host, sizeof host, &endpoint.port, &err) < 0 ||
        rd_link_agent_new(peers->options.loop, &config, &to->dialer, &err) < 0)
        rd_log(RD_WARN, "peer_address", RD_STR("address", address), RD_ERR(&err));
}

void api_peers_seen(api_peers *peers, const rd_id *replica, int64_t beat, const char *address)
{
    bool is_new = !peer_of(peers, replica);
    peer *seen = peer_make(peers, replica);
    if (!seen)
        return;
    if (!is_new && beat != seen->beat) {
        seen->moved_us = rd_clock_boot_us(peers->options.clock);
        if (!seen->dialer)
            dial(peers, seen, address);
    }
    seen->beat = beat;
}

void api_peers_judge(api_peers *peers)
{
    int64_t limit_us = rd_clock_boot_us(peers->options.clock) - API_PEER_STILL_US;
    size_t iterator = 0;
    void *value;
    while (rd_table_next(peers->peers, &iterator, NULL, &value)) {
        peer *known = value;
        if (known->moved_us > limit_us)
            continue;
        known->dialer = rd_link_agent_free(known->dialer);
        if (known->link)
            continue;
        (void)rd_table_remove(peers->peers, RD_BYTES_ARRAY(known->id.b));
        free(known);
    }
}

/* ---- links of replicas that dialled ---- */

void api_peers_link(api_peers *peers, rd_link *link, const rd_id *replica, bool is_up)
{
    peer *known = is_up ? peer_make(peers, replica) : peer_of(peers, replica);
    if (is_up && !known) {
        rd_link_close(link, "not a peer");
        return;
    }
    if (is_up && known->link)
        rd_link_close(known->link, "a newer link of this replica is here");
    if (is_up)
        known->link = link;
    else if (known && known->link == link)
        known->link = NULL;
}

rd_link *api_peers_find(const api_peers *peers, const rd_id *replica)
{
    const peer *known = peer_of(peers, replica);
    return known && known->link && rd_link_is_up(known->link) ? known->link : NULL;
}

rd_link *api_peers_at(const api_peers *peers, size_t index)
{
    size_t iterator = 0;
    void *value;
    while (rd_table_next(peers->peers, &iterator, NULL, &value)) {
        const peer *known = value;
        if (known->link && rd_link_is_up(known->link) && index-- == 0)
            return known->link;
    }
    return NULL;
}

/* ---- life ---- */

static int load_certificate(api_peers *peers, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf certificate = { 0 };
    RD_CLEANUP(rd_buf_wipe) rd_buf key = { 0 };
    const api_peers_options *options = &peers->options;
    if (api_plane_issue_link(options->plane, options->replica_name, true, rd_clock_wall_us(options->clock),
                             &certificate, &key, err) < 0)
        return rd_err_wrap(err, "certificate for other replicas");
    rd_bytes ca = api_plane_ca_pem(options->plane);
    if (peers->tls)
        return rd_tls_context_reload(peers->tls, rd_buf_bytes(&certificate), rd_buf_bytes(&key), ca, err);
    rd_tls_config config = { .role = RD_TLS_LINK_CLIENT,
                             .certificate_pem = rd_buf_bytes(&certificate),
                             .key_pem = rd_buf_bytes(&key),
                             .ca_pem = ca,
                             .alpn = RD_LINK_ALPN,
                             .peer_name = "redoubt-link" };
    return rd_tls_context_new(&config, &peers->tls, err);
}

static void on_renewal(void *context)
{
    rd_err err = RD_ERR_INIT;
    if (load_certificate(context, &err) < 0)
        rd_log(RD_ERROR, "peer_certificate_failed", RD_ERR(&err));
}

int api_peers_new(const api_peers_options *options, api_peers **ret, rd_err *err)
{
    api_peers *peers = rd_alloc(sizeof *peers);
    peers->options = *options;
    if (load_certificate(peers, err) < 0) {
        free(peers);
        return -1;
    }
    peers->peers = rd_table_new(API_PEERS_MAX);
    peers->forwards = api_forwards_new();
    peers->renewal = rd_timer_new(options->loop, on_renewal, peers);
    rd_timer_start(peers->renewal, RENEW_US, RENEW_US);
    *ret = peers;
    return 0;
}

api_peers *api_peers_free(api_peers *peers)
{
    if (!peers)
        return NULL;
    api_forwards_free(peers->forwards);
    size_t iterator = 0;
    void *value;
    while (rd_table_next(peers->peers, &iterator, NULL, &value)) {
        peer *known = value;
        rd_link_agent_free(known->dialer);
        free(known);
    }
    rd_table_free(peers->peers);
    rd_timer_free(peers->renewal);
    rd_tls_context_free(peers->tls);
    free(peers);
    return NULL;
}

void api_peers_metrics(void *context, rd_buf *out)
{
    const api_peers *peers = context;
    size_t up = 0, iterator = 0;
    void *value;
    while (rd_table_next(peers->peers, &iterator, NULL, &value))
        up += ((const peer *)value)->link != NULL;
    (void)rd_buf_printf(out,
                        "# HELP redoubt_peers Other replicas whose link to this one is up.\n"
                        "# TYPE redoubt_peers gauge\nredoubt_peers %zu\n"
                        "# HELP redoubt_forwarded_pipes Pipes of other replicas to instances of this one.\n"
                        "# TYPE redoubt_forwarded_pipes gauge\nredoubt_forwarded_pipes %zu\n"
                        "# TYPE redoubt_forwarded_pipes_total counter\nredoubt_forwarded_pipes_total %" PRIu64 "\n",
                        up, api_forwards_open(peers->forwards), api_forwards_total(peers->forwards));
}
