#include "api/deployment_wait.h"

#include "api/links_private.h"
#include "api/routes.h"
#include "api/server.h"
#include "api/store.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The ids of a deployment's instances begin as its own does (data-model.md, section 2). */
#define SHARED_ID_SIZE 12
#define STATES_SIZE    256

static const char settled[] = "healthy,reverted,failed,superseded,ended";

typedef struct wait {
    api_waits *waits;     /* NULL: they are gone */
    api_request *request; /* NULL: it is over */
    api_server *server;
    rd_id deployment;
    uint8_t org[16];
    char states[STATES_SIZE]; /* comma-separated; "": any */
    char version[64];         /* an ETag without its quotes; "": any */
    rd_timer *timer;
    bool is_reading; /* on a worker, which alone touches what was found */
    bool is_changed; /* an event came meanwhile */
    bool is_late, is_answered;
    int result;
    rd_err err;
    json_t *found;
    int64_t found_version;
    char found_etag[API_ETAG_SIZE];
    struct wait *next, *previous;
} wait;

struct api_waits {
    rd_loop *loop;
    wait *first;
    size_t count;
    uint64_t waited, woken, late;
};

static void wait_free(wait *w)
{
    if (w->waits) {
        if (w->next)
            w->next->previous = w->previous;
        *(w->previous ? &w->previous->next : &w->waits->first) = w->next;
        w->waits->count--;
    }
    rd_timer_free(w->timer);
    json_decref(w->found);
    free(w);
}

/* The request ended: answered, or its caller went away. */
static void on_request_over(void *data)
{
    wait *w = data;
    w->request = NULL;
    if (!w->is_reading)
        wait_free(w);
}

static bool is_listed(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += size)
        if ((at == list || at[-1] == ',') && (at[size] == ',' || at[size] == '\0'))
            return true;
    return false;
}

static bool is_reached(const wait *w)
{
    const char *state = json_string_value(json_object_get(w->found, "state"));
    if (w->states[0] && state && is_listed(w->states, state))
        return true;
    return w->version[0] && strcmp(w->version, w->found_etag) != 0;
}

static void answer(wait *w)
{
    rd_timer_stop(w->timer);
    w->is_answered = true;
    if (w->result < 0)
        api_reply_problem(w->request, &w->err);
    else
        api_reply_resource(w->request, 200, RD_TAKE(w->found), w->found_version);
}

static void read_again(wait *w);

static void on_read(void *arg)
{
    wait *w = arg;
    w->is_reading = false;
    if (!w->request) {
        wait_free(w);
        return;
    }
    if (w->is_answered || !w->waits)
        return;
    if (w->result < 0 || w->is_late || is_reached(w))
        answer(w);
    else if (w->is_changed)
        read_again(w);
}

static void read_on_worker(api_worker *worker, void *arg)
{
    wait *w = arg;
    json_decref(w->found);
    w->found = NULL;
    w->err = (rd_err)RD_ERR_INIT;
    w->result = api_deployment_read(worker, w->org, &w->deployment, &w->found, &w->found_version, &w->err);
    if (w->result == 0)
        w->result = api_resource_etag(w->found, w->found_version, w->found_etag, &w->err);
}

static void read_again(wait *w)
{
    w->is_changed = false;
    w->is_reading = true;
    w->waits->woken++;
    w->result = rd_err_set(&w->err, RD_E_UNAVAILABLE, "this replica is stopping"); /* should no worker take it */
    if (api_server_work(w->server, read_on_worker, on_read, w))
        return;
    w->is_reading = false;
    w->result = rd_err_set(&w->err, RD_E_BUSY, "no worker is free to look at the deployment");
    answer(w);
}

/* The time is up: as it stands. */
static void on_late(void *context)
{
    wait *w = context;
    w->waits->late++;
    w->is_late = true;
    if (!w->is_reading)
        answer(w);
}

void api_waits_event(api_waits *waits, const api_tail_event *event)
{
    bool is_deployment = strcmp(event->kind, "deployment") == 0, is_instance = strcmp(event->kind, "instance") == 0;
    if ((!is_deployment && !is_instance) || event->subject.size != 16)
        return;
    for (wait *w = waits->first, *next; w; w = next) {
        next = w->next;
        if (!w->request || w->is_answered || memcmp(w->deployment.b, event->subject.data, SHARED_ID_SIZE) != 0)
            continue;
        w->is_changed = true;
        if (!w->is_reading)
            read_again(w);
    }
}

/* ---- requests ---- */

static int check_states(const char *list, rd_err *err)
{
    static const char known[] =
        "accepted,progressing,healthy,paused,reverting,reverted,failed,superseded,stopping,ended";
    char copy[STATES_SIZE], *rest = NULL;
    int size = snprintf(copy, sizeof copy, "%s", list);
    bool is_good = size > 0 && (size_t)size < sizeof copy && list[size - 1] != ',';
    for (char *word = strtok_r(copy, ",", &rest); is_good && word; word = strtok_r(NULL, ",", &rest))
        is_good = is_listed(known, word);
    if (is_good)
        return 0;
    (void)rd_err_set(err, RD_E_JSON_RANGE, "state must be settled, or a list of %s", known);
    return rd_err_at(err, "?state");
}

static int read_query(const api_request *request, wait *w, int64_t *ret_us, rd_err *err)
{
    const char *state = api_request_query(request, "state"), *version = api_request_query(request, "version");
    const char *seconds = api_request_query(request, "timeout_s");
    uint64_t value = API_WAIT_STANDARD_S;
    if (seconds && (rd_parse_u64(seconds, strlen(seconds), API_WAIT_MAX_S, &value) < 0 || value == 0)) {
        (void)rd_err_set(err, RD_E_JSON_RANGE, "timeout_s must be 1 to %d", API_WAIT_MAX_S);
        return rd_err_at(err, "?timeout_s");
    }
    if (version && (strlen(version) == 0 || strlen(version) >= sizeof w->version)) {
        (void)rd_err_set(err, RD_E_JSON_RANGE, "version must be an ETag of the deployment without its quotes");
        return rd_err_at(err, "?version");
    }
    if (!state && !version)
        state = "settled";
    if (state && strcmp(state, "settled") == 0)
        state = settled;
    if (state && check_states(state, err) < 0)
        return -1;
    snprintf(w->states, sizeof w->states, "%s", state ? state : "");
    snprintf(w->version, sizeof w->version, "%s", version ? version : "");
    *ret_us = (int64_t)value * 1000000;
    return 0;
}

static int check_room(const api_waits *waits, const uint8_t org[16], rd_err *err)
{
    size_t own = 0;
    for (const wait *w = waits->first; w; w = w->next)
        own += memcmp(w->org, org, sizeof w->org) == 0;
    if (own >= API_WAITS_OF_ORG_MAX)
        return rd_err_set(err, RD_E_RATE_LIMITED, "the organisation has %d calls that wait", API_WAITS_OF_ORG_MAX);
    if (waits->count >= API_WAITS_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "too many calls wait at this replica");
    return 0;
}

void api_deployment_wait(struct api_request *request)
{
    api_context *context = api_request_context(request);
    rd_err err = RD_ERR_INIT;
    int64_t for_us = 0;
    wait *w = rd_alloc(sizeof *w);
    memcpy(w->org, api_request_principal(request)->org_id, sizeof w->org);
    int rc = context->links && context->links->waits
                 ? check_room(context->links->waits, w->org, &err)
                 : rd_err_set(&err, RD_E_UNAVAILABLE, "this replica follows no events");
    if (rc < 0 || api_path_id(request, "dep", RD_PREFIX_DEPLOY, &w->deployment, &err) < 0 ||
        read_query(request, w, &for_us, &err) < 0) {
        free(w);
        api_reply_problem(request, &err);
        return;
    }
    api_waits *waits = context->links->waits;
    w->waits = waits;
    w->request = request;
    w->server = context->server;
    w->next = waits->first;
    if (w->next)
        w->next->previous = w;
    waits->first = w;
    waits->count++;
    waits->waited++;
    w->timer = rd_timer_new(waits->loop, on_late, w);
    rd_timer_start(w->timer, for_us, 0);
    api_request_set_data(request, w, on_request_over);
    read_again(w);
}

/* ---- life ---- */

api_waits *api_waits_new(rd_loop *loop)
{
    api_waits *waits = rd_alloc(sizeof *waits);
    waits->loop = loop;
    return waits;
}

api_waits *api_waits_free(api_waits *waits)
{
    if (!waits)
        return NULL;
    for (wait *w = waits->first; w; w = w->next) {
        rd_timer_stop(w->timer);
        w->waits = NULL;
    }
    free(waits);
    return NULL;
}

void api_waits_metrics(void *context, rd_buf *out)
{
    const api_waits *waits = context;
    (void)rd_buf_printf(out,
                        "# HELP redoubt_waits Callers that wait for a deployment (long poll).\n"
                        "# TYPE redoubt_waits gauge\nredoubt_waits %zu\n"
                        "# TYPE redoubt_waits_total counter\nredoubt_waits_total %" PRIu64 "\n"
                        "# TYPE redoubt_wait_looks_total counter\nredoubt_wait_looks_total %" PRIu64 "\n"
                        "# TYPE redoubt_waits_late_total counter\nredoubt_waits_late_total %" PRIu64 "\n",
                        waits->count, waits->waited, waits->woken, waits->late);
}
