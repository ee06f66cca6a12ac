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

/* What waits, and how much may. */
typedef struct line {
    ask *first, *last;
    size_t waiting, waiting_max;
} line;

typedef struct kms_pipe {
    struct service *service;
    line *line; /* where its questions come from */
    rd_link_stream *stream;
    bool is_open;
    size_t way;    /* of the pipe, or to try next */
    bool may_turn; /* past the last way, begin again with the first */
    ask *now;      /* in flight */
    size_t written;
    rd_buf in;
    rd_timer *timer;
} kms_pipe;

/* A question for evidence is held until the quote that it shares: such questions have a line and pipes of their own, so
 * that nothing else waits behind them, and several of them are there when the quote is made. */
typedef struct service {
    api_kms *all;
    rd_kms_id id;
    line line, evidence;
    kms_pipe pipes[1 + API_KMS_EVIDENCE_PIPES]; /* the first is that of the line, the others are evidence's */
    nonce nonces[NONCES_MAX];
    size_t nonce_count;
    bool wants_nonces; /* asked for */
    bool has_collateral;
    rd_digest collateral; /* what was pushed over the first pipe */
} service;

struct api_kms {
    api_kms_options options;
    rd_table *services; /* kms id → service */
    rd_flusher *flusher;
    bool has_new; /* questions since the last turn */
    bool is_closing;
    uint64_t asked, refused, lost, nonces_spoiled;
};

static void pump(kms_pipe *p);

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

static void put_last(line *l, ask *one)
{
    *(l->last ? &l->last->next : &l->first) = one;
    l->last = one;
    l->waiting++;
}

static void put_first(line *l, ask *one)
{
    one->next = l->first;
    l->first = one;
    if (!l->last)
        l->last = one;
    l->waiting++;
}

static ask *take_first(line *l)
{
    ask *one = l->first;
    if (!one)
        return NULL;
    l->first = one->next;
    if (!l->first)
        l->last = NULL;
    one->next = NULL;
    l->waiting--;
    return one;
}

/* Those that wait at this moment: an answer may bring new ones. */
static void fail_waiting(line *l, const rd_err *error)
{
    ask *list = l->first;
    l->first = l->last = NULL;
    l->waiting = 0;
    while (list) {
        ask *one = list;
        list = one->next;
        ask_end(one, RD_BYTES_NULL, error);
    }
}

/* ---- a pipe ---- */

static void forget_pipe(kms_pipe *p)
{
    service *s = p->service;
    p->stream = NULL;
    p->is_open = false;
    if (p == s->pipes) {
        s->has_collateral = false;
        s->nonce_count = 0; /* a service that was started again does not know them */
    }
    rd_buf_clear(&p->in);
    rd_timer_stop(p->timer);
}

static void lose(kms_pipe *p, const rd_err *error)
{
    ask *one = p->now;
    p->now = NULL;
    p->service->all->lost++;
    if (one)
        ask_end(one, RD_BYTES_NULL, error);
}

/* A way that failed a question is the last to be asked again: whoever carries a service may be hostile. */
static void next_way(kms_pipe *p)
{
    p->may_turn = p->is_open;
    p->way++;
}

static void drop_pipe(kms_pipe *p, rd_code code, const char *why)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, code, "key service: %s", why);
    if (p->stream)
        rd_link_stream_reset(p->stream, true);
    next_way(p);
    forget_pipe(p);
    lose(p, &err);
}

static void on_timer(void *context)
{
    kms_pipe *p = context;
    drop_pipe(p, RD_E_TIMEOUT, "no answer in time");
    pump(p);
}

static void write_on(kms_pipe *p)
{
    while (p->now && p->is_open && p->written < p->now->bytes.size) {
        size_t room = RD_MIN(rd_link_stream_room(p->stream), p->now->bytes.size - p->written);
        rd_err err = RD_ERR_INIT;
        if (room == 0 || rd_link_stream_write(p->stream, rd_bytes_of(p->now->bytes.data + p->written, room), &err) < 0)
            return; /* on_room goes on */
        p->written += room;
    }
}

/* Code and sentence of a refusal, and its record; a code that this build does not know stands in the sentence. */
static rd_bytes read_refusal(rd_bytes payload, rd_err *err)
{
    rd_kms_refusal refusal;
    char name[CODE_NAME_MAX + 1];
    if (rd_kms_refusal_parse(payload, &refusal, err) < 0)
        return RD_BYTES_NULL;
    snprintf(name, sizeof name, "%.*s", (int)refusal.code.size, (const char *)refusal.code.data);
    rd_code code = rd_code_by_name(name);
    (void)rd_err_set(err, code != RD_OK ? code : RD_E_LINK_PROTOCOL, "%s%s%.*s", code != RD_OK ? "" : name,
                     code != RD_OK ? "" : ": ", (int)RD_MIN(refusal.detail.size, (size_t)REFUSAL_DETAIL),
                     (const char *)refusal.detail.data);
    return refusal.record;
}

static void take_answer(kms_pipe *p, uint8_t type, rd_bytes payload)
{
    ask *one = p->now;
    rd_err err = RD_ERR_INIT;
    p->now = NULL;
    rd_timer_stop(p->timer);
    if (type == RD_KMS_REFUSAL) {
        p->service->all->refused++;
        rd_bytes record = read_refusal(payload, &err);
        ask_end(one, record, &err);
        return;
    }
    ask_end(one, payload, NULL);
}

/* 1: a whole frame was taken; 0: more is needed; -1: not one that may come now. */
static int take_frame(kms_pipe *p)
{
    rd_kms_head head;
    if (p->in.size < RD_KMS_FRAME_HEAD)
        return 0;
    if (!p->now || rd_kms_head_answer(p->in.data, (uint8_t)p->now->type, &head, NULL) < 0)
        return -1;
    if (p->in.size - RD_KMS_FRAME_HEAD < head.size)
        return 0;
    rd_link_stream *stream = p->stream;
    take_answer(p, head.type, rd_bytes_of(p->in.data + RD_KMS_FRAME_HEAD, head.size));
    if (p->stream == stream)
        rd_buf_consume(&p->in, RD_KMS_FRAME_HEAD + head.size);
    return 1;
}

static size_t on_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    kms_pipe *p = context;
    int outcome = rd_buf_append_bytes(&p->in, bytes) ? 1 : -1;
    while (outcome > 0 && p->stream == stream)
        outcome = take_frame(p);
    if (outcome < 0 && p->stream == stream)
        drop_pipe(p, RD_E_LINK_PROTOCOL, "an answer that nobody asked for");
    pump(p);
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
    kms_pipe *p = context;
    p->is_open = status == 200;
    if (!p->is_open)
        return; /* its end follows */
    rd_timer_stop(p->timer);
    pump(p);
}

static void on_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    kms_pipe *p = context;
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_UNAVAILABLE, "key service: %s", error ? error->text : "the pipe was closed");
    if (p->is_open && !p->now)
        p->way = 0;
    else
        next_way(p);
    forget_pipe(p);
    lose(p, &err);
    pump(p);
}

/* Of the pipes of this one's line, itself too. */
static size_t count_pipes(const kms_pipe *p, bool opening_only)
{
    size_t count = 0;
    for (size_t i = 0; i < RD_ARRAY_LEN(p->service->pipes); i++) {
        const kms_pipe *one = &p->service->pipes[i];
        count += one->line == p->line && one->stream && !(opening_only && one->is_open);
    }
    return count;
}

static void open_pipe(kms_pipe *p)
{
    static const rd_link_stream_events events = {
        .on_response = on_response, .on_data = on_data, .on_room = on_room, .on_closed = on_closed
    };
    const api_kms_options *options = &p->service->all->options;
    char authority[RD_KMS_ID_TEXT_SIZE];
    rd_err err = RD_ERR_INIT;
    for (;; p->way++) {
        rd_link *link = options->find_way(options->context, &p->service->id, p->way, authority);
        if (!link && p->may_turn && p->way > 0) {
            p->may_turn = false;
            p->way = 0;
            link = options->find_way(options->context, &p->service->id, 0, authority);
        }
        if (!link)
            break;
        if (rd_link_connect(link, authority, &events, p, &p->stream, &err) == 0) {
            rd_timer_start(p->timer, ASK_US, 0); /* until it is open; then for each question */
            return;
        }
    }
    p->way = 0;
    p->stream = NULL;
    (void)rd_err_set(&err, RD_E_UNAVAILABLE, "no link leads to the key service");
    if (count_pipes(p, false) == 0) /* else another one takes what waits */
        fail_waiting(p->line, &err);
}

/* ---- what goes ahead of a grant, and of a root ---- */

static void on_collateral(void *context, rd_bytes payload, const rd_err *error)
{
    (void)payload;
    service *s = context;
    if (error && s->pipes[0].stream) /* grants tell whether what it has is enough */
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
    put_first(&s->line, one);
    return true;
}

/* The next question, when none is in flight. */
static void pump(kms_pipe *p)
{
    service *s = p->service;
    if (p->now || !p->line->first || s->all->is_closing)
        return;
    if (!p->stream) {
        if (p->line->waiting > count_pipes(p, true))
            open_pipe(p);
        return;
    }
    if (!p->is_open)
        return;
    if (p->line->first->type == RD_KMS_GRANT || p->line->first->type == RD_KMS_ROOT)
        (void)push_collateral(s);
    p->now = take_first(p->line);
    p->written = 0;
    s->all->asked++;
    rd_timer_start(p->timer, ASK_US, 0);
    write_on(p);
}

/* Pipes that are there go before those that would have to be opened. */
static void pump_all(service *s)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(s->pipes); i++)
        if (s->pipes[i].stream)
            pump(&s->pipes[i]);
    for (size_t i = 0; i < RD_ARRAY_LEN(s->pipes); i++)
        if (!s->pipes[i].stream)
            pump(&s->pipes[i]);
}

/* ---- services ---- */

static void start_pipes(service *s)
{
    s->line.waiting_max = API_KMS_WAITING_MAX;
    s->evidence.waiting_max = API_KMS_EVIDENCE_WAITING_MAX;
    for (size_t i = 0; i < RD_ARRAY_LEN(s->pipes); i++) {
        kms_pipe *p = &s->pipes[i];
        p->service = s;
        p->line = i == 0 ? &s->line : &s->evidence;
        rd_buf_init(&p->in, ANSWER_ROOM);
        p->timer = rd_timer_new(s->all->options.loop, on_timer, p);
    }
}

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
    start_pipes(s);
    return s;
}

static int put(service *s, rd_kms_type type, rd_bytes payload, api_kms_fn fn, void *context, rd_err *err)
{
    line *l = type == RD_KMS_EVIDENCE ? &s->evidence : &s->line;
    if (l->waiting >= l->waiting_max)
        return rd_err_set(err, RD_E_UNAVAILABLE, "too many questions wait for the key service");
    ask *one = ask_new(type, payload, fn, context);
    if (!one)
        return rd_err_set(err, RD_E_TOO_LARGE, "a question of %zu bytes to the key service", payload.size);
    put_last(l, one);
    return 0;
}

static bool is_idle(const service *s)
{
    bool idle = !s->line.first && !s->evidence.first;
    for (size_t i = 0; i < RD_ARRAY_LEN(s->pipes); i++)
        idle = idle && !s->pipes[i].stream && !s->pipes[i].now;
    return idle;
}

static service *find_idle(const api_kms *all)
{
    size_t iterator = 0;
    void *value;
    while (rd_table_next(all->services, &iterator, NULL, &value)) {
        service *s = value;
        if (is_idle(s))
            return s;
    }
    return NULL;
}

static void service_free(service *s)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(s->pipes); i++) {
        rd_timer_free(s->pipes[i].timer);
        rd_buf_done(&s->pipes[i].in);
    }
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
        pump_all(value);
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

static void close_pipe(kms_pipe *p, const rd_err *error)
{
    if (p->stream)
        rd_link_stream_reset(p->stream, true);
    forget_pipe(p);
    lose(p, error);
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
        for (size_t i = 0; i < RD_ARRAY_LEN(s->pipes); i++)
            close_pipe(&s->pipes[i], &err);
        fail_waiting(&s->line, &err);
        fail_waiting(&s->evidence, &err);
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
        waiting += ((const service *)value)->line.waiting + ((const service *)value)->evidence.waiting;
    (void)rd_buf_printf(out,
                        "# HELP redoubt_kms_waiting Questions that wait for a key service.\n"
                        "# TYPE redoubt_kms_waiting gauge\nredoubt_kms_waiting %zu\n"
                        "# TYPE redoubt_kms_asked_total counter\nredoubt_kms_asked_total %" PRIu64 "\n"
                        "# TYPE redoubt_kms_refused_total counter\nredoubt_kms_refused_total %" PRIu64 "\n"
                        "# TYPE redoubt_kms_lost_total counter\nredoubt_kms_lost_total %" PRIu64 "\n",
                        waiting, all->asked, all->refused, all->lost);
}
