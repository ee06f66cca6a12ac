/* client: requests to the control plane over libcurl, with bounds and problem documents turned into errors.
 * Used by every verb. The plane's answers are hostile input: sizes are capped, JSON is parsed strictly.
 * Verifies TLS certificates always; refuses redirects. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli/context.h"
#include "common/base/bytes.h"

#include <jansson.h>

#define CLI_ANSWER_MAX ((size_t)32 << 20)

typedef struct cli_answer cli_answer;

/* A piece of the body as it comes, gathered besides unless its type says otherwise. The answer has its headers by then,
 * and those of its trailers that are there. False ends the request; the callee keeps why. */
typedef bool (*cli_on_piece)(void *context, const cli_answer *answer, rd_bytes piece);

/* What is fetched of these, at most. */
#define CLI_EVIDENCE_MAX   ((size_t)128 << 10)
#define CLI_COLLATERAL_MAX ((size_t)2 << 20)

typedef struct cli_request {
    const char *method;
    const char *path; /* "/v1/…" at the API, or a full URL */
    rd_bytes body;    /* with content_type; empty and NULL for none */
    const char *content_type;
    const char *const *headers; /* "Name: value" lines, NULL-ended; may be NULL */
    bool is_anonymous;          /* send no token */
    bool accept_any_status;     /* 4xx and 5xx are answers, not errors */
    int64_t timeout_us;         /* 0: 30 s */
    cli_on_piece on_piece;      /* may be NULL */
    const char *piece_type;     /* bodies of this media type alone go to on_piece, and are not gathered; may be NULL */
    void *context;              /* of on_piece */
} cli_request;

struct cli_answer {
    int status;
    rd_buf body;
    uint64_t body_size; /* gathered or not */
    json_t *headers;    /* object of lower-case names to texts; trailers too */
    int64_t elapsed_us;
};

cli_client *cli_client_new(const cli_context *context, rd_err *err);
void cli_client_free(cli_client *client);

/* Sends and reads the whole answer. 4xx and 5xx become errors from their problem document; what ends before its end is
 * TRUNCATED. */
int cli_client_send(cli_client *client, const cli_request *request, cli_answer *ret, rd_err *err) RD_NODISCARD;
void cli_answer_done(cli_answer *answer);
const char *cli_answer_header(const cli_answer *answer, const char *lower_case_name);

/* GET, the body added to ret, whose size_max bounds it: TOO_LARGE. headers as in a request. */
int cli_client_fetch(cli_client *client, const char *path, const char *const *headers, rd_buf *ret,
                     rd_err *err) RD_NODISCARD;
/* JSON in (may be NULL) and out (ret may be NULL); a new reference. */
int cli_client_json(cli_client *client, const char *method, const char *path, const json_t *body, json_t **ret,
                    rd_err *err) RD_NODISCARD;
/* All items of a list route, following its cursors, at most count_max. A new array. */
int cli_client_list(cli_client *client, const char *path, size_t count_max, json_t **ret_items,
                    rd_err *err) RD_NODISCARD;

/* DELETE with the ETag that a GET just showed. */
int cli_client_delete(cli_client *client, const char *path, rd_err *err) RD_NODISCARD;
/* DELETE of what cannot have changed since. */
int cli_client_delete_any(cli_client *client, const char *path, rd_err *err) RD_NODISCARD;

/* Server-sent events. on_open (may be NULL) runs once, when the stream is open and nothing later can be missed; it may
 * use another client; negative ends the stream as failed, positive as done. on_event returns false to end it.
 * Reconnects with Last-Event-ID until deadline_us (boot time of the context's clock; 0: for ever). 0 when on_event
 * ended it, else TIMEOUT or an error. */
typedef struct cli_event_handlers {
    int (*on_open)(void *context, rd_err *err);
    bool (*on_event)(void *context, const char *event, const char *data);
    void *context;
} cli_event_handlers;
int cli_client_events(cli_client *client, const char *path, const cli_event_handlers *handlers, int64_t deadline_us,
                      rd_err *err) RD_NODISCARD;

/* The request id of the last answer, or NULL. */
const char *cli_client_request_id(const cli_client *client);
/* A name resolved to an app object: accepts an app id or a name of this organisation. A new reference. */
int cli_client_find_app(cli_client *client, const char *name_or_id, json_t **ret, rd_err *err) RD_NODISCARD;
/* Percent-encodes for a query or path segment; free() the text. */
char *cli_url_escape(const char *text);

#endif
