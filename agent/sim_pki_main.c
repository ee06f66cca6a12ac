#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "agent/sim_pki.h"
#include "common/base/clock.h"
#include "common/base/text.h"

static const char help[] =
    "usage: redoubt-agent sim-pki create      --dir DIR            make a simulation PKI\n"
    "       redoubt-agent sim-pki refresh     --dir DIR [--recovery]\n"
    "                                                              new collateral.json, valid 30 days from now; with\n"
    "                                                              --recovery every platform is out of date under it\n"
    "       redoubt-agent sim-pki platform    --dir DIR --out DIR  make a platform folder (PCK key and chain)\n"
    "       redoubt-agent sim-pki fingerprint --dir DIR            print the root's fingerprint\n"
    "\n"
    "A simulation PKI stands in for the vendor's where there is no TEE. Nothing under it is confidential: every\n"
    "certificate says so, and a verifier trusts its root only when told the fingerprint (class simulated).\n";

typedef struct pki_options {
    const char *verb, *dir, *out;
    bool is_recovery;
} pki_options;

static int usage(const char *why)
{
    fprintf(stderr, "sim-pki: %s\n\n%s", why, help);
    return rd_code_describe(RD_E_USAGE)->exit_code;
}

static int print_fingerprint(const char *dir, rd_err *err)
{
    uint8_t fingerprint[32];
    char text[65];
    if (agent_sim_pki_fingerprint(dir, fingerprint, err) < 0)
        return -1;
    rd_hex_encode(RD_BYTES_ARRAY(fingerprint), text);
    printf("%s\n", text);
    return 0;
}

static int run(const pki_options *options, rd_err *err)
{
    int64_t now_us = rd_clock_wall_us(rd_clock_system());
    if (strcmp(options->verb, "refresh") == 0)
        return agent_sim_pki_refresh(options->dir, options->is_recovery, now_us, err);
    if (strcmp(options->verb, "platform") == 0)
        return agent_sim_pki_issue_platform(options->dir, options->out, now_us, err);
    if (strcmp(options->verb, "create") == 0 && agent_sim_pki_create(options->dir, now_us, err) < 0)
        return -1;
    return print_fingerprint(options->dir, err);
}

static bool is_verb(const char *text)
{
    static const char *const verbs[] = { "create", "refresh", "platform", "fingerprint" };
    for (size_t i = 0; i < RD_ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i], text) == 0)
            return true;
    return false;
}

int agent_sim_pki_main(int argc, char **argv)
{
    static const struct option long_options[] = {
        { "dir", required_argument, NULL, 'd' },
        { "out", required_argument, NULL, 'o' },
        { "recovery", no_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    pki_options options = { 0 };
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "d:o:rh", long_options, NULL)) != -1;) {
        if (c == 'h')
            return fputs(help, stdout) < 0;
        if (c == '?')
            return usage("unknown option");
        if (c == 'r')
            options.is_recovery = true;
        else
            *(c == 'd' ? &options.dir : &options.out) = optarg;
    }
    if (optind + 1 != argc || !is_verb(argv[optind]))
        return usage("one of create, refresh, platform, fingerprint is needed");
    options.verb = argv[optind];
    if (!options.dir || (strcmp(options.verb, "platform") == 0) != (options.out != NULL))
        return usage("--dir is needed, and --out with platform alone");
    if (options.is_recovery && strcmp(options.verb, "refresh") != 0)
        return usage("--recovery goes with refresh");
    rd_err err = RD_ERR_INIT;
    if (run(&options, &err) == 0)
        return 0;
    fprintf(stderr, "sim-pki: %s\n", err.text);
    return rd_code_describe(err.code)->exit_code;
}
