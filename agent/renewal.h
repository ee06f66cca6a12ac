/* renewal: a new certificate for the host's key, driven by the plane over the link.
 * Used by the uplink. Takes a certificate only when it is for the key that lies here.
 * The link in use goes on; the next dial shows the new one. */
#ifndef AGENT_RENEWAL_H
#define AGENT_RENEWAL_H

#include "agent/state.h"
#include "common/io/tls.h"

/* Appends a request for the present key, PEM. */
int agent_renewal_csr(const agent_state *state, rd_buf *out, rd_err *err) RD_NODISCARD;
/* body: {"certificate":PEM,"ca":PEM}. Checks, writes both files, reloads the context. */
int agent_renewal_take(const agent_state *state, rd_bytes body, rd_tls_context *tls, rd_err *err) RD_NODISCARD;

#endif
