#include "api/body.h"

#include <string.h>
#include <sys/socket.h>

#include "api/callers.h"
#include "api/request_private.h"
#include "common/base/mem.h"
#include "common/base/text.h"

static int socket_of(const api_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* libmicrohttpd takes no answer amid a body: it is put on the socket beside it. What comes after it is read for a
 * while, so that no reset overtakes it (RFC 9112, 9.6). */
bool api_body_answer(api_request *request)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    if (!api_server_is_plain(request->server) || !request->intake.is_listed)
        return false;
    request->answer.is_closing = true;
    api_answer_write(request, &text);
    (void)send(socket_of(request), text.data, text.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(socket_of(request), SHUT_WR);
    api_intake_tell(&request->intake);
    return true;
}

void api_body_late(api_intake *intake)
{
    api_request *request = RD_CONTAINER_OF(intake, api_request, intake);
    rd_err err = RD_ERR_INIT;
    if (intake->is_told) {
        (void)shutdown(socket_of(request), SHUT_RDWR);
        return;
    }
    api_intake_slow(intake, &err);
    if (!request->answer.is_set)
        api_reply_problem(request, &err);
    api_intake_drop(intake);
    if (!api_body_answer(request))
        (void)shutdown(socket_of(request), SHUT_RDWR);
}

void api_body_begin(api_request *request)
{
    uint64_t size;
    if (api_body_is_coming(request, &size))
        api_intake_begin(&request->intake);
}

bool api_body_end(api_request *request)
{
    api_intake_end(&request->intake);
    return !request->intake.is_told;
}

bool api_body_is_coming(const api_request *request, uint64_t *ret_size)
{
    const char *length = api_request_header(request, "Content-Length");
    *ret_size = 0;
    if (api_request_header(request, "Transfer-Encoding"))
        return true;
    return length && rd_parse_u64(length, strlen(length), UINT64_MAX, ret_size) == 0 && *ret_size > 0;
}

/* Whom the cache knows pays for his organisation; whoever he may be else is one of the strangers. */
static void name_payers(api_request *request)
{
    api_principal principal;
    uint8_t key[16];
    rd_bytes secret = api_gate_secret(request);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (secret.size > 0 && api_auth_cached(request->context->auth, secret, &principal))
        api_intake_payer(&request->intake, 'o', RD_BYTES_ARRAY(principal.org_id));
    else
        api_intake_payer(&request->intake, '?', RD_BYTES_NULL);
    if (!info || !info->client_addr)
        return;
    api_callers_key(info->client_addr, key);
    api_intake_address(&request->intake, key);
}

int api_body_admit(api_request *request, rd_err *err)
{
    uint64_t size;
    if (!api_body_is_coming(request, &size))
        return 0;
    name_payers(request);
    return api_intake_admit(&request->intake, size, err);
}

int api_body_add(api_request *request, rd_bytes piece, rd_err *err)
{
    if (!request->answer.is_set && !request->intake.is_told)
        return api_intake_add(&request->intake, piece, err);
    api_intake_skip(&request->intake, piece.size);
    return 0;
}

void api_request_drop_body(api_request *request)
{
    api_intake_drop(&request->intake);
}
