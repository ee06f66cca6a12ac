#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/redis.h"

#define ARGS_MAX 16

/* A copy of the arguments, for the second try with the whole text. */
typedef struct eval_call {
    rd_redis *redis;
    rd_redis_script *script;
    rd_redis_fn done;
    void *context;
    size_t key_count;
    size_t count;
    rd_bytes args[ARGS_MAX]; /* into the memory behind this struct */
} eval_call;

static int send_eval(eval_call *e, rd_bytes verb, rd_bytes text, rd_redis_fn done, void *context, rd_err *err)
{
    char number[2] = { (char)('0' + e->key_count), '\0' };
    rd_bytes args[ARGS_MAX + 3] = { verb, text, rd_bytes_str(number) };
    memcpy(args + 3, e->args, e->count * sizeof *args);
    return rd_redis_send(e->redis, args, e->count + 3, done, context, err);
}

static void on_sha(void *context, const rd_redis_reply *reply)
{
    eval_call *e = context;
    rd_err ignored = RD_ERR_INIT;
    rd_bytes text = reply ? rd_redis_reply_bytes(reply) : RD_BYTES_NULL;
    bool is_unknown = reply && rd_redis_reply_kind(reply) == RD_REDIS_ERROR && text.size >= 8 &&
                      memcmp(text.data, "NOSCRIPT", 8) == 0;
    /* EVAL also makes the server remember it. */
    if (!is_unknown)
        e->done(e->context, reply);
    else if (send_eval(e, RD_BYTES_LIT("EVAL"), rd_bytes_str(e->script->text), e->done, e->context, &ignored) < 0)
        e->done(e->context, NULL);
    free(e);
}

/* Redis names scripts by their SHA-1; nothing rests on it. */
static void name_script(rd_redis_script *script)
{
    uint8_t digest[SHA_DIGEST_LENGTH];
    (void)SHA1((const unsigned char *)script->text, strlen(script->text), digest);
    rd_hex_encode(RD_BYTES_ARRAY(digest), script->sha);
}

static void ignore(void *context RD_UNUSED, const rd_redis_reply *reply RD_UNUSED)
{
}

int rd_redis_eval(rd_redis *redis, rd_redis_script *script, const rd_bytes *keys, size_t key_count,
                  const rd_bytes *args, size_t arg_count, rd_redis_fn done, void *context, rd_err *err)
{
    if (key_count > 9 || key_count + arg_count > ARGS_MAX)
        return rd_err_set(err, RD_E_INTERNAL, "redis: a script with %zu arguments", key_count + arg_count);
    if (!script->sha[0])
        name_script(script);
    size_t total = 0;
    for (size_t i = 0; i < key_count + arg_count; i++)
        total += i < key_count ? keys[i].size : args[i - key_count].size;
    eval_call *e = rd_alloc(sizeof *e + total);
    e->redis = redis;
    e->script = script;
    e->done = done ? done : ignore;
    e->context = context;
    e->key_count = key_count;
    e->count = key_count + arg_count;
    uint8_t *at = (uint8_t *)(e + 1);
    for (size_t i = 0; i < e->count; i++) {
        rd_bytes from = i < key_count ? keys[i] : args[i - key_count];
        if (from.size)
            memcpy(at, from.data, from.size);
        e->args[i] = rd_bytes_of(at, from.size);
        at += from.size;
    }
    if (send_eval(e, RD_BYTES_LIT("EVALSHA"), rd_bytes_str(script->sha), on_sha, e, err) < 0) {
        free(e);
        return -1;
    }
    return 0;
}
