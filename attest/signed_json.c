#include "attest/signed_json.h"

#include <string.h>

#include "common/base/text.h"

#define DEPTH_MAX 16

/* A reader over text that never looks past its end. */
typedef struct reader {
    rd_bytes text;
    size_t at;
} reader;

static int peek(const reader *in)
{
    return in->at < in->text.size ? in->text.data[in->at] : -1;
}

static void skip_space(reader *in)
{
    while (peek(in) == ' ' || peek(in) == '\t' || peek(in) == '\r' || peek(in) == '\n')
        in->at++;
}

static bool take(reader *in, char c)
{
    skip_space(in);
    if (peek(in) != c)
        return false;
    in->at++;
    return true;
}

/* A string; the range is between the quotes, escapes as they stand. */
static bool take_string(reader *in, rd_bytes *ret)
{
    if (!take(in, '"'))
        return false;
    size_t start = in->at;
    for (; in->at < in->text.size; in->at++) {
        if (peek(in) == '"') {
            *ret = rd_bytes_of(in->text.data + start, in->at - start);
            in->at++;
            return true;
        }
        if (peek(in) == '\\')
            in->at++;
    }
    return false;
}

/* An object with its braces. */
static bool take_object(reader *in, rd_bytes *ret)
{
    skip_space(in);
    size_t start = in->at, depth = 0;
    if (peek(in) != '{')
        return false;
    while (in->at < in->text.size) {
        uint8_t c = in->text.data[in->at];
        rd_bytes string;
        if (c == '"') {
            if (!take_string(in, &string))
                return false;
            continue;
        }
        in->at++;
        if ((c == '{' || c == '[') && ++depth > DEPTH_MAX)
            return false;
        if ((c == '}' || c == ']') && --depth == 0) {
            *ret = rd_bytes_of(in->text.data + start, in->at - start);
            return c == '}';
        }
    }
    return false;
}

static int read_member(reader *in, const char *member, rd_bytes *body, rd_bytes *signature, rd_err *err)
{
    rd_bytes name;
    if (!take_string(in, &name) || !take(in, ':'))
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "not a JSON object of %s and signature", member);
    bool is_body = rd_bytes_equal(name, rd_bytes_str(member));
    if (!is_body && !rd_bytes_equal(name, RD_BYTES_LIT("signature")))
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "a member beside %s and signature", member);
    if ((is_body ? body : signature)->data)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s stands twice", is_body ? member : "signature");
    if (is_body ? !take_object(in, body) : !take_string(in, signature))
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s is malformed", is_body ? member : "signature");
    return 0;
}

int rd_signed_json_split(rd_bytes text, const char *member, rd_bytes *ret_body, uint8_t ret_signature[64], rd_err *err)
{
    reader in = { .text = text };
    rd_bytes body = RD_BYTES_NULL, signature = RD_BYTES_NULL;
    if (text.size == 0)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "no %s", member);
    if (!take(&in, '{'))
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "not a JSON object");
    do {
        if (read_member(&in, member, &body, &signature, err) < 0)
            return -1;
    } while (take(&in, ','));
    if (!take(&in, '}'))
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "the JSON object does not end");
    skip_space(&in);
    if (in.at != text.size)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%zu bytes behind the JSON object", text.size - in.at);
    if (!body.data || !signature.data)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s or signature is missing", member);
    if (rd_hex_decode((const char *)signature.data, signature.size, ret_signature, 64) < 0)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "signature is not 64 bytes of hex");
    *ret_body = body;
    return 0;
}
