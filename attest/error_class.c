#include "attest/error_class.h"

#include <string.h>

#include "attest/intel_quote.h"

static const struct {
    rd_code code;
    const char *name;
} classes[] = {
    { RD_E_QUOTE_VERSION, "UnsupportedQuoteVersion" },
    { RD_E_QUOTE_KEYTYPE, "UnsupportedKeyType" },
    { RD_E_QUOTE_TYPE_MIX, "UnsupportedTeeType" },
    { RD_E_QE_VENDOR, "UnsupportedVendor" },
    { RD_E_CERT_TYPE, "UnsupportedCertData" },
    { RD_E_X509_FORMAT, "CertChainInvalid" },
    { RD_E_X509_DER_LIMIT, "CertChainInvalid" },
    { RD_E_CHAIN_SHAPE, "CertChainInvalid" },
    { RD_E_CHAIN_SIG, "CertChainInvalid" },
    { RD_E_CHAIN_USAGE, "CertChainInvalid" },
    { RD_E_CHAIN_PROFILE, "CertChainInvalid" },
    { RD_E_COLLATERAL_CHAIN, "CertChainInvalid" },
    { RD_E_PCK_EXT, "CertChainInvalid" },
    { RD_E_CHAIN_ROOT, "UntrustedRoot" },
    { RD_E_COLLATERAL_MISSING, "CollateralMissing" },
    { RD_E_CRL_MISSING, "CollateralMissing" },
    { RD_E_CRL_FORMAT, "CrlInvalid" },
    { RD_E_CRL_ISSUER, "CrlInvalid" },
    { RD_E_PCK_REVOKED, "CertRevoked" },
    { RD_E_CA_REVOKED, "CertRevoked" },
    { RD_E_TCB_MISMATCH, "TcbInfoMismatch" },
    { RD_E_TCB_UNSUPPORTED, "TcbNotSupported" },
    { RD_E_TDX_MODULE_TCB, "TcbNotSupported" },
    { RD_E_QE_TCB, "TcbNotSupported" },
    { RD_E_QE_IDENTITY, "QeIdentityMismatch" },
    { RD_E_QE_IDENTITY_ID, "QeIdentityMismatch" },
    { RD_E_QE_DEBUG, "QeIdentityMismatch" },
    { RD_E_QE_SIG, "QeReportSignature" },
    { RD_E_QE_BINDING, "QeReportData" },
    { RD_E_ATT_KEY, "QuoteSignature" },
    { RD_E_QUOTE_SIG, "QuoteSignature" },
    { RD_E_TDX_MODULE, "TdxModuleMismatch" },
    { RD_E_EVENTLOG, "EventLogMismatch" },
    { RD_E_RTMR, "EventLogMismatch" },
    { RD_E_SNP_VERSION, "UnsupportedReportVersion" },
    { RD_E_SNP_SIG, "ReportSignature" },
    { RD_E_SNP_PRODUCT, "ProductMismatch" },
    { RD_E_CHIP_ID, "ChipIdMismatch" },
    { RD_E_TCB_CERT_MISMATCH, "TcbVersionMismatch" },
    { RD_E_KEY_KIND, "SigningKeyMismatch" },
    { RD_E_RATLS_EXT, "CertChainInvalid" },
    { RD_E_RATLS_KEY, "CertChainInvalid" },
    { RD_E_RATLS_TIME, "CertExpired" },
    { RD_E_BINDING, "CertChainInvalid" },
};

static bool is_of_identity(const rd_verdict *verdict)
{
    return verdict->step_count > 0 && strcmp(verdict->steps[verdict->step_count - 1].name, "qe_identity") == 0;
}

static const char *class_of_time(const rd_verdict *verdict)
{
    if (verdict->reason == RD_E_CHAIN_TIME)
        return verdict->is_early ? "CertNotYetValid" : "CertExpired";
    if (verdict->reason == RD_E_CRL_TIME)
        return verdict->is_early ? "CrlNotYetValid" : "CrlExpired";
    if (is_of_identity(verdict))
        return verdict->is_early ? "QeIdentityNotYetValid" : "QeIdentityExpired";
    return verdict->is_early ? "TcbInfoNotYetValid" : "TcbInfoExpired";
}

const char *rd_error_class(const rd_verdict *verdict)
{
    bool has_known_body = verdict->claims.body_type >= RD_BODY_SGX && verdict->claims.body_type <= RD_BODY_TD_15_EX;
    switch (verdict->reason) {
    case RD_OK:
        return NULL;
    case RD_E_CHAIN_TIME:
    case RD_E_CRL_TIME:
    case RD_E_COLLATERAL_TIME:
        return class_of_time(verdict);
    case RD_E_COLLATERAL_SIG:
        return is_of_identity(verdict) ? "QeIdentitySignature" : "TcbInfoSignature";
    case RD_E_QUOTE_BODY_TYPE:
        return has_known_body ? "ParseError" : "UnsupportedBodyType";
    default:
        break;
    }
    if (verdict->is_short)
        return "CollateralMissing";
    for (size_t i = 0; i < RD_ARRAY_LEN(classes); i++)
        if (classes[i].code == verdict->reason)
            return classes[i].name;
    /* Lengths, reserved bytes, malformed collateral, unknown kinds. */
    return "ParseError";
}

const char *rd_policy_error_class(const rd_verdict *verdict, rd_code code)
{
    if (code == RD_E_TD_DEBUG)
        return "DebugNotAllowed";
    if (code == RD_E_KEY_KIND)
        return "SigningKeyNotAllowed";
    if (code == RD_E_CHIP_ID)
        return "ChipIdMismatch";
    if (code == RD_E_TCB_STATUS && verdict->tcb.status == RD_TCB_REVOKED)
        return "TcbRevoked";
    return "PolicyViolation";
}
