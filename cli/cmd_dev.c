#include "cli/cmd.h"

#include "cli/dev_serve.h"
#include "cli/local_http.h"
#include "cli/signals.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"
#include "enclave/engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SETTLE_MS 60 /* editors write a file in several steps: these count as one change */
#define EVENTS    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE)

typedef struct watch {
    const char *path;
    const char *engine; /* --engine, or NULL */
    int listen_fd;
    int inotify_fd;
    json_t *secrets;
    pid_t child;  /* 0: none */
    int child_fd; /* readable once it has ended; -1: none */
} watch;

/* Folders of the manifest and of every module; adding one twice does nothing. */
static void watch_folders(const watch *self, const cli_manifest *manifest, const rd_code_bundle *code)
{
    (void)inotify_add_watch(self->inotify_fd, manifest->dir, EVENTS);
    for (size_t i = 0; i < code->modules_count; i++) {
        const char *slash = strrchr(code->modules[i].name, '/');
        RD_CLEANUP(rd_free_p)
        char *folder =
            slash ? rd_asprintf("%s/%.*s", manifest->dir, (int)(slash - code->modules[i].name), code->modules[i].name)
                  : NULL;
        if (folder)
            (void)inotify_add_watch(self->inotify_fd, folder, EVENTS);
    }
}

static int collect(const watch *self, cli_manifest *manifest, rd_code_bundle *code, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    if (cli_manifest_load(self->path, manifest, err) < 0)
        return -1;
    watch_folders(self, manifest, code);
    if (self->engine && cli_manifest_set_engine(manifest, self->engine, err) < 0)
        return -1;
    const char *engine = rd_engine_names[manifest->release.engine];
    if (strcmp(engine, encl_engine_name()) != 0)
        return rd_err_set(err, RD_E_CLI_MANIFEST, "the engine is %s now: start redoubt dev again", engine);
    if (cli_bundle_collect(manifest, &bundle, err) < 0 || rd_code_bundle_parse(rd_buf_bytes(&bundle), code, err) < 0)
        return -1;
    watch_folders(self, manifest, code);
    return 0;
}

/* 0 in the child. One version of the code is one process: an engine cannot be loaded twice, and what goes wrong goes
 * with it. */
static int fork_child(watch *self, rd_err *err)
{
    (void)fflush(NULL);
    self->child = fork();
    if (self->child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)signal(SIGINT, SIG_DFL);
        (void)signal(SIGPIPE, SIG_IGN); /* a peer that closes is an error of its request */
        (void)close(self->inotify_fd);
        return 0;
    }
    if (self->child < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "fork");
    self->child_fd = (int)syscall(SYS_pidfd_open, self->child, 0);
    return 1;
}

static int start(cli_context *context, watch *self, rd_err *err)
{
    cli_manifest manifest = { .dir = NULL };
    rd_code_bundle code = { .main = NULL };
    rd_err why = RD_ERR_INIT;
    int outcome = collect(self, &manifest, &code, &why);
    if (outcome < 0)
        cli_print_error(&context->out, &why, NULL);
    int forked = fork_child(self, err);
    if (forked == 0 && outcome < 0)
        cli_dev_serve_error(self->listen_fd, &why);
    if (forked == 0)
        cli_dev_serve(&context->out, &manifest, &code, self->secrets, self->listen_fd);
    cli_manifest_done(&manifest);
    rd_code_bundle_done(&code);
    return forked < 0 ? -1 : 0;
}

static void stop(watch *self)
{
    if (self->child <= 0)
        return;
    (void)kill(self->child, SIGKILL);
    while (waitpid(self->child, NULL, 0) < 0 && errno == EINTR)
        continue;
    self->child = 0;
    rd_close_p(&self->child_fd);
}

/* The process ended by itself: callers are told so until the code changes. */
static int replace_ended(cli_context *context, watch *self, rd_err *err)
{
    rd_err why = RD_ERR_INIT;
    int status = 0;
    (void)waitpid(self->child, &status, 0);
    rd_close_p(&self->child_fd);
    (void)rd_err_set(&why, RD_E_ENGINE_TRAP, "the function's process ended: %s %d",
                     WIFSIGNALED(status) ? "signal" : "exit",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    cli_print_error(&context->out, &why, NULL);
    int forked = fork_child(self, err);
    if (forked == 0)
        cli_dev_serve_error(self->listen_fd, &why);
    return forked < 0 ? -1 : 0;
}

/* A script or a manifest: what an editor's own files next to them are not. */
static bool is_ours(const char *name)
{
    const char *ending = strrchr(name, '.');
    static const char *const endings[] = { ".js", ".mjs", ".json", ".yaml", ".yml", ".pem" };
    for (size_t i = 0; ending && i < RD_ARRAY_LEN(endings); i++)
        if (strcmp(ending, endings[i]) == 0)
            return name[0] != '.';
    return false;
}

static bool read_events(const watch *self)
{
    uint8_t bytes[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t got = read(self->inotify_fd, bytes, sizeof bytes);
    bool is_change = false;
    for (ssize_t at = 0; at < got;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)(bytes + at);
        is_change = is_change || (event->len > 0 && is_ours(event->name));
        at += (ssize_t)(sizeof *event + event->len);
    }
    return is_change;
}

/* Until something of ours has changed and nothing has for a moment. */
static int wait_for_change(cli_context *context, watch *self, rd_err *err)
{
    bool is_changed = false;
    for (;;) {
        struct pollfd watched[] = { { .fd = self->inotify_fd, .events = POLLIN },
                                    { .fd = self->child_fd, .events = POLLIN } };
        int ready = poll(watched, RD_ARRAY_LEN(watched), is_changed ? SETTLE_MS : -1);
        if (ready == 0)
            return 0;
        if (ready > 0 && watched[1].revents != 0 && replace_ended(context, self, err) < 0)
            return -1;
        if (ready > 0 && watched[0].revents != 0)
            is_changed = read_events(self) || is_changed;
    }
}

static int read_secrets_file(const char *path, json_t **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size;
    if (!path)
        return 0;
    if (cli_read_file(path, 1 << 20, &data, &size, err) < 0 ||
        rd_json_parse(rd_bytes_of(data, size), &(rd_json_limits){ .size_max = 1 << 20 }, ret, err) < 0)
        return rd_err_wrap(err, "%s", path);
    return json_is_object(*ret) ? 0 : rd_err_set(err, RD_E_JSON_TYPE, "%s: {\"NAME\": \"value\", …} is needed", path);
}

static int parse_port(const cli_args *args, uint16_t *ret, rd_err *err)
{
    const char *text = cli_args_value(args, "port");
    uint64_t port = 8787;
    if (text && rd_parse_u64(text, strlen(text), UINT16_MAX, &port) < 0)
        return rd_err_set(err, RD_E_USAGE, "--port %s is no port", text);
    *ret = (uint16_t)port;
    return 0;
}

/* An engine is linked, so the other one is another program beside this one: this process goes on as that. */
static int become(const char *engine, rd_err *err)
{
    char path[PATH_MAX], line[32768], *words[512] = { NULL };
    RD_CLEANUP(rd_close_p) int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    ssize_t at = readlink("/proc/self/exe", path, sizeof path - sizeof "redoubt-jsc");
    if (size <= 0 || at <= 0 || size == (ssize_t)sizeof line - 1)
        return rd_err_set(err, RD_E_IO, "/proc/self is not readable, or the command line is too long");
    line[size] = '\0';
    path[at] = '\0';
    char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    (void)snprintf(name, sizeof path - (size_t)(name - path), "%s",
                   strcmp(engine, "jsc") == 0 ? "redoubt-jsc" : "redoubt");
    size_t count = 0;
    for (char *word = line; word < line + size && count < RD_ARRAY_LEN(words) - 1; word += strlen(word) + 1)
        words[count++] = word;
    (void)execv(path, words);
    return rd_err_set(err, RD_E_UNSUPPORTED, "this build has no engine %s (%s: %s)", engine, path, strerror(errno));
}

/* The engine that flag or manifest names; a manifest that cannot be read is told of later. */
static int choose_engine(const watch *self, rd_err *err)
{
    cli_manifest manifest = { .dir = NULL };
    rd_err ignored = RD_ERR_INIT;
    int outcome = 0;
    bool is_read = cli_manifest_load(self->path, &manifest, &ignored) == 0;
    if (self->engine)
        outcome = cli_manifest_set_engine(&manifest, self->engine, err);
    const char *engine = rd_engine_names[manifest.release.engine];
    if (outcome == 0 && (is_read || self->engine) && strcmp(engine, encl_engine_name()) != 0)
        outcome = become(engine, err);
    cli_manifest_done(&manifest);
    return outcome;
}

static int run_dev(cli_context *context, const cli_args *args, rd_err *err)
{
    watch self = { .listen_fd = -1, .inotify_fd = -1, .child_fd = -1 };
    uint16_t port;
    if (cli_args_expect(args, 0, 1, "[FILE|DIR]", err) < 0 || parse_port(args, &port, err) < 0 ||
        read_secrets_file(cli_args_value(args, "secrets"), &self.secrets, err) < 0)
        return -1;
    self.path = args->positional_count ? args->positional[0] : NULL;
    self.engine = cli_args_value(args, "engine");
    if (choose_engine(&self, err) < 0)
        return -1;
    self.inotify_fd = inotify_init1(IN_CLOEXEC);
    if (self.inotify_fd < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "inotify");
    if (cli_local_listen(port, &self.listen_fd, &port, err) < 0)
        return rd_err_wrap(err, "another --port may be free");
    cli_note(
        &context->out,
        "%sno enclave: nothing here is confidential or proved%s; the same engine and limits, no evidence, no receipts",
        cli_style_code(&context->out, CLI_YELLOW), cli_style_code(&context->out, CLI_PLAIN));
    cli_print(&context->out, "http://127.0.0.1:%u/", port);
    (void)fflush(stdout);
    cli_interrupt_say("stopped");
    for (;;) {
        if (start(context, &self, err) < 0 || wait_for_change(context, &self, err) < 0)
            return -1;
        stop(&self);
        cli_note(&context->out, "changed: loading again");
    }
}

static const cli_flag dev_flags[] = {
    { "engine", 'e', "NAME", "quickjs or jsc, whatever the manifest says (docs/engine-jsc.md)" },
    { "port", 'p', "PORT", "port on 127.0.0.1 (default 8787; 0: any)" },
    { "secrets", 0, "FILE", "JSON object of secrets for trying out, {\"NAME\": \"value\"}" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_dev_commands[] = {
    { .name = "dev",
      .purpose =
          "run a function on this machine, with the enclave's engine and limits, and load it again when it changes",
      .arguments = "[FILE|DIR]",
      .examples = "redoubt dev handler.js\nredoubt dev examples/echo --port 9000",
      .flags = dev_flags,
      .run = run_dev },
    { .name = NULL },
};
