#include "enclave/platform/platform.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#ifndef REDOUBT_BUILD_EPOCH
#define REDOUBT_BUILD_EPOCH 1795305600 /* 2026-11-22: no build of this source is older */
#endif

static int64_t host_wall_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void encl_platform_init(encl_platform *platform, const encl_platform_ops *ops)
{
    platform->ops = ops;
    platform->floor_us = encl_platform_build_floor_us();
    platform->host_us = host_wall_us;
    platform->is_closed = false;
}

encl_platform *encl_platform_free(encl_platform *platform)
{
    if (platform != NULL)
        platform->ops->free(platform);
    return NULL;
}

void encl_platform_free_p(encl_platform **platform)
{
    *platform = encl_platform_free(*platform);
}

const char *encl_platform_tee(const encl_platform *platform)
{
    return platform->ops->tee;
}

const char *encl_platform_class(const encl_platform *platform)
{
    return platform->ops->class_;
}

int encl_platform_extend(encl_platform *platform, const uint8_t (*digests)[48], size_t count, rd_err *err)
{
    if (platform->is_closed)
        return rd_err_set(err, RD_E_TEE_CLOSED, "register 3 was closed");
    return platform->ops->extend(platform, digests, count, err);
}

void encl_platform_close_register(encl_platform *platform)
{
    platform->is_closed = true;
}

int encl_platform_begin_quote(encl_platform *platform, const uint8_t report_data[64], rd_err *err)
{
    return platform->ops->begin_quote == NULL ? 0 : platform->ops->begin_quote(platform, report_data, err);
}

int encl_platform_quote(encl_platform *platform, const uint8_t report_data[64], rd_buf *ret, rd_err *err)
{
    return platform->ops->quote(platform, report_data, ret, err);
}

int encl_platform_seal_key(encl_platform *platform, const char *label, uint8_t ret[32], rd_err *err)
{
    if (platform->ops->seal_key == NULL)
        return rd_err_set(err, RD_E_UNSUPPORTED, "a platform of kind %s keeps no key over a restart",
                          platform->ops->tee);
    return platform->ops->seal_key(platform, label, ret, err);
}

int encl_platform_random(encl_platform *platform, uint8_t *out, size_t size, rd_err *err)
{
    (void)platform;
    size_t done = 0;
    while (done < size) {
        ssize_t got = getrandom(out + done, size - done, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return rd_err_set_errno(err, RD_E_TEE_UNAVAILABLE, errno, "getrandom");
        done += (size_t)got;
    }
    return 0;
}

int64_t encl_platform_time_us(encl_platform *platform)
{
    /* A host that sets its clock back must not make an expired head or old collateral good again. */
    encl_platform_raise_floor(platform, platform->host_us());
    return platform->floor_us;
}

void encl_platform_raise_floor(encl_platform *platform, int64_t time_us)
{
    if (time_us > platform->floor_us)
        platform->floor_us = time_us;
}

int64_t encl_platform_build_floor_us(void)
{
    return (int64_t)REDOUBT_BUILD_EPOCH * 1000000;
}
