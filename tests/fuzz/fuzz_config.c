// link: rd_io
/* A configuration file with an option of every type; what is accepted can be printed. */
#include "common/io/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct fuzz_values {
    const char *text;
    bool flag;
    uint64_t number, size;
    int64_t duration_us;
    int choice;
    rd_option_list list;
    rd_endpoint endpoint;
} fuzz_values;

static const char *const choices[] = { "one", "two", NULL };
static const rd_option options[] = {
    { .name = "text", .type = RD_OPTION_STRING, .offset = offsetof(fuzz_values, text), .help = "a text" },
    { .name = "flag", .type = RD_OPTION_BOOL, .offset = offsetof(fuzz_values, flag), .help = "a flag" },
    { .name = "number",
      .type = RD_OPTION_U64,
      .offset = offsetof(fuzz_values, number),
      .max = 100,
      .help = "a number" },
    { .name = "size", .type = RD_OPTION_SIZE, .offset = offsetof(fuzz_values, size), .help = "a size" },
    { .name = "duration", .type = RD_OPTION_DURATION, .offset = offsetof(fuzz_values, duration_us), .help = "a time" },
    { .name = "choice",
      .type = RD_OPTION_ENUM,
      .offset = offsetof(fuzz_values, choice),
      .names = choices,
      .help = "one of" },
    { .name = "list", .type = RD_OPTION_LIST, .offset = offsetof(fuzz_values, list), .max = 4, .help = "a list" },
    { .name = "endpoint",
      .type = RD_OPTION_ENDPOINT,
      .offset = offsetof(fuzz_values, endpoint),
      .help = "an endpoint" },
};
static const rd_config_spec spec = { .program = "fuzz",
                                     .summary = "fuzz",
                                     .usage = "[options]",
                                     .options = options,
                                     .count = RD_ARRAY_LEN(options),
                                     .values_size = sizeof(fuzz_values) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    if (!nowhere && !(nowhere = fopen("/dev/null", "w")))
        abort();
    int fd = memfd_create("config", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    char program[] = "fuzz", flag[] = "--config";
    char *const argv[] = { program, flag, path };
    rd_err err = RD_ERR_INIT;
    rd_config *config = NULL;
    if (rd_config_load(&spec, 3, argv, &config, &err) == RD_CONFIG_RUN)
        rd_config_print_values(config, nowhere);
    rd_config_free(config);
    (void)close(fd);
    return 0;
}
