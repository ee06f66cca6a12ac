#include "api/lease_job.h"

#include "common/base/mem.h"
#include "common/model/canonical.h"
#include "common/model/json.h"

#include <inttypes.h>
#include <string.h>

static json_t *blobs_to_json(const api_lease_job *job)
{
    json_t *blobs = json_object();
    rd_json_set_digest(blobs, "genesis", &job->genesis_blob);
    rd_json_set_digest(blobs, "head", &job->head_blob);
    rd_json_set_digest(blobs, "release", &job->release_blob);
    rd_json_set_digest(blobs, "code", &job->code_blob);
    if (job->has_kms)
        rd_json_set_digest(blobs, "kms", &job->kms_blob);
    return blobs;
}

static json_t *grant_to_json(const api_lease_job *job)
{
    json_t *grant = json_object();
    rd_json_set_kms_id(grant, "kms", &job->kms);
    if (job->has_grant_nonce)
        rd_json_set_b64(grant, "nonce", RD_BYTES_ARRAY(job->grant_nonce));
    else
        rd_json_set_null(grant, "nonce");
    return grant;
}

static json_t *job_to_json(const api_lease_job *job)
{
    json_t *object = json_object();
    rd_json_set_int(object, "era", job->era);
    rd_json_set_int(object, "prev", (int64_t)job->prev);
    rd_json_set_id(object, "instance", RD_PREFIX_INSTANCE, &job->instance);
    rd_json_set_int(object, "epoch", (int64_t)job->epoch);
    rd_json_set_str(object, "want", rd_want_name(job->want));
    rd_json_set_app_id(object, "app", &job->app);
    rd_json_set_digest(object, "release", &job->release);
    rd_json_set_str(object, "class", rd_class_name(job->class));
    rd_json_set_int(object, "cpu_m", (int64_t)job->cpu_m);
    rd_json_set_int(object, "memory_bytes", (int64_t)job->memory_bytes);
    rd_json_set_b64(object, "nonce", RD_BYTES_ARRAY(job->nonce));
    if (job->want == RD_WANT_RUN)
        rd_json_set(object, "blobs", blobs_to_json(job));
    if (job->want == RD_WANT_RUN && job->has_kms)
        rd_json_set(object, "grant", grant_to_json(job));
    return object;
}

int api_lease_job_encode(const api_lease_job *job, const char *host, const uint8_t key[API_PLANE_KEY_SIZE], rd_buf *out,
                         rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = job_to_json(job);
    RD_CLEANUP(rd_buf_done) rd_buf plain = { 0 };
    if (rd_canonical_write(object, &plain, err) < 0)
        return rd_err_wrap(err, "job %" PRIu64, job->seq);
    char number[24];
    int number_size = snprintf(number, sizeof number, "%" PRIu64, job->seq);
    rd_hmac hmac;
    rd_hmac_init(&hmac, rd_bytes_of(key, API_PLANE_KEY_SIZE));
    rd_hmac_update(&hmac, rd_bytes_of(host, strlen(host) + 1));
    rd_hmac_update(&hmac, rd_bytes_of(number, (size_t)number_size + 1));
    rd_hmac_update(&hmac, rd_buf_bytes(&plain));
    uint8_t mac[32];
    rd_hmac_final(&hmac, mac);
    rd_json_set_b64(object, "mac", RD_BYTES_ARRAY(mac));
    return rd_canonical_write(object, out, err);
}

static void nonce_of_window(const uint8_t key[API_PLANE_KEY_SIZE], const rd_id *instance, uint64_t epoch,
                            uint64_t window, uint8_t out[API_NONCE_SIZE])
{
    uint8_t message[32];
    memcpy(message, instance->b, 16);
    for (int i = 0; i < 8; i++) {
        message[16 + i] = (uint8_t)(epoch >> (56 - 8 * i));
        message[24 + i] = (uint8_t)(window >> (56 - 8 * i));
    }
    rd_hmac_sha256(rd_bytes_of(key, API_PLANE_KEY_SIZE), RD_BYTES_ARRAY(message), out);
}

static uint64_t window_of(int64_t wall_us)
{
    return (uint64_t)(wall_us / 1000000 / API_NONCE_WINDOW_S);
}

void api_nonce_make(const uint8_t key[API_PLANE_KEY_SIZE], const rd_id *instance, uint64_t epoch, int64_t wall_us,
                    uint8_t out[API_NONCE_SIZE])
{
    nonce_of_window(key, instance, epoch, window_of(wall_us), out);
}

bool api_nonce_is_fresh(const uint8_t key[API_PLANE_KEY_SIZE], const rd_id *instance, uint64_t epoch, int64_t wall_us,
                        const uint8_t nonce[API_NONCE_SIZE])
{
    uint64_t window = window_of(wall_us);
    bool is_fresh = false;
    for (uint64_t i = 0; i < API_NONCE_WINDOWS && i <= window; i++) {
        uint8_t expected[API_NONCE_SIZE];
        nonce_of_window(key, instance, epoch, window - i, expected);
        is_fresh |= rd_equal_ct(expected, nonce, API_NONCE_SIZE);
    }
    return is_fresh;
}

api_hint api_hint_judge(uint64_t sent, uint64_t prev, uint64_t seq)
{
    if (seq <= sent)
        return API_HINT_OLD;
    return prev == sent ? API_HINT_NEXT : API_HINT_RESYNC;
}
