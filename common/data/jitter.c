#include "common/data/jitter.h"

#include "common/crypto/random.h"

uint32_t rd_jitter_below(uint32_t bound)
{
    uint32_t value = 0;
    rd_random_bytes(&value, sizeof value);
    return bound ? value % bound : 0;
}
