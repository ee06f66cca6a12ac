// link: api_core agent_core rd_attest rd_data rd_io rd_model rd_crypto rd_base PkgConfig::pq
/* The link side of the API against real PostgreSQL and Redis, with an agent on script: attach, jobs, blobs, evidence
 * that is believed and evidence that is not, renewal, order of reports, sessions, revocation. */
#include "tests/support/links_world.h"

/* ---- tests: attach and jobs ---- */

static void attach_sends_jobs_in_order_with_blobs(void **state)
{
    (void)state;
    host *h = host_new();
    h->agent.needs_everything = true;
    rd_id first = lease_add(h, EPOCH0 + 1), second = lease_add(h, EPOCH0 + 2);
    host_dial(h);
    UNTIL(h->agent.job_count == 2 && h->agent.blob_count >= 3);
    assert_int_equal(h->agent.jobs[0].prev, 0);
    assert_int_equal(h->agent.jobs[0].seq, EPOCH0 + 1);
    assert_int_equal(h->agent.jobs[1].prev, EPOCH0 + 1);
    assert_string_equal(h->agent.jobs[0].want, "run");
    assert_string_equal(h->agent.jobs[0].class_, "simulated");
    assert_true(rd_digest_equal(&h->agent.jobs[0].release, &w.release));
    UNTIL(rd_starts_with(phase_of(&first), "1 ") && rd_starts_with(phase_of(&second), "1 "));
    UNTIL(strcmp(sql("SELECT acked_seq - 1099511627776 FROM host_links WHERE host_id = '%s'", h->uuid), "2") == 0);
    UNTIL(strcmp(sql("SELECT session = reconciled_session AND state = 1 AND reported_slots = 8 FROM host_links"
                     " WHERE host_id = '%s'",
                     h->uuid),
                 "t") == 0);
    /* a hint alone brings what came later; a lost hint is found at the next */
    lease_add(h, EPOCH0 + 3);
    lease_add(h, EPOCH0 + 4);
    hint(h);
    UNTIL(h->agent.job_count == 4);
    assert_int_equal(h->agent.jobs[3].prev, h->agent.jobs[2].seq);
    /* a gap that the agent sees is filled from its floor */
    h->agent.refuses_first_job = true;
    lease_add(h, EPOCH0 + 5);
    hint(h);
    UNTIL(h->agent.job_count == 5);
    host_free(h);
}

static void levels_of_ended_leases_are_sent_too(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    sql("UPDATE leases SET want = 3, live = false, held = false, ended_at = now(), end_reason = 'stopped', job_seq = "
        "%" PRIu64 " WHERE instance_id = '%s'",
        ++h->job_seq, hex_of(instance.b, 16));
    hint(h);
    UNTIL(h->agent.job_count == 2);
    assert_string_equal(h->agent.jobs[1].want, "stop");
    assert_false(h->agent.jobs[1].has_blobs);
    host_free(h);
}

/* ---- tests: evidence ---- */

static void believe_honest(bool brings_evidence)
{
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    h->agent.brings_evidence = brings_evidence;
    int64_t started_us = now_us();
    serve(h, job, &instance);
    print_message("serving after %lld us\n", (long long)(now_us() - started_us));
    assert_string_equal(sql("SELECT result || ' ' || simulated || ' ' || (valid_until > now() + interval '14 min')"
                            " FROM lease_verdicts WHERE instance_id = '%s'",
                            hex_of(instance.b, 16)),
                        "1 true true");
    assert_string_equal(sql("SELECT count(*) FROM lease_evidence WHERE instance_id = '%s'", hex_of(instance.b, 16)),
                        "1");
    assert_string_equal(
        sql("SELECT count(*) FROM evidence_log WHERE instance_id = '%s' AND accepted", hex_of(instance.b, 16)), "1");
    UNTIL(h->agent.acked == h->agent.seq);
    assert_string_not_equal(sql("SELECT count(*) FROM evaluations WHERE subject = '\\x%s'", w.app_hex), "0");
    assert_string_equal(
        sql("SELECT string_agg(body->>'phase', ' ' ORDER BY xid, id) FROM events WHERE subject = '\\x%s'"
            " AND body->>'phase' <> 'delivered' AND body->>'phase' <> 'launching'"
            " AND body->>'phase' <> 'attesting'",
            hex_of(instance.b, 16)),
        "serving");
    assert_int_equal(h->agent.evidence_fetches, brings_evidence ? 0 : 1);
    host_free(h);
}

static void honest_evidence_is_believed(void **state)
{
    (void)state;
    believe_honest(false);
}

static void evidence_that_comes_along_is_not_fetched(void **state)
{
    (void)state;
    believe_honest(true);
}

typedef void (*spoiler)(rd_statement *s, uint8_t mrtd[48]);
static void spoil_app(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->app.b[0] ^= 1;
}
static void spoil_release(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->release.b[0] ^= 1;
}
static void spoil_head(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->head.b[0] ^= 1;
}
static void spoil_instance(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->instance.b[3] ^= 1;
}
static void spoil_epoch(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->epoch--;
}
static void spoil_purpose(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->purpose = RD_PURPOSE_CLIENT;
}
static void spoil_blank(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    rd_statement blank = { .purpose = RD_PURPOSE_BLANK, .class = s->class };
    memcpy(blank.nonce, s->nonce, sizeof(blank.nonce));
    *s = blank;
}
static void spoil_class(rd_statement *s, uint8_t mrtd[48])
{
    (void)mrtd;
    s->class = RD_CLASS_HARDWARE;
}
static void spoil_measurement(rd_statement *s, uint8_t mrtd[48])
{
    (void)s;
    mrtd[0] ^= 1;
}

static const struct {
    const char *name;
    spoiler spoil;
    const char *want; /* code */
} lies[] = {
    { "another app", spoil_app, "attest_statement" },
    { "another release", spoil_release, "attest_statement" },
    { "a head that is none of the app's", spoil_head, "attest_statement" },
    { "another instance", spoil_instance, "attest_statement" },
    { "an older epoch", spoil_epoch, "attest_statement" },
    { "another purpose", spoil_purpose, "purpose" }, /* R6 */
    { "evidence of a blank", spoil_blank, "purpose" },
    { "the other class", spoil_class, "class_mismatch" },
    { "another measurement", spoil_measurement, "attest_measurement" },
};

/* The record of a decision: signed under record-v1, naming what was judged by its digests. */
static void check_record(const rd_id *instance, const char *result, const char *reason)
{
    rd_err err = RD_ERR_INIT;
    const char *hex =
        sql("SELECT encode(record, 'hex') FROM verdict_log WHERE instance_id = '%s' ORDER BY at DESC LIMIT"
            " 1",
            hex_of(instance->b, 16));
    assert_true(strlen(hex) > 100);
    uint8_t bytes[4096];
    size_t size = strlen(hex) / 2;
    assert_true(size <= sizeof bytes && rd_hex_decode(hex, strlen(hex), bytes, size) >= 0);
    rd_envelope envelope = { 0 };
    assert_int_equal(rd_envelope_parse(rd_bytes_of(bytes, size), &envelope, &err), 0);
    assert_int_equal(envelope.signatures_count, 1);
    const rd_public_key *key = rd_signing_key_public(api_plane_record_key(w.context.plane));
    assert_true(rd_public_key_equal(&envelope.signatures[0].key, key));
    rd_bytes document = rd_buf_bytes(&envelope.document);
    assert_int_equal(rd_verify(key, RD_SIGN_RECORD, document, &envelope.signatures[0].signature, &err), 0);
    assert_int_equal(rd_verify(key, RD_SIGN_HEAD, document, &envelope.signatures[0].signature, &err), -1);
    json_t *object = json_loadb((const char *)document.data, document.size, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(object, "type")), "redoubt/decision/v1");
    assert_string_equal(json_string_value(json_object_get(object, "result")), result);
    if (reason)
        assert_string_equal(json_string_value(json_object_get(object, "reason")), reason);
    else
        assert_true(json_is_null(json_object_get(object, "reason")));
    static const char *const digests[] = { "evidence", "collateral", "policy" };
    for (size_t i = 0; i < RD_ARRAY_LEN(digests); i++)
        assert_true(rd_starts_with(json_string_value(json_object_get(object, digests[i])), "sha256:"));
    json_decref(object);
    rd_envelope_done(&envelope);
}

static void spoiled_evidence_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(lies); i++) {
        rd_id instance;
        fake_job *job;
        host *h = host_with_job(&instance, &job);
        rd_statement statement = good_statement(job);
        uint8_t mrtd[48];
        memcpy(mrtd, w.mrtd, sizeof mrtd);
        lies[i].spoil(&statement, mrtd);
        rd_digest digest = fake_evidence_make(&h->agent, &statement, mrtd);
        fake_event(&h->agent, job, "attesting", NULL);
        fake_event(&h->agent, job, "serving", &digest);
        UNTIL(rd_starts_with(phase_of(&instance), "8"));
        print_message("%s: %s\n", lies[i].name, phase_of(&instance));
        if (strcmp(phase_of(&instance) + 2, lies[i].want) != 0)
            fail_msg("%s: refused as %s, not as %s", lies[i].name, phase_of(&instance) + 2, lies[i].want);
        check_record(&instance, "refused", lies[i].want);
        assert_string_equal(sql("SELECT result FROM lease_verdicts WHERE instance_id = '%s'", hex_of(instance.b, 16)),
                            "2");
        assert_string_equal(
            sql("SELECT count(*) FROM evidence_log WHERE instance_id = '%s' AND NOT accepted", hex_of(instance.b, 16)),
            "1");
        UNTIL(h->agent.acked == h->agent.seq);
        host_free(h);
    }
}

static const char *mark_of(const host *h)
{
    return sql("SELECT mark || ' ' || code || ' ' || is_cut FROM host_marks WHERE host_id = '%s'", h->uuid);
}

/* Forged evidence of three leases within an hour; what a policy refuses is not counted, nor a lease twice. */
static void faults_of_a_host_lead_to_a_mark(void **state)
{
    (void)state;
    host *h = host_new();
    host_dial(h);
    for (unsigned i = 0; i < 4; i++) {
        rd_id instance = lease_add(h, EPOCH0 + 100 + w.leases);
        hint(h);
        UNTIL(h->agent.job_count == i + 1);
        fake_job *job = &h->agent.jobs[i];
        rd_statement statement = good_statement(job);
        uint8_t mrtd[48];
        memcpy(mrtd, w.mrtd, sizeof mrtd);
        if (i == 0)
            mrtd[0] ^= 1; /* genuine, but no build that the policy lists */
        else
            statement.release.b[0] ^= 1;
        rd_digest digest = fake_evidence_make(&h->agent, &statement, mrtd);
        fake_event(&h->agent, job, "attesting", NULL);
        fake_event(&h->agent, job, "serving", &digest);
        UNTIL(rd_starts_with(phase_of(&instance), "8"));
        assert_string_equal(sql("SELECT coalesce(max(faults), 0) FROM host_marks WHERE host_id = '%s'", h->uuid),
                            ((const char *[]){ "0", "1", "2", "0" })[i]);
    }
    assert_string_equal(mark_of(h), "1 attest_statement false");
    assert_string_equal(sql("SELECT host_is_marked('%s')", h->uuid), "t");
    assert_string_equal(sql("SELECT count(*) FROM events WHERE kind = 'host' AND body->>'quarantined' ="
                            " 'attest_statement' AND subject = uuid_send('%s')",
                            h->uuid),
                        "1");
    assert_non_null(h->agent.events); /* its link stays: what runs there is to be stopped over it */
    host_free(h);
}

static void serving_without_evidence_is_refused(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    fake_event(&h->agent, job, "serving", NULL);
    UNTIL(strcmp(phase_of(&instance), "8 evidence_missing") == 0);
    host_free(h);
}

static void refuse_another_digest(bool brings_evidence)
{
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    h->agent.brings_evidence = brings_evidence;
    rd_statement statement = good_statement(job);
    rd_digest digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    h->agent.evidence[0].bundle.data[10] ^= 1; /* the name stays */
    fake_event(&h->agent, job, "serving", &digest);
    UNTIL(strcmp(phase_of(&instance), "8 digest_mismatch") == 0);
    host_free(h);
}

static void bytes_of_another_digest_are_refused(void **state)
{
    (void)state;
    refuse_another_digest(false);
    refuse_another_digest(true);
}

/* An old nonce is asked for again, twice; then it is a refusal. */
static void old_nonces_are_asked_for_again(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    rd_statement statement = good_statement(job);
    memset(statement.nonce, 7, sizeof statement.nonce);
    rd_digest digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    fake_event(&h->agent, job, "serving", &digest);
    UNTIL(h->agent.evidence_requests == 1 && rd_starts_with(phase_of(&instance), "3 attest_nonce"));
    memcpy(statement.nonce, h->agent.asked_nonce, 32);
    digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    fake_event(&h->agent, job, "serving", &digest);
    UNTIL(rd_starts_with(phase_of(&instance), "4"));
    host_free(h);
    h = host_with_job(&instance, &job);
    statement = good_statement(job);
    memset(statement.nonce, 7, sizeof statement.nonce);
    digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    for (unsigned i = 0; i < 3; i++)
        fake_event(&h->agent, job, "serving", &digest);
    UNTIL(strcmp(phase_of(&instance), "8 attest_nonce") == 0);
    assert_int_equal(h->agent.evidence_requests, 2);
    host_free(h);
}

static api_host_link *link_of(const host *h)
{
    return rd_table_get(w.links->agents->hosts, RD_BYTES_ARRAY(h->id.b));
}

/* At half of its term the verdict is renewed by evidence with a nonce of now; the log does not grow by it. */
static void evidence_is_renewed(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    UNTIL(h->agent.acked == h->agent.seq);
    char before[64];
    snprintf(before, sizeof before, "%s",
             sql("SELECT verified_at FROM lease_verdicts WHERE instance_id = '%s'", hex_of(instance.b, 16)));
    api_host_lease *lease = api_host_lease_of(link_of(h), &instance, job->epoch);
    assert_true(lease->renew_at_us > rd_clock_wall_us(rd_clock_system()) + INT64_C(7) * 60 * 1000000);
    lease->renew_at_us = 1;
    UNTIL(h->agent.evidence_requests == 1);
    rd_statement statement = good_statement(job);
    memcpy(statement.nonce, h->agent.asked_nonce, 32);
    rd_digest digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    fake_event(&h->agent, job, "serving", &digest);
    UNTIL(strcmp(before,
                 sql("SELECT verified_at FROM lease_verdicts WHERE instance_id = '%s'", hex_of(instance.b, 16))) != 0);
    assert_string_equal(sql("SELECT count(*) FROM evidence_log WHERE instance_id = '%s'", hex_of(instance.b, 16)), "1");
    assert_string_equal(sql("SELECT count(*) FROM verdict_log WHERE instance_id = '%s'", hex_of(instance.b, 16)), "1");
    check_record(&instance, "accepted", NULL);
    assert_true(rd_starts_with(phase_of(&instance), "4"));
    host_free(h);
}

static void certificates_are_renewed_and_end_the_link(void **state)
{
    (void)state;
    host *h = host_new();
    host_dial(h);
    link_of(h)->cert_begin_us -= INT64_C(48) * 3600 * 1000000;
    UNTIL(h->agent.renewals == 1);
    link_of(h)->cert_end_us = 1;
    unsigned downs = h->agent.downs;
    UNTIL(h->agent.downs > downs);
    host_free(h);
}

/* A host whose journal is new says what it has; an old database number does not silence it. */
static void a_new_journal_is_a_new_incarnation(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    UNTIL(h->agent.acked == h->agent.seq);
    fake_hang_up(&h->agent);
    turn_for(20000);
    snprintf(h->agent.journal, sizeof h->agent.journal, "new");
    h->agent.floor = h->agent.seq = h->agent.acked = h->agent.acked_event = 0;
    h->agent.job_count = 0;
    host_dial(h);
    UNTIL(h->agent.job_count == 1); /* everything above its floor again */
    assert_string_equal(sql("SELECT incarnation FROM host_links WHERE host_id = '%s'", h->uuid), "2");
    fake_event(&h->agent, job, "failed", NULL); /* number 1 of the new incarnation */
    UNTIL(rd_starts_with(phase_of(&instance), "8"));
    host_free(h);
}

/* What the plane has ended and the host still runs keeps the host from being ready until it says that it stopped. */
static void strays_hold_back_reconciliation(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    UNTIL(h->agent.acked == h->agent.seq);
    fake_hang_up(&h->agent);
    turn_for(20000);
    sql("UPDATE leases SET want = 3, live = false, held = false, ended_at = now(), end_reason = 'lost', job_seq = "
        "%" PRIu64 " WHERE instance_id = '%s'",
        ++h->job_seq, hex_of(instance.b, 16));
    snprintf(h->agent.inventory, sizeof h->agent.inventory,
             "{\"instance\":\"%s\",\"epoch\":%" PRIu64 ",\"phase\":\"serving\"}", job->instance, job->epoch);
    h->agent.acked_event = h->agent.seq;
    h->agent.job_count = 0;
    host_dial(h);
    UNTIL(h->agent.job_count == 1);
    assert_string_equal(h->agent.jobs[0].want, "stop");
    turn_for(1200000);
    assert_string_equal(sql("SELECT session = reconciled_session FROM host_links WHERE host_id = '%s'", h->uuid), "f");
    fake_event(&h->agent, job, "stopped", NULL);
    UNTIL(strcmp(sql("SELECT session = reconciled_session FROM host_links WHERE host_id = '%s'", h->uuid), "t") == 0);
    host_free(h);
}

/* ---- tests: order and authority of events ---- */

static void reports_never_go_back(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    uint64_t seq = h->agent.seq;
    fake_event(&h->agent, job, "launching", NULL); /* backwards: not legal */
    UNTIL(h->agent.acked == seq + 1);
    assert_true(rd_starts_with(phase_of(&instance), "4"));
    fake_event_at(&h->agent, 1, job->instance, job->epoch, "failed", NULL); /* a number that was there before */
    fake_event(&h->agent, job, "stopping", NULL);
    UNTIL(rd_starts_with(phase_of(&instance), "6"));
    fake_event(&h->agent, job, "stopped", NULL);
    UNTIL(rd_starts_with(phase_of(&instance), "9"));
    fake_event(&h->agent, job, "failed", NULL); /* out of a final phase */
    UNTIL(h->agent.acked == h->agent.seq);
    assert_true(rd_starts_with(phase_of(&instance), "9"));
    host_free(h);
}

static void a_host_speaks_for_its_own_leases_only(void **state)
{
    (void)state;
    rd_id mine, other;
    fake_job *job, *other_job;
    host *victim = host_with_job(&other, &other_job);
    host *h = host_with_job(&mine, &job);
    serve(victim, other_job, &other);
    fake_event_at(&h->agent, ++h->agent.seq, other_job->instance, other_job->epoch, "failed", NULL);
    rd_statement statement = good_statement(other_job);
    rd_digest digest = fake_evidence_make(&h->agent, &statement, w.mrtd);
    fake_event_at(&h->agent, ++h->agent.seq, other_job->instance, other_job->epoch, "serving", &digest);
    UNTIL(h->agent.acked == h->agent.seq);
    assert_true(rd_starts_with(phase_of(&other), "4"));
    assert_string_equal(sql("SELECT result FROM lease_verdicts WHERE instance_id = '%s'", hex_of(other.b, 16)), "1");
    host_free(victim);
    host_free(h);
}

static void old_epochs_change_nothing_that_lives(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    serve(h, job, &instance);
    fake_event_at(&h->agent, ++h->agent.seq, job->instance, job->epoch - 1, "failed", NULL);
    UNTIL(h->agent.acked == h->agent.seq);
    assert_true(rd_starts_with(phase_of(&instance), "4"));
    host_free(h);
}

static void garbage_ends_the_link(void **state)
{
    (void)state;
    rd_id instance;
    fake_job *job;
    host *h = host_with_job(&instance, &job);
    rd_err err = RD_ERR_INIT;
    unsigned downs = h->agent.downs;
    assert_int_equal(rd_link_stream_write(h->agent.events, rd_bytes_str("{\"seq\":-1}\n"), &err), 0);
    UNTIL(h->agent.downs > downs);
    UNTIL(h->agent.hellos == 2 && h->agent.events); /* it comes back and attaches anew */
    host_free(h);
}

/* ---- tests: sessions ---- */

static void sessions_and_revocation(void **state)
{
    (void)state;
    host *h = host_new();
    host_dial(h);
    int64_t first = h->agent.session;
    fake_agent twin = h->agent; /* the same key, dialled again: the newer session wins */
    twin.dialer = NULL;
    twin.link = NULL;
    twin.events = twin.logs = NULL;
    unsigned downs = h->agent.downs;
    fake_dial(&twin, w.loop, api_links_link_port(w.links));
    UNTIL(twin.events && h->agent.downs > downs);
    assert_true(twin.session > first);
    fake_hang_up(&twin);
    fake_hang_up(&h->agent);
    turn_for(50000);
    UNTIL(strcmp(sql("SELECT state || down_cause FROM host_links WHERE host_id = '%s'", h->uuid), "2closed") == 0);
    sql("UPDATE host_identity SET revoked_at = now() WHERE host_id = '%s'", h->uuid);
    unsigned hellos = h->agent.hellos;
    downs = h->agent.downs;
    fake_dial(&h->agent, w.loop, api_links_link_port(w.links));
    UNTIL(h->agent.downs > downs);
    assert_int_equal(h->agent.hellos, hellos);
    assert_int_equal(twin.evidence_count, 0);
    host_free(h);
}

static void revocation_elsewhere_ends_the_link(void **state)
{
    (void)state;
    host *h = host_new();
    host_dial(h);
    sql("BEGIN; UPDATE host_identity SET revoked_at = now() WHERE host_id = '%s'; INSERT INTO events (org_id, kind,"
        " subject, body) VALUES ('%s', 'host', '\\x%s', '{\"state\":\"revoked\"}'); COMMIT",
        h->uuid, ORG, h->uuid);
    UNTIL(!api_agents_link(w.links->agents, &h->id));
    UNTIL(strcmp(sql("SELECT down_cause FROM host_links WHERE host_id = '%s'", h->uuid), "closed") == 0);
    host_free(h);
}

static void a_newer_era_is_not_believed(void **state)
{
    (void)state;
    host *h = host_new();
    h->agent.era = 9;
    fake_dial(&h->agent, w.loop, api_links_link_port(w.links));
    UNTIL(h->agent.hellos >= 1 && h->agent.downs >= 1);
    assert_null(h->agent.events);
    UNTIL(strcmp(mark_of(h), "1 job_era false") == 0);
    host_free(h);
}

static void a_fighting_key_is_quarantined(void **state)
{
    (void)state;
    host *h = host_new();
    fake_dial(&h->agent, w.loop, api_links_link_port(w.links));
    for (unsigned i = 1; i <= 10; i++) {
        UNTIL(h->agent.ups >= i);
        if (!h->agent.link)
            continue;
        unsigned downs = h->agent.downs;
        UNTIL(h->agent.hellos >= i || h->agent.downs > downs);
        if (h->agent.link)
            rd_link_close(h->agent.link, "flap");
        UNTIL(h->agent.downs > downs);
    }
    UNTIL(h->agent.ups >= 12);
    turn_for(300000);
    assert_true(h->agent.hellos <= 10);
    assert_string_equal(mark_of(h), "1 host_sessions true");
    /* Until its operator releases it, whatever the time. */
    unsigned hellos = h->agent.hellos;
    sql("INSERT INTO host_wishes (host_id, operator_org, released) VALUES ('%s', '%s', 1)", h->uuid, ORG);
    UNTIL(h->agent.hellos > hellos);
    host_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attach_sends_jobs_in_order_with_blobs),
        cmocka_unit_test(levels_of_ended_leases_are_sent_too),
        cmocka_unit_test(honest_evidence_is_believed),
        cmocka_unit_test(evidence_that_comes_along_is_not_fetched),
        cmocka_unit_test(spoiled_evidence_is_refused),
        cmocka_unit_test(faults_of_a_host_lead_to_a_mark),
        cmocka_unit_test(serving_without_evidence_is_refused),
        cmocka_unit_test(bytes_of_another_digest_are_refused),
        cmocka_unit_test(old_nonces_are_asked_for_again),
        cmocka_unit_test(evidence_is_renewed),
        cmocka_unit_test(certificates_are_renewed_and_end_the_link),
        cmocka_unit_test(a_new_journal_is_a_new_incarnation),
        cmocka_unit_test(strays_hold_back_reconciliation),
        cmocka_unit_test(reports_never_go_back),
        cmocka_unit_test(a_host_speaks_for_its_own_leases_only),
        cmocka_unit_test(old_epochs_change_nothing_that_lives),
        cmocka_unit_test(garbage_ends_the_link),
        cmocka_unit_test(sessions_and_revocation),
        cmocka_unit_test(revocation_elsewhere_ends_the_link),
        cmocka_unit_test(a_newer_era_is_not_believed),
        cmocka_unit_test(a_fighting_key_is_quarantined),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, world_start, world_stop);
}
