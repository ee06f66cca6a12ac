#include "api/host_fault.h"

api_fault api_fault_of(rd_code code)
{
    switch (code) {
    case RD_E_COLLATERAL_MISSING:
    case RD_E_COLLATERAL_FORMAT:
    case RD_E_COLLATERAL_SIG:
    case RD_E_COLLATERAL_CHAIN:
    case RD_E_COLLATERAL_TIME:
    case RD_E_COLLATERAL_AGE:
    case RD_E_CRL_FORMAT:
    case RD_E_CRL_MISSING:
    case RD_E_CRL_TIME:
    case RD_E_CRL_ISSUER:
        return API_FAULT_PLANE;
    /* What the agent shows is not what it named, is not evidence, or is not there. */
    case RD_E_DIGEST_MISMATCH:
    case RD_E_EVIDENCE_MISSING:
    case RD_E_EVIDENCE_TYPE:
    case RD_E_EVIDENCE_FORMAT:
    case RD_E_TOO_LARGE:
    /* No genuine quote. */
    case RD_E_QUOTE_TRUNCATED:
    case RD_E_QUOTE_TRAILING:
    case RD_E_QUOTE_LENGTH:
    case RD_E_QUOTE_TOO_BIG:
    case RD_E_QUOTE_VERSION:
    case RD_E_QUOTE_TYPE_MIX:
    case RD_E_QUOTE_KEYTYPE:
    case RD_E_QUOTE_BODY_TYPE:
    case RD_E_QUOTE_RESERVED:
    case RD_E_QUOTE_SIG:
    case RD_E_ATT_KEY:
    case RD_E_QE_SIG:
    case RD_E_QE_BINDING:
    case RD_E_SNP_FORMAT:
    case RD_E_SNP_SIG:
    case RD_E_CHIP_ID:
    case RD_E_CHAIN_SIG:
    case RD_E_CHAIN_ROOT:
    /* A genuine one for something else: another statement, another question, another log. */
    case RD_E_BINDING:
    case RD_E_STATEMENT:
    case RD_E_NONCE:
    case RD_E_RTMR:
    case RD_E_EVENTLOG:
        return API_FAULT_HOST;
    default:
        return API_FAULT_POLICY;
    }
}
