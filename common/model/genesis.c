#include "common/model/genesis.h"

#include "common/base/mem.h"
#include "common/model/canonical.h"

#include <string.h>

#define TYPE "redoubt/app-genesis/v1"

static const rd_json_field owner_fields[] = {
    { "alg", RD_JSON_CONST, 0, RD_REQUIRED, .text = "ed25519" },
    { "key", RD_JSON_KEY, 0, RD_REQUIRED },
    RD_JSON_END,
};

static int read_owner(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_genesis *genesis = context;
    if (rd_json_read(item, owner_fields, RD_UNKNOWN_REFUSED, pointer, &genesis->owners[index], err) < 0)
        return -1;
    for (size_t i = 0; i < index; i++) {
        if (rd_public_key_equal(&genesis->owners[i], &genesis->owners[index])) {
            (void)rd_err_set(err, RD_E_JSON_RANGE, "an owner stands twice");
            return rd_err_at(err, pointer);
        }
    }
    genesis->owners_count = (uint32_t)index + 1;
    return 0;
}

static int read_owners(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 1, RD_OWNERS_MAX, pointer, read_owner, into, err);
}

static const rd_json_field genesis_fields[] = {
    { "owners", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_owners },
    { "recovery", RD_JSON_NULL, 0, RD_REQUIRED },
    { "salt", RD_JSON_B64, offsetof(rd_genesis, salt), RD_REQUIRED, .max = RD_GENESIS_SALT_SIZE },
    { "threshold", RD_JSON_U32, offsetof(rd_genesis, threshold), RD_REQUIRED, .min = 1, .max = RD_OWNERS_MAX },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = TYPE },
    RD_JSON_END,
};

int rd_genesis_parse(rd_bytes canonical, rd_genesis *ret, rd_err *err)
{
    rd_genesis genesis = { 0 };
    if (rd_document_load(canonical, TYPE, genesis_fields, &genesis, err) < 0)
        return rd_err_wrap(err, "genesis");
    if (genesis.threshold > genesis.owners_count) {
        (void)rd_err_set(err, RD_E_JSON_RANGE, "genesis: threshold %u of %u owners", genesis.threshold,
                         genesis.owners_count);
        return rd_err_at(err, "/threshold");
    }
    *ret = genesis;
    return 0;
}

int rd_genesis_encode(const rd_genesis *genesis, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    json_t *owners = json_array();
    for (size_t i = 0; i < genesis->owners_count; i++) {
        json_t *owner = json_object();
        rd_json_set_str(owner, "alg", "ed25519");
        rd_json_set_b64(owner, "key", RD_BYTES_ARRAY(genesis->owners[i].b));
        (void)json_array_append_new(owners, owner);
    }
    rd_json_set(document, "owners", owners);
    rd_json_set_null(document, "recovery");
    rd_json_set_b64(document, "salt", RD_BYTES_ARRAY(genesis->salt));
    rd_json_set_int(document, "threshold", genesis->threshold);
    rd_json_set_str(document, "type", TYPE);
    return rd_canonical_write(document, out, err);
}

void rd_genesis_app_id(rd_bytes canonical, rd_app_id *ret)
{
    RD_H(ret->b, RD_HASH_APP_GENESIS, canonical);
}

int rd_genesis_open(rd_bytes canonical, const rd_app_id *app, rd_genesis *ret, rd_err *err)
{
    rd_app_id found;
    rd_genesis_app_id(canonical, &found);
    if (!rd_app_id_equal(&found, app))
        return rd_err_set(err, RD_E_GENESIS_MISMATCH, "the genesis hashes to another app");
    return rd_genesis_parse(canonical, ret, err);
}
