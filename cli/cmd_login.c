#include "cli/cmd.h"

#include "cli/client.h"
#include "cli/signals.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* From a prompt without echo, or from stdin when it is not a terminal; never from argv. */
static int read_token(cli_context *context, char *token, size_t size, rd_err *err)
{
    struct termios before;
    bool is_terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    if (is_terminal && !context->out.may_ask)
        return rd_err_set(err, RD_E_USAGE, "give the token on stdin: redoubt login < token-file");
    if (is_terminal) {
        struct termios silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        cli_interrupt_terminal(&before);
        (void)fputs("Token: ", stderr);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    bool is_read = fgets(token, (int)size, stdin) != NULL;
    if (is_terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        cli_interrupt_terminal(NULL);
        (void)fputc('\n', stderr);
    }
    token[is_read ? strcspn(token, " \r\n") : 0] = '\0';
    return token[0] ? 0 : rd_err_set(err, RD_E_USAGE, "no token was given");
}

static int check_token(cli_context *context, const char *token, rd_err *err)
{
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_free_p) char *header = rd_asprintf("Authorization: Bearer %s", token);
    const char *const headers[] = { header, NULL };
    const cli_request request = { .method = "GET", .path = "/v1/session", .headers = headers, .is_anonymous = true };
    cli_answer answer = { .status = 0 };
    int status = client ? cli_client_send(client, &request, &answer, err) : -1;
    rd_wipe(header, strlen(header));
    if (client)
        cli_answer_done(&answer);
    return status;
}

static void report(cli_context *context, const char *api, bool is_logged_in, const char *sentence)
{
    if (context->out.form != CLI_JSON) {
        cli_note(&context->out, "%s", sentence);
        return;
    }
    json_t *document = json_pack("{s:s, s:b}", "api", api, "logged_in", is_logged_in);
    cli_print_json(&context->out, document);
    json_decref(document);
}

static int run_login(cli_context *context, const cli_args *args, rd_err *err)
{
    if (args->positional_count)
        return rd_err_set(err, RD_E_USAGE, "a token on the command line would be seen by others; give it on stdin");
    char token[512];
    int status = read_token(context, token, sizeof token, err);
    if (status == 0)
        status = check_token(context, token, err);
    const char *api = cli_profile_get(context->profile, CLI_SET_API);
    if (status == 0)
        status = cli_profile_save_login(api, token, err);
    rd_wipe(token, sizeof token);
    if (status == 0) {
        RD_CLEANUP(rd_free_p) char *sentence = rd_asprintf("Logged in at %s.", api);
        report(context, api, true, sentence);
    }
    return status;
}

static int run_logout(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 0, 0, "", err) < 0 || cli_profile_forget_login(err) < 0)
        return -1;
    report(context, cli_profile_get(context->profile, CLI_SET_API), false,
           "The stored token is gone. It stays valid until it expires: redoubt tokens delete ID revokes it.");
    return 0;
}

static int run_link(cli_context *context, const cli_args *args, rd_err *err)
{
    cli_client *client = cli_args_expect(args, 0, 0, "", err) < 0 ? NULL : cli_context_client(context, err);
    json_t *link = NULL;
    json_t *body = json_object();
    int status = client ? cli_client_json(client, "POST", "/v1/login-links", body, &link, err) : -1;
    json_decref(body);
    if (status == 0 && context->out.form == CLI_JSON)
        cli_print_json(&context->out, link);
    else if (status == 0)
        cli_print(&context->out, "%s", json_string_value(json_object_get(link, "url")));
    json_decref(link);
    return status;
}

const cli_command cli_login_commands[] = {
    { .name = "login",
      .purpose = "keep a token, read from a prompt or stdin, never argv",
      .arguments = "",
      .examples = "redoubt login --api https://api.example.net\nredoubt login < token-file",
      .run = run_login },
    { .name = "logout",
      .purpose = "forget the stored token",
      .arguments = "",
      .examples = "redoubt logout",
      .run = run_logout },
    { .name = "login-link",
      .purpose = "a link that signs a browser in once",
      .arguments = "",
      .examples = "redoubt login-link",
      .run = run_link },
    { .name = NULL },
};
