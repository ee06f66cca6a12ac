/* successor: waits until an instance that began under a newer head serves, where instances run under an older one.
 * Used by the verbs of secrets. Nothing is polled: the event stream says when to look. What the plane says here decides
 * only how long the caller waits; whoever calls an instance checks its head himself. */
#ifndef CLI_SUCCESSOR_H
#define CLI_SUCCESSOR_H

#include "cli/client.h"

typedef struct cli_successor {
    cli_context *context;
    const char *app;   /* id */
    uint64_t head_seq; /* of the newer head */
    char
        instance[40]; /* out: the id of one that serves under it, "" when nothing runs that would have to be replaced */
} cli_successor;

/* TIMEOUT after timeout_us with what the plane says of it, CANCELLED, or a transport error. */
int cli_successor_await(cli_successor *successor, int64_t timeout_us, rd_err *err) RD_NODISCARD;

#endif
