/* enclave_priv: the inside of an enclave's handle, for launchers alone.
 * Used by enclave.c (control stream, states, life) and by each launcher (how it starts, dies and is limited).
 */
#ifndef AGENT_ENCLAVE_PRIV_H
#define AGENT_ENCLAVE_PRIV_H

#include "agent/launcher.h"

#define AGENT_TAG_SIZE      16
#define AGENT_TAG_TEXT_SIZE 27 /* base32, and NUL */
#define AGENT_SOCKET_SIZE   108

typedef enum agent_enclave_timer {
    AGENT_TIMER_NONE,
    AGENT_TIMER_START,  /* must become blank */
    AGENT_TIMER_ATTEST, /* is blank and must send its evidence, unless an order comes first */
    AGENT_TIMER_ADOPT,  /* must say its state */
    AGENT_TIMER_STOP,   /* was asked to exit */
    AGENT_TIMER_HOW,    /* has exited; the cause may still come */
    AGENT_TIMER_SHARE,  /* serves; its own share of the processor comes after its first calls */
} agent_enclave_timer;

struct agent_enclave {
    agent_launcher *launcher;
    agent_enclave *next, *prev; /* of the launcher */
    const agent_enclave_events *events;
    void *context;
    agent_enclave_state state;
    uint8_t tag[AGENT_TAG_SIZE];
    char tag_text[AGENT_TAG_TEXT_SIZE];
    char socket[AGENT_SOCKET_SIZE];
    char instance[64];
    uint64_t epoch;
    uint32_t cpu_m; /* processor share that it does not have yet; 0: none */
    uv_pipe_t control;
    bool has_control;
    rd_buf in;
    uv_timer_t timer;
    agent_enclave_timer timer_for;
    uv_poll_t exit_watch; /* on pidfd */
    int pidfd;
    pid_t pid;
    bool has_watch, has_exited, has_how, is_closing, is_forgotten, is_ended;
    bool is_attested; /* its evidence as a blank has come */
    bool is_left;     /* runs on without this agent: its files stay */
    char how[128];
    unsigned handles_open;
    agent_adopted_fn adopted;      /* the launcher's, while it is being adopted */
    agent_adopted_fn adopt_caller; /* the agent's */
    void *adopt_context;
};

/* A handle without process or stream; the launcher links it. */
agent_enclave *agent_enclave_new(agent_launcher *launcher, const uint8_t tag[AGENT_TAG_SIZE],
                                 const agent_enclave_events *events, void *context);
/* Takes the stream's end over and begins to read. */
int agent_enclave_attach(agent_enclave *enclave, int control_fd, rd_err *err) RD_NODISCARD;
/* Takes the pidfd over and watches for the exit. */
int agent_enclave_watch(agent_enclave *enclave, pid_t pid, int pidfd, rd_err *err) RD_NODISCARD;
void agent_enclave_arm(agent_enclave *enclave, agent_enclave_timer what, uint64_t after_ms);
/* The cause of its end, as the launcher learnt it. */
void agent_enclave_note_end(agent_enclave *enclave, const char *how);
/* The agent goes, the enclave stays: closes the handles without touching the process or its files. */
void agent_enclave_leave(agent_enclave *enclave);
/* It never started, or is beyond control: on_ended with how follows at once. */
void agent_enclave_end(agent_enclave *enclave, const char *how);

#endif
