#include "api/kms.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ASK_US         30000000
#define NONCES_A_CALL  16u
#define NONCES_LOW     8u
#define NONCES_MAX     (NONCES_LOW + NONCES_A_CALL)
#define NONCE_TERM_US  ((int64_t)8 * 60 * 1000000) /* they hold ten minutes */
#define CODE_NAME_MAX  64
#define REFUSAL_DETAIL 400
#define ANSWER_ROOM    (((size_t)1 << 20) + RD_KMS_FRAME_HEAD) /* the longest, and what came with its end */

typedef struct ask {
    rd_kms_type type;
    rd_buf bytes; /* the whole frame */
    api_kms_fn fn;
    void *context;
    struct ask *next;
} ask;

typedef struct nonce {
    uint8_t b[API_KMS_NONCE_SIZE];
    int64_t until_us; /* boot time */
} nonce;

typedef struct service {
    api_kms *all;
    rd_kms_id id;
    rd_link_stream *stream;
    bool is_open;
    size_t way;    /* of the pipe, or to try next */
    bool may_turn; /* past the last way, begin again with the first */
    ask *now;      /* in flight */
    size_t written;
    ask *first, *last; /* waiting */
    size_t waiting;
    rd_buf in;
    rd_timer *timer;
    nonce nonces[NONCES_MAX];
    size_t nonce_count;
    bool wants_nonces; /* asked for */
    bool has_collateral;
    rd_digest collateral; /* what was pushed over this pipe */
} service;

struct api_kms {
    api_kms_options options;
    rd_table *services; /* kms id → service */
    rd_flusher *flusher;
    bool has_new; /* questions since the last turn */
    bool is_closing;
    uint64_t asked, refused, lost, nonces_spoiled;
};

static void pump(service *s);

/* ---- questions ---- */

static void ask_free(ask *one)
{
    rd_buf_wipe(&one->bytes);
    free(one);
}

static void ask_end(ask *one, rd_bytes payload, const rd_err *error)
{
    one->fn(one->context, payload, error);
    ask_free(one);
}

static ask *ask_new(rd_kms_type type, rd_bytes payload, api_kms_fn fn, void *context)
{
    ask *one = rd_alloc(sizeof *one);
    one->type = type;
    one->fn = fn;
    one->context = context;
    rd_buf_init(&one->bytes, rd_kms_request_max((uint8_t)type) + RD_KMS_FRAME_HEAD);
    if (payload.size <= rd_kms_request_max((uint8_t)type) &&
        rd_kms_frame((uint8_t)type, payload, &one->bytes, NULL) == 0)
        return one;
    ask_free(one);
    return NULL;
}

static void put_last(service *s, ask *one)
{
    *(s->last ? &s->last->next : &s->first) = one;
    s->last = one;
    s->waiting++;
}

static void put_first(service *s, ask *one)
{
    one->next = s->first;
    s->first = one;
    if (!s->last)
        s->last = one;
    s->waiting++;
}

static ask *take_first(service *s)
{
    ask *one = s->first;
    if (!one)
        return NULL;
    s->first = one->next;
    if (!s->first)
        s->last = NULL;
    one->next = NULL;
    s->waiting--;
    return one;
}

/* Those that wait at this moment: an answer may bring new ones. */
static void fail_waiting(service *s, const rd_err *error)
{
    ask *list = s->first;
    s->first = s->last = NULL;
    s->waiting = 0;
    while (list) {
        ask *one = list;
        list = one->next;
        ask_end(one, RD_BYTES_NULL, error);
    }
}

/* ---- the pipe ---- */

static void open_pipe(service *s);

static void forget_pipe(service *s)
{
    s->stream = NULL;
    s->is_open = s->has_collateral = false;
    s->nonce_count = 0; /* a service that was started again does not know them */
    rd_buf_clear(&s->in);
    rd_timer_stop(s->timer);
}

static void lose(service *s, const rd_err *error)
{
    ask *one = s->now;
    s->now = NULL;
    s->all->lost++;
    if (one)
        ask_end(one, RD_BYTES_NULL, error);
}

/* A way that failed a question is the last to be asked again: whoever carries a service may be hostile. */
static void next_way(service *s)
{
    s->may_turn = s->is_open;
    s->way++;
}

static void drop_pipe(service *s, rd_code code, const char *why)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, code, "key service: %s", why);
    if (s->stream)
        rd_link_stream_reset(s->stream, true);
    next_way(s);
    forget_pipe(s);
    lose(s, &err);
}

static void on_timer(void *context)
{
    service *s = context;
    drop_pipe(s, RD_E_TIMEOUT, "no answer in time");
    pump(s);
}

static void write_on(service *s)
{
    while (s->now && s->is_open && s->written < s->now->bytes.size) {
        size_t room = RD_MIN(rd_link_stream_room(s->stream), s->now->bytes.size - s->written);
        rd_err err = RD_ERR_INIT;
        if (room == 0 || rd_link_stream_write(s->stream, rd_bytes_of(s->now->bytes.data + s->written, room), &err) < 0)
            return; /* on_room goes on */
        s->written += room;
    }
}

/* Code and sentence of a refusal; a code that this build does not know stands in the sentence. */
static void read_refusal(rd_bytes payload, rd_err *err)
{
    rd_kms_refusal refusal;
    char name[CODE_NAME_MAX + 1];
    if (rd_kms_refusal_parse(payload, &refusal, err) < 0)
        return;
    snprintf(name, sizeof name, "%.*s", (int)refusal.code.size, (const char *)refusal.code.data);
    rd_code code = rd_code_by_name(name);
    (void)rd_err_set(err, code != RD_OK ? code : RD_E_LINK_PROTOCOL, "%s%s%.*s", code != RD_OK ? "" : name,
                     code != RD_OK ? "" : ": ", (int)RD_MIN(refusal.detail.size, (size_t)REFUSAL_DETAIL),
                     (const char *)refusal.detail.data);
}

static void take_answer(service *s, uint8_t type, rd_bytes payload)
{
    ask *one = s->now;
    rd_err err = RD_ERR_INIT;
    s->now = NULL;
    rd_timer_stop(s->timer);
    if (type == RD_KMS_REFUSAL) {
        s->all->refused++;
        read_refusal(payload, &err);
        ask_end(one, payload, &err);
        return;
    }
    ask_end(one, payload, NULL);
}

/* 1: a whole frame was taken; 0: more is needed; -1: not one that may come now. */
static int take_frame(service *s)
{
    rd_kms_head head;
    if (s->in.size < RD_KMS_FRAME_HEAD)
        return 0;
    if (!s->now || rd_kms_head_answer(s->in.data, (uint8_t)s->now->type, &head, NULL) < 0)
        return -1;
    if (s->in.size - RD_KMS_FRAME_HEAD < head.size)
        return 0;
    rd_link_stream *stream = s->stream;
    take_answer(s, head.type, rd_bytes_of(s->in.data + RD_KMS_FRAME_HEAD, head.size));
    if (s->stream == stream)
        rd_buf_consume(&s->in, RD_KMS_FRAME_HEAD + head.size);
    return 1;
}

static size_t on_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    service *s = context;
    int outcome = rd_buf_append_bytes(&s->in, bytes) ? 1 : -1;
    while (outcome > 0 && s->stream == stream)
        outcome = take_frame(s);
    if (outcome < 0 && s->stream == stream)
        drop_pipe(s, RD_E_LINK_PROTOCOL, "an answer that nobody asked for");
    pump(s);
    return bytes.size;
}

static void on_room(rd_link_stream *stream, void *context)
{
    (void)stream;
    write_on(context);
}

static void on_response(rd_link_stream *stream, void *context, int status)
{
    (void)stream;
    service *s = context;
    s->is_open = status == 200;
    if (!s->is_open)
        return; /* its end follows */
    rd_timer_stop(s->timer);
    pump(s);
}

static void on_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    service *s = context;
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_UNAVAILABLE, "key service: %s", error ? error->text : "the pipe was closed");
    if (s->is_open && !s->now)
        s->way = 0;
    else
        next_way(s);
    forget_pipe(s);
    lose(s, &err);
    pump(s);
}

static void open_pipe(service *s)
{
    static const rd_link_stream_events events = {
        .on_response = on_response, .on_data = on_data, .on_room = on_room, .on_closed = on_closed
    };
    const api_kms_options *options = &s->all->options;
    char authority[RD_KMS_ID_TEXT_SIZE];
    rd_err err = RD_ERR_INIT;
    for (;; s->way++) {
        rd_link *link = options->find_way(options->context, &s->id, s->way, authority);
        if (!link && s->may_turn && s->way > 0) {
            s->may_turn = false;
            s->way = 0;
            link = options->find_way(options->context, &s->id, 0, authority);
        }
        if (!link)
            break;
        if (rd_link_connect(link, authority, &events, s, &s->stream, &err) == 0) {
            rd_timer_start(s->timer, ASK_US, 0); /* until it is open; then for each question */
            return;
        }
    }
    s->way = 0;
    s->stream = NULL;
    (void)rd_err_set(&err, RD_E_UNAVAILABLE, "no link leads to the key service");
    fail_waiting(s, &err);
}

/* ---- what goes ahead of a grant, and of a root ---- */

static void on_collateral(void *context, rd_bytes payload, const rd_err *error)
{
    (void)payload;
    service *s = context;
    if (error && s->stream) /* grants tell whether what it has is enough */
        rd_log(RD_WARN, "kms_collateral_refused", RD_ERR(error));
}

/* True when the set in use has to be pushed first. */
static bool push_collateral(service *s)
{
    RD_CLEANUP(api_collateral_drop_p) api_collateral_state *state = api_collateral_hold(s->all->options.collateral);
    if (!state || (s->has_collateral && rd_digest_equal(&s->collateral, &state->digest)))
        return false;
    ask *one = ask_new(RD_KMS_COLLATERAL, rd_buf_bytes(&state->document), on_collateral, s);
    if (!one)
        return false;
    s->has_collateral = true;
    s->collateral = state->digest;
    put_first(s, one);
    return true;
}

/* The next question, when none is in flight. */
static void pump(service *s)
{
    if (s->now || !s->first || s->all->is_closing)
        return;
    if (!s->stream) {
        open_pipe(s);
        return;
    }
    if (!s->is_open)
        return;
    if (s->first->type == RD_KMS_GRANT || s->first->type == RD_KMS_ROOT)
        (void)push_collateral(s);
    s->now = take_first(s);
    s->written = 0;
    s->all->asked++;
    rd_timer_start(s->timer, ASK_US, 0);
    write_on(s);
}

/* ---- services ---- */

static service *service_of(api_kms *all, const rd_kms_id *id)
{
    if (!all || all->is_closing)
        return NULL; /* what fails now may ask again, and services go one by one */
    service *s = rd_table_get(all->services, RD_BYTES_ARRAY(id->b));
    if (s)
        return s;
    s = rd_alloc(sizeof *s);
    s->all = all;
    s->id = *id;
    if (!rd_table_set(all->services, RD_BYTES_ARRAY(id->b), s, NULL)) {
        free(s);
        return NULL;
    }
    rd_buf_init(&s->in, ANSWER_ROOM);
    s->timer = rd_timer_new(all->options.loop, on_timer, s);
    return s;
}

static int put(service *s, rd_kms_type type, rd_bytes payload, api_kms_fn fn, void *context, rd_err *err)
{
    if (s->waiting >= API_KMS_WAITING_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "too many questions wait for the key service");
    ask *one = ask_new(type, payload, fn, context);
    if (!one)
        return rd_err_set(err, RD_E_TOO_LARGE, "a question of %zu bytes to the key service", payload.size);
    put_last(s, one);
    return 0;
}

static service *find_idle(const api_kms *all)
{
    size_t iterator = 0;
    void *value;
    while (rd_table_next(all->services, &iterator, NULL, &value)) {
        service *s = value;
        if (!s->stream && !s->now && !s->first)
            return s;
    }
    return NULL;
}

static void service_free(service *s)
{
    rd_timer_free(s->timer);
    rd_buf_done(&s->in);
    free(s);
}

/* Whoever may ask names any id: those that no way leads to make room again. */
static void sweep(api_kms *all)
{
    service *s;
    while (rd_table_count(all->services) > API_KMS_MAX / 2 && (s = find_idle(all)) != NULL) {
        (void)rd_table_remove(all->services, RD_BYTES_ARRAY(s->id.b));
        service_free(s);
    }
}

/* Once a turn, so that answers never come before their question has returned. */
static void on_flush(void *context)
{
    api_kms *all = context;
    if (!all->has_new)
        return;
    all->has_new = false;
    size_t iterator = 0;
    void *value;
    while (rd_table_next(all->services, &iterator, NULL, &value))
        pump(value);
    sweep(all);
}

int api_kms_ask(api_kms *all, const rd_kms_id *kms, rd_kms_type type, rd_bytes payload, api_kms_fn fn, void *context,
                rd_err *err)
{
    service *s = service_of(all, kms);
    if (!s)
        return rd_err_set(err, RD_E_UNAVAILABLE, "too many key services, or the replica stops");
    if (put(s, type, payload, fn, context, err) < 0)
        return -1;
    all->has_new = true;
    return 0;
}

/* ---- nonces ---- */

static void on_nonces(void *context, rd_bytes payload, const rd_err *error)
{
    service *s = context;
    api_kms *all = s->all;
    int64_t until_us = rd_clock_boot_us(all->options.clock) + NONCE_TERM_US;
    s->wants_nonces = false;
    if (error || payload.size == 0 || payload.size % API_KMS_NONCE_SIZE != 0)
        return;
    for (size_t at = 0; at < payload.size && s->nonce_count < NONCES_MAX; at += API_KMS_NONCE_SIZE) {
        nonce *one = &s->nonces[s->nonce_count++];
        memcpy(one->b, payload.data + at, sizeof one->b);
        one->until_us = until_us;
    }
    if (!all->is_closing)
        all->options.on_nonces(all->options.context, &s->id);
}

static void want_nonces(service *s)
{
    uint8_t count[2] = { 0, NONCES_A_CALL };
    rd_err err = RD_ERR_INIT;
    if (s->wants_nonces || put(s, RD_KMS_NONCE, RD_BYTES_ARRAY(count), on_nonces, s, &err) < 0)
        return;
    s->wants_nonces = true;
    s->all->has_new = true;
}

bool api_kms_take_nonce(api_kms *all, const rd_kms_id *kms, uint8_t out[API_KMS_NONCE_SIZE])
{
    service *s = service_of(all, kms);
    if (!s)
        return false;
    int64_t now_us = rd_clock_boot_us(all->options.clock);
    bool has_one = false;
    while (s->nonce_count > 0 && !has_one) {
        const nonce *one = &s->nonces[--s->nonce_count];
        has_one = one->until_us > now_us;
        all->nonces_spoiled += !has_one;
        if (has_one)
            memcpy(out, one->b, sizeof one->b);
    }
    if (s->nonce_count < NONCES_LOW)
        want_nonces(s);
    return has_one;
}

/* ---- life ---- */

api_kms *api_kms_new(const api_kms_options *options)
{
    api_kms *all = rd_alloc(sizeof *all);
    all->options = *options;
    all->services = rd_table_new(API_KMS_MAX);
    all->flusher = rd_flusher_new(options->loop, on_flush, all);
    return all;
}

api_kms *api_kms_free(api_kms *all)
{
    if (!all)
        return NULL;
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_CANCELLED, "the replica stops");
    all->is_closing = true;
    rd_flusher_free(all->flusher);
    size_t iterator = 0;
    void *value;
    while (rd_table_next(all->services, &iterator, NULL, &value)) {
        service *s = value;
        if (s->stream)
            rd_link_stream_reset(s->stream, true);
        forget_pipe(s);
        lose(s, &err);
        fail_waiting(s, &err);
        service_free(s);
    }
    rd_table_free(all->services);
    free(all);
    return NULL;
}

void api_kms_metrics(void *context, rd_buf *out)
{
    const api_kms *all = context;
    size_t waiting = 0, iterator = 0;
    void *value;
    while (rd_table_next(all->services, &iterator, NULL, &value))
        waiting += ((const service *)value)->waiting;
    (void)rd_buf_printf(out,
                        "# HELP redoubt_kms_waiting Questions that wait for a key service.\n"
                        "# TYPE redoubt_kms_waiting gauge\nredoubt_kms_waiting %zu\n"
                        "# TYPE redoubt_kms_asked_total counter\nredoubt_kms_asked_total %" PRIu64 "\n"
                        "# TYPE redoubt_kms_refused_total counter\nredoubt_kms_refused_total %" PRIu64 "\n"
                        "# TYPE redoubt_kms_lost_total counter\nredoubt_kms_lost_total %" PRIu64 "\n",
                        waiting, all->asked, all->refused, all->lost);
}
