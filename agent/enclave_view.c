/* What is known of an enclave, and the calls that make and end one. */
#include "agent/enclave_priv.h"

#include <poll.h>

const char *agent_enclave_state_name(agent_enclave_state state)
{
    static const char *const names[] = { "starting", "blank",    "launching", "attesting",
                                         "serving",  "draining", "failed",    "ended" };
    return (unsigned)state < RD_ARRAY_LEN(names) ? names[state] : "";
}

int agent_launch(agent_launcher *launcher, const agent_enclave_events *events, void *context, agent_enclave **ret,
                 rd_err *err)
{
    return launcher->ops->launch(launcher, events, context, ret, err);
}

void agent_enclave_kill(agent_enclave *enclave)
{
    if (!enclave->is_ended)
        enclave->launcher->ops->kill(enclave);
}

void agent_enclave_set_events(agent_enclave *enclave, const agent_enclave_events *events, void *context)
{
    enclave->events = events;
    enclave->context = context;
}

agent_enclave_state agent_enclave_get_state(const agent_enclave *enclave)
{
    return enclave->state;
}

bool agent_enclave_is_alive(const agent_enclave *enclave)
{
    struct pollfd exit = { .fd = enclave->pidfd, .events = POLLIN }; /* pidfd_open(2): readable once it has exited */
    return !enclave->is_ended && !enclave->has_exited && poll(&exit, 1, 0) <= 0;
}

const char *agent_enclave_socket(const agent_enclave *enclave)
{
    return enclave->socket;
}

pid_t agent_enclave_pid(const agent_enclave *enclave)
{
    return enclave->pid;
}

const char *agent_enclave_instance(const agent_enclave *enclave)
{
    return enclave->instance;
}

uint64_t agent_enclave_epoch(const agent_enclave *enclave)
{
    return enclave->epoch;
}
