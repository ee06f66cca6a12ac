/* seek: which instance takes a caller: the choice, the ones tried before, and the wait for an app that sleeps.
 * Used by the relay for calls and by the passthrough listener for connections; their lines are one.
 * Opens no pipe and knows no protocol; keeps no caller's deadline. Loop thread. */
#ifndef API_SEEK_H
#define API_SEEK_H

#include "api/hold.h"
#include "api/targets.h"
#include "common/base/clock.h"
#include "common/io/link.h"

#define API_SEEK_TRIES_MAX 4u

typedef struct api_seekers api_seekers;

/* One caller's search. Zeroed, then app and on_woken set, before its first use. */
typedef struct api_seek api_seek;
struct api_seek {
    api_held held; /* while the app wakes */
    rd_app_id app;
    bool has_instance; /* this one alone */
    rd_id instance;
    const api_target *tried[API_SEEK_TRIES_MAX];
    size_t tried_count;
    bool never_waits; /* an instance serves, and would not take it: NO_INSTANCE rather than a wait */
    unsigned looks;   /* so often what is known of the app was loaded anew for this caller */
    /* The app has woken, or never will: api_seek_next anew, at once. Ends nobody before it returns. True: a target was
     * found. */
    bool (*on_woken)(api_seek *seek);
};

typedef struct api_seek_options {
    const rd_clock *clock;
    /* The open link to a target: of its host, or of the replica that has it; NULL: none. */
    rd_link *(*find_link)(void *context, const api_target *target, api_reach *ret_reach);
    /* What is known of the app may be old. May be NULL. */
    void (*on_stale)(void *context, const rd_app_id *app);
    /* Callers wait for an instance of this app, which runs only when called; is_again: and still do. May be NULL:
     * nobody waits. */
    void (*on_asked)(void *context, const rd_app_id *app, bool is_again);
    void *context;
} api_seek_options;

/* Hears when something of an app has settled from targets, which outlive it. */
api_seekers *api_seekers_new(const api_seek_options *options, api_targets *targets);
/* Nobody seeks any more. Accepts NULL. */
api_seekers *api_seekers_free(api_seekers *seekers);

#define API_SEEK_FOUND 0
#define API_SEEK_WAITS 1
/* FOUND: the next target, which counts as tried. WAITS: on_woken follows, unless the caller leaves.
 * -1: APP_UNKNOWN, APP_PAUSED, NO_INSTANCE, INSTANCE_ELSEWHERE, UNAVAILABLE. */
int api_seek_next(api_seekers *seekers, api_seek *seek, api_target **ret, rd_err *err) RD_NODISCARD;
void api_seek_leave(api_seekers *seekers, api_seek *seek);

rd_link *api_seekers_link(const api_seekers *seekers, const api_target *target);
void api_seekers_note_stale(const api_seekers *seekers, const rd_app_id *app);
/* Its agent, or another replica, refused it a moment ago. */
void api_seekers_avoid(const api_seekers *seekers, api_target *target);
/* Asks again for apps that are waited for; call every now and then. */
void api_seekers_again(api_seekers *seekers, int64_t now_us);

/* Callers that wait, and how many found an instance after waiting. */
size_t api_seekers_waiting(const api_seekers *seekers);
uint64_t api_seekers_woken(const api_seekers *seekers);

#endif
