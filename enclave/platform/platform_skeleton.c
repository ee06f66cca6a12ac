/* Start a port here: copy this file, fill in each call, and give the constructor a line in platform.h. */
#include "enclave/platform/platform.h"

#include <stdlib.h>

#include "common/base/mem.h"

static int skeleton_extend(encl_platform *platform, const uint8_t (*digests)[48], size_t count, rd_err *err)
{
    (void)platform, (void)digests, (void)count;
    return rd_err_set(err, RD_E_TEE_UNAVAILABLE, "this port has no register to extend");
}

static int skeleton_quote(encl_platform *platform, const uint8_t report_data[64], rd_buf *ret, rd_err *err)
{
    (void)platform, (void)report_data, (void)ret;
    return rd_err_set(err, RD_E_TEE_UNAVAILABLE, "this port makes no quotes");
}

static void skeleton_free(encl_platform *platform)
{
    free(platform);
}

static const encl_platform_ops skeleton_ops = {
    .tee = "skeleton", .class_ = "simulated", .extend = skeleton_extend, .quote = skeleton_quote, .free = skeleton_free
};

encl_platform *encl_platform_skeleton_new(void)
{
    encl_platform *platform = rd_alloc(sizeof(*platform));
    encl_platform_init(platform, &skeleton_ops);
    return platform;
}
