/* instance_life: one instance's life: its states, what happens to it, and the table of what follows.
 * Used by instance.c, which keeps the lives, and by instance_life.c, which moves them; nobody else includes it. */
#ifndef AGENT_INSTANCE_LIFE_H
#define AGENT_INSTANCE_LIFE_H

#include "agent/chain.h"
#include "agent/instance.h"
#include "common/base/table.h"

#define LIFE_START_WAIT_US 60000000 /* from START to serving */

typedef enum life_state {
    LIFE_NEW,
    LIFE_WAITING,  /* for blobs */
    LIFE_TAKING,   /* for a blank enclave */
    LIFE_STARTING, /* specialised */
    LIFE_SERVING,
    LIFE_DRAINING,
    LIFE_STOPPING,
    LIFE_ENDED,
    LIFE_STATES
} life_state;

typedef enum life_event {
    EV_WANT_RUN,
    EV_WANT_DRAIN,
    EV_WANT_STOP,
    EV_COMPLETE,  /* every blob is here */
    EV_TAKEN,     /* a blank is ours */
    EV_REFUSED,   /* there is none, or it did not take the job */
    EV_ATTESTING, /* evidence was made */
    EV_SERVING,
    EV_FAILED, /* the enclave says why; or the documents are not the owner's */
    EV_GONE,   /* the enclave has ended */
    EV_TIMEOUT,
    LIFE_EVENTS
} life_event;

typedef struct life {
    agent_instances *owner;
    struct life *next, *previous;
    agent_job job;
    life_state state;
    rd_phase phase; /* last reported */
    agent_enclave *enclave;
    agent_pool *pool;      /* of the release's engine, while it waits there */
    uint64_t ticket;       /* of that pool */
    uint64_t grant_serial; /* of its wish for a grant; 0: it has none */
    rd_buf grant_bundle;   /* its evidence, or empty: it wants a nonce */
    rd_buf grant_webhook;  /* the owner's answer, or empty */
    bool has_pins;
    bool holds_capacity;
    bool is_drained;
    bool has_evidence;
    rd_digest evidence;
    char reason[AGENT_REASON_MAX + 1]; /* of the event in hand */
    char detail[AGENT_DETAIL_MAX + 1];
    rd_timer *timer;
    agent_splices splices;
    int64_t ended_us; /* wall */
} life;

struct agent_instances {
    agent_instances_config config;
    rd_table *newest; /* instance text → life */
    life *lives;      /* older epochs included */
    size_t active;
    agent_capacity used;
    agent_chain *chain;
    uint64_t grant_serial; /* of the newest wish */
    bool is_adopting;      /* nothing starts before it is known what still runs */
    bool is_draining_all;
};

/* The one function that moves a life. A pair that the table does not hold changes nothing. */
void life_feed(life *one, life_event event);
/* Says a phase, when it may follow the last one said. */
void life_report(life *one, rd_phase phase, const char *reason, const char *detail);
/* Reports serving with the evidence at hand, or asks for evidence first. */
void life_say_serving(life *one);
/* Reason and detail of the event that is fed next. */
void life_note(life *one, const char *reason, const char *detail);
/* What it wished for has come, or is not wanted any more. */
void life_clear_grant(life *one);
bool life_has_blobs(const life *one);
void life_hold_capacity(life *one, bool holds);
/* Timer of a life: context is the life. */
void life_on_timer(void *context);
/* What an enclave that belongs to a life calls; context is the life. */
extern const agent_enclave_events life_enclave_events;

#endif
