/* signed_json: the range of signed bytes inside a PCS answer {"tcbInfo":{…},"signature":"…"}.
 * Used for TCB info and enclave identities. No canonical form exists: what was signed is what stands there, byte for
 * byte, so the range is found by walking the text and is then the only thing that is parsed. */
#ifndef RD_ATTEST_SIGNED_JSON_H
#define RD_ATTEST_SIGNED_JSON_H

#include "common/base/bytes.h"
#include "common/base/err.h"

/* member: "tcbInfo" or "enclaveIdentity". COLLATERAL_MISSING for no bytes; COLLATERAL_FORMAT for other or doubled
 * members, a body that is no object, a signature that is not 64 bytes of hex, anything behind the end. */
int rd_signed_json_split(rd_bytes text, const char *member, rd_bytes *ret_body, uint8_t ret_signature[64],
                         rd_err *err) RD_NODISCARD;

#endif
