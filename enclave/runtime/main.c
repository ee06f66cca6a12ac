/* redoubt-enclave: the measured program. As a process launcher's zygote it forks instances; see
 * docs/protocol/enclave.md.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/text.h"
#include "enclave/runtime/zygote.h"

static const char help[] =
    "redoubt-enclave " REDOUBT_VERSION "\n"
    "The runtime that is measured: runs one function an instance, confined, and signs its answers.\n"
    "Started by redoubt-agent; by hand only for checks.\n"
    "\n"
    "  redoubt-enclave --zygote-fd N    serve fork requests on descriptor N (docs/protocol/enclave.md)\n"
    "  redoubt-enclave --self-check     load the engine, confine a child, print what held as JSON\n"
    "\n"
    "  --insecure-unsandboxed           go on where namespaces or seccomp are missing, and say so\n"
    "  --version                        print the version\n"
    "  --help                           print this\n";

enum { OPTION_ZYGOTE = 1, OPTION_CHECK, OPTION_INSECURE, OPTION_VERSION, OPTION_HELP };

static const struct option options[] = { { "zygote-fd", required_argument, NULL, OPTION_ZYGOTE },
                                         { "self-check", no_argument, NULL, OPTION_CHECK },
                                         { "insecure-unsandboxed", no_argument, NULL, OPTION_INSECURE },
                                         { "version", no_argument, NULL, OPTION_VERSION },
                                         { "help", no_argument, NULL, OPTION_HELP },
                                         { NULL, 0, NULL, 0 } };

typedef struct arguments {
    uint64_t zygote_fd; /* 0: not asked for; 0 to 2 are never sockets of ours */
    bool is_check, is_insecure, is_done;
} arguments;

static int parse(int argc, char **argv, arguments *ret)
{
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case OPTION_ZYGOTE:
            if (rd_parse_u64(optarg, strlen(optarg), 1 << 20, &ret->zygote_fd) < 0 || ret->zygote_fd < 3) {
                (void)fprintf(stderr, "redoubt-enclave: --zygote-fd %s is not a descriptor above 2\n", optarg);
                return -1;
            }
            break;
        case OPTION_CHECK:
            ret->is_check = true;
            break;
        case OPTION_INSECURE:
            ret->is_insecure = true;
            break;
        case OPTION_VERSION:
#if defined(__SANITIZE_ADDRESS__)
            (void)puts("redoubt-enclave " REDOUBT_VERSION " (sanitizers: for tests alone)");
#else
            (void)puts("redoubt-enclave " REDOUBT_VERSION);
#endif
            ret->is_done = true;
            return 0;
        case OPTION_HELP:
            (void)fputs(help, stdout);
            ret->is_done = true;
            return 0;
        default:
            return -1;
        }
    }
    return optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
    (void)clearenv(); /* the host's: libraries take options from it */
    arguments given = { 0 };
    if (parse(argc, argv, &given) < 0 || (!given.is_done && !given.is_check && given.zygote_fd == 0)) {
        (void)fputs("redoubt-enclave: see redoubt-enclave --help\n", stderr);
        return 2;
    }
    if (given.is_done)
        return 0;
    rd_log_init("enclave", RD_INFO, 2);
    if (given.is_check)
        return encl_zygote_self_check(given.is_insecure);
    rd_err err = RD_ERR_INIT;
    if (encl_zygote_run((int)given.zygote_fd, given.is_insecure, &err) == 0)
        return 0;
    rd_log(RD_ERROR, "zygote_failed", RD_ERR(&err));
    return 1;
}
