/* The manual in roff (man 7 man), from the tables that help and the profile use. */
#include "cli/help.h"
#include "cli/profile.h"

#include <stdio.h>
#include <string.h>

static void print_roff(const char *text)
{
    bool starts_line = true;
    for (; *text; text++) {
        if (starts_line && (*text == '.' || *text == '\''))
            (void)fputs("\\&", stdout);
        if (*text == '\\')
            (void)fputs("\\e", stdout);
        else if (*text == '-')
            (void)fputs("\\-", stdout);
        else
            (void)putchar(*text);
        starts_line = *text == '\n';
    }
}

static void print_flag_rows(const cli_flag *flags)
{
    for (; flags && flags->name; flags++) {
        (void)printf(".TP\n.B \\-\\-");
        print_roff(flags->name);
        if (flags->letter)
            (void)printf(", \\-%c", flags->letter);
        (void)printf("%s", flags->value_name ? " " : "");
        print_roff(flags->value_name ? flags->value_name : "");
        (void)putchar('\n');
        print_roff(flags->help);
        (void)putchar('\n');
    }
}

static void print_command(const cli_command *command)
{
    (void)printf(".SS \"");
    print_roff(command->name);
    (void)printf("%s", command->arguments[0] ? " " : "");
    print_roff(command->arguments);
    (void)printf("\"\n");
    print_roff(command->purpose);
    (void)printf(".\n.PP\n.nf\n");
    print_roff(command->examples);
    (void)printf("\n.fi\n");
    print_flag_rows(command->flags);
}

static void print_exit_codes(void)
{
    static const struct {
        int code;
        const char *meaning;
    } rows[] = {
        { 0, "done, and what was to be verified is verified" },
        { 1, "failure of another kind; the function answered 400 or above" },
        { 2, "wrong usage, configuration or manifest" },
        { 3, "not found" },
        { 4, "no token, a wrong one, or a role that does not allow it" },
        { 5, "conflict: the state is not what the request expects" },
        { 6, "attestation, signature or receipt does not verify" },
        { 7, "time is up" },
        { 8, "the control plane or the app cannot be reached now" },
        { 10, "deploy --plan: there is something to deploy" },
        { 130, "interrupted by Ctrl-C; what was accepted goes on" },
    };
    (void)printf(".SH EXIT STATUS\n");
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        (void)printf(".TP\n.B %d\n", rows[i].code);
        print_roff(rows[i].meaning);
        (void)printf(".\n");
    }
    (void)printf("Each error prints its code; ");
    print_roff("`redoubt help errors CODE` explains it.\n");
}

static void print_settings(bool by_variable)
{
    for (size_t key = 0; key < CLI_SET_COUNT; key++) {
        const cli_setting_info *row = &cli_settings[key];
        if (!by_variable && key == CLI_SET_TOKEN)
            continue;
        (void)printf(".TP\n.B %s\n", by_variable ? row->variable : row->key);
        print_roff(row->help);
        if (row->fallback) {
            (void)printf(" (default ");
            print_roff(row->fallback);
            (void)printf(")");
        }
        (void)printf(".\n");
    }
}

static void print_title(const char *name, int section, const char *purpose)
{
    (void)printf(".TH %s %d \"\" \"redoubt " REDOUBT_VERSION "\" \"Redoubt\"\n.SH NAME\n", name, section);
    print_roff(name);
    (void)printf(" \\- %s\n", purpose);
}

static void print_redoubt(void)
{
    print_title("redoubt", 1, "deploy, invoke and verify confidential functions");
    (void)printf(".SH SYNOPSIS\n.B redoubt\n.I VERB\n[flags] [arguments]\n.SH DESCRIPTION\n");
    print_roff("Results go to stdout, everything else to stderr. What an enclave is and answers is checked on this "
               "machine: the control plane is trusted for availability, never for secrecy or integrity.\n");
    (void)printf(".SH VERBS\n");
    for (const cli_command *const *list = cli_all_commands; *list; list++)
        for (const cli_command *command = *list; command->name; command++)
            if (!command->is_hidden)
                print_command(command);
    (void)printf(".SH FLAGS OF EVERY VERB\nThey may also stand before the verb.\n");
    print_flag_rows(cli_global_flags);
    print_exit_codes();
    (void)printf(".SH ENVIRONMENT\n");
    print_settings(true);
    (void)printf(".TP\n.B REDOUBT_PROFILE\nthe profile to read instead of the usual ones.\n.TP\n.B NO_COLOR\n"
                 "any value: no colour and no live lines; so does TERM=dumb.\n");
    (void)printf(".SH SEE ALSO\n.BR redoubt\\-config (5),\n.BR redoubt\\-api (8),\n.BR redoubt\\-scheduler (8),\n"
                 ".BR redoubt\\-agent (8)\n");
}

static void print_config(void)
{
    print_title("redoubt-config", 5, "profile of the command line, and option files of the processes");
    (void)printf(".SH PROFILE\n");
    print_roff("A JSON object. An unknown member is an error. The command line reads, each filling in what the ones "
               "before left open: flags, the environment, ");
    (void)printf("\n.I .redoubt/profile.json\n");
    print_roff("of the working directory or the nearest folder above it that has one, and\n");
    (void)printf(".I $XDG_CONFIG_HOME/redoubt/profile.json\n(");
    print_roff(
        "usually ~/.config/redoubt/profile.json). With --profile or REDOUBT_PROFILE that one file replaces both. "
        "Relative paths count from the folder of the file. `redoubt config explain` shows each value and where "
        "it came from.\n");
    print_settings(false);
    (void)printf(".TP\n.B simulation_roots\n");
    print_roff("list of \"sha256:…\" of the roots whose SIMULATED hosts are accepted. Only this machine decides that: "
               "no server and no app can add to it.\n");
    (void)printf(".TP\n.B measurements\n");
    print_roff(
        "list of MRTD values (96 hex digits) of the runtime images that are accepted, whatever an app's owner "
        "accepts. Without any, and without a caller_policy, no instance is; redoubt-agent measure PROGRAM prints "
        "the value of a program.\n");
    (void)printf(".TP\n.B kms_measurements\n");
    print_roff("the same of the builds of key services.\n");
    (void)printf(".SS Example\n.nf\n");
    print_roff("{ \"api\": \"https://api.example.net\", \"token_file\": \"token\", \"key_file\": \"keys/owner.pem\",\n"
               "  \"measurements\": [\"2f8c…\"] }\n");
    (void)printf(".fi\n.SH OPTION FILES\n");
    print_roff("redoubt-api, redoubt-scheduler and redoubt-agent read lines of the form key = value, where the key is "
               "the name of an option without its dashes; # starts a comment. --config names the file. A later source "
               "replaces an earlier one: default, file, environment, flag. --check validates, --print-config shows "
               "each value and where it came from. Secrets are options that name a file.\n");
    (void)printf(".SH SEE ALSO\n.BR redoubt (1),\n.BR redoubt\\-api (8),\n.BR redoubt\\-scheduler (8),\n"
                 ".BR redoubt\\-agent (8)\n");
}

bool cli_help_man(const char *page)
{
    if (strcmp(page, "config") == 0)
        print_config();
    else if (page[0] == '\0')
        print_redoubt();
    else
        return false;
    return true;
}
