#include "enclave/runtime/instance.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/mem.h"
#include "enclave/runtime/blank.h"
#include "enclave/runtime/grant.h"
#include "enclave/runtime/hook.h"
#include "enclave/world/app_keys.h"
#include "enclave/runtime/lines.h"
#include "enclave/runtime/logs.h"
#include "enclave/runtime/rehearse.h"
#include "enclave/runtime/server.h"
#include "enclave/runtime/uplink.h"

#define ORPHAN_US  (INT64_C(600) * 1000000) /* how long an instance serves without a controller */
#define EVENTS_MAX 64

typedef enum instance_phase {
    PHASE_BLANK,
    PHASE_GRANT, /* everything is verified; the key service's answer is waited for */
    PHASE_SERVING,
    PHASE_DRAINING,
    PHASE_ENDED
} instance_phase;

typedef struct encl_instance {
    encl_platform *platform;
    encl_engine *engine;
    int http_fd;
    int epoll_fd;
    encl_uplink uplink;
    encl_lines lines;
    encl_logs logs;
    instance_phase phase;
    int exit_status;
    encl_documents documents;
    encl_start start;
    encl_app app;
    encl_head newest;   /* head that was seen: grants are asked under no other */
    bool is_superseded; /* it does not fit that one */
    encl_hook *hook;    /* NULL: no head so far has a webhook */
    rd_buf bundle;      /* evidence that waits for the owner's word */
    encl_seal *seal;
    encl_grant *grant;   /* NULL: the app has no key service */
    encl_app_keys *keys; /* out of the grant */
    encl_identity *identity;
    encl_channels *channels;
    encl_receipts *receipts;
    encl_function *function;
    encl_server *server;
    int64_t orphan_until_us; /* 0: has a controller */
} encl_instance;

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void end(encl_instance *instance, int status)
{
    instance->phase = PHASE_ENDED;
    instance->exit_status = status;
}

/* Says why and ends. */
static void fail(encl_instance *instance, const rd_err *err)
{
    encl_uplink_phase(&instance->uplink, "failed", rd_code_describe(err->code)->name,
                      encl_logs_tell(&instance->logs, err));
    end(instance, 1);
}

/* --- what the function and the reports reach -------------------------------------------------------------------- */

static int64_t function_time(void *context)
{
    return encl_platform_time_us(((encl_instance *)context)->platform);
}

static int function_random(void *context, uint8_t *out, size_t size)
{
    return encl_platform_random(((encl_instance *)context)->platform, out, size, NULL);
}

static void function_log(void *context, const char *level, rd_bytes line)
{
    encl_logs_write(&((encl_instance *)context)->logs, level, line);
}

static void server_burst(void *context, rd_bytes record)
{
    encl_uplink_receipts(&((encl_instance *)context)->uplink, record);
}

static void server_trouble(void *context, const rd_err *err)
{
    encl_logs_write(&((encl_instance *)context)->logs, "warn", rd_bytes_str(err->text));
}

static int function_dial(void *context, uint64_t id, const rd_egress_entry *entry, rd_err *err)
{
    return encl_lines_ask(&((encl_instance *)context)->lines, id, entry, err);
}

static size_t function_watch(void *context, struct pollfd *ret)
{
    return encl_lines_watch(&((encl_instance *)context)->lines, ret);
}

static void function_turn(void *context, encl_egress *egress)
{
    encl_lines_turn(&((encl_instance *)context)->lines, egress);
}

static int function_evidence(void *context, const uint8_t user[32], rd_buf *ret, rd_err *err)
{
    return encl_identity_app_evidence(((encl_instance *)context)->identity, user, ret, err);
}

static void send_state(encl_instance *instance)
{
    char id[RD_ID_TEXT_SIZE];
    rd_id_format(RD_PREFIX_INSTANCE, &instance->start.instance, id);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_printf(&text, "{\"answers\":%llu,\"epoch\":%llu,\"instance\":\"%s\",\"phase\":\"%s\"}",
                  (unsigned long long)encl_server_answers(instance->server), (unsigned long long)instance->start.epoch,
                  id, instance->phase == PHASE_DRAINING ? "draining" : "serving");
    encl_uplink_send(&instance->uplink, ENCL_CONTROL_STATE, rd_buf_bytes(&text));
}

static int send_evidence(encl_instance *instance, const uint8_t nonce[RD_NONCE_SIZE], rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    if (encl_identity_status_evidence(instance->identity, nonce, &bundle, err) < 0)
        return rd_err_wrap(err, "evidence");
    encl_uplink_send(&instance->uplink, ENCL_CONTROL_EVIDENCE_BUNDLE, rd_buf_bytes(&bundle));
    return 0;
}

/* --- the grant -------------------------------------------------------------------------------------------------- */

static int64_t boot_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Those that reached the function, whether or not an answer left: who hangs up early is served, too. */
static uint64_t requests_of(const encl_instance *instance)
{
    return instance->function == NULL ? 0 : encl_function_calls(instance->function);
}

/* Without evidence: a nonce is wanted first. */
static void wish_for_nonce(encl_instance *instance)
{
    const uint8_t none = 0;
    encl_grant_wished(instance->grant, boot_us(), requests_of(instance));
    encl_uplink_send(&instance->uplink, ENCL_CONTROL_GRANT_WANTED, rd_bytes_of(&none, 1));
}

/* With the evidence that was made, and the owner's answer where there is one. */
static void send_wish(encl_instance *instance, rd_bytes webhook)
{
    RD_CLEANUP(rd_buf_done) rd_buf wish = { 0 };
    rd_buf_append_u8(&wish, webhook.size > 0 ? 2 : 1);
    rd_buf_append_bytes(&wish, webhook);
    rd_buf_append_bytes(&wish, rd_buf_bytes(&instance->bundle));
    encl_uplink_send(&instance->uplink, ENCL_CONTROL_GRANT_WANTED, rd_buf_bytes(&wish));
    rd_buf_done(&instance->bundle);
    instance->bundle = (rd_buf){ 0 };
}

/* Without the owner's word the key service is not asked: what starts ends, and what serves asks again before its grant
 * is over. */
static int go_without(encl_instance *instance, const rd_err *why)
{
    if (instance->phase == PHASE_GRANT)
        return -1;
    encl_logs_write(&instance->logs, "warn", rd_bytes_str(why->text));
    return 0;
}

static int ask_owner(encl_instance *instance, rd_bytes statement, rd_err *err)
{
    const encl_hook_question question = { .webhook = &instance->newest.webhook,
                                          .kms = &instance->app.kms,
                                          .statement = statement,
                                          .evidence = rd_buf_bytes(&instance->bundle) };
    if (instance->hook == NULL)
        instance->hook = encl_hook_new(&instance->lines, instance->platform);
    return encl_hook_ask(instance->hook, &question, now_us(), err) < 0 ? go_without(instance, err) : 0;
}

/* What the owner's webhook said, if it was asked and has. */
static void hear_owner(encl_instance *instance)
{
    uint8_t answer[RD_WEBHOOK_ANSWER_SIZE];
    rd_err err = RD_ERR_INIT;
    int outcome = instance->hook == NULL ? 0 : encl_hook_turn(instance->hook, now_us(), answer, &err);
    if (outcome > 0)
        send_wish(instance, RD_BYTES_ARRAY(answer));
    else if (outcome < 0 && go_without(instance, &err) < 0)
        fail(instance, &err);
}

static int wish_for_grant(encl_instance *instance, const uint8_t nonce[RD_NONCE_SIZE], rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf statement = { 0 };
    int64_t now = boot_us();
    rd_buf_clear(&instance->bundle);
    if (encl_identity_grant_evidence(instance->identity, encl_grant_public(instance->grant),
                                     &instance->newest.known.digest, nonce, &statement, &instance->bundle, err) < 0)
        return rd_err_wrap(err, "evidence for a grant");
    encl_grant_asked(instance->grant, nonce, instance->newest.known.seq, rd_buf_bytes(&statement), now,
                     requests_of(instance));
    if (instance->newest.webhook.is_set)
        return ask_owner(instance, rd_buf_bytes(&statement), err);
    send_wish(instance, RD_BYTES_NULL);
    return 0;
}

/* --- from blank to serving -------------------------------------------------------------------------------------- */

static int open_app(encl_instance *instance, rd_bytes start, rd_err *err)
{
    rd_class class;
    if (!rd_class_parse(encl_platform_class(instance->platform), &class))
        return rd_err_set(err, RD_E_CLASS_MISMATCH, "the platform has no class");
    if (encl_start_parse(start, &instance->start, err) < 0)
        return -1;
    /* A guest's own clock may not have been set; the agent's word can raise it, never lower it. */
    encl_platform_raise_floor(instance->platform, instance->start.host_time_us);
    return encl_app_open(&instance->documents, &instance->start, class, encl_platform_time_us(instance->platform),
                         &instance->app, err);
}

/* What the grant brought, for the function: secrets are read out of it when the handler reads them. */
static int take_keys(encl_instance *instance, rd_err *err)
{
    const char *name;
    rd_bytes value;
    size_t at = 0;
    instance->keys = encl_app_keys_new(encl_grant_key(instance->grant, RD_GRANT_KEY_USER));
    while (encl_grant_next_secret(instance->grant, &at, &name, &value))
        if (encl_app_keys_add_secret(instance->keys, name, value, err) < 0)
            return rd_err_wrap(err, "secret %s", name);
    return 0;
}

static int load_function(encl_instance *instance, rd_err *err)
{
    const encl_function_host host = { .time_us = function_time,
                                      .random = function_random,
                                      .log = function_log,
                                      .dial = function_dial,
                                      .watch = function_watch,
                                      .turn = function_turn,
                                      .evidence = function_evidence,
                                      .context = instance };
    if (instance->grant != NULL && take_keys(instance, err) < 0)
        return -1;
    if (encl_function_load(RD_TAKE(instance->engine), &host, &instance->app.manifest, &instance->app.code,
                           instance->keys, &instance->function, err) < 0)
        return rd_err_wrap(err, "code");
    if (instance->grant != NULL)
        encl_grant_forget_secrets(instance->grant);
    rd_code_bundle_done(&instance->app.code);
    memset(&instance->app.code, 0, sizeof(instance->app.code));
    rd_buf_done(&instance->documents.code);
    rd_buf_init(&instance->documents.code, 0);
    return 0;
}

static int open_server(encl_instance *instance, rd_err *err)
{
    instance->receipts = encl_receipts_new(instance->identity, instance->platform, &instance->app);
    instance->channels =
        encl_channels_new(instance->identity, instance->platform, &instance->app.id, rd_clock_system());
    const encl_server_parts parts = { .epoll_fd = instance->epoll_fd,
                                      .listen_fd = instance->http_fd,
                                      .function = instance->function,
                                      .identity = instance->identity,
                                      .receipts = instance->receipts,
                                      .seal = instance->seal,
                                      .channels = instance->channels,
                                      .app = &instance->app,
                                      .documents = &instance->documents,
                                      .on_burst = server_burst,
                                      .on_trouble = server_trouble,
                                      .context = instance };
    if (encl_server_new(&parts, &instance->server, err) < 0)
        return -1;
    return encl_uplink_listen(&instance->uplink, err);
}

/* The quote is made while the code is loaded; without the code no evidence leaves. */
static int begin_serving(encl_instance *instance, rd_err *err)
{
    if (encl_identity_begin_status(instance->identity, instance->start.nonce, err) < 0)
        return rd_err_wrap(err, "evidence");
    if (load_function(instance, err) < 0)
        return -1;
    encl_uplink_gather(&instance->uplink);
    if (send_evidence(instance, instance->start.nonce, err) < 0)
        return -1;
    encl_uplink_phase(&instance->uplink, "attesting", "", "");
    if (open_server(instance, err) < 0)
        return -1;
    instance->phase = PHASE_SERVING;
    encl_uplink_phase(&instance->uplink, "serving", "", "");
    encl_uplink_flush(&instance->uplink);
    encl_rehearse_done();
    return 0;
}

static int open_logs(encl_instance *instance, rd_err *err)
{
    const rd_log_origin origin = { instance->app.id, instance->start.instance, instance->start.epoch };
    return encl_logs_open(&instance->logs, &instance->app.manifest, instance->app.class, &origin,
                          encl_seal_random(instance->seal), err);
}

/* What is said on the way is told at once: the controller is woken once, and writes it down once. */
static int specialise(encl_instance *instance, rd_bytes start, rd_err *err)
{
    encl_uplink_gather(&instance->uplink);
    encl_uplink_phase(&instance->uplink, "launching", "", "");
    if (open_app(instance, start, err) < 0 ||
        encl_seal_new(instance->platform, rd_clock_system(), ENCL_SEAL_LIMITS, &instance->seal, err) < 0 ||
        open_logs(instance, err) < 0 ||
        encl_identity_new(instance->platform, instance->seal, instance->documents.header, &instance->app,
                          &instance->start.instance, instance->start.epoch, &instance->identity, err) < 0)
        return -1;
    if (!instance->app.has_kms)
        return begin_serving(instance, err);
    if (encl_grant_new(instance->platform, &instance->app, &instance->grant, err) < 0)
        return -1;
    instance->phase = PHASE_GRANT;
    instance->newest = instance->app.head;
    if (!instance->start.has_grant_nonce)
        wish_for_nonce(instance);
    else if (wish_for_grant(instance, instance->start.grant_nonce, err) < 0)
        return -1;
    encl_uplink_flush(&instance->uplink);
    return 0;
}

/* The first one opens the code; a later one extends the term, or changes nothing. */
static int take_grant(encl_instance *instance, rd_bytes answer, rd_err *err)
{
    if (instance->grant == NULL)
        return rd_err_set(err, RD_E_CONTROL_ORDER, "a grant for an app without a key service");
    int outcome = encl_grant_take(instance->grant, answer, boot_us(), err);
    if (instance->phase != PHASE_GRANT) {
        if (outcome < 0)
            encl_logs_write(&instance->logs, "warn", rd_bytes_str(err->text));
        else
            encl_grant_forget_secrets(instance->grant);
        return 0;
    }
    const uint8_t *key = NULL;
    if (outcome == 0 && instance->app.manifest.is_sealed)
        outcome = encl_grant_code_key(instance->grant, &instance->app.manifest.code_digest, &key, err);
    if (outcome == 0 && key != NULL)
        outcome = encl_app_open_code(&instance->documents, key, &instance->app, err);
    return outcome < 0 ? -1 : begin_serving(instance, err);
}

/* Evidence for callers and receipts name the head that the instance started under, which they have verified; a grant is
 * asked under the newest that it has seen. When it does not fit that one, for none: it ends with its term. */
static void consider_head(encl_instance *instance, rd_bytes envelope)
{
    rd_err err = RD_ERR_INIT;
    bool fits = true;
    if (encl_app_next_head(&instance->documents, &instance->app, envelope, encl_platform_time_us(instance->platform),
                           &instance->newest, &fits, &err) == 0)
        instance->is_superseded = !fits;
    if (err.text[0] == 0)
        return;
    if (!fits)
        rd_err_prefix(&err, "no further grant is asked for");
    encl_logs_write(&instance->logs, "warn", rd_bytes_str(err.text));
}

static int take_nonce(encl_instance *instance, rd_bytes payload, rd_err *err)
{
    if (instance->grant == NULL)
        return rd_err_set(err, RD_E_CONTROL_ORDER, "a nonce for an app without a key service");
    if (payload.size > RD_NONCE_SIZE && instance->phase != PHASE_GRANT)
        consider_head(instance, rd_bytes_of(payload.data + RD_NONCE_SIZE, payload.size - RD_NONCE_SIZE));
    if (instance->hook != NULL)
        encl_hook_forget(instance->hook); /* it was asked with the nonce before, and that evidence goes */
    return instance->is_superseded ? 0 : wish_for_grant(instance, payload.data, err);
}

/* --- the control stream ----------------------------------------------------------------------------------------- */

static int measure(encl_instance *instance, rd_bytes header, rd_err *err)
{
    memcpy(instance->documents.header, header.data, RD_LAUNCH_HEADER_SIZE);
    if (encl_identity_measure(instance->platform, instance->documents.header, err) < 0)
        return -1;
    encl_control_measured(&instance->uplink.control);
    return 0;
}

static int renew(encl_instance *instance, rd_bytes order, rd_err *err)
{
    uint8_t nonce[RD_NONCE_SIZE];
    if (encl_evidence_order_parse(order, nonce, err) < 0)
        return -1;
    return send_evidence(instance, nonce, err);
}

static int obey(encl_instance *instance, const encl_control_message *message, rd_err *err)
{
    switch (message->type) {
    case ENCL_CONTROL_HEADER:
        return measure(instance, message->payload, err);
    case ENCL_CONTROL_GENESIS:
        rd_buf_append_bytes(&instance->documents.genesis, message->payload);
        return 0;
    case ENCL_CONTROL_HEAD:
        rd_buf_append_bytes(&instance->documents.head, message->payload);
        return 0;
    case ENCL_CONTROL_RELEASE:
        rd_buf_append_bytes(&instance->documents.release, message->payload);
        return 0;
    case ENCL_CONTROL_CODE:
        rd_buf_append_bytes(&instance->documents.code, message->payload);
        return 0;
    case ENCL_CONTROL_START:
        return specialise(instance, message->payload, err);
    case ENCL_CONTROL_EVIDENCE:
        return renew(instance, message->payload, err);
    case ENCL_CONTROL_DRAIN:
        if (instance->phase == PHASE_GRANT) {
            end(instance, 0);
            return 0;
        }
        encl_server_drain(instance->server);
        instance->phase = PHASE_DRAINING;
        return 0;
    case ENCL_CONTROL_NONCE:
        return take_nonce(instance, message->payload, err);
    case ENCL_CONTROL_GRANT:
        return take_grant(instance, message->payload, err);
    case ENCL_CONTROL_STOP:
        end(instance, 0);
        return 0;
    default:
        return rd_err_set(err, RD_E_CONTROL_FRAME, "control frame %u goes the other way", message->type);
    }
}

static void hear(encl_instance *instance)
{
    rd_err err = RD_ERR_INIT;
    int outcome = encl_uplink_read(&instance->uplink, &err);
    if (outcome > 0) {
        if (instance->phase == PHASE_BLANK || instance->phase == PHASE_GRANT)
            end(instance, 0); /* what does not serve yet, without a controller, is of no use to anybody */
        instance->orphan_until_us = now_us() + ORPHAN_US;
        return;
    }
    encl_control_message message;
    while (outcome == 0 && instance->phase != PHASE_ENDED) {
        outcome = encl_control_next(&instance->uplink.control, &message, &err);
        if (outcome == 0)
            return;
        outcome = outcome > 0 ? obey(instance, &message, &err) : outcome;
    }
    if (outcome < 0)
        fail(instance, &err);
}

static bool is_asking_owner(const encl_instance *instance)
{
    return instance->hook != NULL && encl_hook_is_asking(instance->hook);
}

static void take_event(encl_instance *instance, const struct epoll_event *event)
{
    if (event->data.u32 >= ENCL_SERVER_TAG) {
        encl_server_event(instance->server, event->data.u32, event->events);
        return;
    }
    if (event->data.u32 == ENCL_UPLINK_LISTEN_TAG) {
        if (is_asking_owner(instance) && encl_uplink_has_controller(&instance->uplink))
            return; /* a line that was asked for: hear_owner takes it */
        if (encl_uplink_accept(&instance->uplink)) {
            instance->orphan_until_us = 0;
            send_state(instance);
            if (instance->grant != NULL && encl_grant_is_due(instance->grant, boot_us(), requests_of(instance)))
                wish_for_nonce(instance); /* the controller before may not have passed it on */
        }
        return;
    }
    if ((event->events & EPOLLOUT) != 0)
        encl_uplink_flush(&instance->uplink);
    if ((event->events & ~(uint32_t)EPOLLOUT) != 0)
        hear(instance);
}

/* The term's next date; a day is far enough for a poll that begins again. */
static int grant_timeout_ms(const encl_instance *instance, int timeout)
{
    if (instance->grant == NULL || !encl_grant_is_held(instance->grant))
        return timeout;
    if (encl_grant_is_due(instance->grant, boot_us(), requests_of(instance)))
        return 0;
    int64_t next_us = RD_MIN(encl_grant_renew_us(instance->grant), encl_grant_end_us(instance->grant));
    int64_t left_ms = RD_MIN((next_us - boot_us()) / 1000 + 1, (int64_t)86400000);
    int left = left_ms < 0 ? 0 : (int)left_ms;
    return timeout < 0 ? left : RD_MIN(timeout, left);
}

static int timeout_ms(const encl_instance *instance)
{
    int timeout = instance->server == NULL ? -1 : encl_server_timeout_ms(instance->server);
    int seal = instance->seal == NULL ? -1 : encl_seal_timeout_ms(instance->seal);
    if (seal >= 0 && (timeout < 0 || seal < timeout))
        timeout = seal;
    timeout = grant_timeout_ms(instance, timeout);
    if (instance->orphan_until_us == 0)
        return timeout;
    int64_t left = (instance->orphan_until_us - now_us()) / 1000 + 1;
    int orphan = left < 0 ? 0 : (int)left;
    return timeout < 0 ? orphan : RD_MIN(timeout, orphan);
}

/* Asks for the next grant in time, and stops at the end of this one, whatever the plane says. */
static void keep_grant(encl_instance *instance)
{
    if (instance->grant == NULL || !encl_grant_is_held(instance->grant))
        return;
    int64_t now = boot_us();
    uint64_t requests = requests_of(instance);
    if (encl_grant_has_ended(instance->grant, now, requests)) {
        rd_err err = RD_ERR_INIT;
        (void)rd_err_set(&err, RD_E_GRANT_EXPIRED, "the grant of the key service has ended");
        fail(instance, &err);
    } else if (encl_grant_is_due(instance->grant, now, requests)) {
        if (is_asking_owner(instance))
            encl_grant_wished(instance->grant, now, requests); /* another nonce would void the question */
        else
            wish_for_nonce(instance);
    }
}

/* The connection to the owner's webhook comes and goes by itself: while there is one, it is waited for beside the
 * rest. */
static int wait_events(encl_instance *instance, struct epoll_event *ret)
{
    int timeout = timeout_ms(instance);
    if (is_asking_owner(instance)) {
        struct pollfd fds[1 + ENCL_HOOK_WATCHED] = { { .fd = instance->epoll_fd, .events = POLLIN } };
        nfds_t count = 1 + encl_hook_watch(instance->hook, fds + 1);
        int left = encl_hook_timeout_ms(instance->hook, now_us());
        (void)poll(fds, count, timeout < 0 ? left : RD_MIN(timeout, left));
        timeout = 0;
    }
    return epoll_wait(instance->epoll_fd, ret, EVENTS_MAX, timeout);
}

/* The function's calls, during which nobody listens to the owner's webhook. */
static void work(encl_instance *instance)
{
    int64_t began_us = now_us();
    encl_server_work(instance->server,
                     instance->grant == NULL ? UINT64_MAX : encl_grant_left(instance->grant, requests_of(instance)));
    if (instance->hook != NULL)
        encl_hook_delayed(instance->hook, now_us() - began_us);
}

static void turn(encl_instance *instance)
{
    struct epoll_event events[EVENTS_MAX];
    int count = wait_events(instance, events);
    if (count < 0 && errno != EINTR)
        end(instance, 1);
    keep_grant(instance); /* ahead of what has come meanwhile */
    for (int i = 0; i < count && instance->phase != PHASE_ENDED; i++)
        take_event(instance, &events[i]);
    if (instance->phase != PHASE_ENDED)
        hear_owner(instance);
    if (instance->phase != PHASE_SERVING && instance->phase != PHASE_DRAINING)
        return;
    work(instance);
    encl_seal_tidy(instance->seal);
    if (instance->phase == PHASE_DRAINING && encl_server_is_idle(instance->server)) {
        encl_uplink_send(&instance->uplink, ENCL_CONTROL_DRAINED, RD_BYTES_NULL);
        end(instance, 0);
    }
    if (instance->orphan_until_us != 0 && now_us() > instance->orphan_until_us)
        end(instance, 0);
}

static void instance_done(encl_instance *instance)
{
    instance->hook = encl_hook_free(instance->hook);
    rd_buf_done(&instance->bundle);
    encl_lines_done(&instance->lines);
    encl_logs_done(&instance->logs);
    encl_uplink_finish(&instance->uplink);
    encl_server_free(instance->server);
    encl_channels_free(instance->channels);
    encl_function_free(instance->function);
    encl_receipts_free(instance->receipts);
    encl_identity_free(instance->identity);
    encl_seal_free(instance->seal);
    encl_app_keys_free(instance->keys);
    encl_grant_free(instance->grant);
    encl_start_done(&instance->start);
    encl_app_done(&instance->app);
    encl_documents_done(&instance->documents);
    encl_uplink_done(&instance->uplink);
    encl_engine_free(instance->engine);
    encl_platform_free(instance->platform);
}

/* jansson would draw its hash seed from a file, which a confined process cannot open. */
static void seed_json(encl_platform *platform)
{
    size_t seed = 0;
    if (encl_platform_random(platform, (uint8_t *)&seed, sizeof(seed), NULL) == 0)
        json_object_seed(seed | 1);
}

int encl_instance_run(const encl_instance_parts *parts)
{
    seed_json(parts->platform);
    RD_CLEANUP(rd_free_p) encl_instance *instance = rd_alloc(sizeof(*instance));
    instance->platform = parts->platform;
    instance->engine = parts->engine;
    instance->http_fd = parts->http_fd;
    instance->epoll_fd = parts->epoll_fd;
    rd_release_init(&instance->app.manifest);
    encl_logs_init(&instance->logs, &instance->uplink);
    rd_err err = RD_ERR_INIT;
    if (encl_uplink_init(&instance->uplink, parts->epoll_fd, parts->control_fd, parts->control_listen_fd, &err) < 0)
        end(instance, 1);
    else if (encl_blank_prepare(instance->platform, instance->engine, parts->report, &instance->uplink, &err) < 0)
        fail(instance, &err);
    encl_lines_init(&instance->lines, &instance->uplink);
    while (instance->phase != PHASE_ENDED)
        turn(instance);
    instance_done(instance);
    return instance->exit_status;
}
