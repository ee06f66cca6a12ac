/* instance: one confined process from blank to its end: control stream, specialisation, serving, adoption, drain.
 * Used by the zygote's children. Opens nothing: everything it needs was opened or made before it was confined.
 */
#ifndef ENCL_INSTANCE_H
#define ENCL_INSTANCE_H

#include "enclave/engine/engine.h"
#include "enclave/platform/platform.h"
#include "enclave/confine/confine.h"

/* All taken over. */
typedef struct encl_instance_parts {
    int control_fd;        /* the controller's stream */
    int http_fd;           /* listening: requests */
    int control_listen_fd; /* listening: a controller that comes back */
    int epoll_fd;
    encl_platform *platform;
    encl_engine *engine;
    const encl_confine_report *report; /* borrowed */
} encl_instance_parts;

/* Runs to the end; returns the process's exit status: 0 after DRAIN, STOP or a lost controller, 1 after a failure. */
int encl_instance_run(const encl_instance_parts *parts);

#endif
