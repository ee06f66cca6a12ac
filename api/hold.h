/* hold: calls to apps that sleep, kept until an instance serves or their time is up.
 * Used by seek; asks for an app once when its first call is held and then again, since no single message is relied
 * on (data-model.md, T11). Bounded for an app, an organisation and all; keeps no clock. Loop thread. */
#ifndef API_HOLD_H
#define API_HOLD_H

#include "common/base/err.h"
#include "common/model/ids.h"

#define API_HOLD_APP_MAX  256
#define API_HOLD_ORG_MAX  512
#define API_HOLD_MAX      2048 /* half of the connections of a listener */
#define API_HOLD_AGAIN_US 500000

typedef struct api_holds api_holds;
typedef struct api_hold api_hold;

/* A place in the line; the first member of whoever waits, zeroed before its first use. */
typedef struct api_held {
    api_hold *hold; /* NULL: does not wait */
    struct api_held *next, *previous;
} api_held;

/* ask: this app is called for; is_again: it was before, and its line still stands. Never called from within a function
 * that takes an api_held off. */
api_holds *api_holds_new(void (*ask)(void *context, const rd_app_id *app, bool is_again), void *context);
/* Nobody may wait any more. Accepts NULL. */
api_holds *api_holds_free(api_holds *holds);

/* The last in the app's line. UNAVAILABLE when it, those of its organisation, or all lines together, are full. */
int api_holds_add(api_holds *holds, const rd_app_id *app, const uint8_t org[16], api_held *held, int64_t now_us,
                  rd_err *err) RD_NODISCARD;
/* Takes it off; nothing when it does not wait. */
void api_holds_leave(api_holds *holds, api_held *held);
/* Takes the whole line of an app off, first come first; the elements are linked by next. NULL: nobody waits. */
api_held *api_holds_take(api_holds *holds, const rd_app_id *app);
/* Asks again for each app that was asked for long enough ago. */
void api_holds_again(api_holds *holds, int64_t now_us);

size_t api_holds_count(const api_holds *holds);
size_t api_holds_of(const api_holds *holds, const rd_app_id *app);

#endif
