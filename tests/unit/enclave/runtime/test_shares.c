/* Shares of the memory for bodies: bounds, the line, who may go beyond, and that whatever is begun comes to its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "enclave/runtime/shares.h"

#define MAX       ((size_t)1000)
#define SHARE_MAX ((size_t)250)

static encl_shares fresh(void)
{
    encl_shares shares;
    encl_shares_init(&shares, MAX, SHARE_MAX);
    return shares;
}

/* So many carriers hold all there is, with one claim each. */
static void fill(encl_shares *shares, encl_share carriers[4], encl_claim claims[4])
{
    for (size_t i = 0; i < 4; i++)
        assert_true(encl_claim_grow(shares, &claims[i], &carriers[i], SHARE_MAX));
    assert_int_equal(shares->held, MAX);
}

static void a_claim_grows_and_ends(void **state)
{
    (void)state;
    encl_shares shares = fresh();
    encl_share carrier = { 0 };
    encl_claim claim = { .owner = &carrier };
    encl_claim_end(&shares, &claim); /* nothing to give back */
    assert_true(encl_claim_grow(&shares, &claim, &carrier, 10));
    assert_true(encl_claim_grow(&shares, &claim, &carrier, 200));
    assert_int_equal(claim.held, 200);
    assert_int_equal(carrier.held, 200);
    assert_int_equal(shares.held, 200);
    encl_claim_answer(&shares, &claim, &carrier, 70);
    encl_claim_answer(&shares, &claim, &carrier, 50);
    assert_int_equal(shares.unread, 50);
    encl_claim_end(&shares, &claim);
    assert_int_equal(carrier.held + carrier.unread + shares.held + shares.unread, 0);
    assert_ptr_equal(claim.owner, &carrier);
    assert_null(encl_shares_next(&shares));
}

static void one_carrier_has_its_part_and_one_body_beyond(void **state)
{
    (void)state;
    encl_shares shares = fresh();
    encl_share greedy = { 0 }, other = { 0 };
    encl_claim claims[4] = { 0 }, plain = { 0 };
    assert_true(encl_claim_grow(&shares, &claims[0], &greedy, 200));
    assert_true(encl_claim_grow(&shares, &claims[1], &greedy, 100)); /* beyond */
    assert_false(encl_claim_grow(&shares, &claims[2], &greedy, 100));
    assert_false(encl_claim_grow(&shares, &claims[3], &greedy, 1));
    assert_true(encl_claim_grow(&shares, &claims[1], &greedy, 150));
    assert_true(encl_claim_grow(&shares, &plain, &other, 250)); /* who waits for his own part holds nobody up */
    assert_null(encl_shares_next(&shares));
    assert_false(encl_shares_is_short(&shares));
    encl_claim_end(&shares, &claims[1]);
    assert_ptr_equal(encl_shares_next(&shares), &claims[2]); /* beyond now */
    assert_null(encl_shares_next(&shares));
    encl_claim_end(&shares, &claims[0]);
    assert_ptr_equal(encl_shares_next(&shares), &claims[3]);
    assert_int_equal(greedy.held, 101);
}

static void who_came_first_goes_on_first(void **state)
{
    (void)state;
    encl_shares shares = fresh();
    encl_share carriers[4] = { 0 }, more[5] = { 0 };
    encl_claim claims[4] = { 0 }, others[5] = { 0 };
    fill(&shares, carriers, claims);
    assert_true(encl_claim_grow(&shares, &others[0], &more[0], 100)); /* beyond all */
    for (size_t i = 1; i < 5; i++)
        assert_false(encl_claim_grow(&shares, &others[i], &more[i], i == 2 ? 200 : 50));
    assert_true(encl_shares_is_short(&shares));
    encl_claim_end(&shares, &others[2]);
    assert_false(encl_claim_grow(&shares, &others[2], &more[2], 200)); /* the last now */
    encl_claim_end(&shares, &claims[2]);                               /* 150 are free */
    assert_ptr_equal(encl_shares_next(&shares), &others[1]);
    assert_ptr_equal(encl_shares_next(&shares), &others[3]);
    assert_ptr_equal(encl_shares_next(&shares), &others[4]);
    assert_null(encl_shares_next(&shares));
    assert_false(encl_claim_grow(&shares, &claims[2], &carriers[2], 1)); /* nor is it overtaken */
}

/* One that has begun goes ahead of those who came later, also when they wait for longer. */
static void who_has_begun_goes_ahead_of_who_came_later(void **state)
{
    (void)state;
    encl_shares shares = fresh();
    encl_share carriers[4] = { 0 }, more[3] = { 0 };
    encl_claim claims[4] = { 0 }, early = { 0 }, slot = { 0 }, late = { 0 };
    assert_true(encl_claim_grow(&shares, &early, &more[0], 10));
    for (size_t i = 0; i < 4; i++)
        assert_true(encl_claim_grow(&shares, &claims[i], &carriers[i], i == 3 ? 240 : 250));
    assert_true(encl_claim_grow(&shares, &slot, &more[1], 100));
    assert_false(encl_claim_grow(&shares, &late, &more[2], 20));
    assert_false(encl_claim_grow(&shares, &early, &more[0], 20));
    encl_claim_end(&shares, &slot);
    assert_ptr_equal(encl_shares_next(&shares), &early);
}

static void who_does_not_take_his_answers_gets_no_room(void **state)
{
    (void)state;
    encl_shares shares = fresh();
    encl_share carrier = { 0 }, other = { 0 };
    encl_claim answers[5] = { 0 }, first = { 0 }, second = { 0 }, plain = { 0 };
    encl_claim_answer(&shares, &answers[0], &carrier, SHARE_MAX);
    assert_false(encl_share_is_behind(&shares, &carrier));
    encl_claim_answer(&shares, &answers[1], &carrier, 1);
    assert_true(encl_share_is_behind(&shares, &carrier));
    assert_false(encl_share_is_behind(&shares, &other));
    assert_true(encl_claim_grow(&shares, &first, &carrier, 10));
    assert_true(encl_claim_grow(&shares, &plain, &other, 10));
    assert_false(encl_shares_is_full(&shares));
    encl_claim_answer(&shares, &answers[2], &other, MAX);
    assert_true(encl_shares_is_full(&shares));
    encl_claim_end(&shares, &answers[1]);
    assert_true(encl_claim_grow(&shares, &second, &carrier, 10));
}

/* --- at random --------------------------------------------------------------------------------------------------- */

#define CARRIERS  6
#define CLAIMS    24
#define GOAL_MAX  ((size_t)400)
#define ROUNDS    200000
#define STOP_FROM (ROUNDS - 20000) /* then nobody new comes */

typedef struct body {
    encl_claim claim;
    size_t carrier, goal;
    bool is_there;
} body;

typedef struct crowd {
    encl_shares shares;
    encl_share carriers[CARRIERS];
    body bodies[CLAIMS];
    size_t ended;
} crowd;

static uint64_t draw(void)
{
    static uint64_t state = 7;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return state >> 33;
}

static void check_sums(const crowd *c)
{
    size_t held = 0, unread = 0, of[CARRIERS] = { 0 };
    for (size_t i = 0; i < CLAIMS; i++) {
        const encl_claim *claim = &c->bodies[i].claim;
        held += claim->held;
        unread += claim->unread;
        of[c->bodies[i].carrier] += claim->held;
        assert_true(claim->share == NULL || claim->share == &c->carriers[c->bodies[i].carrier]);
    }
    assert_int_equal(held, c->shares.held);
    assert_int_equal(unread, c->shares.unread);
    assert_true(held - (c->shares.beyond ? c->shares.beyond->held : 0) <= MAX);
    for (size_t i = 0; i < CARRIERS; i++) {
        const encl_share *share = &c->carriers[i];
        const encl_claim *beyond = c->shares.beyond, *own = share->beyond;
        size_t besides = own ? own->held : 0;
        besides += beyond && beyond->share == share && beyond != own ? beyond->held : 0;
        assert_int_equal(of[i], share->held);
        assert_true(of[i] - besides <= SHARE_MAX);
    }
}

/* In order of arrival; and who was passed over waits for his own carrier alone. */
static void check_line(const crowd *c, const encl_claim *chosen)
{
    uint64_t before = 0;
    for (const encl_claim *claim = c->shares.first; claim != NULL; claim = claim->behind) {
        assert_true(claim->waits && claim->number > before);
        before = claim->number;
        bool is_blocked = claim->share->held + (claim->wanted - claim->held) > SHARE_MAX ||
                          encl_share_is_behind(&c->shares, claim->share);
        bool is_first = claim->share->beyond == NULL || claim->share->beyond == claim;
        if (chosen != NULL && claim->number < chosen->number)
            assert_true(is_blocked && !is_first && c->shares.beyond != claim);
    }
}

static void end_body(crowd *c, body *b)
{
    encl_claim_end(&c->shares, &b->claim);
    b->is_there = false;
    c->ended++;
}

static void step(crowd *c, body *b, bool may_come)
{
    if (!b->is_there) {
        if (!may_come)
            return;
        b->is_there = true;
        b->goal = 1 + draw() % GOAL_MAX;
        b->carrier = draw() % CARRIERS;
    }
    if (b->claim.waits) {
        if (may_come && draw() % 50 == 0)
            end_body(c, b); /* he left */
        return;
    }
    if (b->claim.unread > 0 || b->claim.held == b->goal) {
        bool is_answered = b->claim.unread > 0;
        end_body(c, b);
        if (!is_answered && (b->is_there = draw() % 2 == 0))
            encl_claim_answer(&c->shares, &b->claim, &c->carriers[b->carrier], 1 + draw() % GOAL_MAX);
        return;
    }
    size_t more = 1 + draw() % (b->goal - b->claim.held);
    const encl_claim *claim =
        encl_claim_grow(&c->shares, &b->claim, &c->carriers[b->carrier], b->claim.held + more) ? &b->claim : NULL;
    check_line(c, claim != c->shares.beyond ? claim : NULL);
}

static void whatever_is_begun_comes_to_its_end(void **state)
{
    (void)state;
    static crowd c;
    c = (crowd){ .ended = 0 };
    encl_shares_init(&c.shares, MAX, SHARE_MAX);
    for (size_t i = 0; i < ROUNDS; i++) {
        step(&c, &c.bodies[draw() % CLAIMS], i < STOP_FROM);
        check_sums(&c);
        const encl_claim *chosen;
        while (draw() % 3 == 0 && (chosen = encl_shares_next(&c.shares)) != NULL) {
            check_sums(&c);
            check_line(&c, chosen);
        }
    }
    for (size_t i = 0; i < CLAIMS; i++)
        assert_false(c.bodies[i].is_there);
    assert_int_equal(c.shares.held + c.shares.unread, 0);
    assert_null(c.shares.first);
    assert_null(c.shares.last);
    assert_null(c.shares.beyond);
    assert_true(c.ended > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_claim_grows_and_ends),
        cmocka_unit_test(one_carrier_has_its_part_and_one_body_beyond),
        cmocka_unit_test(who_came_first_goes_on_first),
        cmocka_unit_test(who_has_begun_goes_ahead_of_who_came_later),
        cmocka_unit_test(who_does_not_take_his_answers_gets_no_room),
        cmocka_unit_test(whatever_is_begun_comes_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
