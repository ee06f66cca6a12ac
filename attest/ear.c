#include "attest/ear.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/model/canonical.h"

/* --- trustworthiness: draft-ietf-rats-ar4si, 2.3 --- */

enum {
    NO_CLAIM = 0,
    AFFIRMED = 2,          /* recognised, approved, encrypted: by the claim */
    SAFE_CONFIG = 3,       /* no known vulnerability, nobody approved it */
    WARNING = 32,          /* genuine, with known weaknesses */
    NOT_RECOGNISED = 33,   /* executables that are not on the list */
    CONTRAINDICATED = 96,  /* genuine, and not to be trusted */
    UNKNOWN_PLATFORM = 97, /* not hardware that a vendor vouches for */
    CRYPTO_FAILED = 99
};

typedef struct vector {
    int instance, configuration, executables, hardware, runtime;
} vector;

static bool is_revoked(const rd_judgement *j)
{
    return j->reason == RD_E_PCK_REVOKED || j->reason == RD_E_CA_REVOKED;
}

static int hardware_of(const rd_judgement *j)
{
    const rd_verdict *verdict = &j->verdict;
    if (verdict->claims.class != RD_CLASS_HARDWARE)
        return UNKNOWN_PLATFORM;
    if (verdict->claims.tee == RD_TEE_SNP)
        return j->reason == RD_E_TCB_STATUS ? WARNING : AFFIRMED;
    if (verdict->tcb.status == RD_TCB_REVOKED)
        return CONTRAINDICATED;
    return verdict->tcb.status == RD_TCB_UP_TO_DATE ? AFFIRMED : WARNING;
}

static bool needs_configuration(rd_tcb_status status)
{
    return status == RD_TCB_CONFIGURATION_NEEDED || status == RD_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED ||
           status == RD_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED ||
           status == RD_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED;
}

/* The rules that read attributes, policies and settings of the guest and its machine. */
static bool is_of_configuration(const rd_judgement *j)
{
    static const char *const rules[] = { "debug", "attributes", "platform_policy" };
    for (size_t i = 0; j->rule && i < RD_ARRAY_LEN(rules); i++)
        if (strcmp(j->rule, rules[i]) == 0)
            return true;
    return false;
}

static int configuration_of(const rd_judgement *j, bool has_policy)
{
    if (j->verdict.claims.is_debug || (!j->is_accepted && is_of_configuration(j)))
        return CONTRAINDICATED;
    if (needs_configuration(j->verdict.tcb.status))
        return WARNING;
    if (!j->is_accepted)
        return NO_CLAIM;
    return has_policy ? AFFIRMED : SAFE_CONFIG;
}

static int executables_of(const rd_judgement *j, bool has_policy)
{
    if (j->reason == RD_E_MEASUREMENT)
        return NOT_RECOGNISED;
    return j->is_accepted && has_policy ? AFFIRMED : NO_CLAIM;
}

static vector vector_of(const rd_judgement *j, bool has_policy)
{
    const rd_claims *claims = &j->verdict.claims;
    if (j->verdict.holds_alone || j->reason == RD_E_COLLATERAL_MISSING || j->reason == RD_E_CRL_MISSING ||
        !claims->has_fields)
        return (vector){ .instance = NO_CLAIM };
    if (!j->verdict.is_genuine)
        return is_revoked(j) ? (vector){ .instance = CONTRAINDICATED }
                             : (vector){ .instance = CRYPTO_FAILED, .hardware = CRYPTO_FAILED };
    bool is_open = claims->is_debug || claims->class != RD_CLASS_HARDWARE;
    return (vector){ .instance = claims->class == RD_CLASS_HARDWARE ? AFFIRMED : UNKNOWN_PLATFORM,
                     .configuration = configuration_of(j, has_policy),
                     .executables = executables_of(j, has_policy),
                     .hardware = hardware_of(j),
                     .runtime = is_open ? CONTRAINDICATED : AFFIRMED };
}

/* The tier of the worst claim; what was refused is contraindicated whatever the claims, and what nobody could judge is
 * none. */
static const char *status_of(const rd_judgement *j, const vector *v)
{
    const int claims[] = { v->instance, v->configuration, v->executables, v->hardware, v->runtime };
    int worst = NO_CLAIM;
    for (size_t i = 0; i < RD_ARRAY_LEN(claims); i++)
        worst = RD_MAX(worst, claims[i]);
    if (worst == NO_CLAIM)
        return "none";
    if (worst >= CONTRAINDICATED || !j->is_accepted)
        return "contraindicated";
    return worst >= WARNING ? "warning" : "affirming";
}

static json_t *vector_json(const vector *v)
{
    json_t *object = json_object();
    rd_json_set_int(object, "instance-identity", v->instance);
    rd_json_set_int(object, "configuration", v->configuration);
    rd_json_set_int(object, "executables", v->executables);
    rd_json_set_int(object, "hardware", v->hardware);
    rd_json_set_int(object, "runtime-opaque", v->runtime);
    return object;
}

/* --- claims --- */

static void set_policy_id(json_t *object, const rd_policy *policy)
{
    char name[RD_DIGEST_TEXT_SIZE] = "default", text[RD_DIGEST_TEXT_SIZE + 24];
    rd_digest digest;
    rd_err err = RD_ERR_INIT;
    if (policy && rd_policy_digest(policy, &digest, &err) == 0)
        rd_digest_format(&digest, name);
    (void)snprintf(text, sizeof text, "urn:redoubt:policy:%s", name);
    rd_json_set_str(object, "ear.appraisal-policy-id", text);
}

static json_t *appraisal_json(const rd_ear_input *input)
{
    const rd_judgement *j = input->judgement;
    vector v = vector_of(j, input->policy != NULL);
    json_t *object = json_object(), *advisories = json_array();
    rd_digest evidence;
    rd_sha256(input->evidence, evidence.b);
    rd_json_set_str(object, "ear.status", status_of(j, &v));
    rd_json_set(object, "ear.trustworthiness-vector", vector_json(&v));
    set_policy_id(object, input->policy);
    rd_json_set_digest(object, "redoubt.evidence", &evidence);
    rd_json_set_str(object, "redoubt.class", rd_class_name(j->verdict.claims.class));
    rd_json_set_str(object, "redoubt.verdict", j->word);
    rd_json_set_bool(object, "redoubt.accepted", j->is_accepted);
    rd_json_set_str(object, "redoubt.reason", j->is_accepted ? NULL : rd_code_describe(j->reason)->name);
    for (size_t i = 0; i < j->verdict.tcb.advisory_count; i++)
        (void)json_array_append_new(advisories, json_string(j->verdict.tcb.advisories[i]));
    rd_json_set(object, "redoubt.advisory-ids", advisories);
    if (j->verdict.claims.has_fields)
        rd_json_set_hex(object, "redoubt.report-data", RD_BYTES_ARRAY(j->verdict.claims.report_data));
    return object;
}

json_t *rd_ear_claims(const rd_ear_input *input)
{
    const rd_verdict *verdict = &input->judgement->verdict;
    json_t *object = json_object(), *verifier = json_object(), *submods = json_object();
    rd_json_set_str(verifier, "build", "redoubt " REDOUBT_VERSION);
    rd_json_set_str(verifier, "developer", "Redoubt");
    rd_json_set(submods, verdict->claims.tee ? rd_tee_names[verdict->claims.tee] : "evidence", appraisal_json(input));
    rd_json_set_str(object, "eat_profile", RD_EAR_PROFILE);
    rd_json_set_int(object, "iat", input->issued_us / 1000000);
    /* From then on the collateral says nothing more. */
    if (verdict->is_genuine && verdict->collateral_expires_us)
        rd_json_set_int(object, "exp", verdict->collateral_expires_us / 1000000);
    rd_json_set(object, "ear.verifier-id", verifier);
    rd_json_set(object, "submods", submods);
    rd_json_set_time(object, "redoubt.judged-at", input->judged_us);
    rd_json_set_str(object, "redoubt.trust", input->trust);
    return object;
}

/* --- JWT --- */

static int append_part(const json_t *object, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = RD_EAR_SIZE_MAX };
    if (rd_canonical_write(object, &text, err) < 0)
        return -1;
    return rd_buf_append_base64url(out, rd_buf_bytes(&text)) ? 0
                                                             : rd_err_set(err, RD_E_NO_MEMORY, "attestation result");
}

static json_t *header_json(const rd_ear_key *key)
{
    uint8_t thumbprint[RD_SHA256_SIZE];
    json_t *header = json_object();
    if (key->p256)
        rd_jwk_thumbprint_p256(rd_p256_key_public(key->p256), thumbprint);
    else
        rd_jwk_thumbprint(rd_signing_key_public(key->ed25519), thumbprint);
    rd_json_set_str(header, "alg", key->p256 ? "ES256" : "EdDSA");
    rd_json_set_b64(header, "kid", RD_BYTES_ARRAY(thumbprint));
    rd_json_set_str(header, "typ", RD_EAR_TYPE);
    return header;
}

int rd_ear_sign(const json_t *claims, const rd_ear_key *key, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *header = header_json(key);
    RD_CLEANUP(rd_buf_done) rd_buf token = { 0 };
    rd_signature signature;
    if (append_part(header, &token, err) < 0)
        return -1;
    rd_buf_append_str(&token, ".");
    if (append_part(claims, &token, err) < 0)
        return -1;
    int rc = key->p256 ? rd_p256_sign(key->p256, rd_buf_bytes(&token), signature.b, err)
                       : rd_ed25519_sign(key->ed25519, rd_buf_bytes(&token), &signature, err);
    if (rc < 0)
        return -1;
    rd_buf_append_str(&token, ".");
    rd_buf_append_base64url(&token, RD_BYTES_ARRAY(signature.b));
    return rd_buf_append_bytes(out, rd_buf_bytes(&token)) ? 0 : rd_err_set(err, RD_E_NO_MEMORY, "attestation result");
}
