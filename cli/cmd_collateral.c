#include "cli/cmd.h"

#include "cli/client.h"
#include "cli/evidence_files.h"
#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

#define FALLS 6
#define FAILS 8

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "-";
}

static long long number_of(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static void print_scope(const cli_out *out, const json_t *scope)
{
    bool is_amd = json_is_null(json_object_get(scope, "fmspc"));
    cli_print(out, "  %-4s %-13s %-9s %s", text_of(scope, "tee"), text_of(scope, is_amd ? "product" : "fmspc"),
              text_of(scope, "class"),
              json_is_string(json_object_get(scope, "reason")) ? text_of(scope, "reason") : "ok");
    if (json_is_string(json_object_get(scope, "reason")))
        cli_print(out, "       %s", text_of(scope, "detail"));
    if (is_amd)
        cli_print(out, "       %s, list %lld, until %s",
                  json_is_true(json_object_get(scope, "vlek")) ? "VLEK chain" : "VCEK chain",
                  number_of(scope, "root_crl_number"), text_of(scope, "expires"));
    else
        cli_print(
            out, "       evaluation number %lld, PCK lists platform %lld, processor %lld, root list %lld, until %s",
            number_of(scope, "evaluation_number"), number_of(scope, "platform_crl_number"),
            number_of(scope, "processor_crl_number"), number_of(scope, "root_crl_number"), text_of(scope, "expires"));
}

void cli_collateral_print_facts(const cli_out *out, const json_t *facts)
{
    size_t index;
    json_t *scope;
    json_array_foreach(json_object_get(facts, "scopes"), index, scope) print_scope(out, scope);
    if (number_of(facts, "vceks") > 0)
        cli_print(out, "  certificates of chips (VCEK): %lld", number_of(facts, "vceks"));
}

/* --- show --- */

static const char *age_of(const json_t *object, const char *name, int64_t now_us, char *room, size_t size)
{
    const char *time = json_string_value(json_object_get(object, name));
    return time ? cli_age(time, now_us, room, size) : "never";
}

/* How the plane's own fetching goes. */
static void print_refresh(const cli_out *out, const json_t *refresh, int64_t now_us)
{
    char tried[64], good[64];
    bool is_on = json_is_true(json_object_get(refresh, "enabled"));
    bool fails = number_of(refresh, "failures") > 0;
    const char *next = json_string_value(json_object_get(refresh, "next"));
    cli_print(out, "  %-18s %s", "refresh",
              is_on ? "on: the plane fetches by itself"
                    : "off: the plane does not fetch by itself; see: redoubt collateral fetch");
    if (json_is_string(json_object_get(refresh, "tried"))) {
        cli_print(out, "  %-18s %s, from %s", "  last", age_of(refresh, "tried", now_us, tried, sizeof tried),
                  text_of(refresh, "source"));
        if (fails) {
            cli_print(out, "  %-18s %lld in a row: %s", "  FAILED", number_of(refresh, "failures"),
                      text_of(refresh, "code"));
            cli_print(out, "  %-18s %s", "", text_of(refresh, "detail"));
            cli_print(out, "  %-18s %s", "  last good", age_of(refresh, "succeeded", now_us, good, sizeof good));
        } else {
            cli_print(out, "  %-18s %s", "", text_of(refresh, "detail"));
        }
    }
    if (is_on)
        cli_print(out, "  %-18s %s", "  next", next ? next : "at once");
}

static void print_set(const cli_out *out, const json_t *status, int64_t now_us)
{
    char age[64];
    if (!json_is_string(json_object_get(status, "digest"))) {
        cli_print(out, "no set yet: nothing can be verified");
        return;
    }
    cli_print(out, "set %lld   %s", number_of(status, "number"), text_of(status, "digest"));
    cli_print(out, "  %-18s %s, %s", "source", text_of(status, "source"),
              age_of(status, "since", now_us, age, sizeof age));
}

static int get_status(cli_context *context, const cli_args *args, json_t **ret, rd_err *err)
{
    if (cli_args_expect(args, 0, 0, "", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    return client ? cli_client_json(client, "GET", "/v1/collateral/status", NULL, ret, err) : -1;
}

static int run_show(cli_context *context, const cli_args *args, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *status = NULL;
    const cli_out *out = &context->out;
    int64_t now_us = rd_clock_wall_us(context->clock);
    if (get_status(context, args, &status, err) < 0)
        return -1;
    if (out->form == CLI_JSON) {
        cli_print_json(out, status);
        return 0;
    }
    print_set(out, status, now_us);
    print_refresh(out, json_object_get(status, "refresh"), now_us);
    if (json_is_object(json_object_get(status, "facts")))
        cli_collateral_print_facts(out, json_object_get(status, "facts"));
    else
        cli_print(out, "  It does not verify: evidence will be refused until another set is in use.");
    return 0;
}

/* --- the plane's own fetching --- */

static int run_status(cli_context *context, const cli_args *args, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *status = NULL;
    const cli_out *out = &context->out;
    int64_t now_us = rd_clock_wall_us(context->clock);
    if (get_status(context, args, &status, err) < 0)
        return -1;
    const json_t *facts = json_object_get(status, "facts"), *refresh = json_object_get(status, "refresh");
    if (out->form == CLI_JSON)
        cli_print_json(out, refresh);
    else {
        print_set(out, status, now_us);
        if (json_is_object(facts))
            cli_print(out, "  %-18s %s", "first end", text_of(facts, "expires"));
        print_refresh(out, refresh, now_us);
    }
    return number_of(refresh, "failures") > 0 ? FAILS : 0;
}

static int run_refresh(cli_context *context, const cli_args *args, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *refresh = NULL;
    if (cli_args_expect(args, 0, 0, "", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    if (!client || cli_client_json(client, "POST", "/v1/collateral/refresh", NULL, &refresh, err) < 0)
        return -1;
    if (context->out.form == CLI_JSON)
        cli_print_json(&context->out, refresh);
    else
        cli_print(&context->out, "The plane fetches its collateral now; see: redoubt collateral status");
    return 0;
}

/* --- a set from a file or a folder --- */

/* The bytes to send: one set as JSON, whatever it lies in. */
static int load_set(const char *path, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = NULL;
    RD_CLEANUP(rd_json_free_p) json_t *document = NULL;
    rd_buf_init(ret, RD_COLLATERAL_SIZE_MAX);
    if (cli_collateral_load(path, &set, err) < 0)
        return -1;
    document = rd_collateral_set_to_json(set);
    return rd_json_dump(document, ret) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "%s: larger than a set may be", path);
}

static int send_set(cli_context *context, const cli_args *args, const char *method, const char *target, json_t **ret,
                    rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf set = { 0 };
    RD_CLEANUP(cli_answer_done) cli_answer answer = { .headers = NULL };
    if (cli_args_expect(args, 1, 1, "PATH", err) < 0 || load_set(args->positional[0], &set, err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    const cli_request request = { .method = method,
                                  .path = target,
                                  .body = rd_buf_bytes(&set),
                                  .content_type = "application/json",
                                  .timeout_us = context->timeout_us };
    if (!client || cli_client_send(client, &request, &answer, err) < 0)
        return -1;
    static const rd_json_limits limits = { .size_max = CLI_ANSWER_MAX };
    return rd_json_parse(rd_buf_bytes(&answer.body), &limits, ret, err);
}

static int run_import(cli_context *context, const cli_args *args, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *answer = NULL;
    if (send_set(context, args, "PUT", "/v1/collateral", &answer, err) < 0)
        return -1;
    if (context->out.form == CLI_JSON) {
        cli_print_json(&context->out, answer);
        return 0;
    }
    cli_print(&context->out, "set %lld is in use", (long long)json_integer_value(json_object_get(answer, "number")));
    cli_collateral_print_facts(&context->out, json_object_get(answer, "facts"));
    return 0;
}

/* --- forecast --- */

static void print_fall(const cli_out *out, const json_t *fall)
{
    const char *host = json_string_value(json_object_get(fall, "host"));
    const char *name = json_string_value(json_object_get(fall, "host_name"));
    const char *instance = json_string_value(json_object_get(fall, "instance"));
    const char *code = json_string_value(json_object_get(fall, "code"));
    const char *detail = json_string_value(json_object_get(fall, "detail"));
    const char *hint = json_string_value(json_object_get(fall, "hint"));
    cli_print(out, "  %s %s  %s", host ? host : "?", instance ? instance : name ? name : "", code ? code : "");
    cli_print(out, "      %s", detail ? detail : "");
    if (hint && hint[0])
        cli_print(out, "      hint  %s", hint);
}

static void print_forecast(const cli_out *out, const json_t *answer)
{
    const json_t *falls = json_object_get(answer, "falls");
    const char *detail = json_string_value(json_object_get(answer, "follows_detail"));
    cli_print(
        out, "%lld pieces of evidence judged%s: %zu would fall, %lld are refused already, %lld would be accepted again",
        (long long)json_integer_value(json_object_get(answer, "judged")),
        json_is_true(json_object_get(answer, "complete")) ? "" : " (the first, not all)", json_array_size(falls),
        (long long)json_integer_value(json_object_get(answer, "refused_already")),
        (long long)json_integer_value(json_object_get(answer, "rises")));
    if (!json_is_true(json_object_get(answer, "follows")))
        cli_print(out, "The set cannot be taken into use: %s.", detail ? detail : "it is older");
    for (size_t i = 0; i < json_array_size(falls); i++)
        print_fall(out, json_array_get(falls, i));
}

static int run_forecast(cli_context *context, const cli_args *args, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *answer = NULL;
    if (send_set(context, args, "POST", "/v1/collateral/forecast", &answer, err) < 0)
        return -1;
    if (context->out.form == CLI_JSON)
        cli_print_json(&context->out, answer);
    else
        print_forecast(&context->out, answer);
    return json_array_size(json_object_get(answer, "falls")) > 0 ? FALLS : 0;
}

const cli_command cli_collateral_commands[] = {
    { .name = "collateral show",
      .purpose = "the collateral set that the plane verifies evidence by, with its age and numbers",
      .arguments = "",
      .examples = "redoubt collateral show\nredoubt collateral show --json",
      .run = run_show },
    { .name = "collateral status",
      .purpose = "how the plane's own fetching of collateral goes; exit 8 while it fails",
      .arguments = "",
      .examples = "redoubt collateral status\nredoubt collateral status --json",
      .run = run_status },
    { .name = "collateral refresh",
      .purpose = "have the plane fetch its collateral now, from the services that it is configured with",
      .arguments = "",
      .examples = "redoubt collateral refresh",
      .run = run_refresh },
    { .name = "collateral import",
      .purpose = "take a collateral set into use, for the whole plane; an older one is refused",
      .arguments = "PATH",
      .examples = "redoubt collateral import collateral.json\nredoubt collateral import collateral/",
      .run = run_import },
    { .name = "collateral forecast",
      .purpose =
          "which hosts would fall under another set, and why, before it is taken into use; exit 6 when some would",
      .arguments = "PATH",
      .examples = "redoubt collateral forecast collateral.json\nredoubt collateral forecast collateral/ --json",
      .run = run_forecast },
    { .name = NULL },
};
