/* private_pg: a PostgreSQL cluster of a test's own, on a socket in a fresh directory, gone with the test.
 * Used by integration tests, fault tests and benches. As root the server runs under an unprivileged account.
 * Listens on no network. */
#ifndef RD_TESTS_PRIVATE_PG_H
#define RD_TESTS_PRIVATE_PG_H

#include <stdbool.h>

typedef struct private_pg {
    char dir[64];       /* cluster and socket; a short path, as socket paths are short */
    char conninfo[160]; /* superuser, database redoubt */
    int pid;            /* of the postmaster */
} private_pg;

/* Makes, starts and creates the empty database `redoubt`. extra: further settings ("a=1 b=2"-style -c list), or NULL.
 * Aborts the test with a message when it cannot. */
void private_pg_start(private_pg *pg, const char *extra_options);
/* kill -9 of the whole server, as a power loss. */
void private_pg_kill(private_pg *pg);
/* Starts again after a kill or stop; waits until it answers. */
void private_pg_restart(private_pg *pg);
/* Stops and removes everything. */
void private_pg_stop(private_pg *pg);
/* "host=… dbname=redoubt user=ROLE": static buffers, eight of them in turn. */
const char *private_pg_as(const private_pg *pg, const char *role);

#endif
