#include "api/worker.h"

#include <stdlib.h>

#include "api/store.h"
#include "common/base/mem.h"

api_worker *api_worker_new(api_context *context)
{
    api_worker *worker = rd_alloc(sizeof(*worker));
    worker->context = context;
    rd_pg_options options = { .conninfo = context->config->database,
                              .role = "rd_api",
                              .application_name = "redoubt-api",
                              .tables = context->stmts,
                              .table_count = context->stmts_count };
    worker->pg = rd_pg_new(&options);
    return worker;
}

api_worker *api_worker_free(api_worker *worker)
{
    if (!worker)
        return NULL;
    rd_pg_free(worker->pg);
    free(worker);
    return NULL;
}
