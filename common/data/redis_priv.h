/* redis_priv: what the files of the Redis client share; nothing outside common/data includes it. */
#ifndef RD_DATA_REDIS_PRIV_H
#define RD_DATA_REDIS_PRIV_H

#include "common/data/redis.h"

/* As rd_redis_send for SUBSCRIBE: done is called for every message and does not count as pending; a last time with
 * NULL. */
int rd_redis_subscribe(rd_redis *redis, rd_bytes channel, rd_redis_fn done, void *context, rd_err *err) RD_NODISCARD;

/* Drops the connection, as after a time-out; reconnects. */
void rd_redis_drop(rd_redis *redis);

#endif
