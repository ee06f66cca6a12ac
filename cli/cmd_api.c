#include "cli/cmd.h"

#include "cli/client.h"
#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_body(const cli_args *args, rd_buf *body, rd_err *err)
{
    const char *data = cli_args_value(args, "data");
    rd_buf_init(body, CLI_ANSWER_MAX);
    if (!data)
        return 0;
    if (data[0] != '@')
        return rd_buf_append_str(body, data) ? 0 : -1;
    RD_CLEANUP(rd_free_p) uint8_t *content = NULL;
    size_t size;
    if (cli_read_file(data + 1, CLI_ANSWER_MAX, &content, &size, err) < 0)
        return -1;
    return rd_buf_append(body, content, size) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "the body is too large");
}

static int run_api(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 2, 2, "METHOD PATH", err) < 0)
        return -1;
    if (args->positional[1][0] != '/')
        return rd_err_set(err, RD_E_USAGE, "PATH starts with a slash, such as /v1/apps");
    rd_buf body;
    cli_client *client = cli_context_client(context, err);
    if (!client || read_body(args, &body, err) < 0)
        return -1;
    const char *headers[CLI_FLAGS_MAX + 1] = { NULL };
    for (size_t i = 0; i < CLI_FLAGS_MAX; i++)
        headers[i] = cli_args_value_at(args, "header", i);
    const char *type = cli_args_value(args, "content-type");
    const cli_request request = {
        .method = args->positional[0],
        .path = args->positional[1],
        .body = rd_buf_bytes(&body),
        .content_type = type                         ? type
                        : cli_args_has(args, "data") ? "application/json"
                                                     : NULL,
        .headers = headers,
        .accept_any_status = true,
        .timeout_us = context->timeout_us,
    };
    cli_answer answer;
    int status = cli_client_send(client, &request, &answer, err);
    if (status == 0) {
        (void)fwrite(answer.body.data, 1, answer.body.size, stdout);
        if (isatty(STDOUT_FILENO))
            (void)putchar('\n');
        (void)fflush(stdout);
        status = answer.status < 400                            ? 0
                 : answer.status == 404                         ? 3
                 : answer.status == 401 || answer.status == 403 ? 4
                                                                : 1;
        if (status != 0)
            cli_note(&context->out, "HTTP %d", answer.status);
    }
    cli_answer_done(&answer);
    rd_buf_done(&body);
    return status;
}

static const cli_flag api_flags[] = {
    { "data", 'd', "TEXT|@FILE|@-", "the request body" },
    { "header", 'H', "NAME: VALUE", "a further header; may be repeated" },
    { "content-type", 0, "TYPE", "default: application/json with a body" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_api_commands[] = {
    { .name = "api",
      .purpose = "any request to the REST API, with this profile's token",
      .arguments = "METHOD PATH",
      .examples =
          "redoubt api GET /v1/apps | jq\nredoubt api POST /v1/tokens -d '{\"name\":\"ci\",\"role\":\"developer\"}'",
      .flags = api_flags,
      .run = run_api },
    { .name = NULL },
};
