#include "enclave/runtime/rehearse.h"

#include <link.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "common/base/mem.h"
#include "common/crypto/hpke.h"
#include "common/crypto/sign.h"

#define STACK_SIZE ((size_t)80 << 10)
#define BLOCK_SIZE ((size_t)64 << 10)
#define BLOCKS     6
#define PAGE_BYTES 4096

static int rehearse_signatures(rd_err *err)
{
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = rd_signing_key_new();
    rd_signature signature;
    if (rd_ed25519_sign(key, RD_BYTES_LIT("warm"), &signature, err) < 0)
        return -1;
    return rd_ed25519_verify(rd_signing_key_public(key), RD_BYTES_LIT("warm"), &signature, err);
}

static int rehearse_sealing(rd_err *err)
{
    RD_CLEANUP(rd_secret_free_p) rd_secret *key = rd_secret_random(RD_X25519_SIZE);
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf opened = { 0 };
    uint8_t public_key[RD_X25519_SIZE];
    rd_x25519_public(key, public_key);
    if (rd_hpke_seal_once(public_key, RD_BYTES_NULL, RD_BYTES_NULL, RD_BYTES_LIT("warm"), rd_random_system(), &sealed,
                          err) < 0)
        return -1;
    return rd_hpke_open_once(key, RD_BYTES_NULL, RD_BYTES_NULL, rd_buf_bytes(&sealed), &opened, err);
}

int encl_rehearse_crypto(rd_err *err)
{
    uint8_t digest[RD_SHA512_SIZE];
    rd_sha256(RD_BYTES_LIT("warm"), digest);
    rd_sha384(RD_BYTES_LIT("warm"), digest);
    rd_sha512(RD_BYTES_LIT("warm"), digest);
    return rehearse_signatures(err) < 0 ? -1 : rehearse_sealing(err);
}

static __attribute__((noinline)) void touch_stack(void)
{
    volatile uint8_t room[STACK_SIZE];
    for (size_t i = 0; i < sizeof room; i += PAGE_BYTES)
        room[i] = 0;
}

/* Best effort: before Linux 5.14 the pages come one fault after the other. */
static int map_code(struct dl_phdr_info *library, size_t size, void *context)
{
    (void)size;
    (void)context;
    for (size_t i = 0; i < library->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &library->dlpi_phdr[i];
        uintptr_t from = (library->dlpi_addr + part->p_vaddr) & ~(uintptr_t)(PAGE_BYTES - 1);
        uintptr_t to = library->dlpi_addr + part->p_vaddr + part->p_memsz;
        if (part->p_type == PT_LOAD && (part->p_flags & PF_W) == 0)
            (void)madvise((void *)from, to - from, MADV_POPULATE_READ);
    }
    return 0;
}

void encl_rehearse_memory(void)
{
    void *blocks[BLOCKS];
    touch_stack();
    (void)dl_iterate_phdr(map_code, NULL);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_SIZE);
        for (size_t at = 0; blocks[i] && at < BLOCK_SIZE; at += PAGE_BYTES)
            ((volatile uint8_t *)blocks[i])[at] = 0;
    }
    for (size_t i = BLOCKS; i-- > 0;)
        free(blocks[i]);
}

void encl_rehearse_done(void)
{
    (void)mallopt(M_TRIM_THRESHOLD, 128 << 10);
    (void)malloc_trim(0);
}
