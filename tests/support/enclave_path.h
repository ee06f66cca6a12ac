/* enclave_path: the test as the agent of real enclaves: launcher, pool, one instance and what it tells, and a client on
 * its socket. Used by tests/integration/test_enclave_*.c. Header only. */
#ifndef TESTS_SUPPORT_ENCLAVE_PATH_H
#define TESTS_SUPPORT_ENCLAVE_PATH_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/launch_process.h"
#include "agent/pool.h"
#include "agent/sim_pki.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "tests/support/enclave_app.h"

#define INSTANCE "ins_aaaaaaaaaaaaaaaaaaaaaaaaaa"

RD_UNUSED static const char handler[] =
    "let calls = 0;\n"
    "export default { async fetch(request, env) {\n"
    "  calls++;\n"
    "  const url = new URL(request.url);\n"
    "  if (url.pathname === '/throw') throw new Error('the secret of the handler');\n"
    "  if (url.pathname === '/spin') for (;;) {}\n"
    "  if (url.pathname === '/number') return 7;\n"
    "  if (url.pathname === '/eat') { const a = []; for (;;) a.push(new Array(65536).fill(1)); }\n"
    "  console.log('called', calls);\n"
    "  const body = request.method === 'POST' ? await request.text() : '';\n"
    "  return new Response(env.GREETING + ' ' + calls + ' ' + body, { status: 201, headers: { 'content-type': "
    "'text/plain',\n"
    "    'redoubt-receipt': 'forged', 'x-seen': request.headers.get('redoubt-salt') ?? 'no salt' } });\n"
    "} };\n";

typedef struct fixture {
    char dir[64];
    char pki[96], platform[96], run[96], enclave[512];
    uint8_t fingerprint[32];
    uv_loop_t loop;
    agent_launcher *launcher;
    agent_pool *pool;
} fixture;

/* What one enclave told us. */
typedef struct heard {
    agent_enclave *enclave;
    char phases[128], reason[65], how[128], logs[1024];
    rd_buf evidence, wish; /* wish: the evidence with which a grant is wanted; empty: a nonce is */
    rd_buf webhook;        /* the owner's answer beside it; or empty */
    bool has_logged;
    unsigned evidence_count, wishes;
    bool is_blank, is_serving, is_failed, is_drained, is_ended, is_done;
    int64_t serving_us;
} heard;

RD_UNUSED static int64_t now_us(void)
{
    return rd_clock_boot_us(rd_clock_system());
}

/* --- the loop --------------------------------------------------------------------------------------------------- */

RD_UNUSED static void on_deadline(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

RD_UNUSED static void run_until(fixture *f, const bool *flag)
{
    bool is_late = false;
    uv_timer_t timer;
    (void)uv_timer_init(&f->loop, &timer);
    timer.data = &is_late;
    (void)uv_timer_start(&timer, on_deadline, 60000, 0);
    while (!*flag && !is_late)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_false(is_late);
}

RD_UNUSED static void on_phase(void *context, agent_enclave *enclave, const char *phase, const char *reason,
                               const char *detail)
{
    (void)enclave;
    heard *h = context;
    (void)snprintf(h->phases + strlen(h->phases), sizeof(h->phases) - strlen(h->phases), "%s ", phase);
    if (strcmp(phase, "serving") == 0) {
        h->is_serving = true;
        h->serving_us = now_us();
    }
    if (strcmp(phase, "failed") == 0) {
        h->is_failed = true;
        (void)snprintf(h->reason, sizeof(h->reason), "%s", reason);
        print_message("failed: %s: %s\n", reason, detail);
    }
    h->is_done = h->is_serving || h->is_failed;
}

RD_UNUSED static void on_evidence(void *context, agent_enclave *enclave, rd_bytes bundle)
{
    (void)enclave;
    heard *h = context;
    rd_buf_clear(&h->evidence);
    rd_buf_append_bytes(&h->evidence, bundle);
    h->evidence_count++;
    h->is_done = true;
}

RD_UNUSED static void on_grant_wanted(void *context, agent_enclave *enclave, rd_bytes bundle, rd_bytes webhook)
{
    (void)enclave;
    heard *h = context;
    rd_buf_clear(&h->wish);
    rd_buf_append_bytes(&h->wish, bundle);
    rd_buf_clear(&h->webhook);
    rd_buf_append_bytes(&h->webhook, webhook);
    h->wishes++;
    h->is_done = true;
}

RD_UNUSED static void on_log(void *context, agent_enclave *enclave, const char *level, rd_bytes text)
{
    (void)enclave;
    heard *h = context;
    h->has_logged = true;
    (void)snprintf(h->logs + strlen(h->logs), sizeof(h->logs) - strlen(h->logs), "%s: %.*s\n", level, (int)text.size,
                   (const char *)text.data);
}

RD_UNUSED static void on_drained(void *context, agent_enclave *enclave)
{
    (void)enclave;
    ((heard *)context)->is_drained = true;
}

RD_UNUSED static void on_ended(void *context, agent_enclave *enclave, const char *how)
{
    (void)enclave;
    heard *h = context;
    (void)snprintf(h->how, sizeof(h->how), "%s", how);
    print_message("ended: %s\n", how);
    h->is_ended = h->is_done = true;
}

static const agent_enclave_events events = { .on_phase = on_phase,
                                             .on_evidence = on_evidence,
                                             .on_grant_wanted = on_grant_wanted,
                                             .on_log = on_log,
                                             .on_drained = on_drained,
                                             .on_ended = on_ended };

RD_UNUSED static void on_taken(void *context, agent_enclave *enclave, const rd_err *err)
{
    heard *h = context;
    if (enclave == NULL)
        print_message("no blank: %s\n", err->text);
    h->enclave = enclave;
    h->is_blank = true;
    if (enclave != NULL)
        agent_enclave_set_events(enclave, &events, h);
}

RD_UNUSED static void on_closed(void *context)
{
    *(bool *)context = true;
}

/* --- fixture ---------------------------------------------------------------------------------------------------- */

RD_UNUSED static void open_launcher(fixture *f)
{
    rd_err err = RD_ERR_INIT;
    const agent_process_options options = { .run_dir = f->run, .quoter_dir = f->platform, .enclave_path = f->enclave };
    assert_int_equal(uv_loop_init(&f->loop), 0);
    if (agent_launch_process_new(&f->loop, &options, &f->launcher, &err) < 0)
        fail_msg("%s", err.text);
}

RD_UNUSED static void close_launcher(fixture *f, bool stops)
{
    bool is_closed = false;
    f->launcher->ops->close(f->launcher, stops, on_closed, &is_closed);
    run_until(f, &is_closed);
    while (uv_run(&f->loop, UV_RUN_NOWAIT) != 0)
        continue;
    assert_int_equal(uv_loop_close(&f->loop), 0);
}

RD_UNUSED static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof(*f));
    rd_err err = RD_ERR_INIT;
    rd_log_init("test", RD_ERROR, 2);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/rd-enclave-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->pki, sizeof(f->pki), "%s/pki", f->dir);
    (void)snprintf(f->platform, sizeof(f->platform), "%s/platform", f->dir);
    (void)snprintf(f->run, sizeof(f->run), "%s/run", f->dir);
    const char *given = getenv("REDOUBT_ENCLAVE");
    ssize_t size = readlink("/proc/self/exe", f->enclave, sizeof(f->enclave) - 64);
    assert_true(size > 0);
    f->enclave[size] = '\0';
    char *slash = strrchr(f->enclave, '/');
    (void)snprintf(slash, 64, "/../bin/redoubt-enclave");
    if (given != NULL)
        (void)snprintf(f->enclave, sizeof(f->enclave), "%s", given);
    int64_t wall = rd_clock_wall_us(rd_clock_system());
    if (agent_sim_pki_create(f->pki, wall, &err) < 0 ||
        agent_sim_pki_issue_platform(f->pki, f->platform, wall, &err) < 0 ||
        agent_sim_pki_fingerprint(f->pki, f->fingerprint, &err) < 0)
        fail_msg("%s", err.text);
    *state = f;
    return 0;
}

RD_UNUSED static int teardown(void **state)
{
    fixture *f = *state;
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf %s", f->dir);
    (void)!system(command);
    free(f);
    return 0;
}

/* --- one instance ----------------------------------------------------------------------------------------------- */

RD_UNUSED static void make_app(fixture *f, test_app *app, test_app_spec spec)
{
    rd_err err = RD_ERR_INIT;
    uint8_t mrtd[48];
    const agent_launcher_info *info = f->launcher->ops->describe(f->launcher);
    assert_int_equal(strlen(info->mrtd), 96);
    assert_int_equal(rd_hex_decode(info->mrtd, 96, mrtd, 48), 0);
    spec.mrtd = mrtd;
    if (spec.source == NULL)
        spec.source = handler;
    if (test_app_make(app, &spec, &err) < 0)
        fail_msg("%s", err.text);
}

RD_UNUSED static void take_blank(fixture *f, heard *h)
{
    rd_err err = RD_ERR_INIT;
    memset(h, 0, sizeof(*h));
    assert_int_equal(agent_pool_take(f->pool, on_taken, h, NULL, &err), 0);
    run_until(f, &h->is_blank);
    assert_non_null(h->enclave);
}

/* with: what is not the app's documents, e.g. its key service. */
RD_UNUSED static void specialise(heard *h, const test_app *app, agent_specialise with, uint8_t nonce[32])
{
    rd_err err = RD_ERR_INIT;
    with.genesis = rd_buf_bytes(&app->genesis);
    with.head = rd_buf_bytes(&app->head);
    with.release = rd_buf_bytes(&app->release);
    with.code = rd_buf_bytes(&app->code);
    with.instance = INSTANCE;
    with.epoch = 7;
    with.host_time_us = rd_clock_wall_us(rd_clock_system());
    memcpy(with.header, app->header, sizeof(with.header));
    rd_random_bytes(nonce, 32);
    memcpy(with.nonce, nonce, 32);
    if (agent_enclave_specialise(h->enclave, &with, &err) < 0)
        fail_msg("%s", err.text);
}

/* Runs until it serves, failed or ended. */
RD_UNUSED static void start(fixture *f, heard *h, const test_app *app, uint8_t nonce[32])
{
    int64_t began = now_us();
    specialise(h, app, (agent_specialise){ .kms_id = NULL }, nonce);
    while (!h->is_serving && !h->is_failed && !h->is_ended) {
        h->is_done = false;
        run_until(f, &h->is_done);
    }
    if (h->is_serving)
        print_message("blank to serving: %lld us\n", (long long)(h->serving_us - began));
}

/* --- HTTP ------------------------------------------------------------------------------------------------------- */

typedef struct reply {
    int status;
    char head[32768];
    rd_buf body;
} reply;

RD_UNUSED static int dial(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval limit = { .tv_sec = 20 };
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static const char *header_of(const reply *r, const char *name, char *out, size_t size)
{
    char line[80];
    (void)snprintf(line, sizeof(line), "\r\n%s: ", name);
    const char *at = strcasestr(r->head, line);
    if (at == NULL)
        return NULL;
    at += strlen(line);
    (void)snprintf(out, size, "%.*s", (int)strcspn(at, "\r"), at);
    return out;
}

RD_UNUSED static void read_reply(int fd, reply *r)
{
    size_t have = 0;
    const char *end = NULL;
    memset(r->head, 0, sizeof(r->head));
    rd_buf_clear(&r->body);
    while ((end = strstr(r->head, "\r\n\r\n")) == NULL) {
        ssize_t got = recv(fd, r->head + have, sizeof(r->head) - 1 - have, 0);
        assert_true(got > 0);
        have += (size_t)got;
    }
    char length[32];
    assert_non_null(header_of(r, "Content-Length", length, sizeof(length)));
    size_t head_size = (size_t)(end - r->head) + 4;
    rd_buf_append(&r->body, r->head + head_size, have - head_size);
    r->head[head_size] = '\0';
    while (r->body.size < strtoul(length, NULL, 10)) {
        char chunk[4096];
        ssize_t got = recv(fd, chunk, sizeof(chunk), 0);
        assert_true(got > 0);
        rd_buf_append(&r->body, chunk, (size_t)got);
    }
    assert_int_equal(r->body.size, strtoul(length, NULL, 10));
    r->status = atoi(r->head + 9);
}

RD_UNUSED static void send_request(int fd, const char *method, const char *target, const uint8_t *salt,
                                   const uint8_t *nonce, const char *body)
{
    char salt_text[64] = "", nonce_text[64] = "";
    if (salt != NULL)
        rd_base64url_encode(rd_bytes_of(salt, 32), salt_text);
    if (nonce != NULL)
        rd_base64url_encode(rd_bytes_of(nonce, 32), nonce_text);
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_buf_printf(&out, "%s %s HTTP/1.1\r\nHost: app-x.example\r\n", method, target);
    if (salt != NULL)
        rd_buf_printf(&out, "Redoubt-Salt: %s\r\n", salt_text);
    if (nonce != NULL)
        rd_buf_printf(&out, "Redoubt-Nonce: %s\r\n", nonce_text);
    if (body != NULL)
        rd_buf_printf(&out, "Content-Type: text/plain\r\nContent-Length: %zu\r\n", strlen(body));
    rd_buf_printf(&out, "\r\n%s", body != NULL ? body : "");
    assert_int_equal(send(fd, out.data, out.size, MSG_NOSIGNAL), (ssize_t)out.size);
}

RD_UNUSED static void statement_of(rd_bytes bundle, rd_buf *ret)
{
    rd_err err = RD_ERR_INIT;
    rd_evidence evidence = { 0 };
    assert_int_equal(rd_evidence_parse(bundle, &evidence, &err), 0);
    rd_buf_append_bytes(ret, rd_buf_bytes(&evidence.statement_bytes));
    rd_evidence_done(&evidence);
}

#endif
