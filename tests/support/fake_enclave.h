/* fake_enclave: an instance's identity over a platform that quotes whatever it is given, for unit tests of the runtime.
 * Used by test_channel, test_receipts and server_world. Include after cmocka. */
#ifndef TESTS_FAKE_ENCLAVE_H
#define TESTS_FAKE_ENCLAVE_H

#include <stdlib.h>

#include "common/base/mem.h"
#include "enclave/runtime/identity.h"
#include "enclave/runtime/seal.h"

static bool fake_quote_fails;
static unsigned fake_quotes;        /* asked for so far */
static void (*fake_on_quote)(void); /* while one is made; NULL: nothing */

typedef struct fake_enclave {
    encl_platform *platform;
    encl_identity *identity;
    encl_seal *seal;
    encl_app app;
} fake_enclave;

static inline int fake_extend(encl_platform *platform, const uint8_t (*digests)[48], size_t count, rd_err *err)
{
    (void)platform, (void)digests, (void)count, (void)err;
    return 0;
}

static inline int fake_quote(encl_platform *platform, const uint8_t report_data[64], rd_buf *ret, rd_err *err)
{
    (void)platform;
    fake_quotes++;
    if (fake_on_quote != NULL)
        fake_on_quote();
    if (fake_quote_fails)
        return rd_err_set(err, RD_E_TEE_UNAVAILABLE, "no quote today");
    rd_buf_append(ret, report_data, 64);
    return 0;
}

static inline void fake_free(encl_platform *platform)
{
    free(platform);
}

/* Of the app id in e->app; epoch 3. */
static inline void fake_enclave_open(fake_enclave *e)
{
    static const encl_platform_ops ops = {
        .tee = "sim", .class_ = "simulated", .extend = fake_extend, .quote = fake_quote, .free = fake_free
    };
    rd_err err = RD_ERR_INIT;
    rd_launch_header header = { .app = e->app.id, .release = e->app.release };
    uint8_t bytes[RD_LAUNCH_HEADER_SIZE];
    const rd_id instance = { { 1 } };
    e->platform = rd_alloc(sizeof(*e->platform));
    encl_platform_init(e->platform, &ops);
    e->app.class = RD_CLASS_SIMULATED;
    rd_kms_set_digest(NULL, 0, &header.kms_set);
    rd_launch_header_encode(&header, bytes);
    assert_int_equal(encl_identity_measure(e->platform, bytes, &err), 0);
    assert_int_equal(encl_seal_new(e->platform, rd_clock_system(), ENCL_SEAL_LIMITS, &e->seal, &err), 0);
    assert_int_equal(encl_identity_new(e->platform, e->seal, bytes, &e->app, &instance, 3, &e->identity, &err), 0);
}

static inline void fake_enclave_close(fake_enclave *e)
{
    encl_identity_free(e->identity);
    encl_seal_free(e->seal);
    encl_platform_free(e->platform);
}

#endif
