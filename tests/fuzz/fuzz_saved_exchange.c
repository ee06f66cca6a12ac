// link: cli_core
/* A receipt saved by somebody else, as `redoubt verify FILE` reads it. */
#include "cli/exchange.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("exchange", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    rd_err err = RD_ERR_INIT;
    cli_exchange exchange;
    (void)cli_exchange_load(path, &exchange, &err);
    cli_exchange_done(&exchange);
    (void)close(fd);
    return 0;
}
