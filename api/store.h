/* store: the statements and rows of the tables that the API owns, one store_*.c for each group of tables.
 * Used by route files on workers. Everything runs as rd_api, under row-level security of one organisation.
 * Builds no SQL; functions are things that the domain does. */
#ifndef API_STORE_H
#define API_STORE_H

#include <jansson.h>

#include "api/request.h"
#include "api/worker.h"
#include "common/model/ids.h"

/* The tables of prepared statements, one of each store. */
extern const rd_pg_stmts api_store_apps, api_store_deployments, api_store_fleet, api_store_hosts, api_store_orgs,
    api_store_changes, api_store_collateral, api_store_records, api_store_receipts, api_store_secrets;
/* All of them, for the connection. */
#define API_STORE_COUNT 10
void api_store_all(rd_pg_stmts out[API_STORE_COUNT]);

/* One statement in a transaction of its own under an organisation: one write, one read. FAILED with err, NONE or SOME;
 * RETRY is repeated. *ret is the caller's. */
int api_store_read(api_worker *worker, const uint8_t org[16], const char *stmt, const rd_pg_value *args,
                   size_t arg_count, rd_pg_result **ret, rd_err *err) RD_NODISCARD;
#define api_store_get(worker, org, stmt, ret, err, ...)                                                                \
    api_store_read((worker), (org), (stmt), (const rd_pg_value[]){ rd_pg_null(), ##__VA_ARGS__ } + 1,                  \
                   sizeof((const rd_pg_value[]){ rd_pg_null(), ##__VA_ARGS__ }) / sizeof(rd_pg_value) - 1, (ret),      \
                   (err))
/* As api_store_get; no row is NOT_FOUND "no such <what>". */
int api_store_need(rd_pg_result *result, const char *what, rd_err *err) RD_NODISCARD;

/* Within a transaction: rows of this organisation from here on, at once. */
rd_pg_outcome api_store_enter(rd_pg *pg, const uint8_t org[16], rd_err *err) RD_NODISCARD;

/* Cursors of lists ordered by (at desc, id desc): opaque base64url of both. */
typedef struct api_cursor {
    bool is_set;
    int64_t at_us;
    uint8_t id[32];
    size_t id_size;
} api_cursor;
/* CURSOR: text is none, or of another list. */
int api_cursor_parse(const char *text, size_t id_size, api_cursor *ret, rd_err *err) RD_NODISCARD;
/* That of the query; *ret is not set without one. */
int api_cursor_read(const api_request *request, size_t id_size, api_cursor *ret, rd_err *err) RD_NODISCARD;
/* {"items":items,"next":cursor|null}: next is made of the last row when limit rows came. items is stolen. */
json_t *api_list_new(json_t *items, size_t limit, int64_t last_at_us, rd_bytes last_id);
/* Arguments for statements that page by (at, id): time or null, id or null. */
rd_pg_value api_cursor_at(const api_cursor *cursor);
rd_pg_value api_cursor_id(const api_cursor *cursor);

/* --- one change: idempotency, work, audit, event, commit (data-model.md, T1) --- */

typedef struct api_change api_change;
struct api_change {
    const char *action;                                                 /* of the audit row: "app.create" */
    rd_pg_outcome (*apply)(rd_pg *pg, api_change *change, rd_err *err); /* SQL only; may run several times */
    void *state;
    api_request *request;
    api_worker *worker;
    /* apply fills these: */
    int status;             /* stored for repeats */
    char resource[128];     /* id of what was made or changed; subject of the audit row */
    const char *event_kind; /* NULL: no event */
    uint8_t event_subject[32];
    size_t event_subject_size;
    uint8_t event_app[32];
    bool has_event_app;
    char event_body[512]; /* JSON; "" is {} */
    int wake_shard;       /* -1: no scheduler is woken */
    /* set by the runner: */
    bool is_replay; /* the key was used before for the same request: status and resource are the first answer's */
};

/* Runs it under the caller's organisation. Idempotency-Key is honoured for POST. */
int api_change_run(api_request *request, api_worker *worker, api_change *change, rd_err *err) RD_NODISCARD;
/* The parts, for changes without a principal (login, enrolment): audit and event rows, queued. */
int api_change_note(rd_pg *pg, const uint8_t org[16], const char *actor, const api_change *change,
                    rd_err *err) RD_NODISCARD;
/* "tok_…" or "usr_…" of the caller. */
void api_actor_format(const api_principal *principal, char out[RD_ID_TEXT_SIZE]);
void api_change_event(api_change *change, const char *kind, rd_bytes subject, const rd_app_id *app);
/* Queues evaluate(shard, kind, subject, cause) and remembers to wake the scheduler. */
int api_change_evaluate(rd_pg *pg, api_change *change, int shard, int kind, rd_bytes subject, const char *cause,
                        rd_err *err) RD_NODISCARD;

/* If-Match against "version.…" (the ETag of api_reply_resource) or *: IF_MATCH_FAILED. */
int api_if_match(const api_request *request, int64_t version, rd_err *err) RD_NODISCARD;

/* Ids in paths: ID_FORMAT becomes NOT_FOUND, as nothing can have such a name. */
int api_path_id(const api_request *request, const char *param, const char *prefix, rd_id *ret,
                rd_err *err) RD_NODISCARD;
int api_path_app(const api_request *request, rd_app_id *ret, rd_err *err) RD_NODISCARD;

#endif
