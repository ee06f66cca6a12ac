#include "cli/client.h"
#include "cli/cmd.h"
#include "cli/local_files.h"
#include "cli/local_http.h"
#include "cli/local_proxy.h"
#include "cli/local_verbs.h"
#include "cli/signals.h"
#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "common/model/json.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_SIZE 32
#define SECRET_TEXT (SECRET_SIZE * 2 + 1)

typedef struct dashboard {
    const cli_args *args;
    const char *api;
    char *token;
    uint16_t port;
    char origin[40], host[32];
    char cookie_name[24]; /* by port: cookies know no ports, and two dashboards may run */
    pthread_mutex_t lock;
    char way_in[SECRET_TEXT]; /* of the address that is printed; "" once it was used */
    char cookie[SECRET_TEXT]; /* of this run */
    char key[SECRET_TEXT];    /* in a header of every request but for files */
} dashboard;

static void draw(char out[SECRET_TEXT])
{
    uint8_t bytes[SECRET_SIZE];
    rd_random_bytes(bytes, sizeof bytes);
    rd_hex_encode(RD_BYTES_ARRAY(bytes), out);
    rd_wipe(bytes, sizeof bytes);
}

static bool is_secret(const char *given, size_t size, const char *secret)
{
    return secret[0] && size == SECRET_TEXT - 1 && rd_equal_ct(given, secret, size);
}

/* --- who may speak ---------------------------------------------------------------------------------------------- */

static void refuse(cli_exchange_http *x, int status, rd_code code, const char *why)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, code, "%s", why);
    cli_http_problem(x, status, &err);
}

/* A name that somebody else's DNS points here is not ours (DNS rebinding). */
static bool is_for_us(const dashboard *d, const cli_exchange_http *x)
{
    const char *host = cli_http_header(x, "Host");
    return host && strcmp(host, d->host) == 0;
}

static bool has_cookie(const dashboard *d, const cli_exchange_http *x)
{
    size_t name = strlen(d->cookie_name);
    const char *at = cli_http_header(x, "Cookie");
    while (at && *at) {
        at += strspn(at, " ;");
        size_t size = strcspn(at, ";");
        if (size > name && strncmp(at, d->cookie_name, name) == 0 && is_secret(at + name, size - name, d->cookie))
            return true;
        at += size;
    }
    return false;
}

/* A cookie goes to every port of this address, that of another user's program as well; the key stays with the page, in
 * the storage of its origin, and port and all make an origin. */
static bool has_key(const dashboard *d, const cli_exchange_http *x)
{
    const char *key = cli_http_header(x, "Redoubt-CSRF");
    return key && is_secret(key, strlen(key), d->key);
}

static bool is_from_page(const dashboard *d, const cli_exchange_http *x)
{
    const char *origin = cli_http_header(x, "Origin");
    return origin && strcmp(origin, d->origin) == 0;
}

/* A path of the plane as it came: nothing that a parser of URLs could read in another way. */
static bool is_plain_target(const cli_exchange_http *x)
{
    const char *target = cli_http_target(x), *path = cli_http_path(x);
    return rd_starts_with(target, "/v1/") && !strstr(path, "/.") && !strstr(path, "//") && !strchr(path, '\\');
}

/* The address works once: whoever finds it in a history later finds nothing. */
static void open_door(dashboard *d, cli_exchange_http *x, const char *secret)
{
    (void)pthread_mutex_lock(&d->lock);
    bool is_right = is_secret(secret, strlen(secret), d->way_in);
    if (is_right)
        rd_wipe(d->way_in, sizeof d->way_in);
    (void)pthread_mutex_unlock(&d->lock);
    if (!is_right) {
        refuse(x, 403, RD_E_LOCAL_DOOR, "this address was used already");
        return;
    }
    RD_CLEANUP(rd_free_p)
    char *cookie = rd_asprintf("%s%s; Path=/; HttpOnly; SameSite=Strict", d->cookie_name, d->cookie);
    cli_http_add(x, "Set-Cookie", cookie);
    /* Behind the mark, which no browser sends anywhere. */
    RD_CLEANUP(rd_free_p) char *page = rd_asprintf("/#local=%s", d->key);
    cli_http_add(x, "Location", page);
    cli_http_add(x, "Cache-Control", "no-store");
    cli_http_add(x, "Referrer-Policy", "no-referrer");
    cli_http_reply(x, 303, NULL, RD_BYTES_NULL);
}

/* --- files ------------------------------------------------------------------------------------------------------ */

static const char *type_of(const char *path)
{
    static const char *const types[][2] = { { ".html", "text/html; charset=utf-8" },
                                            { ".js", "text/javascript; charset=utf-8" },
                                            { ".css", "text/css; charset=utf-8" },
                                            { ".svg", "image/svg+xml" } };
    const char *ending = strrchr(path, '.');
    for (size_t i = 0; ending && i < RD_ARRAY_LEN(types); i++)
        if (strcmp(ending, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

static const cli_local_file *find_file(const char *path)
{
    for (size_t i = 0; i < cli_local_file_count; i++)
        if (strcmp(cli_local_files[i].path, path) == 0)
            return &cli_local_files[i];
    return NULL;
}

/* The dashboard's own paths have no dot in their last part; they are all the one page. */
static void send_file(cli_exchange_http *x)
{
    const char *path = cli_http_path(x), *last = strrchr(path, '/');
    const cli_local_file *file = find_file(path);
    if (!file && last && !strchr(last, '.'))
        file = find_file("/index.html");
    if (!file) {
        refuse(x, 404, RD_E_NOT_FOUND, "nothing is here");
        return;
    }
    cli_http_add(
        x, "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
        "require-trusted-types-for 'script'");
    cli_http_add(x, "Cross-Origin-Opener-Policy", "same-origin");
    cli_http_add(x, "Cross-Origin-Resource-Policy", "same-origin");
    cli_http_add(x, "Referrer-Policy", "no-referrer");
    cli_http_add(x, "X-Content-Type-Options", "nosniff");
    cli_http_add(x, "X-Frame-Options", "DENY");
    cli_http_add(x, "Cache-Control", "no-store");
    cli_http_reply(x, 200, type_of(file->path), rd_bytes_of(file->data, file->size));
}

/* --- what happens on this machine ------------------------------------------------------------------------------- */

static void reply_json(cli_exchange_http *x, int status, json_t *document)
{
    RD_CLEANUP(rd_free_p) char *text = json_dumps(document, JSON_COMPACT);
    json_decref(document);
    cli_http_add(x, "Cache-Control", "no-store");
    cli_http_reply(x, status, "application/json", text ? rd_bytes_str(text) : RD_BYTES_NULL);
}

/* One document, or an array of those that stand a line each. NULL when it is neither. */
static json_t *parse_result(rd_bytes out, bool is_lines)
{
    if (!is_lines)
        return json_loadb((const char *)out.data, out.size, JSON_DECODE_ANY, NULL);
    json_t *lines = json_array();
    for (rd_cursor rest = rd_cursor_of(out); rd_cursor_left(&rest) > 0;) {
        rd_bytes left = rd_cursor_rest(&rest);
        const uint8_t *end = memchr(left.data, '\n', left.size);
        size_t size = end ? (size_t)(end - left.data) + 1 : left.size;
        json_t *line = json_loadb((const char *)left.data, size, 0, NULL);
        if (line)
            (void)json_array_append_new(lines, line);
        rest = rd_cursor_of(rd_bytes_of(left.data + size, left.size - size));
    }
    return lines;
}

/* {"exit","result","said"}: result is what the verb printed as JSON, said what it told the reader. */
static void run_verb(dashboard *d, cli_exchange_http *x, const char *const words[CLI_VERB_WORDS_MAX], rd_bytes input,
                     bool is_lines)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf said = { 0 };
    rd_err err = RD_ERR_INIT;
    int code = 0;
    if (cli_verb_run(d->args, words, input, &out, &said, &code, &err) < 0) {
        cli_http_problem(x, 503, &err);
        return;
    }
    json_t *result = parse_result(rd_buf_bytes(&out), is_lines);
    json_t *notes = json_stringn((const char *)said.data, said.size);
    reply_json(x, 200,
               json_pack("{s:i, s:o, s:o}", "exit", code, "result", result ? result : json_null(), "said",
                         notes ? notes : json_string("")));
}

static const char *text_in(const json_t *body, const char *name)
{
    const char *text = json_string_value(json_object_get(body, name));
    return text ? text : "";
}

/* The words of a verb end where its flags begin: nothing that the page sends can become a flag. */
static void verify(dashboard *d, cli_exchange_http *x, const json_t *body)
{
    const char *const words[CLI_VERB_WORDS_MAX] = { "verify", "--", text_in(body, "app") };
    run_verb(d, x, words, RD_BYTES_NULL, false);
}

static void invoke(dashboard *d, cli_exchange_http *x, const json_t *body)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("--path=%s", text_in(body, "path"));
    RD_CLEANUP(rd_free_p) char *type = rd_asprintf("--content-type=%s", text_in(body, "type"));
    const char *content = text_in(body, "body");
    const char *const words[CLI_VERB_WORDS_MAX] = {
        "invoke", path, type, "--data=@-", "--method=POST", "--", text_in(body, "app")
    };
    run_verb(d, x, words, rd_bytes_str(content), false);
}

/* A value goes to the verb as a pipe would bring it, with the newline that is not its own. */
static void secret(dashboard *d, cli_exchange_http *x, const json_t *body)
{
    static const char *const actions[] = { "set", "rotate", "unset" };
    const char *action = NULL;
    for (size_t i = 0; i < RD_ARRAY_LEN(actions); i++)
        if (strcmp(text_in(body, "action"), actions[i]) == 0)
            action = actions[i];
    if (!action) {
        refuse(x, 422, RD_E_JSON_RANGE, "action is set, rotate or unset");
        return;
    }
    const char *const words[CLI_VERB_WORDS_MAX] = {
        "secrets", action, "--yes", "--detach", "--", text_in(body, "app"), text_in(body, "name")
    };
    RD_CLEANUP(rd_buf_wipe) rd_buf input = { 0 };
    (void)rd_buf_reserve(&input, strlen(text_in(body, "value")) + 2); /* never moved: no copy stays behind */
    rd_buf_append_str(&input, text_in(body, "value"));
    rd_buf_append_u8(&input, '\n');
    run_verb(d, x, words, rd_buf_bytes(&input), false);
}

/* Sealed lines that the page has from the plane, opened with this machine's log key. */
static void open_logs(dashboard *d, cli_exchange_http *x, const json_t *body)
{
    const char *const words[CLI_VERB_WORDS_MAX] = { "logs", "--from=-", "--", text_in(body, "app") };
    RD_CLEANUP(rd_buf_done) rd_buf lines = { 0 };
    size_t i;
    const json_t *line;
    json_array_foreach(json_object_get(body, "lines"), i, line) if (rd_json_dump(line, &lines))(void)
        rd_buf_append_u8(&lines, '\n');
    run_verb(d, x, words, rd_buf_bytes(&lines), true);
}

static int write_file(const char *dir, const char *name, rd_bytes content, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, name);
    FILE *file = fopen(path, "wxe");
    bool is_written = file && fwrite(content.data, 1, content.size, file) == content.size;
    if (file && fclose(file) != 0)
        is_written = false;
    return is_written ? 0 : rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
}

static void remove_files(const char *dir)
{
    static const char *const names[] = { "index.js", "redoubt.json" };
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

/* What was typed is deployed as a folder would be: nothing of it goes over the plane before it is signed. */
static void deploy(dashboard *d, cli_exchange_http *x, const json_t *body)
{
    const char *source = text_in(body, "source");
    RD_CLEANUP(rd_free_p) char *manifest = json_dumps(json_object_get(body, "manifest"), JSON_COMPACT);
    const char *base = getenv("TMPDIR");
    RD_CLEANUP(rd_free_p) char *dir = rd_asprintf("%s/redoubt-dashboard-XXXXXX", base && base[0] ? base : "/tmp");
    rd_err err = RD_ERR_INIT;
    if (!manifest) {
        refuse(x, 422, RD_E_JSON_MISSING, "a manifest is needed");
        return;
    }
    if (!mkdtemp(dir)) {
        (void)rd_err_set_errno(&err, RD_E_IO, errno, "%s", dir);
        cli_http_problem(x, 500, &err);
        return;
    }
    bool is_plan = json_is_true(json_object_get(body, "plan"));
    const char *const words[CLI_VERB_WORDS_MAX] = { "deploy", "--yes", is_plan ? "--plan" : "--detach", "--", dir };
    if (write_file(dir, "index.js", rd_bytes_str(source), &err) < 0 ||
        write_file(dir, "redoubt.json", rd_bytes_str(manifest), &err) < 0)
        cli_http_problem(x, 500, &err);
    else
        run_verb(d, x, words, RD_BYTES_NULL, false);
    remove_files(dir);
}

static void local_call(dashboard *d, cli_exchange_http *x)
{
    static const struct {
        const char *path;
        void (*run)(dashboard *d, cli_exchange_http *x, const json_t *body);
    } verbs[] = { { "/local/verify", verify },
                  { "/local/invoke", invoke },
                  { "/local/deploy", deploy },
                  { "/local/logs", open_logs },
                  { "/local/secret", secret } };
    for (size_t i = 0; i < RD_ARRAY_LEN(verbs); i++) {
        if (strcmp(cli_http_path(x), verbs[i].path) != 0 || strcmp(cli_http_method(x), "POST") != 0)
            continue;
        rd_bytes text = cli_http_body(x);
        json_t *body = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
        if (json_is_object(body))
            verbs[i].run(d, x, body);
        else
            refuse(x, 400, RD_E_JSON_SYNTAX, "the body is no JSON object");
        json_decref(body);
        return;
    }
    refuse(x, 404, RD_E_NOT_FOUND, "nothing is here");
}

/* The token's session as the plane tells it, and that this is the local dashboard. */
static void send_session(dashboard *d, cli_exchange_http *x, cli_context *context)
{
    rd_err err = RD_ERR_INIT;
    json_t *session = NULL;
    cli_client *client = cli_client_new(context, &err);
    int status = client ? cli_client_json(client, "GET", "/v1/session", NULL, &session, &err) : -1;
    cli_client_free(client);
    if (status < 0) {
        cli_http_problem(x, 502, &err);
        return;
    }
    (void)json_object_set_new(session, "local", json_pack("{s:s, s:s}", "api", d->api, "version", REDOUBT_VERSION));
    reply_json(x, 200, session);
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

typedef struct site {
    dashboard *d;
    cli_context *context;
} site;

static void on_request(void *arg, cli_exchange_http *x)
{
    const site *s = arg;
    dashboard *d = s->d;
    const char *path = cli_http_path(x);
    bool is_get = strcmp(cli_http_method(x), "GET") == 0, is_read = is_get || strcmp(cli_http_method(x), "HEAD") == 0;
    if (!is_for_us(d, x))
        refuse(x, 421, RD_E_LOCAL_DOOR, "this name is not ours");
    else if (is_get && rd_starts_with(path, "/open/"))
        open_door(d, x, path + strlen("/open/"));
    else if (!has_cookie(d, x))
        refuse(x, 403, RD_E_LOCAL_DOOR, "this browser did not come by the address that was printed");
    else if (is_read && !rd_starts_with(path, "/v1/") && !rd_starts_with(path, "/local/"))
        send_file(x);
    else if (!has_key(d, x) || (!is_read && !is_from_page(d, x)))
        refuse(x, 403, RD_E_LOCAL_DOOR, "this did not come from the page that was opened by the printed address");
    else if (is_read && strcmp(path, "/v1/session") == 0)
        send_session(d, x, s->context);
    else if (rd_starts_with(path, "/v1/login") || rd_starts_with(path, "/v1/logout"))
        refuse(x, 409, RD_E_UNSUPPORTED, "this dashboard ends with Ctrl-C in its terminal");
    else if (rd_starts_with(path, "/v1/") && is_plain_target(x))
        cli_local_proxy(d->api, d->token, x);
    else if (rd_starts_with(path, "/local/"))
        local_call(d, x);
    else
        refuse(x, 404, RD_E_NOT_FOUND, "nothing is here");
}

static int read_port(const cli_args *args, uint16_t *ret, rd_err *err)
{
    const char *text = cli_args_value(args, "port");
    uint64_t port = 0;
    if (text && (rd_parse_u64(text, strlen(text), 65535, &port) < 0 || port == 0))
        return rd_err_set(err, RD_E_USAGE, "--port takes 1 to 65535, not %s", text);
    *ret = (uint16_t)port;
    return 0;
}

static void print_address(const cli_context *context, const dashboard *d)
{
    RD_CLEANUP(rd_free_p) char *url = rd_asprintf("%s/open/%s", d->origin, d->way_in);
    if (context->out.form == CLI_JSON)
        cli_print(&context->out, "{\"url\":\"%s\"}", url);
    else
        cli_print(&context->out, "%s", url);
    (void)fflush(stdout);
    cli_note(
        &context->out,
        "Works once, in a browser on this machine. Its files came with this program; what it proves, seals and signs "
        "happens here.\nThe control plane is %s. Ctrl-C ends it.",
        d->api);
}

static void wipe_and_free(void *memory)
{
    if (memory)
        rd_wipe(memory, malloc_usable_size(memory));
    free(memory);
}

static int run_dashboard(cli_context *context, const cli_args *args, rd_err *err)
{
    uint16_t port;
    /* The page's bodies may hold a secret, of which the parser makes copies of its own. */
    json_set_alloc_funcs(malloc, wipe_and_free);
    if (cli_args_expect(args, 0, 0, "", err) < 0 || read_port(args, &port, err) < 0)
        return -1;
    dashboard d = { .args = args,
                    .api = cli_profile_get(context->profile, CLI_SET_API),
                    .lock = PTHREAD_MUTEX_INITIALIZER };
    /* Also starts libcurl, before there are threads. */
    cli_client *client = cli_context_client(context, err);
    json_t *session = NULL;
    d.token = client ? cli_profile_token(context->profile, err) : NULL;
    if (!d.token || cli_client_json(client, "GET", "/v1/session", NULL, &session, err) < 0) {
        cli_token_free(&d.token);
        return -1;
    }
    json_decref(session);
    context->out.is_live = false; /* its line and its timer are of one thread */
    draw(d.way_in);
    draw(d.cookie);
    draw(d.key);
    site s = { .d = &d, .context = context };
    int fd = -1, status = cli_local_listen(port, &fd, &d.port, err);
    (void)snprintf(d.host, sizeof d.host, "127.0.0.1:%u", d.port);
    (void)snprintf(d.origin, sizeof d.origin, "http://%s", d.host);
    (void)snprintf(d.cookie_name, sizeof d.cookie_name, "redoubt_local_%u=", d.port);
    if (status == 0)
        status = cli_local_serve(fd, on_request, &s, err);
    if (status < 0) {
        cli_token_free(&d.token);
        return -1;
    }
    print_address(context, &d);
    for (;;)
        (void)pause(); /* Ctrl-C ends the process (signals.c) */
}

static const cli_flag dashboard_flags[] = {
    { "port", 0, "PORT", "listen there on 127.0.0.1 (default: a free one)" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_dashboard_commands[] = {
    { .name = "dashboard",
      .purpose = "the dashboard from this machine: proves, seals and signs here",
      .arguments = "",
      .examples = "redoubt dashboard\nredoubt dashboard --port 7070",
      .flags = dashboard_flags,
      .run = run_dashboard },
    { .name = NULL },
};
