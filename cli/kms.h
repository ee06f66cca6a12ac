/* kms: a key service as this machine knows it: its genesis, evidence from a build on this machine's own list, and
 * whether its id is trusted here. Used by kms, secrets, deploy and verify. The plane carries all of it and is believed
 * for none: the id is the hash of the genesis, evidence attests the genesis, and what is trusted stands in the state
 * folder. */
#ifndef CLI_KMS_H
#define CLI_KMS_H

#include "attest/attest.h"
#include "cli/client.h"
#include "cli/collateral.h"
#include "common/model/kms_genesis.h"

typedef struct cli_kms {
    rd_kms_id id;
    char text[RD_KMS_ID_TEXT_SIZE];
    rd_kms_genesis genesis;
} cli_kms;

/* Fetches and checks the genesis alone. KMS_UNKNOWN when it does not hash to the id. */
int cli_kms_fetch(cli_client *client, const rd_kms_id *id, cli_kms *ret, rd_err *err) RD_NODISCARD;
/* Fresh evidence of purpose kms over this genesis, from a build of the profile (kms_measurements) under the profile's
 * roots. Steps are appended also on failure. */
int cli_kms_attest(cli_context *context, cli_client *client, const cli_kms *kms, json_t *steps,
                   rd_err *err) RD_NODISCARD;

/* Evidence of a replica of this key service: of this purpose over this nonce, from a build of the profile and of the
 * genesis, on a machine of the genesis. report may be used afterwards. */
int cli_kms_check(cli_context *context, const cli_kms *kms, rd_bytes evidence, const cli_collateral *collateral,
                  rd_purpose purpose, const uint8_t nonce[32], json_t *steps, rd_attest_report *report,
                  rd_err *err) RD_NODISCARD;

/* The ids that this machine trusts, oldest first; a new array of texts. CONFIG: a list is there and cannot be read. */
int cli_kms_trusted(const cli_context *context, json_t **ret, rd_err *err) RD_NODISCARD;
bool cli_kms_is_in(const json_t *trusted, const rd_kms_id *id);
int cli_kms_trust(const cli_context *context, const rd_kms_id *id, rd_err *err) RD_NODISCARD;
/* Whose it is: class, who can bring the root back, machines; as notes. */
void cli_kms_note(const cli_out *out, const cli_kms *kms);
/* Attested and trusted. At the first use of any, says whose it is and asks; KMS_UNKNOWN for another than those trusted
 * until `kms trust ID`. */
int cli_kms_demand(cli_context *context, cli_client *client, const rd_kms_id *id, cli_kms *ret,
                   rd_err *err) RD_NODISCARD;
/* The newest trusted one of this class. -1 when none was found and one could not be looked at: a plane that hides it
 * must not make sealed code public. */
int cli_kms_choose(cli_context *context, cli_client *client, rd_class class, bool *ret_found, rd_kms_id *ret,
                   rd_err *err) RD_NODISCARD;
/* The app's seal key, under the signature of the genesis's root. */
int cli_kms_seal_key(cli_client *client, const cli_kms *kms, const rd_app_id *app, uint8_t out[32],
                     rd_err *err) RD_NODISCARD;

#endif
