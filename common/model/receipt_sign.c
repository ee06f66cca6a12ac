#include "common/model/receipt_priv.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/canonical.h"
#include "common/model/receipt_record.h"

#include <stdlib.h>
#include <string.h>

/* Buffers live as long as the signer, so that a burst allocates nothing once they have grown. */
struct rd_receipt_signer {
    const rd_signing_key *key;
    uint8_t instance[32];
    uint64_t next_seq;
    bool has_prev;
    rd_digest prev;
    rd_buf protected_text;
    rd_buf claims;                       /* texts of a burst, one after the other */
    size_t ends[RD_TREE_LEAVES_MAX + 1]; /* text i is ends[i]..ends[i + 1] */
    rd_digest leaves[RD_TREE_LEAVES_MAX];
    size_t count; /* of the last burst */
    rd_signature signature;
    rd_buf root;        /* root statement */
    rd_buf signed_text; /* protected '.' payload (RFC 7515, 5.1) */
    rd_buf receipt;
};

rd_receipt_signer *rd_receipt_signer_new(const rd_signing_key *key)
{
    rd_receipt_signer *signer = rd_alloc(sizeof *signer);
    signer->key = key;
    signer->next_seq = 1;
    rd_jwk_thumbprint(rd_signing_key_public(key), signer->instance);
    (void)rd_receipt_put_protected(signer->instance, &signer->protected_text);
    return signer;
}

rd_receipt_signer *rd_receipt_signer_free(rd_receipt_signer *signer)
{
    if (!signer)
        return NULL;
    rd_buf_done(&signer->protected_text);
    rd_buf_done(&signer->claims);
    rd_buf_done(&signer->root);
    rd_buf_done(&signer->signed_text);
    rd_buf_done(&signer->receipt);
    free(signer);
    return NULL;
}

void rd_receipt_signer_free_p(rd_receipt_signer **signer)
{
    *signer = rd_receipt_signer_free(*signer);
}

const uint8_t *rd_receipt_signer_instance(const rd_receipt_signer *signer)
{
    return signer->instance;
}

uint64_t rd_receipt_signer_next_seq(const rd_receipt_signer *signer)
{
    return signer->next_seq;
}

static rd_bytes claims_text(const rd_receipt_signer *signer, size_t index)
{
    size_t start = signer->ends[index];
    return rd_bytes_of(signer->claims.data + start, signer->ends[index + 1] - start);
}

static void write_claims(rd_receipt_signer *signer, rd_receipt_claims *claims, size_t count)
{
    signer->count = 0; /* until it is signed */
    rd_buf_clear(&signer->claims);
    signer->ends[0] = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(claims[i].instance, signer->instance, sizeof claims[i].instance);
        claims[i].seq = signer->next_seq + i;
        (void)rd_receipt_claims_encode(&claims[i], &signer->claims);
        signer->ends[i + 1] = signer->claims.size;
        rd_tree_leaf(claims_text(signer, i), &signer->leaves[i]);
    }
}

static int sign_root(rd_receipt_signer *signer, const rd_digest *tree, size_t count, rd_err *err)
{
    rd_receipt_root root = { .first = signer->next_seq,
                             .count = (uint32_t)count,
                             .root = *tree,
                             .has_prev = signer->has_prev,
                             .prev = signer->prev };
    memcpy(root.instance, signer->instance, sizeof root.instance);
    rd_buf_clear(&signer->root);
    rd_buf_clear(&signer->signed_text);
    (void)rd_receipt_root_encode(&root, &signer->root);
    (void)rd_buf_append_bytes(&signer->signed_text, rd_buf_bytes(&signer->protected_text));
    (void)rd_buf_append_u8(&signer->signed_text, '.');
    if (!rd_buf_append_base64url(&signer->signed_text, rd_buf_bytes(&signer->root)))
        return rd_err_set(err, RD_E_TOO_LARGE, "receipt root");
    return rd_ed25519_sign(signer->key, rd_buf_bytes(&signer->signed_text), &signer->signature, err);
}

static void put_path(rd_buf *out, const rd_tree_path *path)
{
    for (size_t i = 0; i < path->count; i++) {
        char text[RD_DIGEST_TEXT_SIZE];
        rd_digest_format(&path->siblings[i], text);
        (void)rd_buf_append_str(out, i ? ",\"" : "\"");
        (void)rd_buf_append(out, text, sizeof text - 1);
        (void)rd_buf_append_u8(out, '"');
    }
}

static bool put_receipt(rd_receipt_signer *signer, size_t index, const rd_tree_path *path, rd_buf *out)
{
    rd_buf *receipt = &signer->receipt;
    size_t header_size = signer->protected_text.size;
    rd_bytes signed_text = rd_buf_bytes(&signer->signed_text);
    rd_buf_clear(receipt);
    (void)rd_buf_append_str(receipt, "{\"claims\":");
    (void)rd_buf_append_bytes(receipt, claims_text(signer, index));
    (void)rd_buf_append_str(receipt, ",\"index\":");
    (void)rd_canonical_put_int(receipt, (int64_t)index);
    (void)rd_buf_append_str(receipt, ",\"path\":[");
    put_path(receipt, path);
    (void)rd_buf_append_str(receipt, "],\"root\":{\"payload\":\"");
    (void)rd_buf_append(receipt, signed_text.data + header_size + 1, signed_text.size - header_size - 1);
    (void)rd_buf_append_str(receipt, "\",\"protected\":\"");
    (void)rd_buf_append(receipt, signed_text.data, header_size);
    (void)rd_buf_append_str(receipt, "\",\"signature\":\"");
    (void)rd_buf_append_base64url(receipt, RD_BYTES_ARRAY(signer->signature.b));
    return rd_buf_append_str(receipt, "\"}}") && rd_buf_append_base64url(out, rd_buf_bytes(receipt));
}

int rd_receipt_sign_burst(rd_receipt_signer *signer, rd_receipt_claims *claims, size_t count, rd_buf *const *out,
                          rd_err *err)
{
    if (count < 1 || count > RD_TREE_LEAVES_MAX)
        return rd_err_set(err, RD_E_INTERNAL, "a burst of %zu answers, not 1..%d", count, RD_TREE_LEAVES_MAX);
    rd_tree_path paths[RD_TREE_LEAVES_MAX];
    rd_digest tree;
    write_claims(signer, claims, count);
    rd_tree_build(signer->leaves, count, &tree, paths);
    if (sign_root(signer, &tree, count, err) < 0)
        return rd_err_wrap(err, "receipts");
    bool is_written = true;
    for (size_t i = 0; i < count; i++)
        if (out[i])
            is_written = put_receipt(signer, i, &paths[i], out[i]) && is_written;
    /* The numbers are used up: a root with them is signed, whether or not every receipt found its place. */
    signer->next_seq += count;
    signer->count = count;
    signer->has_prev = true;
    rd_receipt_root_chain(rd_buf_bytes(&signer->root), &signer->prev);
    return is_written ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "no room for a receipt");
}

static bool put_leaf(const rd_receipt_signer *signer, size_t index, bool is_sealed, rd_buf *out)
{
    if (is_sealed)
        return rd_buf_append_u8(out, RD_LEAF_SEALED) &&
               rd_buf_append_bytes(out, RD_BYTES_ARRAY(signer->leaves[index].b));
    rd_bytes claims = claims_text(signer, index);
    return rd_buf_append_u8(out, RD_LEAF_CLAIMS) && rd_buf_append_u16be(out, (uint16_t)claims.size) &&
           rd_buf_append_bytes(out, claims);
}

bool rd_receipt_signer_record(const rd_receipt_signer *signer, const bool *is_sealed, rd_buf *out)
{
    bool fits = signer->count > 0 && rd_buf_append_u8(out, RD_RECEIPT_RECORD_VERSION) &&
                rd_buf_append_bytes(out, RD_BYTES_ARRAY(signer->signature.b)) &&
                rd_buf_append_u16be(out, (uint16_t)signer->root.size) &&
                rd_buf_append_bytes(out, rd_buf_bytes(&signer->root));
    for (size_t i = 0; fits && i < signer->count; i++)
        fits = put_leaf(signer, i, is_sealed[i], out);
    return fits && out->size <= RD_RECEIPT_RECORD_SIZE_MAX;
}
