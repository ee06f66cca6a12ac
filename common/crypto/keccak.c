#include "common/crypto/keccak.h"

#include <string.h>

#define RATE 136 /* bytes: 1600 bits less twice 256 */

static uint64_t rotate(uint64_t word, unsigned by)
{
    return by == 0 ? word : word << by | word >> (64 - by);
}

/* FIPS 202, 3.2.5: the round constants come out of a linear feedback shift register. */
static uint64_t round_constant(uint8_t *lfsr)
{
    uint64_t constant = 0;

    for (unsigned j = 0; j < 7; j++) {
        if (*lfsr & 1)
            constant |= UINT64_C(1) << ((1u << j) - 1);
        *lfsr = (uint8_t)(*lfsr << 1 ^ (*lfsr & 0x80 ? 0x71 : 0));
    }
    return constant;
}

/* FIPS 202, 3.2: theta, rho, pi, chi and iota; lane (x, y) is a[x + 5y]. */
static void permute(uint64_t a[25])
{
    uint8_t lfsr = 1;

    for (unsigned round = 0; round < 24; round++) {
        uint64_t c[5], row[5];
        for (unsigned x = 0; x < 5; x++)
            c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        for (unsigned i = 0; i < 25; i++)
            a[i] ^= c[(i + 4) % 5] ^ rotate(c[(i + 1) % 5], 1);
        uint64_t carried = a[1];
        unsigned x = 1, y = 0;
        for (unsigned t = 0; t < 24; t++) {
            unsigned next = (2 * x + 3 * y) % 5;
            x = y;
            y = next;
            uint64_t kept = a[x + 5 * y];
            a[x + 5 * y] = rotate(carried, (t + 1) * (t + 2) / 2 % 64);
            carried = kept;
        }
        for (y = 0; y < 25; y += 5) {
            memcpy(row, a + y, sizeof(row));
            for (x = 0; x < 5; x++)
                a[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
        }
        a[0] ^= round_constant(&lfsr);
    }
}

static void absorb(uint64_t state[25], const uint8_t block[RATE])
{
    for (size_t i = 0; i < RATE; i++)
        state[i / 8] ^= (uint64_t)block[i] << 8 * (i % 8);
    permute(state);
}

void rd_keccak256(rd_bytes bytes, uint8_t out[RD_KECCAK256_SIZE])
{
    uint64_t state[25] = { 0 };
    uint8_t last[RATE] = { 0 };

    while (bytes.size >= RATE) {
        absorb(state, bytes.data);
        bytes = rd_bytes_of(bytes.data + RATE, bytes.size - RATE);
    }
    if (bytes.size > 0)
        memcpy(last, bytes.data, bytes.size);
    last[bytes.size] = 0x01;
    last[RATE - 1] |= 0x80;
    absorb(state, last);
    for (size_t i = 0; i < RD_KECCAK256_SIZE; i++)
        out[i] = (uint8_t)(state[i / 8] >> 8 * (i % 8));
}
