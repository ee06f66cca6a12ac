#include "tests/support/evidence_vectors.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "attest/intel_quote.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509.h"

const char *vec_root(void)
{
    const char *root = getenv("REDOUBT_VECTORS");
    struct stat info;
    if (!root)
        root = "../shared/vectors";
    return stat(root, &info) == 0 && S_ISDIR(info.st_mode) ? root : NULL;
}

static bool read_file(const char *path, rd_buf *out)
{
    FILE *file = fopen(path, "rb");
    uint8_t piece[4096];
    if (!file)
        return false;
    for (size_t got; (got = fread(piece, 1, sizeof piece, file)) > 0;)
        rd_buf_append(out, piece, got);
    fclose(file);
    return true;
}

static int64_t time_of(const json_t *value)
{
    int64_t time_us = 0;
    if (json_is_string(value) && rd_time_parse(json_string_value(value), json_string_length(value), &time_us) < 0)
        abort();
    return time_us;
}

bool vec_load(const char *root, const char *name, vec_case *ret)
{
    *ret = (vec_case){ 0 };
    snprintf(ret->name, sizeof ret->name, "%s", name);
    RD_CLEANUP(rd_free_p) char *dir = rd_asprintf("%s/%s", root, name);
    DIR *entries = opendir(dir);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, entry->d_name);
        if (entry->d_name[0] == '.' || ret->file_count == VEC_FILES_MAX)
            continue;
        vec_file *file = &ret->files[ret->file_count++];
        snprintf(file->name, sizeof file->name, "%.40s", entry->d_name);
        if (!read_file(path, &file->bytes))
            abort();
    }
    if (entries)
        closedir(entries);
    rd_buf *expect = vec_file_of(ret, "expect.json");
    ret->expect = expect ? json_loadb((const char *)expect->data, expect->size, 0, NULL) : NULL;
    ret->time_us = time_of(json_object_get(ret->expect, "verify_at"));
    rd_anchors_init(&ret->anchors);
    return ret->expect != NULL;
}

void vec_done(vec_case *c)
{
    json_decref(c->expect);
    for (size_t i = 0; i < c->file_count; i++)
        rd_buf_done(&c->files[i].bytes);
}

rd_buf *vec_file_of(vec_case *c, const char *name)
{
    for (size_t i = 0; name && i < c->file_count; i++)
        if (strcmp(c->files[i].name, name) == 0)
            return &c->files[i].bytes;
    return NULL;
}

/* --- mutations --- */

static const char *text(const json_t *mutation, const char *name)
{
    return json_string_value(json_object_get(mutation, name));
}

static size_t number(const json_t *mutation, const char *name)
{
    return (size_t)json_integer_value(json_object_get(mutation, name));
}

static void set_bytes(rd_buf *buf, rd_bytes bytes)
{
    RD_CLEANUP(rd_buf_done) rd_buf copy = { 0 };
    rd_buf_append_bytes(&copy, bytes);
    rd_buf_clear(buf);
    rd_buf_append_bytes(buf, rd_buf_bytes(&copy));
}

static void mutate_bytes(const json_t *m, const char *op, rd_buf *buf)
{
    uint8_t hex[2048] = { 0 };
    const char *digits = text(m, strcmp(op, "flip") == 0 ? "mask" : "hex");
    size_t size = digits ? strlen(digits) / 2 : 0, offset = number(m, "offset"), len = number(m, "len");
    if (digits && (size > sizeof hex || rd_hex_decode(digits, size * 2, hex, size) < 0))
        abort();
    for (size_t i = 0; strcmp(op, "flip") == 0 && i < len; i++)
        buf->data[offset + i] ^= hex[i % size];
    if (strcmp(op, "set") == 0)
        memcpy(buf->data + offset, hex, size);
    if (strcmp(op, "truncate") == 0)
        set_bytes(buf, rd_bytes_of(buf->data, len));
    if (strcmp(op, "append") == 0)
        rd_buf_append(buf, hex, size);
    for (size_t i = 0; strcmp(op, "reverse_range") == 0 && i < len / 2; i++) {
        uint8_t swap = buf->data[offset + i];
        buf->data[offset + i] = buf->data[offset + len - 1 - i];
        buf->data[offset + len - 1 - i] = swap;
    }
}

static void replace_all(rd_buf *buf, const char *find, const char *replace)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    for (size_t i = 0; i < buf->size;) {
        if (buf->size - i >= strlen(find) && memcmp(buf->data + i, find, strlen(find)) == 0) {
            rd_buf_append_str(&out, replace);
            i += strlen(find);
        } else {
            rd_buf_append(&out, buf->data + i++, 1);
        }
    }
    set_bytes(buf, rd_buf_bytes(&out));
}

static void mutate_json(const json_t *m, const char *op, rd_buf *buf)
{
    if (strcmp(op, "json_text") == 0)
        replace_all(buf, text(m, "find"), text(m, "replace"));
    if (strcmp(op, "json_reserialize") == 0) {
        json_t *root = json_loadb((const char *)buf->data, buf->size, 0, NULL);
        char *printed = json_dumps(root, JSON_INDENT(1));
        set_bytes(buf, rd_bytes_str(printed));
        free(printed);
        json_decref(root);
    }
    if (strcmp(op, "json_duplicate_key") == 0) {
        RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
        rd_buf_printf(&out, "{\"%s\":%s,", text(m, "key"), text(m, "value"));
        rd_buf_append(&out, buf->data + 1, buf->size - 1);
        set_bytes(buf, rd_buf_bytes(&out));
    }
    if (strcmp(op, "json_sig_zero") == 0) {
        uint8_t *at = memmem(buf->data, buf->size, "\"signature\":\"", 13);
        memset(at + 13, '0', 128);
    }
}

/* The nth PEM block, from BEGIN to the end of its END line. */
static rd_bytes pem_block(const rd_buf *pem, size_t index)
{
    const uint8_t *at = pem->data, *end = pem->data + pem->size;
    for (;; index--) {
        const uint8_t *begin = memmem(at, (size_t)(end - at), "-----BEGIN", 10);
        const uint8_t *stop = begin ? memmem(begin, (size_t)(end - begin), "-----END CERTIFICATE-----", 25) : NULL;
        if (!stop)
            abort();
        if (index == 0)
            return rd_bytes_of(begin, (size_t)(stop - begin) + 25);
        at = stop + 25;
    }
}

static void mutate_pem(const json_t *m, rd_buf *buf, const rd_buf *from)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_bytes old = pem_block(buf, number(m, "index"));
    size_t before = (size_t)(old.data - buf->data);
    rd_buf_append(&out, buf->data, before);
    if (from)
        rd_buf_append_bytes(&out, pem_block(from, number(m, "from_index")));
    rd_buf_append(&out, old.data + old.size, buf->size - before - old.size);
    set_bytes(buf, rd_buf_bytes(&out));
}

static void trust_only(vec_case *c, const rd_buf *pem)
{
    RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
    if (rd_cert_parse_pem(rd_buf_bytes(pem), &cert, NULL) < 0)
        abort();
    c->anchors = (rd_anchors){ .count = 1, .items = { { .class = RD_CLASS_HARDWARE, .tee = RD_TEE_TDX } } };
    rd_cert_fingerprint(cert, c->anchors.items[0].fingerprint);
}

/* Event number index of a CCEL: its bytes. */
static rd_bytes ccel_event(const rd_buf *log, size_t index)
{
    size_t at = 0;
    for (size_t i = 0;; i++) {
        size_t before = i == 0 ? 28 : 62; /* up to the size of the data */
        const uint8_t *p = log->data + at + before;
        size_t size = before + 4 + (size_t)(p[0] | p[1] << 8 | p[2] << 16);
        if (i == index + 1)
            return rd_bytes_of(log->data + at, size);
        at += size;
    }
}

static void mutate_ccel(const json_t *m, const char *op, rd_buf *buf)
{
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    bool is_swap = strcmp(op, "ccel_swap_events") == 0;
    rd_bytes first = ccel_event(buf, number(m, "index"));
    rd_bytes second = is_swap ? ccel_event(buf, number(m, "with_index")) : first;
    const uint8_t *behind = first.data + first.size, *end = buf->data + buf->size;
    rd_buf_append(&out, buf->data, (size_t)(first.data - buf->data));
    if (is_swap) {
        rd_buf_append_bytes(&out, second);
        rd_buf_append(&out, behind, (size_t)(second.data - behind));
        rd_buf_append_bytes(&out, first);
        behind = second.data + second.size;
    }
    rd_buf_append(&out, behind, (size_t)(end - behind));
    set_bytes(buf, rd_buf_bytes(&out));
}

static void mutate_events(const json_t *m, const char *op, rd_buf *buf)
{
    json_t *events = json_loadb((const char *)buf->data, buf->size, 0, NULL);
    for (size_t i = 0; i < json_array_size(events); i++) {
        json_t *event = json_array_get(events, i);
        const char *name = json_string_value(json_object_get(event, "event"));
        if (!name || strcmp(name, text(m, "event")) != 0)
            continue;
        if (strcmp(op, "json_event_drop") == 0)
            json_array_remove(events, i);
        else
            json_object_set_new(event, "event_payload", json_string(text(m, "payload_hex")));
        break;
    }
    char *printed = json_dumps(events, JSON_COMPACT);
    set_bytes(buf, rd_bytes_str(printed));
    free(printed);
    json_decref(events);
}

bool vec_mutate(const char *root, vec_case *c, const json_t *m)
{
    const char *op = text(m, "op");
    rd_buf *buf = vec_file_of(c, text(m, "file"));
    vec_case from = { 0 };
    bool has_from = text(m, "from_case") && vec_load(root, text(m, "from_case"), &from);
    const char *from_file = text(m, "from_file") ? text(m, "from_file") : text(m, "file");
    rd_buf *other = has_from ? vec_file_of(&from, from_file) : NULL;
    bool is_known = true;
    if (json_object_get(m, "verify_at"))
        c->time_us = time_of(json_object_get(m, "verify_at"));
    if (strcmp(op, "verify_at") == 0)
        c->time_us = time_of(json_object_get(m, "value"));
    else if (strcmp(op, "trust_root") == 0)
        trust_only(c, other);
    else if (strcmp(op, "delete_file") == 0)
        set_bytes(buf, RD_BYTES_NULL);
    else if (strcmp(op, "replace_file") == 0)
        set_bytes(buf, rd_buf_bytes(other));
    else if (strncmp(op, "pem_", 4) == 0)
        mutate_pem(m, buf, other);
    else if (strcmp(op, "option") == 0)
        is_known = false;
    else if (strncmp(op, "ccel_", 5) == 0)
        mutate_ccel(m, op, buf);
    else if (strncmp(op, "json_event", 10) == 0)
        mutate_events(m, op, buf);
    else if (strncmp(op, "json_", 5) == 0)
        mutate_json(m, op, buf);
    else
        mutate_bytes(m, op, buf);
    if (has_from)
        vec_done(&from);
    return is_known;
}

/* --- verifying --- */

static rd_bytes piece(vec_case *c, const char *name)
{
    rd_buf *buf = vec_file_of(c, name);
    return buf ? rd_buf_bytes(buf) : RD_BYTES_NULL;
}

static void append_all(vec_case *c, rd_buf *out)
{
    static const char *const names[] = { "vcek.der", "vlek.der", "ask.pem", "asvk.pem", "ark.pem" };
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++)
        rd_buf_append_bytes(out, piece(c, names[i]));
}

rd_code vec_verify(vec_case *c, rd_verdict *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf snp_chain = { 0 };
    append_all(c, &snp_chain);
    rd_collateral collateral = { .pck_crl = piece(c, "pck_crl.der"),
                                 .pck_crl_chain = piece(c, "pck_crl_issuer_chain.pem"),
                                 .root_ca_crl = piece(c, "root_ca_crl.der"),
                                 .tcb_info = piece(c, "tcb_info.json"),
                                 .tcb_info_chain = piece(c, "tcb_info_issuer_chain.pem"),
                                 .qe_identity = piece(c, "qe_identity.json"),
                                 .qe_identity_chain = piece(c, "qe_identity_issuer_chain.pem"),
                                 .snp_chain = rd_buf_bytes(&snp_chain) };
    rd_bytes quote = piece(c, vec_file_of(c, "report.bin") ? "report.bin" : "quote.bin");
    rd_attest_input input = {
        .quote = quote, .collateral = &collateral, .anchors = &c->anchors, .time_us = c->time_us
    };
    return rd_attest_verify(&input, ret, err) == 0 ? RD_OK : err->code;
}

rd_code vec_replay(vec_case *c, rd_register_log *ret, rd_err *err)
{
    rd_intel_quote quote;
    rd_tdx_claims tdx;
    uint8_t report_data[64];
    int rc = vec_file_of(c, "ccel.bin") ? rd_ccel_replay(piece(c, "ccel.bin"), ret, err)
                                        : rd_dstack_replay(piece(c, "event_log.json"), ret, err);
    if (rc < 0)
        return err->code;
    if (!vec_file_of(c, "quote.bin"))
        return RD_OK;
    if (rd_intel_quote_parse(piece(c, "quote.bin"), &quote, err) < 0)
        return err->code;
    rd_td_report_read(quote.body, &tdx, report_data);
    return rd_register_log_check(ret, &tdx, err) == 0 ? RD_OK : err->code;
}

/* The vectors' error classes in our codes. */
static const struct {
    rd_code code;
    const char *classes; /* space-separated */
} class_table[] = {
    { RD_E_QUOTE_TRUNCATED, "ParseError" },
    { RD_E_QUOTE_LENGTH, "ParseError" },
    { RD_E_QUOTE_TRAILING, "ParseError" },
    { RD_E_QUOTE_RESERVED, "ParseError QuoteSignature" },
    { RD_E_QUOTE_TOO_BIG, "ParseError" },
    { RD_E_QUOTE_VERSION, "UnsupportedQuoteVersion" },
    { RD_E_QUOTE_KEYTYPE, "UnsupportedKeyType" },
    { RD_E_QUOTE_TYPE_MIX, "UnsupportedTeeType UnsupportedBodyType" },
    { RD_E_QUOTE_BODY_TYPE, "UnsupportedBodyType ParseError" },
    { RD_E_QE_VENDOR, "UnsupportedVendor" },
    { RD_E_CERT_TYPE, "UnsupportedCertData" },
    { RD_E_EVIDENCE_TYPE, "ParseError UnsupportedQuoteVersion" },
    { RD_E_X509_FORMAT, "ParseError CertChainInvalid" },
    { RD_E_X509_DER_LIMIT, "ParseError CertChainInvalid" },
    { RD_E_CHAIN_SHAPE, "CertChainInvalid" },
    { RD_E_CHAIN_SIG, "CertChainInvalid" },
    { RD_E_CHAIN_USAGE, "CertChainInvalid" },
    { RD_E_CHAIN_PROFILE, "CertChainInvalid" },
    { RD_E_CHAIN_ROOT, "UntrustedRoot" },
    { RD_E_CHAIN_TIME, "CertExpired CertNotYetValid" },
    { RD_E_COLLATERAL_CHAIN, "CertChainInvalid" },
    { RD_E_COLLATERAL_MISSING, "CollateralMissing" },
    { RD_E_COLLATERAL_FORMAT, "ParseError" },
    { RD_E_COLLATERAL_SIG, "TcbInfoSignature QeIdentitySignature" },
    { RD_E_COLLATERAL_TIME, "TcbInfoExpired TcbInfoNotYetValid QeIdentityExpired QeIdentityNotYetValid" },
    { RD_E_CRL_MISSING, "CollateralMissing CrlMissing" },
    { RD_E_CRL_FORMAT, "CrlInvalid ParseError" },
    { RD_E_CRL_ISSUER, "CrlInvalid CrlIssuerMismatch" },
    { RD_E_CRL_TIME, "CrlExpired CrlNotYetValid" },
    { RD_E_PCK_REVOKED, "CertRevoked" },
    { RD_E_CA_REVOKED, "CertRevoked" },
    { RD_E_PCK_EXT, "CertChainInvalid ParseError" },
    { RD_E_TCB_MISMATCH, "TcbInfoMismatch" },
    { RD_E_TCB_COMPONENTS, "ParseError TcbInfoMismatch" },
    { RD_E_TCB_UNSUPPORTED, "TcbNotSupported" },
    { RD_E_QE_IDENTITY, "QeIdentityMismatch" },
    { RD_E_QE_IDENTITY_ID, "QeIdentityMismatch" },
    { RD_E_QE_DEBUG, "QeIdentityMismatch" },
    { RD_E_QE_TCB, "TcbNotSupported" },
    { RD_E_QE_SIG, "QeReportSignature" },
    { RD_E_QE_BINDING, "QeReportData" },
    { RD_E_ATT_KEY, "QuoteSignature ParseError" },
    { RD_E_QUOTE_SIG, "QuoteSignature" },
    { RD_E_TDX_MODULE, "TdxModuleMismatch" },
    { RD_E_TD_DEBUG, "DebugNotAllowed" },
    { RD_E_EVENTLOG, "EventLogMismatch ParseError" },
    { RD_E_RTMR, "EventLogMismatch" },
    { RD_E_SNP_FORMAT, "ParseError" },
    { RD_E_SNP_VERSION, "UnsupportedReportVersion" },
    { RD_E_SNP_SIG, "ReportSignature" },
    { RD_E_SNP_PRODUCT, "ProductMismatch" },
    { RD_E_CHIP_ID, "ChipIdMismatch" },
    { RD_E_TCB_CERT_MISMATCH, "TcbVersionMismatch" },
    { RD_E_KEY_KIND, "SigningKeyMismatch SigningKeyNotAllowed" },
};

bool vec_class_fits(rd_code code, const char *error_class)
{
    size_t size = error_class ? strlen(error_class) : 0;
    for (size_t i = 0; size > 0 && i < RD_ARRAY_LEN(class_table); i++) {
        const char *at = class_table[i].code == code ? class_table[i].classes : "";
        for (; (at = strstr(at, error_class)); at += size)
            if ((at == class_table[i].classes || at[-1] == ' ') && (at[size] == ' ' || at[size] == 0))
                return true;
    }
    return false;
}

bool vec_error_fits(rd_code code, const json_t *expect)
{
    if (vec_class_fits(code, json_string_value(json_object_get(expect, "error_class"))))
        return true;
    const json_t *also = json_object_get(expect, "also_acceptable");
    for (size_t i = 0; i < json_array_size(also); i++)
        if (vec_class_fits(code, json_string_value(json_array_get(also, i))))
            return true;
    return false;
}
