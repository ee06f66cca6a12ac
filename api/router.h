/* router: one table of method, path pattern, kind, role, handler and limits; matching, and Allow for the rest.
 * Used by server for each request and by the files that own handlers (routes.h).
 * Decides nothing about what a caller may see inside an organisation: stores do, by row-level security. */
#ifndef API_ROUTER_H
#define API_ROUTER_H

#include "common/base/bytes.h"
#include "common/base/err.h"

struct api_request;
struct api_worker;

/* Where a handler runs. */
typedef enum api_route_kind {
    API_ROUTE_INLINE, /* on the loop, answers before it returns; no I/O */
    API_ROUTE_LOOP,   /* on the loop, answers exactly once, now or later (reply.h); streams are these */
    API_ROUTE_WORKER  /* straight-line on a worker with a PostgreSQL connection */
} api_route_kind;

/* What a route asks of the caller. Roles of tokens: owner > developer > viewer; operator; auditor. */
typedef enum api_need {
    API_NEED_NONE,
    API_NEED_ANY, /* any valid token or session */
    API_NEED_VIEWER,
    API_NEED_DEVELOPER,
    API_NEED_OWNER,
    API_NEED_OPERATOR, /* owners of an operating organisation too */
    API_NEED_AUDITOR   /* owners too */
} api_need;

/* Flags of a route. */
enum {
    API_BODY_JSON = 1 << 0,     /* a body is required and is application/json (415) */
    API_BODY_BYTES = 1 << 1,    /* a body of any type */
    API_BODY_OPTIONAL = 1 << 2, /* with API_BODY_JSON: may be absent */
    API_IF_MATCH = 1 << 3,      /* If-Match is required (428) */
    API_SAFE_POST = 1 << 4,     /* POST that changes nothing: no CSRF token asked of sessions */
    API_OPS = 1 << 5,           /* health and metrics: no rate limit */
    API_LOGIN = 1 << 6,         /* no session needed: limited by address, Origin still checked */
    API_PAGE = 1 << 7           /* a page for people: HTML, static headers */
};

/* INLINE and LOOP handlers; see request.h and reply.h. */
typedef void (*api_loop_fn)(struct api_request *request);
/* WORKER handlers: 0 with a reply set on the request, or -1 and err, which becomes the problem document. */
typedef int (*api_worker_fn)(struct api_request *request, struct api_worker *worker, rd_err *err);

typedef struct api_route {
    const char *method;  /* "GET" also answers HEAD */
    const char *pattern; /* "/v1/apps/{app}/heads": {name} matches one segment, {name*} the rest */
    api_route_kind kind;
    api_need need;
    api_loop_fn loop;
    api_worker_fn worker;
    size_t body_max; /* bytes; 0: 1 MiB for JSON, none otherwise */
    unsigned flags;
} api_route;

#define API_PARAMS_MAX 4
#define API_PARAM_SIZE 256

typedef struct api_param {
    const char *name; /* into the pattern, not terminated */
    size_t name_size;
    char value[API_PARAM_SIZE]; /* percent-decoded */
} api_param;

typedef struct api_match {
    const api_route *route;
    size_t index; /* of the route in the table */
    size_t param_count;
    api_param params[API_PARAMS_MAX];
    char allow[64]; /* methods of the path when only the method did not match; "" otherwise */
} api_match;

typedef enum api_match_result { API_MATCH_FOUND, API_MATCH_METHOD, API_MATCH_NONE } api_match_result;

/* path: as received, without query, still percent-encoded; an encoded slash or NUL, "." or ".." matches nothing. */
api_match_result api_router_match(const api_route *routes, size_t count, const char *method, const char *path,
                                  api_match *ret);

#endif
