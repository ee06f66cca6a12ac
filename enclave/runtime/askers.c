/* Callers who ask for evidence over nonces of theirs. What says nothing of a connection is shared: one quote a window
 * (window.h). What names a connection takes a quote of its own: one after the other, with a pause after each as long as
 * it took, so that at most half of the time goes there. */
#include <string.h>

#include "enclave/runtime/server_priv.h"

bool askers_take(encl_server *server, encl_conn *conn, rd_purpose purpose, const uint8_t nonce[RD_NONCE_SIZE])
{
    encl_askers *askers = &server->askers;
    if (purpose == RD_PURPOSE_CLIENT && !encl_window_add(&askers->window, nonce, conn, server_now_us()))
        return false;
    conn->state = ENCL_CONN_ASKING;
    if (purpose == RD_PURPOSE_CLIENT)
        return true;
    memcpy(conn->nonce, nonce, sizeof conn->nonce);
    conn->next = NULL;
    *(askers->last == NULL ? &askers->first : &askers->last->next) = conn;
    askers->last = conn;
    return true;
}

static int64_t own_wait_us(const encl_askers *askers, int64_t now_us)
{
    if (askers->first == NULL)
        return -1;
    return now_us < askers->until_us ? askers->until_us - now_us : 0;
}

int64_t askers_wait_us(const encl_server *server, int64_t now_us)
{
    int64_t shared = encl_window_wait_us(&server->askers.window, now_us), own = own_wait_us(&server->askers, now_us);
    if (shared < 0 || own < 0)
        return RD_MAX(shared, own);
    return RD_MIN(shared, own);
}

bool askers_are_late(const encl_server *server, int64_t now_us)
{
    return encl_window_is_late(&server->askers.window, now_us) || own_wait_us(&server->askers, now_us) == 0;
}

static encl_exchange_outcome answer_of(encl_conn *conn, int outcome, const rd_buf *bundle, const rd_err *err)
{
    return outcome < 0 ? encl_exchange_evidence(conn, NULL, err) : encl_exchange_evidence(conn, bundle, NULL);
}

static void answer_sharer(encl_server *server, encl_conn *conn, const encl_shared_quote *shared, size_t index)
{
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    rd_err err = RD_ERR_INIT;
    int outcome = encl_identity_client_evidence(server->parts.identity, shared, index, &bundle, &err);
    server_queue_answer(server, conn, answer_of(conn, outcome, &bundle, &err));
}

/* The window's end is told first: answers that leave bring next requests. */
static void answer_window(encl_server *server)
{
    encl_conn *sharers[ENCL_WINDOW_MAX];
    encl_window *window = &server->askers.window;
    RD_CLEANUP(encl_shared_quote_done) encl_shared_quote shared;
    rd_err err = RD_ERR_INIT;
    size_t count = window->count;
    int outcome = encl_identity_share_quote(server->parts.identity, window->nonces, count, &shared, &err);
    for (size_t i = 0; i < count; i++)
        sharers[i] = window->askers[i];
    encl_window_end(window, server_now_us());
    for (size_t i = 0; i < count; i++) {
        if (sharers[i]->is_gone)
            server_queue_answer(server, sharers[i], ENCL_EXCHANGE_DROP);
        else if (outcome < 0)
            server_queue_answer(server, sharers[i], encl_exchange_evidence(sharers[i], NULL, &err));
        else
            answer_sharer(server, sharers[i], &shared, i);
    }
}

static encl_conn *take_first(encl_askers *askers)
{
    encl_conn *conn = askers->first;
    askers->first = conn->next;
    if (askers->first == NULL)
        askers->last = NULL;
    conn->next = NULL;
    return conn;
}

static void answer_first(encl_server *server)
{
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    rd_err err = RD_ERR_INIT;
    encl_conn *conn = take_first(&server->askers);
    if (conn->is_gone) {
        server_queue_answer(server, conn, ENCL_EXCHANGE_DROP);
        return;
    }
    int64_t began = server_now_us();
    int outcome = encl_channel_evidence(conn->channel, conn->nonce, &bundle, &err);
    int64_t now = server_now_us();
    server->askers.until_us = now + (now - began);
    server_queue_answer(server, conn, answer_of(conn, outcome, &bundle, &err));
}

void askers_answer(encl_server *server)
{
    if (encl_window_wait_us(&server->askers.window, server_now_us()) == 0)
        answer_window(server);
    if (own_wait_us(&server->askers, server_now_us()) == 0)
        answer_first(server);
}

void askers_drop(encl_server *server)
{
    encl_window *window = &server->askers.window;
    for (size_t i = 0; i < window->count; i++)
        server_drop(server, window->askers[i]);
    window->count = 0;
    while (server->askers.first != NULL)
        server_drop(server, take_first(&server->askers));
}
