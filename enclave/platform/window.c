#include "enclave/platform/window.h"

#include <string.h>

bool encl_window_add(encl_window *window, const uint8_t nonce[32], void *asker, int64_t now_us)
{
    if (window->count == ENCL_WINDOW_MAX)
        return false;
    if (window->count == 0)
        window->since_us = now_us;
    memcpy(window->nonces[window->count], nonce, sizeof window->nonces[0]);
    window->askers[window->count++] = asker;
    return true;
}

int64_t encl_window_wait_us(const encl_window *window, int64_t now_us)
{
    if (window->count == 0)
        return -1;
    return now_us < window->until_us ? window->until_us - now_us : 0;
}

bool encl_window_is_late(const encl_window *window, int64_t now_us)
{
    return window->count > 0 && now_us >= window->until_us && now_us - window->since_us >= ENCL_WINDOW_US;
}

void encl_window_end(encl_window *window, int64_t now_us)
{
    window->count = 0;
    window->until_us = now_us + ENCL_WINDOW_US;
}
