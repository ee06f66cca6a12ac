// link: test_evidence rd_model
// needs: redoubt-kms
/* The key service itself, as a process, against a hostile plane: what is granted, what is refused and by which name,
 * and what it still knows after it was killed. */
#include "tests/support/kms_world.h"

static kms_world *world;
static kms_app *app;

static int setup(void **state RD_UNUSED)
{
    world = world_new();
    kms_begin(world);
    app = app_new(world);
    return 0;
}

static int teardown(void **state RD_UNUSED)
{
    app_free(app);
    world_free(world);
    return 0;
}

typedef void (*spoiler)(kms_asking *asking);

/* A right request, spoiled before its evidence is made. */
static rd_code ask_spoiled(spoiler spoil)
{
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    if (spoil)
        spoil(&asking);
    return ask_grant(world, app, &asking, NULL);
}

/* --- what is given --- */

static void test_grant(void **state RD_UNUSED)
{
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    RD_CLEANUP(rd_grant_done) rd_grant grant = { .bytes = { 0 } };
    assert_int_equal(ask_grant(world, app, &asking, &grant), RD_OK);
    assert_int_equal(grant.payload.secrets_count, 2);
    assert_true(rd_bytes_equal(grant.payload.values[0], RD_BYTES_LIT("hunter2")));
    assert_true(rd_bytes_equal(grant.payload.values[1], RD_BYTES_LIT("swordfish")));
    assert_int_equal(grant.payload.not_after_us - grant.payload.not_before_us, INT64_C(21600000000));
    for (int i = 2; i < RD_GRANT_KEY_END; i++)
        assert_memory_not_equal(grant.payload.keys[i], grant.payload.keys[i - 1], 32);

    /* A sibling gets the same keys, for a term of its own. */
    RD_CLEANUP(asking_done) kms_asking sibling = asking_of(world, app);
    RD_CLEANUP(rd_grant_done) rd_grant other = { .bytes = { 0 } };
    assert_int_equal(ask_grant(world, app, &sibling, &other), RD_OK);
    assert_memory_equal(grant.payload.keys, other.payload.keys, sizeof grant.payload.keys);
    assert_int_equal(other.payload.record, grant.payload.record + 1);
}

static void test_keys_are_the_apps(void **state RD_UNUSED)
{
    kms_app *second = app_new(world);
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    RD_CLEANUP(asking_done) kms_asking other = asking_of(world, second);
    RD_CLEANUP(rd_grant_done) rd_grant ours = { .bytes = { 0 } };
    RD_CLEANUP(rd_grant_done) rd_grant theirs = { .bytes = { 0 } };
    assert_int_equal(ask_grant(world, app, &asking, &ours), RD_OK);
    assert_int_equal(ask_grant(world, second, &other, &theirs), RD_OK);
    for (int i = 1; i < RD_GRANT_KEY_END; i++)
        assert_memory_not_equal(ours.payload.keys[i], theirs.payload.keys[i], 32);
    assert_memory_not_equal(app->seal_key, second->seal_key, 32);
    app_free(second);
}

/* R32: a head may ask for shorter terms, and for fewer answers; where it does not, a simulation gets a cap all the
 * same. */
static void test_term(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_grant_done) rd_grant grant = { .bytes = { 0 } };
    RD_CLEANUP(rd_grant_done) rd_grant plain = { .bytes = { 0 } };
    RD_CLEANUP(asking_done) kms_asking before = asking_of(world, app);
    assert_int_equal(ask_grant(world, app, &before, &plain), RD_OK);
    assert_int_equal(plain.payload.requests_max, RD_HEAD_GRANT_REQUESTS_DEFAULT);
    app->head.grant_s = 300;
    app->head.grant_requests = 700;
    next_head(app);
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    assert_int_equal(ask_grant(world, app, &asking, &grant), RD_OK);
    assert_int_equal(grant.payload.not_after_us - grant.payload.not_before_us, 300000000);
    assert_int_equal(grant.payload.requests_max, 700);
}

/* --- who it is --- */

static void test_evidence_of_itself(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf collateral = { 0 };
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof *report);
    rd_policy policy = app->head.policy;
    rd_anchors anchors = { .count = 0 };
    uint8_t nonce[32] = { 9 }, mrtd[RD_MRTD_SIZE];
    memset(mrtd, KMS_MRTD, sizeof mrtd);
    assert_int_equal(rd_policy_add_mrtd(&policy, mrtd), 0);
    assert_int_equal(kms_exchange(world, RD_KMS_EVIDENCE, RD_BYTES_ARRAY(nonce), &bundle), RD_OK);
    MUST(agent_sim_read(world->pki, "collateral.json", &collateral, err));
    MUST(rd_anchors_add_simulated(&anchors, world->sim_root, err));
    rd_evidence_check check = {
        .evidence = rd_buf_bytes(&bundle),
        .collateral = rd_buf_bytes(&collateral),
        .anchors = &anchors,
        .policy = &policy,
        .expect = { .purpose = RD_PURPOSE_KMS, .nonce = nonce, .kms = &world->id, .kms_count = 1, .user = world->id.b },
        .time_us = wall_us()
    };
    MUST(rd_attest_check_evidence(&check, report, err));
    assert_int_equal(report->verdict.claims.tdx.mr_td[0], KMS_MRTD);
    assert_memory_equal(report->verdict.claims.platform_id, world->parsed.platforms[0], 32);

    /* Another key service of the same build (R2), and another question. */
    rd_kms_id other = world->id;
    other.b[0] ^= 1;
    rd_err err = RD_ERR_INIT;
    check.expect.kms = &other;
    assert_int_equal(rd_attest_check_evidence(&check, report, &err), -1);
    assert_int_equal(err.code, RD_E_STATEMENT);
    check.expect.kms = &world->id;
    check.expect.purpose = RD_PURPOSE_CLIENT;
    assert_int_equal(rd_attest_check_evidence(&check, report, &err), -1);
    assert_int_equal(err.code, RD_E_PURPOSE);
}

/* --- nonces --- */

/* I3 and J2: a nonce of somebody else, of another question, one that was used. */
static void test_nonces(void **state RD_UNUSED)
{
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    assert_int_equal(ask_grant(world, app, &asking, NULL), RD_OK);
    assert_int_equal(ask_grant(world, app, &asking, NULL), RD_E_KMS_NONCE); /* the same message again */
    RD_CLEANUP(asking_done) kms_asking foreign = asking_of(world, app);
    memset(foreign.statement.nonce, 0x11, 32);
    assert_int_equal(ask_grant(world, app, &foreign, NULL), RD_E_KMS_NONCE);

    /* A refused request has used its nonce up. */
    RD_CLEANUP(asking_done) kms_asking refused = asking_of(world, app);
    refused.mrtd = 0x55;
    assert_int_equal(ask_grant(world, app, &refused, NULL), RD_E_MEASUREMENT);
    assert_int_equal(ask_grant(world, app, &refused, NULL), RD_E_KMS_NONCE);

    /* The oldest leave a full table. */
    RD_CLEANUP(asking_done) kms_asking old = asking_of(world, app);
    const uint8_t many[2] = { 0, 64 };
    for (int i = 0; i < 64; i++) {
        RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
        assert_int_equal(kms_exchange(world, RD_KMS_NONCE, RD_BYTES_ARRAY(many), &answer), RD_OK);
    }
    assert_int_equal(ask_grant(world, app, &old, NULL), RD_E_KMS_NONCE);
}

/* --- evidence --- */

static void other_measurement(kms_asking *asking)
{
    asking->mrtd = 0x43;
}

static void second_app(kms_asking *asking)
{
    asking->has_second_app = true;
}

static void not_closed(kms_asking *asking)
{
    asking->is_not_closed = true;
}

static void other_release_in_header(kms_asking *asking)
{
    asking->header.release.b[0] ^= 1;
}

static void other_kms_in_header(kms_asking *asking)
{
    asking->header.kms_set.b[0] ^= 1;
}

static void two_kms(kms_asking *asking)
{
    asking->statement.kms[1].b[0] = 1;
    asking->statement.kms_count = 2;
}

static void another_kms(kms_asking *asking)
{
    asking->statement.kms[0].b[0] ^= 1;
}

static void class_hardware(kms_asking *asking)
{
    asking->statement.class = RD_CLASS_HARDWARE;
}

/* RFC 7748, 6.1: a point of small order. */
static void zero_key(kms_asking *asking)
{
    memset(asking->statement.grant_key, 0, sizeof asking->statement.grant_key);
}

/* J2 and R79: only the head's policy counts; R2: another key service; RTMR3 exactly one launch. */
static void test_wrong_evidence(void **state RD_UNUSED)
{
    static const struct {
        const char *name;
        spoiler spoil;
        rd_code want;
    } rows[] = {
        { "measurement that the head does not list", other_measurement, RD_E_MEASUREMENT },
        { "two apps in one register", second_app, RD_E_RTMR },
        { "register not closed", not_closed, RD_E_RTMR },
        { "launched for another release", other_release_in_header, RD_E_EVENTLOG },
        { "launched for another key service", other_kms_in_header, RD_E_EVENTLOG },
        { "two key services", two_kms, RD_E_UNSUPPORTED },
        { "another key service", another_kms, RD_E_KMS_SET },
        { "says it is hardware", class_hardware, RD_E_CLASS_MISMATCH },
        { "J6 a key that no secret can be sealed to", zero_key, RD_E_KEY_FORMAT },
        { "nothing wrong", NULL, RD_OK },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_code code = ask_spoiled(rows[i].spoil);
        if (code != rows[i].want)
            fail_msg("%s: %s", rows[i].name, rd_code_describe(code)->name);
    }
}

/* R6: evidence made for another question, in place of a grant's. */
static void test_every_purpose(void **state RD_UNUSED)
{
    for (rd_purpose purpose = RD_PURPOSE_BLANK; purpose <= RD_PURPOSE_ENROL; purpose++) {
        if (purpose == RD_PURPOSE_GRANT || purpose == RD_PURPOSE_CHANNEL)
            continue;
        RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
        rd_statement *s = &asking.statement;
        bool is_kms = purpose == RD_PURPOSE_KMS || purpose == RD_PURPOSE_JOIN || purpose == RD_PURPOSE_ADMIT;
        bool is_empty = purpose == RD_PURPOSE_BLANK || purpose == RD_PURPOSE_ENROL;
        s->purpose = purpose;
        s->has_grant_key = purpose == RD_PURPOSE_JOIN;
        s->has_user = is_kms || purpose == RD_PURPOSE_APP;
        memcpy(s->user, world->id.b, 32);
        s->has_tls = purpose == RD_PURPOSE_ENROL;
        if (is_kms || is_empty) {
            s->has_app = s->has_release = s->has_head = s->has_instance = s->has_receipt_key = false;
            s->epoch = 0;
        }
        if (is_empty)
            s->kms_count = 0;
        assert_int_equal(ask_grant(world, app, &asking, NULL), RD_E_PURPOSE);
    }
}

static void test_changed_after_signing(void **state RD_UNUSED)
{
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    RD_CLEANUP(asking_done) kms_asking other = asking_of(world, app);
    encode_asking(world, app, &asking);
    encode_asking(world, app, &other);
    /* The statement of one with the quote of the other: R1's sibling, on the way in. */
    rd_evidence evidence;
    RD_CLEANUP(rd_buf_done) rd_buf mixed = { 0 };
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
    MUST(rd_evidence_parse(rd_buf_bytes(&asking.evidence), &evidence, err));
    rd_launch_header_encode(&asking.header, header);
    MUST(rd_evidence_encode(rd_buf_bytes(&evidence.quote), rd_buf_bytes(&other.statement_bytes), header, NULL, &mixed,
                            err));
    rd_evidence_done(&evidence);
    rd_buf_clear(&other.evidence);
    (void)rd_buf_append_bytes(&other.evidence, rd_buf_bytes(&mixed));
    assert_int_equal(ask_grant(world, app, &other, NULL), RD_E_BINDING);
}

/* --- secrets (R4, R68) --- */

static void test_secrets(void **state RD_UNUSED)
{
    kms_app *second = app_new(world);
    rd_secret_set whole = app->secrets, part = { 0 };

    MUST(rd_secret_set_add(&part, "API_KEY", 1, whole.sealed[0], err));
    app->secrets = part; /* one left out */
    assert_int_equal(ask_spoiled(NULL), RD_E_SECRETS_INCOMPLETE);

    RD_CLEANUP(rd_buf_done) rd_buf newer = { 0 };
    MUST(rd_secret_seal(app->seal_key, &app->id, "TOKEN", 2, RD_BYTES_LIT("new"), rd_random_system(), &newer, err));
    MUST(rd_secret_set_add(&part, "TOKEN", 2, rd_buf_bytes(&newer), err));
    app->secrets = part; /* versions mixed */
    assert_int_equal(ask_spoiled(NULL), RD_E_SECRETS_INCOMPLETE);

    /* Even when the head says so, another app's secret does not open, nor one under another name. */
    part.count = 0;
    MUST(rd_secret_set_add(&part, "API_KEY", 1, second->secrets.sealed[0], err));
    app->secrets = part;
    next_head(app);
    assert_int_equal(ask_spoiled(NULL), RD_E_SEAL_CONTEXT);
    part.count = 0;
    MUST(rd_secret_set_add(&part, "API_KEY", 1, whole.sealed[1], err));
    app->secrets = part;
    next_head(app);
    assert_int_equal(ask_spoiled(NULL), RD_E_SEAL_CONTEXT);

    app->secrets = whole;
    next_head(app);
    assert_int_equal(ask_spoiled(NULL), RD_OK);
    app_free(second);
}

/* --- tickets and epochs --- */

static void no_ticket_for_this_epoch(kms_asking *asking)
{
    asking->ticket.epoch = 2;
}

static void ticket_of_another_instance(kms_asking *asking)
{
    asking->ticket.instance.b[0] ^= 1;
}

static void ticket_of_another_release(kms_asking *asking)
{
    asking->ticket.release.b[0] ^= 1;
}

static void old_ticket(kms_asking *asking)
{
    asking->ticket.not_after_us = 1000000;
}

/* R56: an agent alone starts nothing. */
static void test_tickets(void **state RD_UNUSED)
{
    static const spoiler spoilers[] = { no_ticket_for_this_epoch, ticket_of_another_instance, ticket_of_another_release,
                                        old_ticket };
    for (size_t i = 0; i < RD_ARRAY_LEN(spoilers); i++)
        assert_int_equal(ask_spoiled(spoilers[i]), RD_E_TICKET);
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *stranger = rd_signing_key_new();
    RD_CLEANUP(asking_done) kms_asking foreign = asking_of(world, app);
    MUST(rd_ticket_sign(&foreign.ticket, stranger, &foreign.ticket_envelope, err));
    assert_int_equal(ask_grant(world, app, &foreign, NULL), RD_E_TICKET);
    RD_CLEANUP(asking_done) kms_asking absent = asking_of(world, app);
    encode_asking(world, app, &absent);
    const rd_kms_grant_message message = { .evidence = rd_buf_bytes(&absent.evidence),
                                           .genesis = rd_buf_bytes(&app->genesis),
                                           .head = rd_buf_bytes(&app->head_envelope),
                                           .release = rd_buf_bytes(&app->release_envelope),
                                           .secrets = rd_buf_bytes(&absent.secrets) };
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    MUST(rd_kms_grant_message_encode(&message, &bytes, err));
    assert_int_equal(kms_exchange(world, RD_KMS_GRANT, rd_buf_bytes(&bytes), &answer), RD_E_TICKET);
    world->record_number = 0; /* its record was not looked at: the chain is taken up again */
}

static rd_code ask_epoch(const rd_id *instance, uint64_t epoch, const rd_public_key *receipt_key)
{
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    asking.statement.instance = asking.ticket.instance = *instance;
    asking.statement.epoch = asking.ticket.epoch = epoch;
    if (receipt_key)
        asking.statement.receipt_key = *receipt_key;
    return ask_grant(world, app, &asking, NULL);
}

/* J9 : two that claim one lease, and the one before. */
static void test_epochs(void **state RD_UNUSED)
{
    rd_id instance = { { 7 } };
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = rd_signing_key_new();
    assert_int_equal(ask_epoch(&instance, 5, rd_signing_key_public(key)), RD_OK);
    assert_int_equal(ask_epoch(&instance, 5, rd_signing_key_public(key)), RD_OK); /* renewal */
    next_head(app);
    assert_int_equal(ask_epoch(&instance, 5, rd_signing_key_public(key)), RD_OK); /* under the next head */
    assert_int_equal(ask_epoch(&instance, 5, NULL), RD_E_EPOCH_STALE);            /* two of one lease */
    assert_int_equal(ask_epoch(&instance, 4, NULL), RD_E_EPOCH_STALE);
    assert_int_equal(ask_epoch(&instance, 6, NULL), RD_OK);
    assert_int_equal(ask_epoch(&instance, 5, rd_signing_key_public(key)), RD_E_EPOCH_STALE);
}

/* --- messages --- */

static rd_code send_raw(rd_bytes bytes, uint8_t asked)
{
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    uint8_t type = 0;
    rd_kms_refusal refusal;
    char code[64], more;
    dial(world);
    if (!exchange_raw(world, bytes, asked, &type, &answer))
        return RD_E_CONTROL_LOST;
    assert_int_equal(type, RD_KMS_REFUSAL);
    MUST(rd_kms_refusal_parse(rd_buf_bytes(&answer), &refusal, err));
    (void)snprintf(code, sizeof code, "%.*s", (int)refusal.code.size, (const char *)refusal.code.data);
    assert_true(read(world->fd, &more, 1) <= 0); /* and it hangs up */
    rd_close_p(&world->fd);
    return rd_code_by_name(code);
}

/* I17 and J12 : what is too large, cut off or of no form. */
static void test_messages(void **state RD_UNUSED)
{
    static const uint8_t unknown[] = { 0, 0, 0, 1, 0x40 }, empty[] = { 0, 0, 0, 0, 1 };
    static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff, RD_KMS_GRANT }, over[] = { 0, 0x0d, 0x80, 2, RD_KMS_GRANT };
    static const uint8_t none[] = { 0, 0, 0, 3, RD_KMS_NONCE, 0, 0 }, many[] = { 0, 0, 0, 3, RD_KMS_NONCE, 0, 65 };
    assert_int_equal(send_raw(RD_BYTES_ARRAY(unknown), RD_KMS_NONCE), RD_E_KMS_FRAME);
    assert_int_equal(send_raw(RD_BYTES_ARRAY(empty), RD_KMS_NONCE), RD_E_KMS_FRAME);
    assert_int_equal(send_raw(RD_BYTES_ARRAY(huge), RD_KMS_GRANT), RD_E_KMS_FRAME);
    assert_int_equal(send_raw(RD_BYTES_ARRAY(over), RD_KMS_GRANT), RD_E_TOO_LARGE);
    assert_int_equal(send_raw(RD_BYTES_ARRAY(none), RD_KMS_NONCE), RD_E_KMS_FRAME);
    assert_int_equal(send_raw(RD_BYTES_ARRAY(many), RD_KMS_NONCE), RD_E_KMS_FRAME);

    /* A grant message cut off within itself: a refusal like any other, with a record. */
    RD_CLEANUP(asking_done) kms_asking asking = asking_of(world, app);
    encode_asking(world, app, &asking);
    uint64_t refused = 0;
    for (size_t size = 0; size < asking.message.size; size += asking.message.size / 7, refused++) {
        RD_CLEANUP(rd_buf_done) rd_buf frame = { 0 };
        MUST(rd_kms_frame(RD_KMS_GRANT, rd_bytes_of(asking.message.data, size), &frame, err));
        assert_int_equal(send_raw(rd_buf_bytes(&frame), RD_KMS_GRANT), RD_E_KMS_FRAME);
    }
    /* Its nonce was never looked at, and it still works. Ahead of the refusals stands the record of the start. */
    assert_int_equal(ask_grant(world, app, &asking, NULL), RD_OK);
    assert_int_equal(world->record_number, 1 + refused + 1);
}

/* Whoever begins and says no more keeps nobody else out. */
static void test_idle_connections(void **state RD_UNUSED)
{
    int fds[100];
    for (size_t i = 0; i < RD_ARRAY_LEN(fds); i++) {
        dial(world);
        fds[i] = rd_fd_take(&world->fd);
    }
    assert_int_equal(ask_spoiled(NULL), RD_OK);
    for (size_t i = 0; i < RD_ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
    rd_close_p(&world->fd);
}

/* J4 : the platform's state has changed since. */
static void test_collateral(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    assert_int_not_equal(kms_exchange(world, RD_KMS_COLLATERAL, RD_BYTES_LIT("{}"), &answer), RD_OK);
    assert_int_equal(ask_spoiled(NULL), RD_OK); /* what was there stays */
}

/* --- restart --- */

static void send_old_collateral(const rd_buf *json)
{
    RD_CLEANUP(rd_buf_done) rd_buf answer = { 0 };
    assert_int_equal(kms_exchange(world, RD_KMS_COLLATERAL, rd_buf_bytes(json), &answer), RD_OK);
}

/* R16, R40: a plane that brings older collateral back, in date as it is, gets no grant by it: what is newer stays, and
 * a key service that was restarted still knows under which it has granted. */
static void test_older_collateral(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf old = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf next = { 0 };
    MUST(agent_sim_read(world->pki, "collateral.json", &old, err));
    MUST(agent_sim_pki_refresh(world->pki, false, wall_us(), err));
    MUST(agent_sim_read(world->pki, "collateral.json", &next, err));
    send_collateral(world);
    assert_int_equal(ask_spoiled(NULL), RD_OK);
    send_old_collateral(&old);
    assert_int_equal(ask_spoiled(NULL), RD_OK);
    restart_bare(world, SIGKILL);
    assert_int_equal(ask_spoiled(NULL), RD_E_COLLATERAL_MISSING);
    send_old_collateral(&old);
    assert_int_equal(ask_spoiled(NULL), RD_E_CRL_ROLLBACK);
    send_old_collateral(&next);
    assert_int_equal(ask_spoiled(NULL), RD_OK);

    /* A recovery that makes the platform outdated is not taken back. */
    MUST(agent_sim_pki_refresh(world->pki, true, wall_us(), err));
    send_collateral(world);
    assert_int_equal(ask_spoiled(NULL), RD_E_TCB_STATUS);
    send_old_collateral(&next);
    assert_int_equal(ask_spoiled(NULL), RD_E_TCB_STATUS);
}

/* Killed at any point, it is the same key service with the same keys, and still knows heads and epochs. */
/* J16 : killed ahead of each step of a grant, and behind it. */
static void test_restart(void **state RD_UNUSED)
{
    /* Each start is a record, and so is a grant that was made durable and never sent: no number is missing or twice. */
    static const struct {
        const char *point;
        uint64_t records;
    } rows[] = { { NULL, 3 }, { "kms.before_state@1:kill", 3 }, { "kms.after_state@1:kill", 4 } };
    rd_id instance = { { 9 } };
    RD_CLEANUP(asking_done) kms_asking first = asking_of(world, app);
    RD_CLEANUP(rd_grant_done) rd_grant before = { .bytes = { 0 } };
    assert_int_equal(ask_grant(world, app, &first, &before), RD_OK);
    assert_int_equal(ask_epoch(&instance, 3, NULL), RD_OK);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        uint64_t known = world->record_number;
        world->failpoints = rows[i].point;
        restart(world, SIGKILL);
        if (rows[i].point)
            assert_int_equal(ask_spoiled(NULL), RD_E_CONTROL_LOST);
        world->failpoints = NULL;
        (void)unsetenv("REDOUBT_FAILPOINTS");
        restart(world, SIGTERM);
        RD_CLEANUP(asking_done) kms_asking again = asking_of(world, app);
        RD_CLEANUP(rd_grant_done) rd_grant after = { .bytes = { 0 } };
        assert_int_equal(ask_grant(world, app, &again, &after), RD_OK);
        assert_memory_equal(before.payload.keys, after.payload.keys, sizeof before.payload.keys);
        assert_int_equal(after.payload.record, known + rows[i].records);
        assert_int_equal(ask_epoch(&instance, 2, NULL), RD_E_EPOCH_STALE);
    }
    app->head.not_before_us -= 1000000;
    publish_head(app); /* another head of a number that it granted under before it was killed */
    assert_int_equal(ask_spoiled(NULL), RD_E_HEAD_FORK);
}

/* Another build, or another machine, cannot open what this one sealed (R59). */
static void test_other_build_or_machine(void **state RD_UNUSED)
{
    kms_end(world, SIGTERM);
    assert_false(kms_start_as(world, KMS_MRTD + 1));
    assert_non_null(strstr(world->process.why, "no state that opens"));
    kms_end(world, SIGTERM);

    agent_sim_quoter *quoter = world->quoter;
    RD_CLEANUP(rd_free_p) char *other = rd_asprintf("%s/other", world->dir);
    MUST(agent_sim_pki_issue_platform(world->pki, other, wall_us() - 3600000000, err));
    MUST(agent_sim_quoter_open(other, &world->quoter, err));
    assert_false(kms_start_as(world, KMS_MRTD));
    kms_end(world, SIGTERM);
    agent_sim_quoter_free(world->quoter);
    world->quoter = quoter;

    /* A damaged root is said, not replaced. */
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/root.sealed", world->kms_dir);
    int fd = open(path, O_RDWR);
    uint8_t byte = 0;
    assert_int_equal(pread(fd, &byte, 1, 60), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 60), 1);
    assert_false(kms_start_as(world, KMS_MRTD));
    assert_non_null(strstr(world->process.why, "does not open"));
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 60), 1);
    (void)close(fd);
    kms_end(world, SIGTERM);
    kms_must_start(world);
    assert_true(read_genesis(world));
}

/* A root that is gone is said, not replaced by another key service's. */
static void test_root_is_gone(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) char *root = rd_asprintf("%s/root.sealed", world->kms_dir);
    RD_CLEANUP(rd_free_p) char *aside = rd_asprintf("%s.aside", root);
    kms_end(world, SIGTERM);
    assert_int_equal(rename(root, aside), 0);
    for (int times = 0; times < 2; times++) {
        assert_false(kms_start_as(world, KMS_MRTD));
        assert_non_null(strstr(world->process.why, "put that back"));
        kms_end(world, SIGTERM);
    }
    assert_int_equal(rename(aside, root), 0);
    restart(world, SIGTERM);
    assert_int_equal(ask_spoiled(NULL), RD_OK);
}

/* The root secret, and what it gave, lie nowhere in the folder. */
static void test_nothing_in_the_clear(void **state RD_UNUSED)
{
    assert_int_equal(ask_spoiled(NULL), RD_OK);
    RD_CLEANUP(rd_free_p)
    char *command = rd_asprintf("grep -rqE 'hunter2|swordfish|redoubt/kms-memory' %s", world->kms_dir);
    assert_int_not_equal(system(command), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_grant),
        TEST(test_keys_are_the_apps),
        TEST(test_term),
        TEST(test_evidence_of_itself),
        TEST(test_nonces),
        TEST(test_wrong_evidence),
        TEST(test_every_purpose),
        TEST(test_changed_after_signing),
        TEST(test_secrets),
        TEST(test_tickets),
        TEST(test_epochs),
        TEST(test_messages),
        TEST(test_idle_connections),
        TEST(test_collateral),
        TEST(test_older_collateral),
        TEST(test_restart),
        TEST(test_other_build_or_machine),
        TEST(test_root_is_gone),
        TEST(test_nothing_in_the_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
