#include "common/model/envelope.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <string.h>

void rd_envelope_init(rd_envelope *envelope, rd_bytes document)
{
    *envelope = (rd_envelope){ 0 };
    rd_buf_init(&envelope->document, RD_DOCUMENT_SIZE_MAX);
    (void)rd_buf_append_bytes(&envelope->document, document);
}

void rd_envelope_done(rd_envelope *envelope)
{
    for (size_t i = 0; i < RD_SIGNATURES_MAX; i++) {
        rd_buf_done(&envelope->signatures[i].delegation);
        rd_buf_done(&envelope->signatures[i].base);
    }
    rd_buf_done(&envelope->document);
}

static const rd_envelope_signature *find_key(const rd_envelope *envelope, const rd_public_key *key)
{
    for (size_t i = 0; i < envelope->signatures_count; i++)
        if (rd_public_key_equal(&envelope->signatures[i].key, key))
            return &envelope->signatures[i];
    return NULL;
}

int rd_envelope_sign(rd_envelope *envelope, const rd_signing_key *key, rd_sign_label label, rd_err *err)
{
    if (envelope->document.has_failed)
        return rd_err_set(err, RD_E_TOO_LARGE, "a document has at most %zu bytes", RD_DOCUMENT_SIZE_MAX);
    if (envelope->signatures_count == RD_SIGNATURES_MAX)
        return rd_err_set(err, RD_E_SIGNATURE, "a document has at most %d signatures", RD_SIGNATURES_MAX);
    if (find_key(envelope, rd_signing_key_public(key)))
        return rd_err_set(err, RD_E_SIGNATURE, "this key has signed already");
    rd_envelope_signature *added = &envelope->signatures[envelope->signatures_count];
    if (rd_sign(key, label, rd_buf_bytes(&envelope->document), &added->signature, err) < 0)
        return -1;
    added->key = *rd_signing_key_public(key);
    envelope->signatures_count++;
    return 0;
}

static const rd_json_field signature_fields[] = {
    { "base", RD_JSON_B64_BUF, offsetof(rd_envelope_signature, base), RD_OPTIONAL, .min = 1,
      .max = (int64_t)RD_ENVELOPE_SIZE_MAX },
    { "delegation", RD_JSON_B64_BUF, offsetof(rd_envelope_signature, delegation), RD_OPTIONAL, .min = 1,
      .max = (int64_t)RD_ENVELOPE_SIZE_MAX },
    { "key", RD_JSON_KEY, offsetof(rd_envelope_signature, key), RD_REQUIRED },
    { "signature", RD_JSON_B64, offsetof(rd_envelope_signature, signature), RD_REQUIRED, .max = RD_SIGNATURE_SIZE },
    RD_JSON_END,
};

static int read_signature(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_envelope *envelope = context;
    rd_envelope_signature *into = &envelope->signatures[index];
    if (rd_json_read(item, signature_fields, RD_UNKNOWN_REFUSED, pointer, into, err) < 0)
        return -1;
    if (find_key(envelope, &into->key)) {
        (void)rd_err_set(err, RD_E_SIGNATURE, "a key signed twice");
        return rd_err_at(err, pointer);
    }
    envelope->signatures_count = index + 1;
    return 0;
}

static int read_signatures(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 1, RD_SIGNATURES_MAX, pointer, read_signature, into, err);
}

static const rd_json_field envelope_fields[] = {
    { "document", RD_JSON_B64_BUF, offsetof(rd_envelope, document), RD_REQUIRED, .min = 1,
      .max = (int64_t)RD_DOCUMENT_SIZE_MAX },
    { "signatures", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_signatures },
    RD_JSON_END,
};

int rd_envelope_parse(rd_bytes json, rd_envelope *ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = RD_ENVELOPE_SIZE_MAX, .depth_max = 3, .integers_only = true };
    rd_envelope_init(ret, RD_BYTES_NULL);
    if (rd_json_load(json, &limits, envelope_fields, RD_UNKNOWN_REFUSED, ret, err) < 0)
        return rd_err_wrap(err, "envelope");
    return 0;
}

static void encode_part(rd_buf *out, const char *name, rd_bytes bytes)
{
    (void)rd_buf_printf(out, ",\"%s\":\"", name);
    (void)rd_buf_append_base64url(out, bytes);
    (void)rd_buf_append_str(out, "\"");
}

int rd_envelope_encode(const rd_envelope *envelope, rd_buf *out, rd_err *err)
{
    (void)rd_buf_append_str(out, "{\"document\":\"");
    (void)rd_buf_append_base64url(out, rd_buf_bytes(&envelope->document));
    (void)rd_buf_append_str(out, "\",\"signatures\":[");
    for (size_t i = 0; i < envelope->signatures_count; i++) {
        (void)rd_buf_append_str(out, i ? ",{\"key\":\"" : "{\"key\":\"");
        (void)rd_buf_append_base64url(out, RD_BYTES_ARRAY(envelope->signatures[i].key.b));
        (void)rd_buf_append_str(out, "\",\"signature\":\"");
        (void)rd_buf_append_base64url(out, RD_BYTES_ARRAY(envelope->signatures[i].signature.b));
        (void)rd_buf_append_str(out, "\"");
        if (envelope->signatures[i].delegation.size > 0)
            encode_part(out, "delegation", rd_buf_bytes(&envelope->signatures[i].delegation));
        if (envelope->signatures[i].base.size > 0)
            encode_part(out, "base", rd_buf_bytes(&envelope->signatures[i].base));
        (void)rd_buf_append_str(out, "}");
    }
    if (!rd_buf_append_str(out, "]}"))
        return rd_err_set(err, RD_E_TOO_LARGE, "no room for the envelope");
    return 0;
}

static bool is_owner(const rd_genesis *genesis, const rd_public_key *key)
{
    for (size_t i = 0; i < genesis->owners_count; i++)
        if (rd_public_key_equal(&genesis->owners[i], key))
            return true;
    return false;
}

bool rd_envelope_is_delegated(const rd_envelope *envelope)
{
    return envelope->signatures_count == 1 && envelope->signatures[0].delegation.size > 0;
}

/* What nothing reads would let one document have many envelopes. */
static bool is_bare(const rd_envelope_signature *given)
{
    return given->delegation.size == 0 && given->base.size == 0;
}

int rd_envelope_verify(const rd_envelope *envelope, const rd_genesis *genesis, rd_sign_label label, rd_err *err)
{
    for (size_t i = 0; i < envelope->signatures_count; i++) {
        const rd_envelope_signature *given = &envelope->signatures[i];
        if (!is_bare(given))
            return rd_err_set(err, RD_E_SIGNATURE, "signature %zu is not an owner's own", i);
        if (!is_owner(genesis, &given->key))
            return rd_err_set(err, RD_E_SIGNATURE, "signature %zu is by none of the app's owners", i);
        /* Parsing refuses a repeated key; envelopes built in memory are held to the same. */
        if (find_key(envelope, &given->key) != given)
            return rd_err_set(err, RD_E_SIGNATURE, "a key signed twice");
        if (rd_verify(&given->key, label, rd_buf_bytes(&envelope->document), &given->signature, err) < 0)
            return rd_err_wrap(err, "signature %zu, purpose %s", i, rd_sign_label_text(label));
    }
    if (envelope->signatures_count == 0 || envelope->signatures_count < genesis->threshold)
        return rd_err_set(err, RD_E_SIGNATURE, "%zu signatures, the owners' threshold is %u",
                          envelope->signatures_count, genesis->threshold);
    return 0;
}

int rd_envelope_verify_key(const rd_envelope *envelope, const rd_public_key *key, rd_sign_label label, rd_err *err)
{
    if (envelope->signatures_count != 1 || !is_bare(&envelope->signatures[0]) ||
        !rd_public_key_equal(&envelope->signatures[0].key, key))
        return rd_err_set(err, RD_E_SIGNATURE, "not signed by the key that it must be signed by, and by it alone");
    if (rd_verify(key, label, rd_buf_bytes(&envelope->document), &envelope->signatures[0].signature, err) < 0)
        return rd_err_wrap(err, "purpose %s", rd_sign_label_text(label));
    return 0;
}
