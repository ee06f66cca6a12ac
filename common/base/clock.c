#include "common/base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t system_wall_us(void *context RD_UNUSED)
{
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_boot_us(void *context RD_UNUSED)
{
    return read_clock(CLOCK_BOOTTIME);
}

const rd_clock *rd_clock_system(void)
{
    static const rd_clock system_clock = { system_wall_us, system_boot_us, NULL };
    return &system_clock;
}

int64_t rd_clock_wall_us(const rd_clock *clock)
{
    return clock->wall_us(clock->context);
}

int64_t rd_clock_boot_us(const rd_clock *clock)
{
    return clock->boot_us(clock->context);
}
