#include "common/model/receipt_record.h"

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/receipt_priv.h"

#include <inttypes.h>
#include <string.h>

static void read_leaf(rd_cursor *cursor, rd_receipt_leaf *ret, bool *ret_is_known)
{
    uint8_t kind = rd_cursor_u8(cursor);
    *ret = (rd_receipt_leaf){ .claims = RD_BYTES_NULL };
    *ret_is_known = kind == RD_LEAF_CLAIMS || kind == RD_LEAF_SEALED;
    if (kind == RD_LEAF_CLAIMS) {
        ret->claims = rd_cursor_take(cursor, rd_cursor_u16be(cursor));
        rd_tree_leaf(ret->claims, &ret->digest);
    } else {
        rd_cursor_copy(cursor, ret->digest.b, sizeof ret->digest.b);
    }
}

int rd_receipt_record_parse(rd_bytes bytes, rd_receipt_record *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    if (bytes.size > RD_RECEIPT_RECORD_SIZE_MAX || rd_cursor_u8(&cursor) != RD_RECEIPT_RECORD_VERSION)
        return rd_err_set(err, RD_E_RECEIPT_RECORD, "not a record of receipts");
    rd_cursor_copy(&cursor, ret->signature.b, sizeof ret->signature.b);
    ret->payload = rd_cursor_take(&cursor, rd_cursor_u16be(&cursor));
    if (!rd_cursor_is_ok(&cursor))
        return rd_err_set(err, RD_E_RECEIPT_RECORD, "a record of receipts is cut short");
    if (rd_receipt_root_parse(ret->payload, &ret->root, err) < 0)
        return -1;
    rd_digest digests[RD_TREE_LEAVES_MAX], tree;
    for (uint32_t i = 0; i < ret->root.count; i++) {
        bool is_known;
        read_leaf(&cursor, &ret->leaves[i], &is_known);
        digests[i] = ret->leaves[i].digest;
        if (!is_known || ret->leaves[i].claims.size > RD_CLAIMS_SIZE_MAX)
            return rd_err_set(err, RD_E_RECEIPT_RECORD, "leaf %u of a record of receipts is of no known form", i);
    }
    if (!rd_cursor_is_done(&cursor))
        return rd_err_set(err, RD_E_RECEIPT_RECORD, "a record of receipts is cut short or too long");
    rd_tree_build(digests, ret->root.count, &tree, NULL);
    if (!rd_digest_equal(&tree, &ret->root.root))
        return rd_err_set(err, RD_E_RECEIPT_PATH, "the leaves do not lead to the root that was signed");
    return 0;
}

static int check_claims(const rd_receipt_record *record, uint32_t index, rd_err *err)
{
    rd_receipt_claims claims;
    uint64_t seq = record->root.first + index;
    if (record->leaves[index].claims.size == 0)
        return 0;
    if (rd_receipt_claims_parse(record->leaves[index].claims, &claims, err) < 0)
        return rd_err_wrap(err, "receipt %" PRIu64, seq);
    if (claims.seq != seq || memcmp(claims.instance, record->root.instance, sizeof claims.instance) != 0)
        return rd_err_set(err, RD_E_RECEIPT_CLAIMS, "receipt %" PRIu64 " is at another's place", seq);
    return 0;
}

int rd_receipt_record_verify(const rd_receipt_record *record, const rd_public_key *key, rd_err *err)
{
    uint8_t thumbprint[32];
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_jwk_thumbprint(key, thumbprint);
    if (memcmp(thumbprint, record->root.instance, sizeof thumbprint) != 0)
        return rd_err_set(err, RD_E_RECEIPT_CLAIMS, "the receipts are of another instance's key");
    /* RFC 7515, 5.2, step 8: protected '.' payload */
    (void)rd_receipt_put_protected(thumbprint, &text);
    (void)rd_buf_append_u8(&text, '.');
    (void)rd_buf_append_base64url(&text, record->payload);
    if (rd_ed25519_verify(key, rd_buf_bytes(&text), &record->signature, err) < 0)
        return -1;
    for (uint32_t i = 0; i < record->root.count; i++)
        if (check_claims(record, i, err) < 0)
            return -1;
    return 0;
}
