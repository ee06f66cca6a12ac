// link: rd_model
/* Key configurations, sealed requests and sealed answers, whole and in chunks, from a stranger: read or refused with
 * SEAL, and never opened. */
#include "common/base/mem.h"
#include "common/model/ohttp_chunks.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_chunks(const rd_ohttp *exchange, rd_bytes bytes)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_ohttp_opener opener;
    rd_ohttp_opener_init(&opener, exchange);
    int status = rd_ohttp_opener_feed(&opener, bytes, &out, &err);
    if (status == 0)
        status = rd_ohttp_opener_end(&opener, &out, &err);
    rd_ohttp_opener_done(&opener);
    if (status == 0 || out.size > 0 || (err.code != RD_E_SEAL && err.code != RD_E_TRUNCATED))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rd_hpke_recipient *recipient;
    RD_CLEANUP(rd_secret_free_p) rd_secret *private_key = recipient ? NULL : rd_secret_random(RD_X25519_SIZE);
    if (!recipient)
        recipient = rd_hpke_recipient_new(private_key);
    rd_bytes bytes = rd_bytes_of(data, size);
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_ohttp_key key = { .id = size > 0 ? data[0] : 0 };
    rd_ohttp_key read;
    rd_ohttp exchange;
    if (rd_ohttp_keys_read(bytes, &read, &err) < 0 && err.code == RD_OK)
        abort();
    memset(&exchange, 0, sizeof exchange);
    if (rd_ohttp_open_request(&key, recipient, bytes, &exchange, &out, &err) == 0 || out.size > 0)
        abort();
    if (rd_ohttp_open_chunked(&key, recipient, bytes, &exchange, &out, &err) == 0 || out.size > 0)
        abort();
    exchange.hpke.aead = RD_HPKE_AES_128_GCM;
    open_chunks(&exchange, bytes);
    if (rd_ohttp_open_answer(&exchange, bytes, &out, &err) == 0 || out.size > 0 || err.code != RD_E_SEAL)
        abort();
    return 0;
}
