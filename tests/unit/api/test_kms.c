#include "api/kms.h"

#include "common/base/mem.h"
#include "tests/support/link_world.h"

#include <signal.h>

#define PIPES_SEEN 16
#define GRANTS     3

/* R48, on the plane's way to a key service: one over a real link that holds questions for evidence until it is told to
 * answer them, as one that waits for its next quote does. */
typedef struct held {
    struct service_world *service;
    rd_link_stream *stream;
    rd_buf in;
    bool is_held;
} held;

typedef struct service_world {
    world w;
    api_kms *kms;
    held pipes[PIPES_SEEN];
    size_t opened, open;
    size_t evidence, grants, lost; /* answers that came */
    size_t nonces;                 /* batches of them */
    bool has_way;
} service_world;

static const rd_kms_id service_id = { { 9 } };

/* ---- the service ---- */

static void say(rd_link_stream *stream, uint8_t asked, rd_bytes payload)
{
    RD_CLEANUP(rd_buf_done) rd_buf frame = { 0 };
    rd_err err = RD_ERR_INIT;
    assert_int_equal(0, rd_kms_frame((uint8_t)(RD_KMS_ANSWER | asked), payload, &frame, &err));
    assert_int_equal(0, rd_link_stream_write(stream, rd_buf_bytes(&frame), &err));
}

static size_t service_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    held *one = context;
    rd_kms_head head;
    rd_err err = RD_ERR_INIT;
    assert_true(rd_buf_append_bytes(&one->in, bytes));
    if (one->in.size < RD_KMS_FRAME_HEAD)
        return bytes.size;
    assert_int_equal(0, rd_kms_head_request(one->in.data, &head, &err));
    if (one->in.size < RD_KMS_FRAME_HEAD + head.size)
        return bytes.size;
    assert_false(one->is_held); /* one exchange at a time */
    uint8_t nonces[2 * API_KMS_NONCE_SIZE] = { 1 };
    if (head.type == RD_KMS_EVIDENCE)
        one->is_held = true;
    else
        say(stream, head.type, head.type == RD_KMS_NONCE ? RD_BYTES_ARRAY(nonces) : RD_BYTES_LIT("granted"));
    rd_buf_consume(&one->in, RD_KMS_FRAME_HEAD + head.size);
    return bytes.size;
}

static void service_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream, (void)error;
    held *one = context;
    one->stream = NULL;
    one->is_held = false;
    one->service->open--;
}

static void on_connect(void *context, rd_link_stream *stream, const rd_link_exchange *exchange)
{
    static const rd_link_stream_events events = { .on_data = service_data, .on_closed = service_closed };
    service_world *s = context;
    assert_string_equal(exchange->method, "CONNECT");
    assert_string_equal(exchange->authority, "kms");
    assert_true(s->opened < PIPES_SEEN);
    held *one = &s->pipes[s->opened++];
    one->service = s;
    one->stream = stream;
    s->open++;
    rd_link_accept(stream, &events, one);
}

static size_t count_held(const service_world *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->opened; i++)
        count += s->pipes[i].is_held;
    return count;
}

/* The quote is there: whoever is held is answered. */
static void quote(service_world *s)
{
    for (size_t i = 0; i < s->opened; i++) {
        if (!s->pipes[i].is_held)
            continue;
        s->pipes[i].is_held = false;
        say(s->pipes[i].stream, RD_KMS_EVIDENCE, RD_BYTES_LIT("{}"));
    }
}

/* ---- the plane ---- */

static rd_link *find_way(void *context, const rd_kms_id *kms, size_t index, char authority[RD_KMS_ID_TEXT_SIZE])
{
    service_world *s = context;
    assert_memory_equal(kms, &service_id, sizeof service_id);
    (void)snprintf(authority, RD_KMS_ID_TEXT_SIZE, "kms");
    return index == 0 && s->has_way ? s->w.plane_link : NULL;
}

static void on_nonces(void *context, const rd_kms_id *kms)
{
    (void)kms;
    ((service_world *)context)->nonces++;
}

static void on_evidence(void *context, rd_bytes payload, const rd_err *error)
{
    service_world *s = context;
    s->lost += error != NULL;
    s->evidence += error == NULL;
    assert_true(error || payload.size == 2);
}

static void on_granted(void *context, rd_bytes payload, const rd_err *error)
{
    (void)payload;
    assert_null(error);
    ((service_world *)context)->grants++;
}

static int ask_evidence(service_world *s, rd_err *err)
{
    uint8_t nonce[32] = { 3 };
    return api_kms_ask(s->kms, &service_id, RD_KMS_EVIDENCE, RD_BYTES_ARRAY(nonce), on_evidence, s, err);
}

static void ask_evidence_of(service_world *s, size_t count)
{
    rd_err err = RD_ERR_INIT;
    for (size_t i = 0; i < count; i++)
        assert_int_equal(0, ask_evidence(s, &err));
}

static void ask_grants(service_world *s)
{
    rd_err err = RD_ERR_INIT;
    for (size_t i = 0; i < GRANTS; i++)
        assert_int_equal(0,
                         api_kms_ask(s->kms, &service_id, RD_KMS_GRANT, RD_BYTES_LIT("message"), on_granted, s, &err));
}

static int setup(void **state)
{
    service_world *s = rd_alloc(sizeof *s);
    rd_err err = RD_ERR_INIT;
    world_init(&s->w);
    standard_contexts(&s->w);
    start_plane(&s->w);
    const rd_endpoint at = { .host = "127.0.0.1", .port = rd_link_plane_port(s->w.plane) };
    const rd_link_agent_config config = { .endpoints = &at,
                                          .endpoint_count = 1,
                                          .tls = s->w.client,
                                          .dial_first_max_us = 1000,
                                          .context = s,
                                          .on_up = agent_up,
                                          .on_down = agent_down,
                                          .on_dial_failed = dial_failed,
                                          .on_request = on_connect };
    assert_int_equal(0, rd_link_agent_new(s->w.loop, &config, &s->w.agent, &err));
    WAIT(&s->w, s->w.plane_link && s->w.agent_link);
    const api_kms_options options = {
        .loop = s->w.loop, .clock = rd_clock_system(), .find_way = find_way, .on_nonces = on_nonces, .context = s
    };
    s->kms = api_kms_new(&options);
    s->has_way = true;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    service_world *s = *state;
    s->kms = api_kms_free(s->kms);
    world_done(&s->w);
    for (size_t i = 0; i < PIPES_SEEN; i++)
        rd_buf_done(&s->pipes[i].in);
    free(s);
    return 0;
}

/* ---- tests ---- */

static void test_nothing_waits_behind_evidence(void **state)
{
    service_world *s = *state;
    uint8_t nonce[API_KMS_NONCE_SIZE];
    ask_evidence_of(s, API_KMS_EVIDENCE_WAITING_MAX);
    WAIT(&s->w, count_held(s) == API_KMS_EVIDENCE_PIPES);
    ask_grants(s);
    assert_false(api_kms_take_nonce(s->kms, &service_id, nonce));
    WAIT(&s->w, s->grants == GRANTS && s->nonces == 1);
    assert_int_equal(0, s->evidence);
    assert_true(api_kms_take_nonce(s->kms, &service_id, nonce));
    assert_int_equal(1 + API_KMS_EVIDENCE_PIPES, s->opened);
    /* As many as there are pipes share each quote. */
    for (size_t answered = 0; answered < API_KMS_EVIDENCE_WAITING_MAX; answered += API_KMS_EVIDENCE_PIPES) {
        WAIT(&s->w, count_held(s) == API_KMS_EVIDENCE_PIPES);
        assert_int_equal(answered, s->evidence);
        quote(s);
        WAIT(&s->w, s->evidence == answered + API_KMS_EVIDENCE_PIPES);
    }
    assert_int_equal(1 + API_KMS_EVIDENCE_PIPES, s->opened);
}

static void test_evidence_has_a_bound_of_its_own(void **state)
{
    service_world *s = *state;
    rd_err err = RD_ERR_INIT;
    ask_evidence_of(s, API_KMS_EVIDENCE_PIPES);
    WAIT(&s->w, count_held(s) == API_KMS_EVIDENCE_PIPES);
    ask_evidence_of(s, API_KMS_EVIDENCE_WAITING_MAX);
    assert_int_equal(-1, ask_evidence(s, &err));
    assert_int_equal(RD_E_UNAVAILABLE, err.code);
    ask_grants(s);
    WAIT(&s->w, s->grants == GRANTS);
    assert_int_equal(-1, ask_evidence(s, &err));
    quote(s);
    WAIT(&s->w, count_held(s) == API_KMS_EVIDENCE_PIPES);
    ask_evidence_of(s, 1);
}

static void test_a_lone_asker_has_one_pipe(void **state)
{
    service_world *s = *state;
    for (size_t i = 1; i <= 3; i++) {
        ask_evidence_of(s, 1);
        WAIT(&s->w, count_held(s) == 1);
        quote(s);
        WAIT(&s->w, s->evidence == i);
    }
    assert_int_equal(1, s->opened);
}

static void test_a_lost_pipe_loses_its_question_alone(void **state)
{
    service_world *s = *state;
    ask_evidence_of(s, API_KMS_EVIDENCE_PIPES + 1);
    WAIT(&s->w, count_held(s) == API_KMS_EVIDENCE_PIPES);
    s->has_way = false; /* what waits is left to the pipes that are there */
    rd_link_stream_reset(s->pipes[0].stream, false);
    WAIT(&s->w, s->lost == 1);
    quote(s);
    WAIT(&s->w, s->evidence == API_KMS_EVIDENCE_PIPES - 1 && count_held(s) == 1);
    quote(s);
    WAIT(&s->w, s->evidence == API_KMS_EVIDENCE_PIPES);
    assert_int_equal(1, s->lost);
}

static void test_no_way(void **state)
{
    service_world *s = *state;
    s->has_way = false;
    ask_evidence_of(s, API_KMS_EVIDENCE_WAITING_MAX);
    WAIT(&s->w, s->lost == API_KMS_EVIDENCE_WAITING_MAX);
    s->has_way = true;
    ask_evidence_of(s, 1);
    WAIT(&s->w, count_held(s) == 1);
    s->kms = api_kms_free(s->kms); /* fails what is in flight */
    assert_int_equal(API_KMS_EVIDENCE_WAITING_MAX + 1, s->lost);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_waits_behind_evidence),
        TEST(test_evidence_has_a_bound_of_its_own),
        TEST(test_a_lone_asker_has_one_pipe),
        TEST(test_a_lost_pipe_loses_its_question_alone),
        TEST(test_no_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
