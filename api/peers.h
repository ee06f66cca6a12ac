/* peers: links between the replicas of one plane, so that a call for an instance reaches the replica that holds its
 * host's link (data-model.md section 8, Routes). Used by links.c. Every replica dials every other's link port as agents
 * do, with a certificate of the plane's CA that names the replica, and answers CONNECT for instances of its own links;
 * the replica that has the call sends it over the link that the owner dialled. No door for anybody else: TLS 1.3, both
 * ends under the plane's CA. Answers from its own links only, so nothing goes round. Loop thread. */
#ifndef API_PEERS_H
#define API_PEERS_H

#include "api/plane.h"
#include "api/targets.h"
#include "common/base/clock.h"
#include "common/io/link.h"

#define API_PEERS_MAX     64
#define API_PEER_STILL_US 10000000 /* its beat stood still for so long: it is not dialled any more */

typedef struct api_peers api_peers;

typedef struct api_peers_options {
    rd_loop *loop;
    const rd_clock *clock;
    const api_plane *plane;
    rd_id replica; /* this one */
    const char *replica_name;
    const api_targets *targets; /* says which host an instance is on, and that it may be called */
    /* The open link of a host to this replica, or NULL. */
    rd_link *(*find_own)(void *context, const rd_id *host);
    /* The open link of a host that carries a key service, to this replica, or NULL. */
    rd_link *(*find_own_kms)(void *context, const rd_kms_id *kms);
    void *context;
} api_peers_options;

int api_peers_new(const api_peers_options *options, api_peers **ret, rd_err *err) RD_NODISCARD;
api_peers *api_peers_free(api_peers *peers);

/* "ins_….epoch", as another replica opens a pipe to it. LINK_PROTOCOL, ID_FORMAT. */
int api_peers_authority_parse(const char *text, rd_id *ret, uint64_t *ret_epoch, rd_err *err) RD_NODISCARD;

/* A row of the replicas table as just read. Dialled once its beat was seen to move; address "host:port". */
void api_peers_seen(api_peers *peers, const rd_id *replica, int64_t beat, const char *address);
/* After the rows: forgets replicas whose beat stands still. */
void api_peers_judge(api_peers *peers);

/* The id in a replica's client certificate; false for any other peer (hosts). */
bool api_peers_parse(const rd_tls_peer *peer, rd_id *ret);
/* A replica has dialled this one, or that link is gone (before it is freed). */
void api_peers_link(api_peers *peers, rd_link *link, const rd_id *replica, bool is_up);

/* The link that calls for hosts of a replica go over, or NULL. */
rd_link *api_peers_find(const api_peers *peers, const rd_id *replica);

/* The index-th of them all that is up, or NULL. */
rd_link *api_peers_at(const api_peers *peers, size_t index);

void api_peers_metrics(void *peers, rd_buf *out);

#endif
