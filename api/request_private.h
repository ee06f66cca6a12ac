/* request_private: the inside of one request, shared by server.c, gate.c, request.c and reply.c.
 * A request is made when libmicrohttpd has read its first line and ends when that connection's turn is over.
 * Touched by one thread at a time: the loop, or the worker that holds it while its connection is suspended. */
#ifndef API_REQUEST_PRIVATE_H
#define API_REQUEST_PRIVATE_H

#include <microhttpd.h>

#include "api/body.h"
#include "api/reply.h"
#include "api/request.h"
#include "api/server.h"

#define API_REQUEST_MAGIC      0x61706972u
#define API_REPLY_HEADERS_MAX  64
#define API_REPLY_HEADERS_SIZE ((size_t)32 << 10)
#define API_HEADERS_SIZE_MAX   ((size_t)16 << 10)
#define API_BODY_DISCARD_MAX   ((size_t)64 << 10)
#define API_JSON_BODY_MAX      ((size_t)1 << 20)

typedef struct api_header {
    char *name;
    char *value;
} api_header;

typedef enum api_stage {
    API_STAGE_HEADERS, /* nothing looked at yet */
    API_STAGE_BODY,    /* body is being read (or thrown away, when there is an answer already) */
    API_STAGE_RUNNING, /* a worker or a loop handler has it */
    API_STAGE_SENT     /* queued with libmicrohttpd */
} api_stage;

/* What will be sent; recorded by any thread that holds the request. */
typedef struct api_answer {
    bool is_set;
    int status;
    const char *content_type; /* literal or from content_type_own */
    char *content_type_own;
    rd_buf body;
    int fd; /* -1, or a file instead of body */
    uint64_t fd_size;
    api_header headers[API_REPLY_HEADERS_MAX];
    size_t header_count, header_size;
    bool is_closing; /* close the connection afterwards */
} api_answer;

struct api_request {
    uint32_t magic;
    api_server *server;
    api_context *context;
    struct MHD_Connection *connection;
    struct api_request *next, *previous; /* the server's list of open requests */
    char id[48];
    const char *method;  /* libmicrohttpd's, for the life of the request */
    char *target, *path; /* own copies; path without query */
    char peer[64];
    api_stage stage;
    api_match match;
    const api_route *route; /* matched; NULL before */
    api_principal principal;
    bool has_principal;
    bool takes_chunks;
    api_intake intake; /* of its body */
    size_t body_discarded;
    json_t *json;
    api_answer answer;
    api_stream *stream;
    bool is_out; /* with a worker: it belongs to its trip until finish_trip, whatever the answer says meanwhile */
    bool is_suspended;
    int64_t started_us;
    void *data;
    void (*data_free)(void *data);
    void (*on_cancel)(api_request *request, void *arg);
    void *on_cancel_arg;
    int wake_shard;  /* scheduler to wake once the answer is there; -1: none */
    bool has_event;  /* events were committed: the tail is told */
    int work_result; /* of the worker handler */
    rd_err work_err;
};

/* gate.c: everything that is checked before a handler runs. -1: err says which refusal; the answer is not set yet. */
int api_gate_headers(api_request *request, rd_err *err) RD_NODISCARD;
/* The secret the caller sent, borrowed; empty when none. */
rd_bytes api_gate_secret(const api_request *request);
/* Role, CSRF and Origin once the principal is known. Any thread. */
int api_gate_caller(api_request *request, rd_err *err) RD_NODISCARD;

/* reply.c: appends the recorded answer as it stands on the wire, for a connection that closes behind it. */
void api_answer_write(api_request *request, rd_buf *out);
/* reply.c: queues the recorded answer. */
enum MHD_Result api_answer_queue(api_request *request);
void api_answer_done(api_answer *answer);
/* Forgets status and body, keeps the headers. */
void api_answer_drop_body(api_answer *answer);
/* server.c: an answer was recorded on the loop after the handler returned: wakes the connection. */
void api_server_resume(api_request *request);
/* server.c: the stream of a request wakes or suspends its connection. */
void api_server_wake(api_server *server);
/* stream.c. */
struct MHD_Response *api_stream_response(api_stream *stream);
/* stream.c: of unknown length. */
bool api_stream_is_chunked(const api_stream *stream);
/* stream.c: the request is over: tells the stream's owner. */
void api_stream_closed(api_stream *stream);
/* server.c: the table that a request of this listener is matched against. */
typedef struct api_server_routes {
    const api_route *items;
    size_t count;
} api_server_routes;
api_server_routes api_server_routes_of(const api_server *server);
/* The connections have no TLS of their own. */
bool api_server_is_plain(const api_server *server);

#endif
