/* world_fixture: an engine with its world, whose peers are scripted over socket pairs.
 * Used by the tests of enclave/world alone. */
#ifndef TESTS_WORLD_FIXTURE_H
#define TESTS_WORLD_FIXTURE_H

#include "tests/unit/enclave/engine/engine_fixture.h"

#include <sys/socket.h>
#include <unistd.h>

#include "enclave/engine/guest/guest_abi.h"
#include "enclave/world/roots.h"
#include "enclave/world/world.h"

typedef struct world_fixture {
    fixture engine; /* first: what its callbacks get */
    encl_world *world;
    rd_egress list;
    int peer[ENCL_EGRESS_AT_ONCE];
    uint64_t ids[ENCL_EGRESS_AT_ONCE];
    size_t dialled;
    const char *answer; /* what every peer says, at once; NULL: nobody dials */
    char got[4096];     /* what the last peer was sent */
    encl_engine_limits limits;
    bool hangs_on; /* the peer's end stays open */
    int held[8];   /* where it does */
    size_t held_count;
} world_fixture;

static inline int dial(void *context, uint64_t id, const rd_egress_entry *entry, rd_err *err)
{
    world_fixture *w = context;
    (void)entry, (void)err;
    assert_true(w->dialled < ENCL_EGRESS_AT_ONCE);
    w->ids[w->dialled++] = id;
    return 0;
}

static inline int64_t world_time(void *context)
{
    return fixture_wall(context);
}

/* Connects what was asked for, answers, and takes what was sent. */
static inline int serve(void *context, int64_t until_us)
{
    world_fixture *w = context;
    encl_egress *egress = encl_world_egress(w->world);
    if (!w->answer)
        encl_egress_abandon(egress);
    for (size_t i = 0; w->answer && i < w->dialled; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        assert_int_equal(write(pair[1], w->answer, strlen(w->answer)), (ssize_t)strlen(w->answer));
        encl_egress_connected(egress, w->ids[i], pair[0], ENCL_LINE_OPEN);
        encl_egress_turn(egress);
        ssize_t got = read(pair[1], w->got, sizeof(w->got) - 1);
        w->got[got > 0 ? got : 0] = '\0';
        if (w->hangs_on && w->held_count < RD_ARRAY_LEN(w->held))
            w->held[w->held_count++] = pair[1];
        else
            (void)close(pair[1]);
    }
    w->dialled = 0;
    encl_egress_turn(egress);
    return encl_egress_has_news(egress) ? 0 : fixture_wait(context, until_us);
}

static inline void ask(void *context, uint32_t op, rd_bytes question, rd_buf *reply)
{
    encl_world_ask(((world_fixture *)context)->world, op, question, reply);
}

static inline bool is_pending(void *context)
{
    return encl_world_is_pending(((world_fixture *)context)->world);
}

static inline void forget(void *context)
{
    encl_world_forget(((world_fixture *)context)->world);
}

static inline void open_world(world_fixture *w, const char *source)
{
    rd_err err = RD_ERR_INIT;
    const encl_world_host world_host = { .egress = { .dial = dial, .time_us = world_time, .context = w },
                                         .random = fixture_random,
                                         .context = w };
    rd_egress_entry plain = { .host = "plain.example", .port = 80, .is_plain = true };
    rd_egress_entry tls = { .host = "tls.example", .port = 443, .secrets = { "TOKEN" }, .secrets_count = 1 };
    assert_int_equal(rd_egress_add(&w->list, &plain, &err), 0);
    assert_int_equal(rd_egress_add(&w->list, &tls, &err), 0);
    w->world = encl_world_new(&w->list, &world_host);
    fixture_open(&w->engine, &w->limits);
    encl_engine_host host = fixture_host(&w->engine);
    host.ask = ask;
    host.is_pending = is_pending;
    host.forget = forget;
    host.wait = serve;
    host.context = w;
    assert_int_equal(encl_engine_configure(w->engine.engine, &host, NULL, &err), 0);
    if (fixture_load(&w->engine, source, "", &err) < 0)
        fail_msg("%s", err.text);
    encl_world_begin(w->world);
}

static inline void close_world(world_fixture *w)
{
    fixture_close(&w->engine);
    for (size_t i = 0; i < w->held_count; i++)
        (void)close(w->held[i]);
    w->world = encl_world_free(w->world);
    rd_egress_done(&w->list);
}

#endif
