/* verify_rate: what one verification takes, as one JSON object: microseconds of one core cold (nothing remembered) and
 * warm (chains and collateral of this platform remembered), the bare OpenSSL verifications of the same number and
 * sizes, and memory. Usage: verify_rate VECTORS CASE [ROUNDS]: a quote with its collateral and an expect.json, in
 * VECTORS/CASE. */
#include <malloc.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attest/intel_quote.h"
#include "common/base/mem.h"
#include "common/crypto/sign.h"
#include "tests/support/evidence_vectors.h"

#define BATCH      50
#define ROUNDS_MAX 101
#define STACK_SIZE ((size_t)1 << 20)
#define PAINT      0xa5

/* --- heap: every allocation of the process, at its peak --- */

extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void __libc_free(void *memory);
static size_t heap_now, heap_peak;

static void *note(void *memory)
{
    heap_now += malloc_usable_size(memory);
    heap_peak = RD_MAX(heap_peak, heap_now);
    return memory;
}

void *malloc(size_t size)
{
    void *memory = __libc_malloc(size);
    return memory ? note(memory) : NULL;
}

void *calloc(size_t count, size_t size)
{
    void *memory = size && count > SIZE_MAX / size ? NULL : malloc(count * size);
    return memory ? memset(memory, 0, count * size) : NULL;
}

void *realloc(void *memory, size_t size)
{
    size_t before = malloc_usable_size(memory);
    void *moved = __libc_realloc(memory, size);
    if (moved || size == 0)
        heap_now -= before;
    return moved ? note(moved) : NULL;
}

void free(void *memory)
{
    heap_now -= malloc_usable_size(memory);
    __libc_free(memory);
}

/* --- the two ways --- */

/* Of the processor and not of the wall, so that what else the machine does is not counted. */
static double now_us(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static rd_bytes piece(vec_case *c, const char *name)
{
    rd_buf *file = vec_file_of(c, name);
    return file ? rd_buf_bytes(file) : RD_BYTES_NULL;
}

typedef struct subject {
    rd_collateral collateral;
    rd_attest_input input;
    rd_verdict verdict;
} subject;

static void prepare(vec_case *c, rd_attest_cache *cache, subject *ret)
{
    *ret = (subject){ .collateral = { .pck_crl = piece(c, "pck_crl.der"),
                                      .root_ca_crl = piece(c, "root_ca_crl.der"),
                                      .tcb_info = piece(c, "tcb_info.json"),
                                      .tcb_info_chain = piece(c, "tcb_info_issuer_chain.pem"),
                                      .qe_identity = piece(c, "qe_identity.json"),
                                      .qe_identity_chain = piece(c, "qe_identity_issuer_chain.pem") } };
    ret->input = (rd_attest_input){ .quote = piece(c, "quote.bin"),
                                    .collateral = &ret->collateral,
                                    .anchors = &c->anchors,
                                    .cache = cache,
                                    .time_us = c->time_us };
}

static void verify(subject *s)
{
    rd_err err = RD_ERR_INIT;
    if (rd_attest_verify(&s->input, &s->verdict, &err) == 0)
        return;
    fprintf(stderr, "verify_rate: %s\n", err.text);
    exit(1);
}

static double verify_batch(subject *s)
{
    double start = now_us();
    for (int i = 0; i < BATCH; i++)
        verify(s);
    return (now_us() - start) / BATCH;
}

/* --- the limit: nothing but the signatures, keys ready --- */

#define SIGNATURES_MAX 9

typedef struct limit {
    EVP_PKEY *key;
    size_t count;
    size_t sizes[SIGNATURES_MAX];
    uint8_t signatures[SIGNATURES_MAX][80];
    size_t signature_sizes[SIGNATURES_MAX];
    uint8_t *message;
} limit;

static void sign_all(limit *l)
{
    size_t longest = 0;
    for (size_t i = 0; i < l->count; i++)
        longest = RD_MAX(longest, l->sizes[i]);
    l->message = calloc(1, longest);
    l->key = EVP_EC_gen("P-256");
    for (size_t i = 0; i < l->count; i++) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        l->signature_sizes[i] = sizeof l->signatures[i];
        if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, l->key) != 1 ||
            EVP_DigestSign(ctx, l->signatures[i], &l->signature_sizes[i], l->message, l->sizes[i]) != 1)
            abort();
        EVP_MD_CTX_free(ctx);
    }
}

static double limit_batch(const limit *l)
{
    double start = now_us();
    for (int n = 0; n < BATCH; n++)
        for (size_t i = 0; i < l->count; i++) {
            EVP_MD_CTX *ctx = EVP_MD_CTX_new();
            if (EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, l->key) != 1 ||
                EVP_DigestVerify(ctx, l->signatures[i], l->signature_sizes[i], l->message, l->sizes[i]) != 1)
                abort();
            EVP_MD_CTX_free(ctx);
        }
    return (now_us() - start) / BATCH;
}

/* Certificates of about 700 bytes: PCK leaf, its CA, TCB signing; lists, collateral; QE report and quote. The root is
 * pinned and the two collateral pieces have one signer. */
static void limits_of(vec_case *c, limit *ret_warm, limit *ret_cold)
{
    rd_intel_quote quote;
    rd_err err = RD_ERR_INIT;
    if (rd_intel_quote_parse(piece(c, "quote.bin"), &quote, &err) < 0)
        exit(1);
    *ret_warm = (limit){ .count = 2, .sizes = { RD_SGX_REPORT_SIZE, quote.signed_range.size } };
    *ret_cold = (limit){ .count = 9,
                         .sizes = { 1100, 600, 600, piece(c, "root_ca_crl.der").size, piece(c, "pck_crl.der").size,
                                    piece(c, "tcb_info.json").size, piece(c, "qe_identity.json").size,
                                    RD_SGX_REPORT_SIZE, quote.signed_range.size } };
    sign_all(ret_warm);
    sign_all(ret_cold);
}

/* --- memory of one cold verification: peak of the heap, and how deep the stack goes --- */

static void *verify_once(void *context)
{
    verify(context);
    return NULL;
}

static void measure_memory(subject *s, double *ret_heap_kb, double *ret_stack_kb)
{
    static _Alignas(4096) uint8_t stack[STACK_SIZE];
    pthread_attr_t attributes;
    pthread_t thread;
    memset(stack, PAINT, sizeof stack);
    if (pthread_attr_init(&attributes) != 0 || pthread_attr_setstack(&attributes, stack, sizeof stack) != 0)
        abort();
    size_t before = heap_peak = heap_now;
    if (pthread_create(&thread, &attributes, verify_once, s) != 0 || pthread_join(thread, NULL) != 0)
        abort();
    *ret_heap_kb = (double)(heap_peak - before) / 1024;
    size_t untouched = 0;
    while (untouched < sizeof stack && stack[untouched] == PAINT)
        untouched++;
    /* The thread's own control block and thread-local memory lie at the top: a few kB, counted all the same. */
    *ret_stack_kb = (double)(sizeof stack - untouched) / 1024;
}

static void print_list(const char *name, const double *values, int count)
{
    printf("\"%s\":[", name);
    for (int i = 0; i < count; i++)
        printf("%s%.2f", i ? "," : "", values[i]);
    printf("],");
}

int main(int argc, char **argv)
{
    static subject cold, warm;
    static double figures[4][ROUNDS_MAX];
    vec_case c;
    limit warm_limit, cold_limit;
    int rounds = argc > 3 ? atoi(argv[3]) : 11;
    if (argc < 3 || rounds < 1 || rounds > ROUNDS_MAX || !vec_load(argv[1], argv[2], &c)) {
        fprintf(stderr, "usage: verify_rate VECTORS CASE [ROUNDS]\n");
        return 2;
    }
    RD_CLEANUP(rd_attest_cache_free_p) rd_attest_cache *cache = rd_attest_cache_new(0);
    prepare(&c, NULL, &cold);
    prepare(&c, cache, &warm);
    limits_of(&c, &warm_limit, &cold_limit);
    verify(&cold);
    verify(&warm);
    for (int i = 0; i < rounds; i++) {
        figures[0][i] = verify_batch(&cold);
        figures[1][i] = limit_batch(&cold_limit);
        figures[2][i] = verify_batch(&warm);
        figures[3][i] = limit_batch(&warm_limit);
    }
    double heap_kb, stack_kb, warm_heap_kb, warm_stack_kb;
    measure_memory(&cold, &heap_kb, &stack_kb);
    measure_memory(&warm, &warm_heap_kb, &warm_stack_kb);
    static const char *const names[] = { "cold_us", "cold_limit_us", "warm_us", "warm_limit_us" };
    printf("{");
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        print_list(names[i], figures[i], rounds);
        qsort(figures[i], (size_t)rounds, sizeof figures[i][0], compare);
    }
    printf("\"heap_kb\":%.1f,\"stack_kb\":%.1f,\"verdict_kb\":%.1f,\"warm_heap_kb\":%.1f}\n", heap_kb, stack_kb,
           (double)sizeof(rd_verdict) / 1024, warm_heap_kb);
    vec_done(&c);
    return 0;
}
