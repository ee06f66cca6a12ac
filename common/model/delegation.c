#include "common/model/delegation.h"

#include "common/base/mem.h"
#include "common/model/canonical.h"

#include <string.h>

#define TYPE "redoubt/delegation/v1"

const char *const rd_may_names[] = { "release", "head", "secret", NULL };
const char *const rd_held_in_names[] = { "file", "browser", "hsm", NULL };

static int refuse_at(rd_err *err, const char *pointer, rd_code code, const char *sentence)
{
    (void)rd_err_set(err, code, "delegation: %s", sentence);
    return rd_err_at(err, pointer);
}

/* In the order of their bits, so that each set has one form. */
static int read_right(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    (void)index;
    unsigned *may = context;
    int bit;
    if (rd_json_enum(item, pointer, rd_may_names, &bit, err) < 0)
        return -1;
    if (*may >= 1u << bit)
        return refuse_at(err, pointer, RD_E_JSON_RANGE, "rights stand once each, in the order release, head, secret");
    *may |= 1u << bit;
    return 0;
}

static int read_rights(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 1, RD_ARRAY_LEN(rd_may_names) - 1, pointer, read_right, into, err);
}

static const rd_json_field fields[] = {
    { "app", RD_JSON_APP_ID, offsetof(rd_delegation, app), RD_REQUIRED },
    { "class", RD_JSON_ENUM, offsetof(rd_delegation, class), RD_REQUIRED, .names = rd_class_names },
    { "held_in", RD_JSON_ENUM, offsetof(rd_delegation, held_in), RD_REQUIRED, .names = rd_held_in_names },
    { "key", RD_JSON_KEY, offsetof(rd_delegation, key), RD_REQUIRED },
    { "may", RD_JSON_CUSTOM, offsetof(rd_delegation, may), RD_REQUIRED, .parse = read_rights },
    { "not_after", RD_JSON_TIME, offsetof(rd_delegation, not_after_us), RD_REQUIRED },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = TYPE },
    RD_JSON_END,
};

int rd_delegation_parse(rd_bytes canonical, rd_delegation *ret, rd_err *err)
{
    rd_delegation delegation = { .may = 0 };
    if (rd_document_load(canonical, TYPE, fields, &delegation, err) < 0)
        return rd_err_wrap(err, "delegation");
    if (delegation.held_in == RD_HELD_IN_BROWSER && delegation.class != RD_CLASS_SIMULATED)
        return refuse_at(err, "/held_in", RD_E_DELEGATION, "a key in a browser signs for class simulated alone");
    *ret = delegation;
    return 0;
}

int rd_delegation_encode(const rd_delegation *delegation, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    json_t *may = json_array();
    for (unsigned bit = 0; rd_may_names[bit]; bit++)
        if (delegation->may & 1u << bit)
            (void)json_array_append_new(may, json_string(rd_may_names[bit]));
    rd_json_set_str(document, "type", TYPE);
    rd_json_set_app_id(document, "app", &delegation->app);
    rd_json_set_b64(document, "key", RD_BYTES_ARRAY(delegation->key.b));
    rd_json_set(document, "may", may);
    rd_json_set_str(document, "class", rd_class_name(delegation->class));
    rd_json_set_str(document, "held_in", rd_held_in_names[delegation->held_in]);
    rd_json_set_time(document, "not_after", delegation->not_after_us);
    return rd_canonical_write(document, out, err);
}

int rd_delegation_accept(rd_bytes envelope_json, const rd_genesis *genesis, const rd_app_id *app, rd_delegation *ret,
                         rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { .signatures_count = 0 };
    if (rd_envelope_parse(envelope_json, &envelope, err) < 0 ||
        rd_envelope_verify(&envelope, genesis, RD_SIGN_DELEGATION, err) < 0)
        return rd_err_wrap(err, "delegation");
    rd_delegation delegation;
    if (rd_delegation_parse(rd_buf_bytes(&envelope.document), &delegation, err) < 0)
        return -1;
    if (!rd_app_id_equal(&delegation.app, app))
        return refuse_at(err, "/app", RD_E_GENESIS_MISMATCH, "of another app");
    *ret = delegation;
    return 0;
}

int rd_delegation_verify(const rd_envelope *envelope, const rd_genesis *genesis, const rd_app_id *app, unsigned may,
                         rd_sign_label label, rd_delegation *ret, rd_err *err)
{
    const rd_envelope_signature *given = &envelope->signatures[0];
    if (envelope->signatures_count != 1)
        return rd_err_set(err, RD_E_SIGNATURE, "what a delegation is for has one signature");
    if (rd_delegation_accept(rd_buf_bytes(&given->delegation), genesis, app, ret, err) < 0)
        return -1;
    if ((ret->may & may) != may)
        return refuse_at(err, "/may", RD_E_DELEGATION, "it does not give the right to sign this");
    if (!rd_public_key_equal(&given->key, &ret->key))
        return refuse_at(err, "/key", RD_E_SIGNATURE, "given to another key than the one that signed");
    if (rd_verify(&ret->key, label, rd_buf_bytes(&envelope->document), &given->signature, err) < 0)
        return rd_err_wrap(err, "purpose %s", rd_sign_label_text(label));
    return 0;
}
