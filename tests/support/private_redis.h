/* private_redis: a Redis of a test's own on a unix socket in a fresh directory, gone with the test.
 * Used by integration tests, fault tests and benches. Listens on no network. */
#ifndef RD_TESTS_PRIVATE_REDIS_H
#define RD_TESTS_PRIVATE_REDIS_H

typedef struct private_redis {
    char dir[64];
    char address[96]; /* unix:<socket> */
    int pid;
} private_redis;

/* Aborts the test with a message when it cannot. */
void private_redis_start(private_redis *redis);
/* kill -9, and everything in it is lost. */
void private_redis_kill(private_redis *redis);
/* Starts again, empty. */
void private_redis_restart(private_redis *redis);
void private_redis_stop(private_redis *redis);

#endif
