/* fake_agent: an agent on script: speaks the link truly, and about instances whatever the test wants.
 * Used by tests of the API's link side. Its evidence is genuine simulated evidence of a platform of its own, with any
 * statement that the test asks for. Everything is recorded. */
#ifndef TESTS_SUPPORT_FAKE_AGENT_H
#define TESTS_SUPPORT_FAKE_AGENT_H

#include "agent/sim_quoter.h"
#include "api/plane.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509_issue.h"
#include "common/io/link.h"
#include "common/model/evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_JOBS_MAX     64
#define FAKE_BLOBS_MAX    32
#define FAKE_EVIDENCE_MAX 16

typedef struct fake_job {
    uint64_t seq, prev, epoch;
    char instance[RD_ID_TEXT_SIZE], want[8], class_[16];
    rd_app_id app;
    rd_digest release, head_blob, genesis_blob, release_blob, code_blob;
    uint8_t nonce[32];
    bool has_blobs;
} fake_job;

typedef struct fake_agent {
    rd_loop *loop;
    rd_link_agent *dialer;
    rd_link *link;
    rd_tls_context *tls;
    agent_sim_quoter *quoter;
    /* what it says in hello */
    char journal[33];
    uint64_t era, floor, last_event, acked_event, incarnation;
    char inventory[1024];   /* JSON items */
    bool refuses_first_job; /* 409 with its floor, once */
    bool needs_everything;
    /* what it saw */
    unsigned hellos, ups, downs, states, evidence_requests, calls, connects, renewals;
    int64_t session;
    fake_job jobs[FAKE_JOBS_MAX];
    size_t job_count;
    rd_digest blobs[FAKE_BLOBS_MAX];
    size_t blob_count;
    uint64_t acked;
    uint64_t events_after;
    uint8_t asked_nonce[32];
    char last_path[256], down_reason[128];
    int connect_status;      /* 200, 421 or 503 */
    int answer_status;       /* of the instance */
    const char *answer_head; /* instead of a good one */
    bool cuts_answers;       /* and ends there */
    char csr[2048];          /* PEM with its line ends as JSON has them */
    /* streams */
    rd_link_stream *events, *logs;
    uint64_t seq;
    struct {
        rd_digest digest;
        rd_buf bundle;
    } evidence[FAKE_EVIDENCE_MAX];
    size_t evidence_count;
    bool brings_evidence; /* in the event, as agents do; else it is fetched */
    unsigned evidence_fetches;
} fake_agent;

/* ---- evidence ---- */

/* Genuine evidence of its platform for a statement; kept under its digest. */
static inline rd_digest fake_evidence_make(fake_agent *a, const rd_statement *statement, const uint8_t mrtd[48])
{
    rd_err err = RD_ERR_INIT;
    rd_buf bytes = { 0 }, quote = { 0 };
    uint8_t report_data[64], header_bytes[RD_LAUNCH_HEADER_SIZE], digest[48];
    agent_sim_launch launch = { { 0 } };
    memcpy(launch.mrtd, mrtd, sizeof launch.mrtd);
    agent_sim_door *door = agent_sim_door_new(a->quoter, &launch);
    rd_launch_header header = { .app = statement->app, .release = statement->release };
    rd_kms_set_digest(NULL, 0, &header.kms_set);
    rd_launch_header_encode(&header, header_bytes);
    rd_event_digest(RD_EVENT_APP, RD_BYTES_ARRAY(header_bytes), digest);
    assert_int_equal(agent_sim_door_extend(door, 3, digest, &err), 0);
    rd_event_digest(RD_EVENT_CLOSED, RD_BYTES_NULL, digest);
    assert_int_equal(agent_sim_door_extend(door, 3, digest, &err), 0);
    assert_int_equal(rd_statement_encode(statement, &bytes, &err), 0);
    rd_statement_report_data(rd_buf_bytes(&bytes), report_data);
    assert_int_equal(agent_sim_door_quote(door, report_data, &quote, &err), 0);
    size_t i = a->evidence_count++ % FAKE_EVIDENCE_MAX;
    rd_buf_clear(&a->evidence[i].bundle);
    const rd_nonce_path alone = { .count = 0 };
    assert_int_equal(rd_evidence_encode(rd_buf_bytes(&quote), rd_buf_bytes(&bytes), header_bytes,
                                        rd_purpose_shares_quotes(statement->purpose) ? &alone : NULL,
                                        &a->evidence[i].bundle, &err),
                     0);
    rd_sha256(rd_buf_bytes(&a->evidence[i].bundle), a->evidence[i].digest.b);
    agent_sim_door_free(door);
    rd_buf_done(&bytes);
    rd_buf_done(&quote);
    return a->evidence[i].digest;
}

/* ---- events ---- */

static inline void fake_event_at(fake_agent *a, uint64_t seq, const char *instance, uint64_t epoch, const char *phase,
                                 const rd_digest *evidence)
{
    char digest[RD_DIGEST_TEXT_SIZE] = "", at[RD_TIME_TEXT_SIZE];
    rd_buf line = { 0 };
    if (evidence)
        rd_digest_format(evidence, digest);
    rd_time_format(rd_clock_wall_us(rd_clock_system()), at);
    assert_true(rd_buf_printf(&line,
                              "{\"seq\":%" PRIu64 ",\"incarnation\":%" PRIu64 ",\"instance\":\"%s\",\"epoch\":%" PRIu64
                              ",\"phase\":\"%s\",\"reason\":\"\",\"detail\":\"\",\"evidence\":%s%s%s,\"at\":\"%s\"",
                              seq, a->incarnation, instance, epoch, phase, evidence ? "\"" : "",
                              evidence ? digest : "null", evidence ? "\"" : "", at));
    for (size_t i = 0; i < FAKE_EVIDENCE_MAX && evidence && a->brings_evidence; i++)
        if (rd_digest_equal(&a->evidence[i].digest, evidence))
            assert_true(rd_buf_append_str(&line, ",\"bundle\":\"") &&
                        rd_buf_append_base64url(&line, rd_buf_bytes(&a->evidence[i].bundle)) &&
                        rd_buf_append_str(&line, "\""));
    rd_err err = RD_ERR_INIT;
    assert_non_null(a->events);
    assert_true(rd_buf_append_str(&line, "}\n"));
    assert_int_equal(rd_link_stream_write(a->events, rd_buf_bytes(&line), &err), 0);
    rd_buf_done(&line);
}

static inline void fake_event(fake_agent *a, const fake_job *job, const char *phase, const rd_digest *evidence)
{
    fake_event_at(a, ++a->seq, job->instance, job->epoch, phase, evidence);
}

/* ---- requests of the plane ---- */

static inline void fake_stream_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)error;
    fake_agent *a = context;
    if (a->events == stream)
        a->events = NULL;
    if (a->logs == stream)
        a->logs = NULL;
}

static const rd_link_stream_events fake_stream_events = { .on_closed = fake_stream_closed };

/* The instance: answers each request head with its body echoed (small requests in one piece). */
static inline size_t fake_instance_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    fake_agent *a = context;
    char answer[512];
    rd_err err = RD_ERR_INIT;
    a->calls++;
    const char *body = memmem(bytes.data, bytes.size, "\r\n\r\n", 4);
    size_t body_size = body ? bytes.size - (size_t)(body + 4 - (const char *)bytes.data) : 0;
    snprintf(a->last_path, sizeof a->last_path, "%.*s", (int)RD_MIN(bytes.size, 200), (const char *)bytes.data);
    if (a->answer_head)
        snprintf(answer, sizeof answer, "%s", a->answer_head);
    else
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 %d X\r\nContent-Type: text/plain\r\nRedoubt-Receipt: abc\r\nContent-Length: %zu\r\n\r\n%.*s",
                 a->answer_status, body_size, (int)body_size, body ? body + 4 : "");
    assert_int_equal(rd_link_stream_write(stream, rd_bytes_str(answer), &err), 0);
    if (a->cuts_answers)
        rd_link_stream_end(stream);
    return bytes.size;
}

static inline void fake_pipe_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)stream;
    (void)context;
    (void)error;
}

static const rd_link_stream_events fake_instance_events = { .on_data = fake_instance_data,
                                                            .on_closed = fake_pipe_closed };

static inline void fake_answer_text(rd_link_stream *stream, int status, const char *text)
{
    rd_link_answer(stream, status, rd_bytes_str(text));
}

static inline void fake_hello(fake_agent *a, rd_link_stream *stream, const rd_link_exchange *exchange)
{
    json_t *body = json_loadb((const char *)exchange->body.data, exchange->body.size, 0, NULL);
    a->session = json_integer_value(json_object_get(body, "session"));
    json_decref(body);
    a->hellos++;
    char text[4096], at[RD_TIME_TEXT_SIZE];
    rd_time_format(rd_clock_wall_us(rd_clock_system()), at);
    snprintf(text, sizeof text,
             "{\"journal_id\":\"%s\",\"boot_id\":\"b\",\"agent_version\":\"fake\",\"floor\":{\"era\":%" PRIu64
             ",\"job_seq\":%" PRIu64 "},\"last_event\":%" PRIu64 ",\"acked_event\":%" PRIu64 ",\"incarnation\":%" PRIu64
             ",\"clock\":\"%s\",\"capacity\":{\"cpu_m\":4000,\"memory_bytes\":1073741824,\"slots\":8},"
             "\"inventory\":[%s],\"needs\":[]}",
             a->journal, a->era, a->floor, a->seq, a->acked_event, a->incarnation, at, a->inventory);
    fake_answer_text(stream, 200, text);
}

static inline void fake_note_job(fake_agent *a, uint64_t seq, json_t *body)
{
    fake_job *job = &a->jobs[a->job_count++ % FAKE_JOBS_MAX];
    rd_err err = RD_ERR_INIT;
    *job = (fake_job){ .seq = seq };
    job->prev = (uint64_t)json_integer_value(json_object_get(body, "prev"));
    job->epoch = (uint64_t)json_integer_value(json_object_get(body, "epoch"));
    snprintf(job->instance, sizeof job->instance, "%s", json_string_value(json_object_get(body, "instance")));
    snprintf(job->want, sizeof job->want, "%s", json_string_value(json_object_get(body, "want")));
    snprintf(job->class_, sizeof job->class_, "%s", json_string_value(json_object_get(body, "class")));
    const char *app = json_string_value(json_object_get(body, "app"));
    assert_int_equal(rd_app_id_parse(app, strlen(app), &job->app, &err), 0);
    assert_int_equal(rd_json_digest(json_object_get(body, "release"), "", &job->release, &err), 0);
    assert_int_equal(rd_json_b64(json_object_get(body, "nonce"), "", job->nonce, 32, &err), 0);
    json_t *blobs = json_object_get(body, "blobs");
    job->has_blobs = blobs != NULL;
    if (!blobs)
        return;
    assert_int_equal(rd_json_digest(json_object_get(blobs, "genesis"), "", &job->genesis_blob, &err), 0);
    assert_int_equal(rd_json_digest(json_object_get(blobs, "head"), "", &job->head_blob, &err), 0);
    assert_int_equal(rd_json_digest(json_object_get(blobs, "release"), "", &job->release_blob, &err), 0);
    assert_int_equal(rd_json_digest(json_object_get(blobs, "code"), "", &job->code_blob, &err), 0);
}

static inline void fake_take_job(fake_agent *a, rd_link_stream *stream, const rd_link_exchange *exchange)
{
    uint64_t seq = strtoull(exchange->path + strlen("/jobs/"), NULL, 10);
    json_t *body = json_loadb((const char *)exchange->body.data, exchange->body.size, 0, NULL);
    uint64_t prev = (uint64_t)json_integer_value(json_object_get(body, "prev"));
    char text[512], digests[320] = "";
    int status = 200;
    if (a->refuses_first_job || prev > a->floor) {
        a->refuses_first_job = false;
        status = 409;
    } else if (seq > a->floor) {
        a->floor = seq;
        fake_note_job(a, seq, body);
        json_t *blobs = json_object_get(body, "blobs");
        if (a->needs_everything && blobs)
            snprintf(digests, sizeof digests, "\"%s\",\"%s\",\"%s\"",
                     json_string_value(json_object_get(blobs, "genesis")),
                     json_string_value(json_object_get(blobs, "head")),
                     json_string_value(json_object_get(blobs, "release")));
    }
    json_decref(body);
    snprintf(text, sizeof text, "{\"floor\":{\"era\":%" PRIu64 ",\"job_seq\":%" PRIu64 "},\"needs\":[%s]}", a->era,
             a->floor, digests);
    fake_answer_text(stream, status, text);
}

static inline void fake_give_evidence(fake_agent *a, rd_link_stream *stream, const char *path)
{
    for (size_t i = 0; i < FAKE_EVIDENCE_MAX; i++) {
        char hex[65];
        rd_hex_encode(RD_BYTES_ARRAY(a->evidence[i].digest.b), hex);
        if (strcmp(hex, path + strlen("/evidence/")) == 0) {
            rd_link_answer(stream, 200, rd_buf_bytes(&a->evidence[i].bundle));
            return;
        }
    }
    fake_answer_text(stream, 404, "{}");
}

static inline void fake_note_blob(fake_agent *a, rd_link_stream *stream, const rd_link_exchange *exchange)
{
    rd_digest digest;
    char hex[65];
    rd_sha256(exchange->body, digest.b);
    rd_hex_encode(RD_BYTES_ARRAY(digest.b), hex);
    assert_string_equal(hex, exchange->path + strlen("/blobs/"));
    a->blobs[a->blob_count++ % FAKE_BLOBS_MAX] = digest;
    rd_link_answer(stream, 204, RD_BYTES_NULL);
}

static inline void fake_on_request(void *context, rd_link_stream *stream, const rd_link_exchange *exchange)
{
    fake_agent *a = context;
    const char *path = exchange->path;
    json_t *body;
    rd_err err = RD_ERR_INIT;
    if (strcmp(exchange->method, "CONNECT") == 0) {
        a->connects++;
        if (a->connect_status == 200)
            rd_link_accept(stream, &fake_instance_events, a);
        else
            fake_answer_text(stream, a->connect_status, "{}");
    } else if (strcmp(path, "/hello") == 0) {
        fake_hello(a, stream, exchange);
    } else if (rd_starts_with(path, "/jobs/")) {
        fake_take_job(a, stream, exchange);
    } else if (rd_starts_with(path, "/blobs/")) {
        fake_note_blob(a, stream, exchange);
    } else if (rd_starts_with(path, "/events?after=")) {
        a->events_after = strtoull(path + strlen("/events?after="), NULL, 10);
        a->events = stream;
        rd_link_accept(stream, &fake_stream_events, a);
    } else if (strcmp(path, "/logs") == 0) {
        a->logs = stream;
        rd_link_accept(stream, &fake_stream_events, a);
    } else if (strcmp(path, "/events/ack") == 0) {
        body = json_loadb((const char *)exchange->body.data, exchange->body.size, 0, NULL);
        a->acked = (uint64_t)json_integer_value(json_object_get(body, "seq"));
        json_decref(body);
        rd_link_answer(stream, 204, RD_BYTES_NULL);
    } else if (rd_starts_with(path, "/evidence/")) {
        a->evidence_fetches++;
        fake_give_evidence(a, stream, path);
    } else if (strcmp(path, "/evidence-requests") == 0) {
        a->evidence_requests++;
        body = json_loadb((const char *)exchange->body.data, exchange->body.size, 0, NULL);
        assert_int_equal(rd_json_b64(json_object_get(body, "nonce"), "", a->asked_nonce, 32, &err), 0);
        json_decref(body);
        fake_answer_text(stream, 202, "{}");
    } else if (strcmp(path, "/renewal/csr") == 0) {
        char text[2200];
        snprintf(text, sizeof text, "{\"csr\":\"%s\"}", a->csr);
        fake_answer_text(stream, 200, text);
    } else {
        a->renewals += strcmp(path, "/renewal/certificate") == 0;
        a->states += strcmp(path, "/state") == 0;
        rd_link_answer(stream, 204, RD_BYTES_NULL);
    }
}

/* ---- life ---- */

static inline void fake_on_up(void *context, rd_link *link)
{
    fake_agent *a = context;
    a->link = link;
    a->ups++;
}

static inline void fake_on_down(void *context, rd_link *link, const char *reason)
{
    fake_agent *a = context;
    (void)link;
    a->link = NULL;
    a->events = a->logs = NULL;
    a->downs++;
    snprintf(a->down_reason, sizeof a->down_reason, "%s", reason);
}

static inline void fake_dial(fake_agent *a, rd_loop *loop, uint16_t port)
{
    rd_endpoint endpoint = { .host = "127.0.0.1", .port = port };
    rd_err err = RD_ERR_INIT;
    rd_link_agent_config config = { .endpoints = &endpoint,
                                    .endpoint_count = 1,
                                    .tls = a->tls,
                                    .dial_first_max_us = 10000,
                                    .dial_backoff_max_us = 100000,
                                    .context = a,
                                    .on_up = fake_on_up,
                                    .on_down = fake_on_down,
                                    .on_request = fake_on_request };
    a->loop = loop;
    assert_int_equal(rd_link_agent_new(loop, &config, &a->dialer, &err), 0);
}

/* A key, its certificate of the plane for this host, and the digest that host_identity must hold. */
static inline void fake_enrol(fake_agent *a, const api_plane *plane, const char *host, uint8_t ret_spki[32])
{
    rd_err err = RD_ERR_INIT;
    rd_p256_key *key = rd_p256_key_new();
    rd_buf csr = { 0 }, certificate = { 0 }, key_pem = { 0 };
    int64_t expires_us;
    assert_int_equal(rd_csr_create(key, host, &csr, &err), 0);
    size_t size = 0;
    for (const char *c = rd_buf_text(&csr); *c && size < sizeof a->csr - 3; c++) {
        if (*c == '\n')
            a->csr[size++] = '\\';
        a->csr[size++] = (char)(*c == '\n' ? 'n' : *c);
    }
    assert_int_equal(api_plane_issue_host(plane, host, rd_buf_bytes(&csr), rd_clock_wall_us(rd_clock_system()),
                                          &certificate, ret_spki, &expires_us, &err),
                     0);
    assert_int_equal(rd_p256_key_to_pem(key, &key_pem, &err), 0);
    rd_tls_config config = { .role = RD_TLS_LINK_CLIENT,
                             .certificate_pem = rd_buf_bytes(&certificate),
                             .key_pem = rd_buf_bytes(&key_pem),
                             .ca_pem = api_plane_ca_pem(plane),
                             .alpn = RD_LINK_ALPN };
    assert_int_equal(rd_tls_context_new(&config, &a->tls, &err), 0);
    rd_buf_done(&csr);
    rd_buf_done(&certificate);
    rd_buf_wipe(&key_pem);
    rd_p256_key_free(key);
}

static inline void fake_hang_up(fake_agent *a)
{
    a->dialer = rd_link_agent_free(a->dialer);
}

static inline void fake_done(fake_agent *a)
{
    if (a->dialer)
        fake_hang_up(a);
    rd_tls_context_free(a->tls);
    agent_sim_quoter_free(a->quoter);
    for (size_t i = 0; i < FAKE_EVIDENCE_MAX; i++)
        rd_buf_done(&a->evidence[i].bundle);
}

#endif
