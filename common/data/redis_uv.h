/* redis_uv: hiredis on a libuv loop. Used by redis.c alone, in the place of the adapter that comes with hiredis: that
 * one leaves a socket in error (EPOLLERR: its server died with bytes unread) unwatched for good, and nobody hears of
 * the loss.
 */
#ifndef RD_DATA_REDIS_UV_H
#define RD_DATA_REDIS_UV_H

#include <hiredis/async.h>
#include <stdbool.h>
#include <uv.h>

/* False when the socket cannot be watched. Ends by itself with the context. */
bool rd_redis_attach(redisAsyncContext *ac, uv_loop_t *loop);

#endif
