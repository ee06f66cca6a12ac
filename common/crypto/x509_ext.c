/* Names and extensions of certificates (RFC 5280, 4.1.2.4 and 4.2): those that anybody here asks for are read to their
 * end, the others are bytes. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509_der.h"
#include "common/crypto/x509_priv.h"

/* --- names --- */

static bool is_ascii(rd_bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] >= 0x80)
            return false;
    return true;
}

static bool is_text(uint8_t tag, rd_bytes text)
{
    return (tag == RD_DER_UTF8 && rd_is_utf8(text)) ||
           ((tag == RD_DER_PRINTABLE || tag == RD_DER_IA5) && is_ascii(text));
}

/* SEQUENCE of OID and text. Counts common names (2.5.4.3). */
static bool read_attribute(rd_bytes in, rd_bytes *common_name, size_t *count)
{
    static const uint8_t cn[] = { 0x55, 0x04, 0x03 };
    rd_bytes oid, text;
    uint8_t tag;
    if (!rd_der_take(&in, RD_DER_OID, &oid) || !rd_der_is_oid(oid) || !rd_der_next(&in, &tag, &text) || in.size != 0 ||
        !is_text(tag, text))
        return false;
    if (rd_bytes_equal(oid, RD_BYTES_ARRAY(cn))) {
        *common_name = text;
        (*count)++;
    }
    return true;
}

/* X.690, 11.6: a SET OF is in the order of its encodings. */
static bool read_set(rd_bytes set, rd_bytes *common_name, size_t *count)
{
    rd_bytes last = RD_BYTES_NULL, whole, attribute;
    if (set.size == 0)
        return false;
    while (set.size > 0) {
        if (!rd_der_take_whole(&set, RD_DER_SEQUENCE, &whole, &attribute) || rd_bytes_compare(last, whole) > 0 ||
            !read_attribute(attribute, common_name, count))
            return false;
        last = whole;
    }
    return true;
}

bool rd_x509_name_read(rd_bytes name, rd_bytes *ret_common_name)
{
    rd_bytes set;
    size_t count = 0;
    *ret_common_name = RD_BYTES_NULL;
    while (name.size > 0)
        if (!rd_der_take(&name, RD_DER_SET, &set) || !read_set(set, ret_common_name, &count))
            return false;
    if (count != 1)
        *ret_common_name = RD_BYTES_NULL;
    return true;
}

/* OtherName: OID, [0] with one element. */
static bool is_other_name(rd_bytes in)
{
    rd_bytes oid, box, value;
    uint8_t tag;
    return rd_der_take(&in, RD_DER_OID, &oid) && rd_der_is_oid(oid) && rd_der_take(&in, RD_DER_PART_BOX(0), &box) &&
           in.size == 0 && rd_der_next(&box, &tag, &value) && box.size == 0 && rd_x509_is_value(tag, value);
}

static bool is_directory_name(rd_bytes in)
{
    rd_bytes name, unused;
    return rd_der_take(&in, RD_DER_SEQUENCE, &name) && in.size == 0 && rd_x509_name_read(name, &unused);
}

/* X.400 addresses and EDI party names are none of anybody's here. */
static bool is_general_name(uint8_t tag, rd_bytes value)
{
    switch (tag) {
    case RD_DER_PART_BOX(0):
        return is_other_name(value);
    case RD_DER_PART(1): /* mail */
    case RD_DER_PART(2): /* DNS */
    case RD_X509_NAME_URI:
        return is_ascii(value);
    case RD_DER_PART_BOX(4):
        return is_directory_name(value);
    case RD_DER_PART(7): /* address */
        return true;
    case RD_DER_PART(8):
        return rd_der_is_oid(value);
    default:
        return false;
    }
}

typedef void (*name_visitor)(rd_cert *cert, uint8_t tag, rd_bytes value);

static void ignore_name(rd_cert *cert, uint8_t tag, rd_bytes value)
{
    (void)cert;
    (void)tag;
    (void)value;
}

static bool read_names(rd_cert *cert, rd_bytes names, name_visitor visit)
{
    rd_bytes value;
    uint8_t tag;
    if (names.size == 0)
        return false;
    while (names.size > 0) {
        if (!rd_der_next(&names, &tag, &value) || !is_general_name(tag, value))
            return false;
        visit(cert, tag, value);
    }
    return true;
}

/* --- the list of extensions --- */

bool rd_x509_extension_take(rd_bytes *in, rd_x509_extension *ret)
{
    rd_bytes parts, flag;
    if (!rd_der_take(in, RD_DER_SEQUENCE, &parts) || !rd_der_take(&parts, RD_DER_OID, &ret->oid) ||
        !rd_der_is_oid(ret->oid))
        return false;
    /* X.690, 11.1 and 11.5: TRUE is FF, and FALSE, the default, does not stand there. */
    ret->is_critical = rd_der_is_next(parts, RD_DER_BOOLEAN);
    if (ret->is_critical && (!rd_der_take(&parts, RD_DER_BOOLEAN, &flag) || flag.size != 1 || flag.data[0] != 0xff))
        return false;
    return rd_der_take(&parts, RD_DER_OCTET_STRING, &ret->value) && parts.size == 0;
}

bool rd_x509_extension_find(rd_bytes extensions, rd_bytes oid, rd_x509_extension *ret)
{
    while (rd_x509_extension_take(&extensions, ret))
        if (rd_bytes_equal(ret->oid, oid))
            return true;
    return false;
}

int rd_x509_extensions_check(rd_bytes extensions, rd_err *err)
{
    size_t count = 0;
    rd_x509_extension this, other;
    while (extensions.size > 0) {
        if (!rd_x509_extension_take(&extensions, &this))
            return rd_err_set(err, RD_E_X509_FORMAT, "an extension is not OID, flag and value");
        if (++count > RD_X509_EXTENSIONS_MAX)
            return rd_err_set(err, RD_E_X509_DER_LIMIT, "more than %d extensions", RD_X509_EXTENSIONS_MAX);
        /* RFC 5280, 4.2: no more than one instance of a particular extension. */
        if (rd_x509_extension_find(extensions, this.oid, &other))
            return rd_err_set(err, RD_E_X509_FORMAT, "an extension stands twice");
    }
    return 0;
}

/* --- those that are read --- */

static bool read_key_usage(rd_cert *cert, rd_bytes in)
{
    rd_bytes content, bits;
    unsigned unused = 0;
    if (!rd_der_take(&in, RD_DER_BIT_STRING, &content) || in.size != 0 || !rd_der_bits(content, &unused, &bits) ||
        bits.size == 0 || bits.size > 2)
        return false;
    cert->has_key_usage = true;
    cert->key_usage = bits.data[0];
    /* RFC 5280, 4.2.1.3: at least one bit is set. */
    return bits.data[0] != 0 || (bits.size == 2 && bits.data[1] != 0);
}

static bool read_basic_constraints(rd_cert *cert, rd_bytes in)
{
    rd_bytes parts, content;
    if (!rd_der_take(&in, RD_DER_SEQUENCE, &parts) || in.size != 0)
        return false;
    cert->is_ca = rd_der_is_next(parts, RD_DER_BOOLEAN);
    if (cert->is_ca && (!rd_der_take(&parts, RD_DER_BOOLEAN, &content) || content.size != 1 || content.data[0] != 0xff))
        return false;
    cert->has_path_length = parts.size > 0;
    return !cert->has_path_length || (rd_der_take(&parts, RD_DER_INTEGER, &content) && parts.size == 0 &&
                                      rd_der_uint(content, INT32_MAX, &cert->path_length));
}

static void keep_uri(rd_cert *cert, uint8_t tag, rd_bytes value)
{
    if (tag != RD_X509_NAME_URI || cert->san_uri_count == RD_ARRAY_LEN(cert->san_uris) ||
        (value.size && memchr(value.data, 0, value.size)))
        return;
    cert->san_uris[cert->san_uri_count++] = rd_strndup((const char *)value.data, value.size);
}

static bool read_alternative_names(rd_cert *cert, rd_bytes in)
{
    rd_bytes names;
    return rd_der_take(&in, RD_DER_SEQUENCE, &names) && in.size == 0 && read_names(cert, names, keep_uri);
}

static bool read_extended_usage(rd_cert *cert, rd_bytes in)
{
    rd_bytes usages, oid;
    (void)cert;
    if (!rd_der_take(&in, RD_DER_SEQUENCE, &usages) || in.size != 0 || usages.size == 0)
        return false;
    while (usages.size > 0)
        if (!rd_der_take(&usages, RD_DER_OID, &oid) || !rd_der_is_oid(oid))
            return false;
    return true;
}

static bool read_subject_key_id(rd_cert *cert, rd_bytes in)
{
    rd_bytes id;
    (void)cert;
    return rd_der_take(&in, RD_DER_OCTET_STRING, &id) && in.size == 0;
}

/* RFC 5280, 4.2.1.1: [0] key id, [1] names, [2] serial, each of them optional. */
static bool read_authority_key_id(rd_cert *cert, rd_bytes in)
{
    rd_bytes parts, part;
    if (!rd_der_take(&in, RD_DER_SEQUENCE, &parts) || in.size != 0)
        return false;
    if (rd_der_is_next(parts, RD_DER_PART(0)) && !rd_der_take(&parts, RD_DER_PART(0), &part))
        return false;
    if (rd_der_is_next(parts, RD_DER_PART_BOX(1)) &&
        (!rd_der_take(&parts, RD_DER_PART_BOX(1), &part) || !read_names(cert, part, ignore_name)))
        return false;
    if (rd_der_is_next(parts, RD_DER_PART(2)) &&
        (!rd_der_take(&parts, RD_DER_PART(2), &part) || !rd_der_natural(part, &part)))
        return false;
    return parts.size == 0;
}

/* RFC 5280, 4.2.1.13: [0] {[0] full name}, [1] reasons, [2] issuer; the first or the last is there. A name relative to
 * the issuer is none of ours. */
static bool read_distribution_point(rd_cert *cert, rd_bytes in)
{
    rd_bytes part, names;
    unsigned unused = 0;
    bool is_named = rd_der_is_next(in, RD_DER_PART_BOX(0));
    if (is_named && (!rd_der_take(&in, RD_DER_PART_BOX(0), &part) || !rd_der_take(&part, RD_DER_PART_BOX(0), &names) ||
                     part.size != 0 || !read_names(cert, names, ignore_name)))
        return false;
    if (rd_der_is_next(in, RD_DER_PART(1)) &&
        (!rd_der_take(&in, RD_DER_PART(1), &part) || !rd_der_bits(part, &unused, &part)))
        return false;
    if (!is_named && !rd_der_is_next(in, RD_DER_PART_BOX(2)))
        return false;
    if (rd_der_is_next(in, RD_DER_PART_BOX(2)) &&
        (!rd_der_take(&in, RD_DER_PART_BOX(2), &part) || !read_names(cert, part, ignore_name)))
        return false;
    return in.size == 0;
}

static bool read_distribution_points(rd_cert *cert, rd_bytes in)
{
    rd_bytes points, point;
    if (!rd_der_take(&in, RD_DER_SEQUENCE, &points) || in.size != 0 || points.size == 0)
        return false;
    while (points.size > 0)
        if (!rd_der_take(&points, RD_DER_SEQUENCE, &point) || !read_distribution_point(cert, point))
            return false;
    return true;
}

/* id-ce, 2.5.29, and the number under it. Where one must not be critical (RFC 5280, 4.2.1), one that is counts as
 * unknown. */
static const struct {
    uint8_t number;
    bool may_be_critical;
    bool (*read)(rd_cert *cert, rd_bytes value);
} readers[] = {
    { 14, false, read_subject_key_id },   { 15, true, read_key_usage },           { 17, true, read_alternative_names },
    { 19, true, read_basic_constraints }, { 31, true, read_distribution_points }, { 35, false, read_authority_key_id },
    { 37, true, read_extended_usage },
};

static bool read_extension(rd_cert *cert, const rd_x509_extension *extension)
{
    const uint8_t *oid = extension->oid.data;
    bool is_ours = extension->oid.size == 3 && oid[0] == 0x55 && oid[1] == 0x1d;
    for (size_t i = 0; is_ours && i < RD_ARRAY_LEN(readers); i++)
        if (readers[i].number == oid[2]) {
            cert->has_unknown_critical |= extension->is_critical && !readers[i].may_be_critical;
            return readers[i].read(cert, extension->value);
        }
    cert->has_unknown_critical |= extension->is_critical;
    return true;
}

bool rd_x509_extensions_read(rd_cert *cert)
{
    rd_bytes rest = cert->extensions;
    rd_x509_extension extension;
    while (rest.size > 0)
        if (!rd_x509_extension_take(&rest, &extension) || !read_extension(cert, &extension))
            return false;
    return true;
}
