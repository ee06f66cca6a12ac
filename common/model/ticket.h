/* ticket: the plane's word that it wants this start: which instance, epoch, release and host.
 * Used by the plane, which signs with its record key, and by the key service. It keeps agents from starting what nobody
 * asked for; it binds nobody who holds the plane. */
#ifndef RD_MODEL_TICKET_H
#define RD_MODEL_TICKET_H

#include "common/model/envelope.h"

#define RD_TICKET_SIZE_MAX ((size_t)4 << 10) /* of its envelope */

typedef struct rd_ticket {
    rd_id instance;
    uint64_t epoch;
    rd_app_id app;
    rd_digest release;
    rd_id host;
    int64_t not_after_us;
} rd_ticket;

int rd_ticket_parse(rd_bytes canonical, rd_ticket *ret, rd_err *err) RD_NODISCARD;
int rd_ticket_encode(const rd_ticket *ticket, rd_buf *out, rd_err *err) RD_NODISCARD;
/* Appends the envelope under ticket-v1. */
int rd_ticket_sign(const rd_ticket *ticket, const rd_signing_key *key, rd_buf *out, rd_err *err) RD_NODISCARD;
/* Parses and verifies an envelope under the plane's key. TICKET for a signature that is not that key's and for one that
 * is out of date. */
int rd_ticket_accept(rd_bytes envelope, const rd_public_key *key, int64_t now_us, rd_ticket *ret,
                     rd_err *err) RD_NODISCARD;

#endif
