/* engine_call: microseconds of a hello call with its reset, of a JSON call and of a reset alone, as one JSON object.
 * Usage: engine_call [ROUNDS]. Medians over ROUNDS batches (default 21) of calls; real clock and randomness. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "enclave/engine/engine.h"

#define BATCH 500

static const char source[] = "export default { async fetch(request) {\n"
                             "  if (request.method === 'GET') return new Response('hello');\n"
                             "  const rows = await request.json();\n"
                             "  return Response.json(rows.map((r) => ({ id: r.id, total: r.a * r.b })));\n"
                             "} }";

static int64_t now_us(void *context)
{
    struct timespec ts;

    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int fill_random(void *context, uint8_t *out, size_t size)
{
    (void)context;
    return getrandom(out, size, 0) == (ssize_t)size ? 0 : -1;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), compare);
    return values[count / 2];
}

static double batch(encl_engine *engine, const encl_request *request)
{
    int64_t start = now_us(NULL);

    for (int i = 0; i < BATCH; i++) {
        rd_err err = RD_ERR_INIT;
        encl_response response;
        if (encl_engine_call(engine, request, &response, &err) < 0) {
            fprintf(stderr, "engine_call: %s\n", err.text);
            exit(1);
        }
        encl_engine_reset(engine);
    }
    return (double)(now_us(NULL) - start) / BATCH;
}

static char *json_body(void)
{
    RD_CLEANUP(rd_free_p) char *text = rd_alloc(16384);
    size_t n = 0;

    for (int i = 0; i < 90; i++)
        n += (size_t)snprintf(text + n, 16384 - n, "%s{\"id\":%d,\"a\":%d,\"b\":%d,\"name\":\"%080d\"}", i ? "," : "[",
                              i, i, i * 3, i);
    (void)snprintf(text + n, 16384 - n, "]");
    return RD_TAKE(text);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 21;
    rd_err err = RD_ERR_INIT;
    encl_engine_host host = { .wall_us = now_us, .monotonic_us = now_us, .random = fill_random };
    RD_CLEANUP(encl_engine_free_p) encl_engine *engine = NULL;
    encl_module module = { "index.js", rd_bytes_str(source) };
    RD_CLEANUP(rd_free_p) char *body = json_body();

    if (rounds < 1 || rounds > 1000)
        return 2;
    int64_t t0 = now_us(NULL);
    if (encl_engine_new(&host, NULL, &engine, &err) < 0) {
        fprintf(stderr, "engine_call: %s\n", err.text);
        return 1;
    }
    int64_t t1 = now_us(NULL);
    if (encl_engine_load(engine, &module, 1, "index.js", RD_BYTES_NULL, &err) < 0) {
        fprintf(stderr, "engine_call: %s\n", err.text);
        return 1;
    }
    int64_t t2 = now_us(NULL);
    encl_request hello = { .method = rd_bytes_str("GET"), .url = rd_bytes_str("https://app.example/") };
    encl_request json = { .method = rd_bytes_str("POST"),
                          .url = rd_bytes_str("https://app.example/"),
                          .body = rd_bytes_str(body) };
    RD_CLEANUP(rd_free_p) double *hellos = rd_alloc_array((size_t)rounds, sizeof(double));
    RD_CLEANUP(rd_free_p) double *jsons = rd_alloc_array((size_t)rounds, sizeof(double));
    for (int i = 0; i < rounds; i++) {
        hellos[i] = batch(engine, &hello);
        jsons[i] = batch(engine, &json);
    }
    printf("{\"engine_new_us\":%lld,\"load_us\":%lld,\"image_bytes\":%zu,\"hello_and_reset_us\":%.2f,"
           "\"json_%zu_bytes_and_reset_us\":%.2f,\"rounds\":%d,\"calls_per_round\":%d}\n",
           (long long)(t1 - t0), (long long)(t2 - t1), encl_engine_image_size(engine), median(hellos, rounds),
           json.body.size, median(jsons, rounds), rounds, BATCH);
    return 0;
}
