/* egress: where a release's function may send requests to, as its owners signed it.
 * Used by the CLI, which writes it, by the API and agents, which check its form, and by enclaves, which hold to it.
 * Says nothing of addresses: names are resolved outside the enclave, and TLS proves who answers. */
#ifndef RD_MODEL_EGRESS_H
#define RD_MODEL_EGRESS_H

#include "common/model/json.h"

#define RD_EGRESS_MAX         32
#define RD_EGRESS_HOST_MAX    253
#define RD_EGRESS_CA_MAX      4096
#define RD_EGRESS_SECRETS_MAX 8
#define RD_EGRESS_SECRET_MAX  64

/* One place: scheme, host and port together. */
typedef struct rd_egress_entry {
    char host[RD_EGRESS_HOST_MAX + 1]; /* a DNS name in lower case, "192.0.2.1" or "[2001:db8::1]" */
    uint16_t port;
    bool is_plain;   /* scheme "http": whoever is on the way reads and writes; else "https" */
    bool is_private; /* the name may resolve to a private, loopback or link-local address, if the operator agrees */
    rd_buf ca;       /* DER of the one certificate to trust in place of the public roots; empty: the public roots */
    char secrets[RD_EGRESS_SECRETS_MAX][RD_EGRESS_SECRET_MAX + 1]; /* that may stand in its headers by reference */
    size_t secrets_count;
} rd_egress_entry;

typedef struct rd_egress {
    rd_egress_entry *items; /* owned; sorted by host, port and scheme, none twice */
    size_t count;
} rd_egress;

void rd_egress_done(rd_egress *egress);
/* Takes the entry over and puts it where it belongs; on failure it is freed. JSON_RANGE: the host is not in its one
 * form, port 0, a place twice, more than RD_EGRESS_MAX, secrets over plain HTTP. */
int rd_egress_add(rd_egress *egress, rd_egress_entry *entry, rd_err *err) RD_NODISCARD;
/* The host in its one form: lower case, IPv4 as four decimals, IPv6 compressed and in brackets. */
bool rd_egress_host_is_ok(const char *host);
/* "api.example.com", "api.example.com:8443", "https://…", "http://…": sets host, port and scheme. JSON_RANGE. */
int rd_egress_place_parse(const char *text, rd_egress_entry *ret, rd_err *err) RD_NODISCARD;

/* The member "egress" of a release, for RD_JSON_CUSTOM; must stand in the canonical order. */
int rd_egress_read(const json_t *value, void *egress, const char *pointer, rd_err *err);
json_t *rd_egress_to_json(const rd_egress *egress);

/* Whether a header of requests to this place may hold the secret, and whether one to any place may: then the secret
 * itself stays out of the function. */
bool rd_egress_entry_carries(const rd_egress_entry *entry, rd_bytes secret);
bool rd_egress_carries(const rd_egress *egress, rd_bytes secret);

/* The entry of this place, or NULL. */
const rd_egress_entry *rd_egress_find(const rd_egress *egress, bool is_plain, rd_bytes host, uint16_t port);

#endif
