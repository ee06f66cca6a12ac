/* redoubt-kms: the key service, the second measured program. docs/protocol/kms.md says what it answers. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/text.h"
#include "enclave/kms/kms_start.h"

static const char help[] =
    "redoubt-kms " REDOUBT_VERSION "\n"
    "The key service that is measured: keeps one root, gives keys and secrets to enclaves whose evidence holds.\n"
    "Started by redoubt-agent where it has the option kms-dir; never without a TEE.\n"
    "\n"
    "  --dir DIR                  its folder: sealed root, state, genesis (made 0700)\n"
    "  --tee-fd N                 the quoter stream of its TEE (docs/protocol/enclave.md)\n"
    "  --listen-fd N              the listening socket that it serves\n"
    "  --ready-fd N               is told when it serves, or why it does not\n"
    "  --sim-root HEX             the simulation root that it rests on, SHA-256 of its certificate\n"
    "  --ticket-key KEY           the plane's record key, base64url: who says which starts are wanted\n"
    "  --join KMS                 without a root: wait for that of this key service, from another replica\n"
    "  --platform HEX             of a new key service: a further machine that may carry it (platform id); repeatable\n"
    "  --recovery-key KEY         of a new key service: a holder of a recovery share, X25519, base64url; repeatable\n"
    "  --recovery-threshold K     of a new key service: so many of them bring the root back\n"
    "\n"
    "  --insecure-unsandboxed     go on where namespaces or seccomp are missing, and say so\n"
    "  --version                  print the version\n"
    "  --help                     print this\n";

enum {
    OPTION_DIR = 1,
    OPTION_TEE,
    OPTION_LISTEN,
    OPTION_READY,
    OPTION_SIM_ROOT,
    OPTION_TICKET_KEY,
    OPTION_JOIN,
    OPTION_PLATFORM,
    OPTION_RECOVERY_KEY,
    OPTION_RECOVERY_THRESHOLD,
    OPTION_INSECURE,
    OPTION_VERSION,
    OPTION_HELP
};

static const struct option options[] = { { "dir", required_argument, NULL, OPTION_DIR },
                                         { "tee-fd", required_argument, NULL, OPTION_TEE },
                                         { "listen-fd", required_argument, NULL, OPTION_LISTEN },
                                         { "ready-fd", required_argument, NULL, OPTION_READY },
                                         { "sim-root", required_argument, NULL, OPTION_SIM_ROOT },
                                         { "ticket-key", required_argument, NULL, OPTION_TICKET_KEY },
                                         { "join", required_argument, NULL, OPTION_JOIN },
                                         { "platform", required_argument, NULL, OPTION_PLATFORM },
                                         { "recovery-key", required_argument, NULL, OPTION_RECOVERY_KEY },
                                         { "recovery-threshold", required_argument, NULL, OPTION_RECOVERY_THRESHOLD },
                                         { "insecure-unsandboxed", no_argument, NULL, OPTION_INSECURE },
                                         { "version", no_argument, NULL, OPTION_VERSION },
                                         { "help", no_argument, NULL, OPTION_HELP },
                                         { NULL, 0, NULL, 0 } };

static int refuse(const char *option, const char *value, const char *wanted)
{
    (void)fprintf(stderr, "redoubt-kms: --%s %s is not %s\n", option, value, wanted);
    return -1;
}

static int read_fd(const char *option, const char *value, int *ret)
{
    uint64_t number;
    if (rd_parse_u64(value, strlen(value), 1 << 20, &number) < 0 || number < 3)
        return refuse(option, value, "a descriptor above 2");
    *ret = (int)number;
    return 0;
}

static int read_key(const char *option, const char *value, uint8_t out[32])
{
    return rd_base64url_decode(value, strlen(value), out, 32) == 32 ? 0 : refuse(option, value, "32 bytes, base64url");
}

static int read_platform(const char *value, kms_options *ret)
{
    if (ret->platforms_count == RD_ARRAY_LEN(ret->platforms))
        return refuse("platform", value, "needed: a key service has at most 7 machines");
    return rd_hex_decode(value, strlen(value), ret->platforms[ret->platforms_count++], 32) == 0
               ? 0
               : refuse("platform", value, "64 hex digits");
}

static int read_threshold(const char *value, kms_options *ret)
{
    uint64_t number;
    if (rd_parse_u64(value, strlen(value), RD_KMS_RECOVERY_MAX, &number) < 0 || number < 2)
        return refuse("recovery-threshold", value, "a number from 2 to 16");
    ret->recovery_threshold = (size_t)number;
    return 0;
}

static int read_option(int option, const char *value, kms_options *ret)
{
    rd_err err = RD_ERR_INIT;
    switch (option) {
    case OPTION_DIR:
        ret->dir = value;
        return 0;
    case OPTION_TEE:
        return read_fd("tee-fd", value, &ret->tee_fd);
    case OPTION_LISTEN:
        return read_fd("listen-fd", value, &ret->listen_fd);
    case OPTION_READY:
        return read_fd("ready-fd", value, &ret->ready_fd);
    case OPTION_SIM_ROOT:
        ret->has_sim_root = true;
        return rd_hex_decode(value, strlen(value), ret->sim_root, 32) == 0 ? 0
                                                                           : refuse("sim-root", value, "64 hex digits");
    case OPTION_TICKET_KEY:
        if (read_key("ticket-key", value, ret->ticket_key.b) < 0)
            return -1;
        return rd_public_key_check(&ret->ticket_key, &err) == 0 ? 0 : refuse("ticket-key", value, "an Ed25519 key");
    case OPTION_JOIN:
        ret->has_join = true;
        return rd_kms_id_parse(value, strlen(value), &ret->join, &err) == 0
                   ? 0
                   : refuse("join", value, "an id of a key service");
    case OPTION_PLATFORM:
        return read_platform(value, ret);
    case OPTION_RECOVERY_KEY:
        if (ret->recovery_count == RD_KMS_RECOVERY_MAX)
            return refuse("recovery-key", value, "needed: there are at most 16 holders");
        return read_key("recovery-key", value, ret->recovery_keys[ret->recovery_count++]);
    case OPTION_RECOVERY_THRESHOLD:
        return read_threshold(value, ret);
    case OPTION_INSECURE:
        ret->insecure_unsandboxed = true;
        return 0;
    default:
        return -1;
    }
}

/* 0: run; 1: answered; -1: said what is wrong. */
static int parse(int argc, char **argv, kms_options *ret)
{
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_HELP || option == OPTION_VERSION) {
            (void)fputs(option == OPTION_HELP ? help : "redoubt-kms " REDOUBT_VERSION "\n", stdout);
            return 1;
        }
        if (read_option(option, optarg, ret) < 0)
            return -1;
    }
    return optind == argc ? 0 : -1;
}

static int check(const kms_options *given)
{
    static const rd_public_key none;
    if (given->tee_fd < 0) {
        (void)fputs("redoubt-kms: there is no TEE: a key service runs measured or not at all. redoubt-agent starts it "
                    "(option kms-dir)\n",
                    stderr);
        return 1;
    }
    if (given->dir == NULL || given->listen_fd < 0 || rd_public_key_equal(&given->ticket_key, &none)) {
        (void)fputs("redoubt-kms: --dir, --listen-fd and --ticket-key are needed; see redoubt-kms --help\n", stderr);
        return 2;
    }
    return 0;
}

int main(int argc, char **argv)
{
    kms_options given = { .tee_fd = -1, .listen_fd = -1, .ready_fd = -1 };
    int outcome = parse(argc, argv, &given);
    if (outcome > 0)
        return 0;
    if (outcome < 0) {
        (void)fputs("redoubt-kms: see redoubt-kms --help\n", stderr);
        return 2;
    }
    int status = check(&given);
    if (status != 0)
        return status;
    rd_log_init("kms", RD_INFO, 2);
    return kms_start(&given);
}
