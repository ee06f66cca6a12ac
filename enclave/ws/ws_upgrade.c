#include "enclave/ws/ws_upgrade.h"

#include <openssl/evp.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/http/field.h"

#define KEY_SIZE 16
#define GUID     "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */

/* --- lists of words --------------------------------------------------------------------------------------------- */

/* The next item of a comma separated list (RFC 9110, 5.6.1), without the space around it; empty ones are passed over.
 */
static bool next_item(rd_bytes *list, rd_bytes *ret)
{
    while (list->size > 0) {
        const uint8_t *comma = memchr(list->data, ',', list->size);
        size_t size = comma == NULL ? list->size : (size_t)(comma - list->data);
        rd_bytes item = rd_bytes_of(list->data, size);
        size_t step = comma == NULL ? size : size + 1;
        *list = rd_bytes_of(list->data + step, list->size - step);
        while (item.size > 0 && (item.data[0] == ' ' || item.data[0] == '\t'))
            item = rd_bytes_of(item.data + 1, item.size - 1);
        while (item.size > 0 && (item.data[item.size - 1] == ' ' || item.data[item.size - 1] == '\t'))
            item.size--;
        *ret = item;
        if (item.size > 0)
            return true;
    }
    return false;
}

static bool field_holds(const rd_http_head *request, const char *name, const char *word)
{
    for (size_t i = 0; i < request->headers_count; i++) {
        rd_bytes list = request->headers[i].value, item;
        while (rd_http_is_named(request->headers[i].name, name) && next_item(&list, &item))
            if (rd_http_is_named(item, word))
                return true;
    }
    return false;
}

bool encl_ws_is_upgrade(const rd_http_head *request)
{
    return field_holds(request, "upgrade", "websocket");
}

/* --- the request ------------------------------------------------------------------------------------------------ */

/* A field that must be there once. */
static const rd_http_header *find_one(const rd_http_head *request, const char *name)
{
    const rd_http_header *found = NULL;
    for (size_t i = 0; i < request->headers_count; i++) {
        if (!rd_http_is_named(request->headers[i].name, name))
            continue;
        if (found != NULL)
            return NULL;
        found = &request->headers[i];
    }
    return found;
}

static int accept_key(rd_bytes key, encl_ws_upgrade *ret, rd_err *err)
{
    uint8_t nonce[KEY_SIZE], digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf accept = { 0 };
    if (rd_base64_decode((const char *)key.data, key.size, nonce, sizeof nonce) != KEY_SIZE)
        return rd_err_set(err, RD_E_WEBSOCKET, "Sec-WebSocket-Key is not the base64 form of 16 bytes");
    rd_buf_append_bytes(&text, key);
    rd_buf_append_str(&text, GUID);
    if (EVP_Digest(text.data, text.size, digest, &size, EVP_sha1(), NULL) != 1)
        return rd_err_set(err, RD_E_INTERNAL, "no SHA-1");
    rd_buf_append_base64(&accept, rd_bytes_of(digest, size));
    memcpy(ret->accept, accept.data, ENCL_WS_ACCEPT_SIZE);
    ret->accept[ENCL_WS_ACCEPT_SIZE] = 0;
    return 0;
}

static int add_offer(rd_bytes offer, encl_ws_upgrade *ret, size_t *size, rd_err *err)
{
    *size += offer.size;
    if (ret->offers_count == ENCL_WS_OFFERS_MAX || *size > ENCL_WS_OFFERS_SIZE)
        return rd_err_set(err, RD_E_WEBSOCKET, "more than %d subprotocols, or %zu bytes of them", ENCL_WS_OFFERS_MAX,
                          ENCL_WS_OFFERS_SIZE);
    if (!rd_http_is_token(offer))
        return rd_err_set(err, RD_E_WEBSOCKET, "a subprotocol is not a token");
    for (size_t i = 0; i < ret->offers_count; i++) /* RFC 6455, 4.1: each once */
        if (rd_bytes_equal(ret->offers[i], offer))
            return rd_err_set(err, RD_E_WEBSOCKET, "a subprotocol is offered twice");
    ret->offers[ret->offers_count++] = offer;
    return 0;
}

static int read_offers(const rd_http_head *request, encl_ws_upgrade *ret, rd_err *err)
{
    size_t size = 0;
    for (size_t i = 0; i < request->headers_count; i++) {
        rd_bytes list = request->headers[i].value, item;
        while (rd_http_is_named(request->headers[i].name, "sec-websocket-protocol") && next_item(&list, &item))
            if (add_offer(item, ret, &size, err) < 0)
                return -1;
    }
    return 0;
}

int encl_ws_upgrade_read(const rd_http_head *request, encl_ws_upgrade *ret, rd_err *err)
{
    *ret = (encl_ws_upgrade){ .offers_count = 0 };
    const rd_http_header *version = find_one(request, "sec-websocket-version");
    const rd_http_header *key = find_one(request, "sec-websocket-key");
    if (!rd_bytes_equal(request->method, RD_BYTES_LIT("GET")) || request->content_length != 0)
        return rd_err_set(err, RD_E_WEBSOCKET, "a WebSocket is opened by GET without a body");
    if (!field_holds(request, "connection", "upgrade"))
        return rd_err_set(err, RD_E_WEBSOCKET, "Connection does not hold Upgrade");
    if (version == NULL || !rd_bytes_equal(version->value, RD_BYTES_LIT("13")))
        return rd_err_set(err, RD_E_WEBSOCKET_VERSION, "only version 13 is spoken here");
    if (key == NULL)
        return rd_err_set(err, RD_E_WEBSOCKET, "Sec-WebSocket-Key must be there once");
    if (accept_key(key->value, ret, err) < 0)
        return -1;
    return read_offers(request, ret, err);
}

/* --- subprotocols ----------------------------------------------------------------------------------------------- */

static bool has_receipts(rd_bytes offer)
{
    size_t size = strlen(ENCL_WS_RECEIPTS);
    return offer.size >= size && memcmp(offer.data, ENCL_WS_RECEIPTS, size) == 0 &&
           (offer.size == size || (offer.data[size] == '+' && offer.size > size + 1));
}

rd_bytes encl_ws_offer_app(rd_bytes offer)
{
    size_t size = strlen(ENCL_WS_RECEIPTS);
    if (!has_receipts(offer))
        return offer;
    return offer.size == size ? RD_BYTES_NULL : rd_bytes_of(offer.data + size + 1, offer.size - size - 1);
}

bool encl_ws_choose(const encl_ws_upgrade *upgrade, rd_bytes app, rd_bytes *ret_offer, bool *ret_receipts)
{
    for (size_t i = 0; i < upgrade->offers_count; i++) {
        if (!rd_bytes_equal(encl_ws_offer_app(upgrade->offers[i]), app))
            continue;
        *ret_offer = upgrade->offers[i];
        *ret_receipts = has_receipts(upgrade->offers[i]);
        return true;
    }
    *ret_offer = RD_BYTES_NULL;
    *ret_receipts = false;
    return false;
}

void encl_ws_list_offers(const encl_ws_upgrade *upgrade, rd_buf *out)
{
    for (size_t i = 0; i < upgrade->offers_count; i++) {
        rd_bytes name = encl_ws_offer_app(upgrade->offers[i]);
        bool is_new = name.size > 0;
        for (size_t j = 0; j < i && is_new; j++)
            is_new = !rd_bytes_equal(encl_ws_offer_app(upgrade->offers[j]), name);
        if (!is_new)
            continue;
        if (out->size > 0)
            rd_buf_append_u8(out, ',');
        rd_buf_append_bytes(out, name);
    }
}
