#include "attest/pck.h"

#include <string.h>

#include "common/crypto/x509_der.h"

/* 1.2.840.113741.1.13.1, content octets; entries append their arcs. */
static const uint8_t arc[] = { 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01 };

enum { PPID = 1, TCB, PCE_ID, FMSPC, SGX_TYPE, PIID, CONFIGURATION };
enum { TCB_PCE_SVN = 17, TCB_CPU_SVN = 18 };

/* Reads entries of (OID, value) in a SEQUENCE; each seen once. */
typedef int (*entry_reader)(uint8_t id, uint8_t tag, rd_bytes value, rd_pck_claims *ret);

static bool has_arc(rd_bytes oid, const uint8_t *prefix, size_t prefix_size)
{
    return oid.size == prefix_size + 1 && memcmp(oid.data, prefix, prefix_size) == 0 && oid.data[prefix_size] < 32;
}

static int read_entries(rd_bytes in, const uint8_t *prefix, size_t prefix_size, entry_reader read_entry,
                        rd_pck_claims *ret, uint32_t *ret_seen, rd_err *err)
{
    *ret_seen = 0;
    while (in.size > 0) {
        rd_bytes entry, oid, value;
        uint8_t tag;
        if (!rd_der_take(&in, RD_DER_SEQUENCE, &entry) || !rd_der_take(&entry, RD_DER_OID, &oid) ||
            !rd_der_next(&entry, &tag, &value) || entry.size != 0)
            return rd_err_set(err, RD_E_PCK_EXT, "an entry is not a pair of OID and value");
        if (!has_arc(oid, prefix, prefix_size))
            return rd_err_set(err, RD_E_PCK_EXT, "an entry with a foreign OID");
        uint8_t id = oid.data[prefix_size];
        if (*ret_seen & 1u << id)
            return rd_err_set(err, RD_E_PCK_EXT, "entry %u stands twice", id);
        *ret_seen |= 1u << id;
        if (read_entry(id, tag, value, ret) < 0)
            return rd_err_set(err, RD_E_PCK_EXT, "entry %u is malformed or unknown", id);
    }
    return 0;
}

static int copy_octets(uint8_t tag, rd_bytes value, uint8_t *out, size_t size)
{
    if (tag != RD_DER_OCTET_STRING || value.size != size)
        return -1;
    memcpy(out, value.data, size);
    return 0;
}

static int read_tcb_entry(uint8_t id, uint8_t tag, rd_bytes value, rd_pck_claims *ret)
{
    uint32_t number = 0;
    if (id == TCB_CPU_SVN)
        return copy_octets(tag, value, ret->cpu_svn, sizeof ret->cpu_svn);
    if (id == 0 || id > TCB_CPU_SVN || tag != RD_DER_INTEGER)
        return -1;
    if (!rd_der_uint(value, id == TCB_PCE_SVN ? 65535 : 255, &number))
        return -1;
    if (id == TCB_PCE_SVN)
        ret->pce_svn = (uint16_t)number;
    else
        ret->sgx_svn[id - 1] = (uint8_t)number;
    return 0;
}

static int read_tcb(uint8_t tag, rd_bytes value, rd_pck_claims *ret)
{
    uint8_t prefix[sizeof arc + 1];
    memcpy(prefix, arc, sizeof arc);
    prefix[sizeof arc] = TCB;
    uint32_t seen = 0;
    if (tag != RD_DER_SEQUENCE || read_entries(value, prefix, sizeof prefix, read_tcb_entry, ret, &seen, NULL) < 0)
        return -1;
    return seen == ((1u << 19) - 2) ? 0 : -1;
}

static int read_configuration_entry(uint8_t id, uint8_t tag, rd_bytes value, rd_pck_claims *ret)
{
    /* X.690, 11.1: TRUE is FF. */
    if (tag != RD_DER_BOOLEAN || value.size != 1 || (value.data[0] != 0 && value.data[0] != 0xff))
        return -1;
    bool is_set = value.data[0] != 0;
    if (id == 1)
        ret->is_dynamic_platform = is_set;
    else if (id == 2)
        ret->has_cached_keys = is_set;
    else if (id == 3)
        ret->has_smt = is_set;
    else
        return -1;
    return 0;
}

static int read_configuration(uint8_t tag, rd_bytes value, rd_pck_claims *ret)
{
    uint8_t prefix[sizeof arc + 1];
    memcpy(prefix, arc, sizeof arc);
    prefix[sizeof arc] = CONFIGURATION;
    uint32_t seen = 0;
    if (tag != RD_DER_SEQUENCE ||
        read_entries(value, prefix, sizeof prefix, read_configuration_entry, ret, &seen, NULL) < 0)
        return -1;
    ret->has_configuration = true;
    return 0;
}

static int read_entry(uint8_t id, uint8_t tag, rd_bytes value, rd_pck_claims *ret)
{
    uint32_t type = 0;
    switch (id) {
    case PPID:
        return copy_octets(tag, value, ret->ppid, sizeof ret->ppid);
    case TCB:
        return read_tcb(tag, value, ret);
    case PCE_ID:
        return copy_octets(tag, value, ret->pce_id, sizeof ret->pce_id);
    case FMSPC:
        return copy_octets(tag, value, ret->fmspc, sizeof ret->fmspc);
    case SGX_TYPE:
        if (tag != RD_DER_ENUMERATED || !rd_der_uint(value, 2, &type))
            return -1;
        ret->sgx_type = (uint8_t)type;
        return 0;
    case PIID:
        ret->has_piid = true;
        return copy_octets(tag, value, ret->piid, sizeof ret->piid);
    case CONFIGURATION:
        return read_configuration(tag, value, ret);
    default:
        return -1;
    }
}

int rd_pck_parse(rd_bytes extension, bool is_platform_ca, rd_pck_claims *ret, rd_err *err)
{
    *ret = (rd_pck_claims){ 0 };
    rd_bytes entries;
    uint32_t seen = 0;
    if (!rd_der_take(&extension, RD_DER_SEQUENCE, &entries) || extension.size != 0)
        return rd_err_set(err, RD_E_PCK_EXT, "not one SEQUENCE");
    if (read_entries(entries, arc, sizeof arc, read_entry, ret, &seen, err) < 0)
        return -1;
    uint32_t required = 1u << PPID | 1u << TCB | 1u << PCE_ID | 1u << FMSPC | 1u << SGX_TYPE;
    if ((seen & required) != required)
        return rd_err_set(err, RD_E_PCK_EXT, "PPID, TCB, PCEID, FMSPC or SGX type is missing");
    /* PCK profile: only the platform CA's leaves have an instance id and a configuration, and they have the id. */
    if (!is_platform_ca && (ret->has_piid || ret->has_configuration))
        return rd_err_set(err, RD_E_PCK_EXT, "a processor CA's certificate with platform entries");
    if (is_platform_ca && !ret->has_piid)
        return rd_err_set(err, RD_E_PCK_EXT, "a platform CA's certificate without platform instance id");
    return 0;
}

int rd_pck_read(const rd_cert *leaf, bool is_platform_ca, rd_pck_claims *ret, rd_err *err)
{
    rd_bytes value;
    if (!rd_cert_extension(leaf, RD_PCK_EXTENSION_OID, &value))
        return rd_err_set(err, RD_E_PCK_EXT, "the certificate has no SGX extension");
    if (rd_pck_parse(value, is_platform_ca, ret, err) < 0)
        return rd_err_wrap(err, "SGX extension");
    return 0;
}
