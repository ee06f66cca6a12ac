#include "attest/intel_quote.h"

#include <string.h>

#include "common/base/cursor.h"

#define KEY_ECDSA_P256 2

/* Intel's QE vendor id, 939a7233-f79c-4ca9-940a-0db3957f0607, in the order of the quote. */
static const uint8_t intel_vendor[16] = { 0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                          0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07 };

bool rd_intel_has_vendor(rd_bytes quote)
{
    return quote.size >= 28 && memcmp(quote.data + 12, intel_vendor, sizeof intel_vendor) == 0;
}

static size_t body_size(rd_body_type type)
{
    switch (type) {
    case RD_BODY_SGX:
        return RD_SGX_REPORT_SIZE;
    case RD_BODY_TD_10:
        return RD_TD_REPORT_10_SIZE;
    case RD_BODY_TD_15:
        return RD_TD_REPORT_15_SIZE;
    case RD_BODY_TD_15_EX:
        return RD_TD_REPORT_15_EX_SIZE;
    }
    return 0;
}

static int truncated(const char *where, rd_err *err)
{
    return rd_err_set(err, RD_E_QUOTE_TRUNCATED, "the quote ends inside its %s", where);
}

static int check_tee_type(const rd_intel_quote *quote, rd_err *err)
{
    bool is_known = quote->tee_type == RD_TEE_TYPE_SGX || (quote->version > 3 && quote->tee_type == RD_TEE_TYPE_TDX);
    if (is_known)
        return 0;
    return rd_err_set(err, RD_E_QUOTE_TYPE_MIX, "TEE type 0x%08x in a quote of version %u", quote->tee_type,
                      quote->version);
}

/* attestation.md 1.1 */
static int read_header(rd_cursor *in, rd_intel_quote *quote, rd_err *err)
{
    quote->version = rd_cursor_u16le(in);
    uint16_t key_type = rd_cursor_u16le(in);
    quote->tee_type = rd_cursor_u32le(in);
    uint32_t reserved = rd_cursor_u32le(in);
    rd_bytes vendor = rd_cursor_take(in, 16);
    rd_cursor_skip(in, 20);
    if (!rd_cursor_is_ok(in))
        return truncated("header", err);
    if (quote->version < 3 || quote->version > 5)
        return rd_err_set(err, RD_E_QUOTE_VERSION, "quote version %u, expected 3, 4 or 5", quote->version);
    if (key_type != KEY_ECDSA_P256)
        return rd_err_set(err, RD_E_QUOTE_KEYTYPE, "attestation key type %u, expected 2 (ECDSA P-256)", key_type);
    if (check_tee_type(quote, err) < 0)
        return -1;
    if (memcmp(vendor.data, intel_vendor, sizeof intel_vendor) != 0)
        return rd_err_set(err, RD_E_QE_VENDOR, "the quoting enclave's vendor is not Intel");
    if (quote->tee_type == RD_TEE_TYPE_TDX && reserved != 0)
        return rd_err_set(err, RD_E_QUOTE_RESERVED, "reserved bytes of the header are 0x%08x", reserved);
    return 0;
}

static int read_descriptor(rd_cursor *in, rd_intel_quote *quote, rd_err *err)
{
    quote->body_type = quote->tee_type == RD_TEE_TYPE_TDX ? RD_BODY_TD_10 : RD_BODY_SGX;
    if (quote->version < 5)
        return 0;
    uint16_t type = rd_cursor_u16le(in);
    uint32_t size = rd_cursor_u32le(in);
    if (!rd_cursor_is_ok(in))
        return truncated("body descriptor", err);
    quote->body_type = (rd_body_type)type;
    if (body_size(quote->body_type) == 0)
        return rd_err_set(err, RD_E_QUOTE_BODY_TYPE, "body type %u is not known", type);
    if (size != body_size(quote->body_type))
        return rd_err_set(err, RD_E_QUOTE_BODY_TYPE, "body of type %u has %u bytes, expected %zu", type, size,
                          body_size(quote->body_type));
    if ((type == RD_BODY_SGX) != (quote->tee_type == RD_TEE_TYPE_SGX))
        return rd_err_set(err, RD_E_QUOTE_TYPE_MIX, "body type %u with TEE type 0x%08x", type, quote->tee_type);
    return 0;
}

static int read_body(rd_bytes bytes, rd_cursor *in, rd_intel_quote *quote, rd_err *err)
{
    if (read_descriptor(in, quote, err) < 0)
        return -1;
    quote->body = rd_cursor_take(in, body_size(quote->body_type));
    quote->signed_range = rd_bytes_of(bytes.data, rd_cursor_offset(in));
    return rd_cursor_is_ok(in) ? 0 : truncated("body", err);
}

static int contradiction(const char *what, uint64_t declared, uint64_t expected, rd_err *err)
{
    return rd_err_set(err, RD_E_QUOTE_LENGTH, "%s of %llu bytes, its parts have %llu", what,
                      (unsigned long long)declared, (unsigned long long)expected);
}

/* What is known about the declared sizes is compared before what is missing: a cut quote says TRUNCATED, a quote whose
 * sizes contradict each other says LENGTH, wherever it ends. */
static int read_certification(rd_cursor *in, uint64_t room, rd_intel_quote *quote, rd_err *err)
{
    uint16_t auth_size = rd_cursor_u16le(in);
    if (rd_cursor_is_ok(in) && (uint64_t)auth_size + 8 > room)
        return contradiction("signature data", room, (uint64_t)auth_size + 8, err);
    quote->qe_auth_data = rd_cursor_take(in, auth_size);
    quote->cert_type = rd_cursor_u16le(in);
    uint32_t cert_size = rd_cursor_u32le(in);
    if (!rd_cursor_is_ok(in))
        return truncated("signature data", err);
    if ((uint64_t)auth_size + 8 + cert_size != room)
        return contradiction("signature data", room, (uint64_t)auth_size + 8 + cert_size, err);
    quote->cert_data = rd_cursor_take(in, cert_size);
    return rd_cursor_is_ok(in) ? 0 : truncated("certification data", err);
}

/* Version 4 and 5 wrap the QE report into certification data of type 6. Returns the room inside. */
static int read_wrapper(rd_cursor *in, uint32_t size, uint64_t *room, rd_err *err)
{
    uint16_t type = rd_cursor_u16le(in);
    uint32_t outer = rd_cursor_u32le(in);
    if (!rd_cursor_is_ok(in))
        return truncated("signature data", err);
    if (type != RD_CERT_DATA_QE_REPORT)
        return rd_err_set(err, RD_E_CERT_TYPE, "outer certification data type %u, expected 6", type);
    if (*room < 6 || outer != *room - 6)
        return contradiction("signature data", size, (uint64_t)outer + 134, err);
    *room -= 6;
    return 0;
}

/* attestation.md 1.4 */
static int read_signature_data(rd_cursor *in, rd_intel_quote *quote, rd_err *err)
{
    uint32_t size = rd_cursor_u32le(in);
    if (!rd_cursor_is_ok(in))
        return truncated("signature data length", err);
    if (size < 128)
        return contradiction("signature data", size, 128, err);
    uint64_t room = size - 128;
    quote->signature = rd_cursor_take(in, 64);
    quote->attestation_key = rd_cursor_take(in, 64);
    if (quote->version > 3 && read_wrapper(in, size, &room, err) < 0)
        return -1;
    if (room < RD_SGX_REPORT_SIZE + 64)
        return contradiction("QE report data", room, RD_SGX_REPORT_SIZE + 64, err);
    quote->qe_report = rd_cursor_take(in, RD_SGX_REPORT_SIZE);
    quote->qe_report_signature = rd_cursor_take(in, 64);
    return read_certification(in, room - RD_SGX_REPORT_SIZE - 64, quote, err);
}

static int check_rest(rd_cursor *in, rd_intel_quote *quote, rd_err *err)
{
    rd_bytes rest = rd_cursor_rest(in);
    for (size_t i = 0; i < rest.size; i++)
        if (rest.data[i] != 0)
            return rd_err_set(err, RD_E_QUOTE_TRAILING, "%zu bytes behind the quote that are not zero", rest.size);
    quote->padding = rest.size;
    return 0;
}

int rd_intel_quote_parse(rd_bytes bytes, rd_intel_quote *ret, rd_err *err)
{
    *ret = (rd_intel_quote){ 0 };
    rd_cursor in = rd_cursor_of(bytes);
    if (read_header(&in, ret, err) < 0 || read_body(bytes, &in, ret, err) < 0 || read_signature_data(&in, ret, err) < 0)
        return -1;
    return check_rest(&in, ret, err);
}

static void read_extended(rd_cursor *in, rd_tdx_ex_claims *ret)
{
    ret->vm_id = rd_cursor_u8(in);
    rd_cursor_copy(in, ret->td_id, sizeof ret->td_id);
    rd_cursor_copy(in, ret->dev_info, sizeof ret->dev_info);
    rd_cursor_copy(in, ret->init_service_td, sizeof ret->init_service_td);
    rd_cursor_copy(in, ret->init_service_td_attributes, sizeof ret->init_service_td_attributes);
    rd_cursor_copy(in, ret->init_cpu_svn, sizeof ret->init_cpu_svn);
    rd_cursor_copy(in, ret->init_tee_tcb_svn, sizeof ret->init_tee_tcb_svn);
    rd_cursor_copy(in, ret->init_fmspc, sizeof ret->init_fmspc);
    rd_cursor_copy(in, ret->service_td, sizeof ret->service_td);
    rd_cursor_copy(in, ret->service_td_attributes, sizeof ret->service_td_attributes);
}

/* attestation.md 1.3 */
void rd_td_report_read(rd_bytes body, rd_tdx_claims *ret, uint8_t ret_report_data[64])
{
    rd_cursor in = rd_cursor_of(body);
    *ret = (rd_tdx_claims){ 0 };
    rd_cursor_copy(&in, ret->tee_tcb_svn, sizeof ret->tee_tcb_svn);
    rd_cursor_copy(&in, ret->mr_seam, sizeof ret->mr_seam);
    rd_cursor_copy(&in, ret->mr_signer_seam, sizeof ret->mr_signer_seam);
    rd_cursor_copy(&in, ret->seam_attributes, sizeof ret->seam_attributes);
    rd_cursor_copy(&in, ret->td_attributes, sizeof ret->td_attributes);
    rd_cursor_copy(&in, ret->xfam, sizeof ret->xfam);
    rd_cursor_copy(&in, ret->mr_td, sizeof ret->mr_td);
    rd_cursor_copy(&in, ret->mr_config_id, sizeof ret->mr_config_id);
    rd_cursor_copy(&in, ret->mr_owner, sizeof ret->mr_owner);
    rd_cursor_copy(&in, ret->mr_owner_config, sizeof ret->mr_owner_config);
    for (size_t i = 0; i < RD_ARRAY_LEN(ret->rtmr); i++)
        rd_cursor_copy(&in, ret->rtmr[i], sizeof ret->rtmr[i]);
    rd_cursor_copy(&in, ret_report_data, 64);
    if (body.size < RD_TD_REPORT_15_SIZE)
        return;
    ret->has_15 = true;
    rd_cursor_copy(&in, ret->tee_tcb_svn_2, sizeof ret->tee_tcb_svn_2);
    rd_cursor_copy(&in, ret->mr_service_td, sizeof ret->mr_service_td);
    ret->has_ex = body.size == RD_TD_REPORT_15_EX_SIZE;
    if (ret->has_ex)
        read_extended(&in, &ret->ex);
}

/* attestation.md 1.2 */
void rd_sgx_report_read(rd_bytes body, rd_sgx_claims *ret, uint8_t ret_report_data[64])
{
    rd_cursor in = rd_cursor_of(body);
    *ret = (rd_sgx_claims){ 0 };
    rd_cursor_copy(&in, ret->cpu_svn, sizeof ret->cpu_svn);
    rd_cursor_copy(&in, ret->misc_select, sizeof ret->misc_select);
    rd_cursor_skip(&in, 12);
    rd_cursor_copy(&in, ret->isv_ext_prod_id, sizeof ret->isv_ext_prod_id);
    rd_cursor_copy(&in, ret->attributes, sizeof ret->attributes);
    rd_cursor_copy(&in, ret->mr_enclave, sizeof ret->mr_enclave);
    rd_cursor_skip(&in, 32);
    rd_cursor_copy(&in, ret->mr_signer, sizeof ret->mr_signer);
    rd_cursor_skip(&in, 32);
    rd_cursor_copy(&in, ret->config_id, sizeof ret->config_id);
    ret->isv_prod_id = rd_cursor_u16le(&in);
    ret->isv_svn = rd_cursor_u16le(&in);
    ret->config_svn = rd_cursor_u16le(&in);
    rd_cursor_skip(&in, 42);
    rd_cursor_copy(&in, ret->isv_family_id, sizeof ret->isv_family_id);
    rd_cursor_copy(&in, ret_report_data, 64);
}
