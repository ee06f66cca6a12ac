// link: test_evidence
/* Rows D and E of the bad-input matrix: collateral, TCB status, the TD itself; and what a statement must say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/evidence_builder.h"

typedef struct row {
    const char *name;
    ev_stage stage;
    ev_spoiler spoil;
    rd_code want;
} row;

#define SPOILER(name, ...)                                                                                             \
    static void name(ev_builder *b)                                                                                    \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
    }

/* --- D --- */

#define INFO(name, find, replace) SPOILER(name, ev_replace(&b->tcb_info_body, find, replace))
#define QEID(name, find, replace) SPOILER(name, ev_replace(&b->qe_identity_body, find, replace))

INFO(no_issue_date, "issueDate", "issuedDate")
INFO(no_next_update, "nextUpdate", "nextUpdates")
INFO(no_fmspc, "fmspc", "fmsps")
INFO(no_levels, "\"tcbLevels\":[{\"tcb\":{\"sgx", "\"tcbLevel\":[{\"tcb\":{\"sgx")
INFO(bad_json, "\"version\":3", "\"version\":3,,")
INFO(duplicate, "\"version\":3", "\"version\":3,\"version\":3")
INFO(date_nan, "\"issueDate\":\"2026-11-22", "\"issueDate\":\"2026-NaN2")
INFO(date_31_april, "\"issueDate\":\"2026-11-22", "\"issueDate\":\"2026-04-31")
INFO(date_leap_2100, "\"nextUpdate\":\"2026-12-22", "\"nextUpdate\":\"2100-02-29")
INFO(unknown_member, "\"version\":3", "\"version\":3,\"novel\":1")
INFO(expired, "\"nextUpdate\":\"2026-12-22T12:00:00Z", "\"nextUpdate\":\"2026-11-23T11:59:59Z")
INFO(last_second, "\"nextUpdate\":\"2026-12-22T12:00:00Z", "\"nextUpdate\":\"2026-11-23T12:00:00Z")
INFO(in_future, "\"issueDate\":\"2026-11-22T12:00:00Z", "\"issueDate\":\"2026-11-23T12:00:01Z")
INFO(too_old, "\"issueDate\":\"2026-11-22", "\"issueDate\":\"2026-11-01")
QEID(qe_expired, "\"nextUpdate\":\"2026-12-22T12:00:00Z", "\"nextUpdate\":\"2026-11-23T11:59:59Z")
QEID(qe_in_future, "\"issueDate\":\"2026-11-22T12:00:00Z", "\"issueDate\":\"2026-11-23T12:00:01Z")
QEID(qe_other_number, "\"tcbEvaluationDataNumber\":1", "\"tcbEvaluationDataNumber\":2")
INFO(other_fmspc, "90c06f00ff01", "90c06f00ff02")
INFO(fmspc_upper, "90c06f00ff01", "90C06F00FF01")
INFO(other_pce, "\"pceId\":\"0000\"", "\"pceId\":\"0001\"")
INFO(id_sgx, "\"id\":\"TDX\"", "\"id\":\"SGX\"")
INFO(id_other, "\"id\":\"TDX\"", "\"id\":\"TEE\"")
INFO(version_2, "\"version\":3", "\"version\":2")
INFO(version_4, "\"version\":3", "\"version\":4")
INFO(tcb_type, "\"tcbType\":0", "\"tcbType\":1")
INFO(components_15, "{\"svn\":0}]", "]")
INFO(components_17, "{\"svn\":0}]", "{\"svn\":0},{\"svn\":0}]")
INFO(no_tdx_components, "tdxtcbcomponents", "tdxtcbcomponent")
INFO(component_256, "{\"svn\":5}", "{\"svn\":256}")
INFO(component_text, "{\"svn\":5}", "{\"svn\":\"5\"}")
INFO(one_component_lower, "{\"svn\":5},{\"svn\":5},{\"svn\":2}", "{\"svn\":1},{\"svn\":5},{\"svn\":3}")
INFO(pce_svn_lower, "\"pcesvn\":13", "\"pcesvn\":14")
INFO(module_missing, "TDX_01", "TDX_02")
INFO(module_lower_case, "TDX_01", "tdx_01")
INFO(module_signer, "TDX_01\",\"mrsigner\":\"00", "TDX_01\",\"mrsigner\":\"01")
INFO(module_too_new, "{\"isvsvn\":5}", "{\"isvsvn\":6}")
INFO(module_revoked, "{\"isvsvn\":5},\"tcbDate\":\"2026-02-11T00:00:00Z\",\"tcbStatus\":\"UpToDate\"",
     "{\"isvsvn\":5},\"tcbDate\":\"2026-02-11T00:00:00Z\",\"tcbStatus\":\"Revoked\"")
#undef INFO
#undef QEID

/* The status of the level that matches: the only UpToDate outside the module's levels is the last one. */
static void set_status(ev_builder *b, const char *status)
{
    char text[128];
    snprintf(text, sizeof text, "],\"pcesvn\":13,");
    uint8_t *at = memmem(b->tcb_info_body.data, b->tcb_info_body.size, text, strlen(text));
    assert_non_null(at);
    size_t before = (size_t)(at - b->tcb_info_body.data);
    RD_CLEANUP(rd_buf_done) rd_buf rest = { 0 };
    rd_buf_append(&rest, at, b->tcb_info_body.size - before);
    ev_replace(&rest, "UpToDate", status);
    b->tcb_info_body.size = before;
    rd_buf_append_bytes(&b->tcb_info_body, rd_buf_bytes(&rest));
}

SPOILER(st_hardening, set_status(b, "SWHardeningNeeded"))
SPOILER(st_conf, set_status(b, "ConfigurationNeeded"))
SPOILER(st_conf_hardening, set_status(b, "ConfigurationAndSWHardeningNeeded"))
SPOILER(st_old, set_status(b, "OutOfDate"))
SPOILER(st_old_conf, set_status(b, "OutOfDateConfigurationNeeded"))
SPOILER(st_revoked, set_status(b, "Revoked"))
SPOILER(st_relaunch, set_status(b, "TDRelaunchAdvised"))
SPOILER(st_unknown, set_status(b, "Fine"))

SPOILER(flip_info_signature, ev_replace(&b->collateral.tcb_info, "\"signature\":\"", "\"signature\":\"00");
        b->collateral.tcb_info.size -= 4; rd_buf_append_str(&b->collateral.tcb_info, "\"}"))
SPOILER(reserialised, ev_replace(&b->collateral.tcb_info, "\"version\":3", "\"version\": 3"))
SPOILER(trailing_json, rd_buf_append_str(&b->collateral.tcb_info, "{}"))
SPOILER(trailing_newline, rd_buf_append_str(&b->collateral.tcb_info, "\n"))
SPOILER(second_member, ev_replace(&b->collateral.tcb_info, "{\"tcbInfo\":", "{\"tcbInfo\":{},\"tcbInfo\":"))
SPOILER(signature_short, ev_replace(&b->collateral.tcb_info, "\"signature\":\"", "\"signature\":\"aa"))
SPOILER(no_info, rd_buf_clear(&b->collateral.tcb_info))
SPOILER(no_identity, rd_buf_clear(&b->collateral.qe_identity))
SPOILER(no_chain, rd_buf_clear(&b->collateral.tcb_info_chain))

static void info_is_identity(ev_builder *b)
{
    rd_buf_clear(&b->collateral.tcb_info);
    rd_buf_append_bytes(&b->collateral.tcb_info, rd_buf_bytes(&b->collateral.qe_identity));
}

static void set_signer(ev_builder *b, const rd_cert *signer, const rd_p256_key *key)
{
    rd_buf *chain = &b->collateral.tcb_info_chain;
    rd_buf_clear(chain);
    rd_cert_to_pem(signer, chain);
    rd_cert_to_pem(b->ca.root, chain);
    rd_buf_clear(&b->collateral.tcb_info);
    assert_int_equal(
        agent_sim_sign_body(key, "tcbInfo", rd_buf_bytes(&b->tcb_info_body), &b->collateral.tcb_info, NULL), 0);
}

SPOILER(signed_by_platform_ca, set_signer(b, b->ca.platform, b->ca.platform_key))
SPOILER(signed_by_root, set_signer(b, b->ca.root, b->ca.root_key))
SPOILER(signed_by_pck, set_signer(b, b->pck, b->pck_key))

/* The right name, issued by the PCK CA instead of the root. */
static void signer_under_platform_ca(ev_builder *b)
{
    rd_cert_spec spec = ev_leaf_spec(b);
    spec.common_name = "Redoubt Simulation SGX TCB Signing";
    rd_cert *signer = ev_issue(&spec, b->ca.tcb_key, b->ca.platform, b->ca.platform_key);
    set_signer(b, signer, b->ca.tcb_key);
    rd_cert_to_pem(b->ca.platform, &b->collateral.tcb_info_chain);
    rd_cert_free(signer);
}

/* Another root that the verifier trusts as well must not speak for this platform. */
static void other_trusted_root(ev_builder *b)
{
    agent_sim_ca other;
    uint8_t fingerprint[32];
    assert_int_equal(agent_sim_ca_make(b->issued_us, &other, NULL), 0);
    rd_cert_fingerprint(other.root, fingerprint);
    assert_int_equal(rd_anchors_add_simulated(&b->anchors, fingerprint, NULL), 0);
    rd_buf *chain = &b->collateral.tcb_info_chain;
    rd_buf_clear(chain);
    rd_cert_to_pem(other.tcb, chain);
    rd_cert_to_pem(other.root, chain);
    rd_buf_clear(&b->collateral.tcb_info);
    assert_int_equal(
        agent_sim_sign_body(other.tcb_key, "tcbInfo", rd_buf_bytes(&b->tcb_info_body), &b->collateral.tcb_info, NULL),
        0);
    rd_buf_clear(&b->collateral_json);
    agent_sim_collateral_json(&b->collateral, &b->collateral_json);
    agent_sim_ca_done(&other);
}

SPOILER(below_all_levels, memset(b->platform.sgx_svn, 0, 16))
SPOILER(older_level, b->platform.sgx_svn[0] = 4)
SPOILER(older_pce, b->platform.pce_svn = 12)
SPOILER(eval_floor, b->floor.evaluation_number = 2)
SPOILER(one_number, b->floor.demands_one_evaluation = true)

static void one_number_differs(ev_builder *b)
{
    ev_replace(&b->qe_identity_body, "\"tcbEvaluationDataNumber\":1", "\"tcbEvaluationDataNumber\":2");
    b->floor.demands_one_evaluation = true;
}

SPOILER(accept_revoked, b->policy.tcb[b->policy.tcb_count++] = RD_TCB_REVOKED)
SPOILER(debug_on_hardware, b->policy.is_simulated = false; b->policy.allows_debug = true)

static const char *const denied[] = { "REDOUBT-SIM-SA-00001", NULL };
static void deny_advisory(ev_builder *b)
{
    b->platform.sgx_svn[0] = 4;
}

/* --- E --- */

SPOILER(td_debug, b->td.td_attributes[0] = 0x01)
SPOILER(td_tud, b->td.td_attributes[0] = 0x80)
SPOILER(sept_ve, b->td.td_attributes[3] = 0)
SPOILER(migratable, b->td.td_attributes[3] = 0x30)
SPOILER(attr_reserved, b->td.td_attributes[5] = 0x01)
SPOILER(perfmon, b->td.td_attributes[7] = 0x80)
SPOILER(other_mrtd, b->td.mrtd[0] ^= 1)
SPOILER(no_measurements, b->policy.measurements_count = 0)

static void second_measurement(ev_builder *b)
{
    assert_int_equal(rd_policy_add_mrtd(&b->policy, b->policy.values[0]), 0);
    b->policy.values[0][0] ^= 1;
}

SPOILER(rtmr3_wrong, b->td_report[328 + 3 * 48] ^= 1)
SPOILER(rtmr3_zero, memset(b->td_report + 328 + 3 * 48, 0, 48))
SPOILER(signer_seam, b->td_report[64] = 1)
SPOILER(seam_attributes, b->td_report[112] = 1)
SPOILER(module_version, b->td.tee_tcb_svn[1] = 9)
SPOILER(module_below, b->td.tee_tcb_svn[0] = 1)
SPOILER(module_old, b->td.tee_tcb_svn[0] = 3)
SPOILER(loader_old, b->td.tee_tcb_svn[2] = 1)

/* --- binding and statement --- */

SPOILER(report_data_other, b->td_report[520] ^= 1)
SPOILER(report_data_tail, b->td_report[583] ^= 1)
SPOILER(collateral_none, rd_buf_clear(&b->collateral_json))
SPOILER(bundle_cut, b->evidence.size--)
SPOILER(bundle_space, rd_buf_append_str(&b->evidence, " "))
SPOILER(purpose_other, b->check.expect.purpose = RD_PURPOSE_STATUS)
SPOILER(nonce_other, static const uint8_t other[32]; b->check.expect.nonce = other)
SPOILER(nonce_among_others, b->nonce_path = (rd_nonce_path){ .count = RD_NONCE_PATH_MAX, .sides = 0x5a5a5 })
SPOILER(nonce_bare, b->keeps_nonce = true)
SPOILER(path_longer, b->nonce_path.count = 1)
SPOILER(path_missing, ev_replace(&b->evidence, "\"nonce_path\":{\"siblings\":[],\"sides\":0},", ""))
SPOILER(app_other, static const rd_app_id other; b->check.expect.app = &other)
SPOILER(release_other, static const rd_digest other; b->check.expect.release = &other)
SPOILER(head_other, static const rd_digest other; b->check.expect.head = &other)
SPOILER(instance_other, static const rd_id other; b->check.expect.instance = &other)
SPOILER(epoch_other, static const uint64_t other = 8; b->check.expect.epoch = &other)
SPOILER(tls_unset, static const uint8_t other[32]; b->check.expect.tls = other)
SPOILER(class_in_statement, b->statement.class = RD_CLASS_HARDWARE)
SPOILER(policy_hardware, b->policy.is_simulated = false)
SPOILER(tee_not_listed, b->policy.tees_count = 0)
SPOILER(root_not_trusted, rd_anchors_init(&b->anchors))
SPOILER(no_anchors, b->anchors.count = 0)

static void enrol(ev_builder *b)
{
    b->statement = (rd_statement){ .purpose = RD_PURPOSE_ENROL, .class = RD_CLASS_SIMULATED, .has_tls = true };
    memcpy(b->statement.nonce, "nonce", 5);
    b->has_log = false;
}

static void blank(ev_builder *b)
{
    enrol(b);
    b->statement.purpose = RD_PURPOSE_BLANK;
    b->statement.has_tls = false;
}

static void enrol_check(ev_builder *b)
{
    b->check.expect = (rd_expect){ .purpose = RD_PURPOSE_ENROL, .nonce = b->statement.nonce, .tls = b->statement.tls };
}

static const row rows[] = {
    { "D1 bad JSON", EV_BODIES, bad_json, RD_E_COLLATERAL_FORMAT },
    { "D1 duplicate member", EV_BODIES, duplicate, RD_E_COLLATERAL_FORMAT },
    { "D1 no issueDate", EV_BODIES, no_issue_date, RD_E_COLLATERAL_FORMAT },
    { "D1 no nextUpdate", EV_BODIES, no_next_update, RD_E_COLLATERAL_FORMAT },
    { "D1 no fmspc", EV_BODIES, no_fmspc, RD_E_COLLATERAL_FORMAT },
    { "D1 no levels", EV_BODIES, no_levels, RD_E_COLLATERAL_FORMAT },
    { "D1 NaN date", EV_BODIES, date_nan, RD_E_COLLATERAL_FORMAT },
    { "D1 31 April", EV_BODIES, date_31_april, RD_E_COLLATERAL_FORMAT },
    { "D1 29 February 2100", EV_BODIES, date_leap_2100, RD_E_COLLATERAL_FORMAT },
    { "D1 trailing JSON", EV_COLLATERAL, trailing_json, RD_E_COLLATERAL_FORMAT },
    { "D1 trailing newline (ok)", EV_COLLATERAL, trailing_newline, RD_OK },
    { "D1 second body", EV_COLLATERAL, second_member, RD_E_COLLATERAL_FORMAT },
    { "D1 unknown member (ok)", EV_BODIES, unknown_member, RD_OK },
    { "D2 signature changed", EV_COLLATERAL, flip_info_signature, RD_E_COLLATERAL_SIG },
    { "D2 re-serialised", EV_COLLATERAL, reserialised, RD_E_COLLATERAL_SIG },
    { "D2 signature of 65 bytes", EV_COLLATERAL, signature_short, RD_E_COLLATERAL_FORMAT },
    { "D2 identity in the place of TCB info", EV_COLLATERAL, info_is_identity, RD_E_COLLATERAL_FORMAT },
    { "D3 no TCB info", EV_COLLATERAL, no_info, RD_E_COLLATERAL_MISSING },
    { "D3 no identity", EV_COLLATERAL, no_identity, RD_E_COLLATERAL_MISSING },
    { "D3 no issuer chain", EV_COLLATERAL, no_chain, RD_E_COLLATERAL_MISSING },
    { "D3 signed by the PCK CA", EV_COLLATERAL, signed_by_platform_ca, RD_E_COLLATERAL_CHAIN },
    { "D3 signed by the root", EV_COLLATERAL, signed_by_root, RD_E_COLLATERAL_CHAIN },
    { "D3 signed by the PCK", EV_COLLATERAL, signed_by_pck, RD_E_COLLATERAL_CHAIN },
    { "D3 signer under the PCK CA", EV_COLLATERAL, signer_under_platform_ca, RD_E_CHAIN_SHAPE },
    { "D3 signer under another trusted root", EV_CHECK, other_trusted_root, RD_E_CHAIN_ROOT },
    { "D4 TCB info expired", EV_BODIES, expired, RD_E_COLLATERAL_TIME },
    { "D4 TCB info last second (ok)", EV_BODIES, last_second, RD_OK },
    { "D4 TCB info in the future", EV_BODIES, in_future, RD_E_COLLATERAL_TIME },
    { "D4 identity expired", EV_BODIES, qe_expired, RD_E_COLLATERAL_TIME },
    { "D4 identity in the future", EV_BODIES, qe_in_future, RD_E_COLLATERAL_TIME },
    { "D5 too old for the policy", EV_BODIES, too_old, RD_E_COLLATERAL_AGE },
    { "D6 evaluation number below the floor", EV_CHECK, eval_floor, RD_E_COLLATERAL_EVALNUM },
    { "D6 one number demanded (ok)", EV_CHECK, one_number, RD_OK },
    { "D6 numbers differ (ok)", EV_BODIES, qe_other_number, RD_OK },
    { "D7 other FMSPC", EV_BODIES, other_fmspc, RD_E_TCB_MISMATCH },
    { "D7 FMSPC in upper case (ok)", EV_BODIES, fmspc_upper, RD_OK },
    { "D7 other PCE id", EV_BODIES, other_pce, RD_E_TCB_MISMATCH },
    { "D8 SGX TCB info", EV_BODIES, id_sgx, RD_E_TCB_MISMATCH },
    { "D8 unknown id", EV_BODIES, id_other, RD_E_TCB_MISMATCH },
    { "D8 version 2", EV_BODIES, version_2, RD_E_COLLATERAL_FORMAT },
    { "D8 version 4", EV_BODIES, version_4, RD_E_TCB_MISMATCH },
    { "D8 unknown tcbType", EV_BODIES, tcb_type, RD_E_TCB_MISMATCH },
    { "D9 15 components", EV_BODIES, components_15, RD_E_COLLATERAL_FORMAT },
    { "D9 17 components", EV_BODIES, components_17, RD_E_TCB_COMPONENTS },
    { "D9 no TDX components", EV_BODIES, no_tdx_components, RD_E_TCB_COMPONENTS },
    { "D9 component over 255", EV_BODIES, component_256, RD_E_COLLATERAL_FORMAT },
    { "D9 component is text", EV_BODIES, component_text, RD_E_COLLATERAL_FORMAT },
    { "D10 one component lower, others higher", EV_BODIES, one_component_lower, RD_E_TCB_STATUS },
    { "D10 one SVN lower", EV_PLATFORM, older_level, RD_E_TCB_STATUS },
    { "D10 PCE SVN lower", EV_PLATFORM, older_pce, RD_E_TCB_STATUS },
    { "D10 PCE SVN level higher", EV_BODIES, pce_svn_lower, RD_E_TCB_STATUS },
    { "D11 no level", EV_PLATFORM, below_all_levels, RD_E_TCB_UNSUPPORTED },
    { "D12 SWHardeningNeeded (ok)", EV_BODIES, st_hardening, RD_OK },
    { "D12 ConfigurationNeeded", EV_BODIES, st_conf, RD_E_TCB_STATUS },
    { "D12 ConfigurationAndSWHardeningNeeded", EV_BODIES, st_conf_hardening, RD_E_TCB_STATUS },
    { "D12 OutOfDate", EV_BODIES, st_old, RD_E_TCB_STATUS },
    { "D12 OutOfDateConfigurationNeeded", EV_BODIES, st_old_conf, RD_E_TCB_STATUS },
    { "D12 Revoked", EV_BODIES, st_revoked, RD_E_TCB_STATUS },
    { "D12 TDRelaunchAdvised from the vendor", EV_BODIES, st_relaunch, RD_E_COLLATERAL_FORMAT },
    { "D12 unknown word", EV_BODIES, st_unknown, RD_E_COLLATERAL_FORMAT },
    { "D13 policy accepts Revoked", EV_CHECK, accept_revoked, RD_E_POLICY_UNSAFE },
    { "D13 policy accepts debug on hardware", EV_CHECK, debug_on_hardware, RD_E_POLICY_UNSAFE },
    { "D16 no collateral", EV_BUNDLE, collateral_none, RD_E_COLLATERAL_MISSING },
    { "E1 DEBUG", EV_PLATFORM, td_debug, RD_E_TD_DEBUG },
    { "E1 any bit of the debug group", EV_PLATFORM, td_tud, RD_E_TD_DEBUG },
    { "E2 SEPT_VE_DISABLE clear", EV_PLATFORM, sept_ve, RD_E_TD_ATTR },
    /* R67: what could be copied with its keys. */
    { "E2 MIGRATABLE", EV_PLATFORM, migratable, RD_E_TD_ATTR },
    { "E2 reserved bit", EV_PLATFORM, attr_reserved, RD_E_TD_ATTR },
    { "E2 PERFMON (ok)", EV_PLATFORM, perfmon, RD_OK },
    { "E4 other MRTD", EV_PLATFORM, other_mrtd, RD_E_MEASUREMENT },
    { "E4 one of many (ok)", EV_CHECK, second_measurement, RD_OK },
    { "E4 empty list", EV_CHECK, no_measurements, RD_E_MEASUREMENT },
    { "E5 RTMR3 wrong", EV_TD, rtmr3_wrong, RD_E_RTMR },
    { "E5 RTMR3 never extended", EV_TD, rtmr3_zero, RD_E_RTMR },
    { "E8 MRSIGNERSEAM", EV_TD, signer_seam, RD_E_TDX_MODULE },
    { "E8 SEAMATTRIBUTES", EV_TD, seam_attributes, RD_E_TDX_MODULE },
    { "E8 unknown module version", EV_PLATFORM, module_version, RD_E_TDX_MODULE },
    { "E8 module identity missing", EV_BODIES, module_missing, RD_E_TDX_MODULE },
    { "E8 module id in lower case (ok)", EV_BODIES, module_lower_case, RD_OK },
    { "E8 module signer", EV_BODIES, module_signer, RD_E_TDX_MODULE },
    { "E9 module below all levels", EV_PLATFORM, module_below, RD_E_TCB_UNSUPPORTED },
    { "E9 module out of date", EV_PLATFORM, module_old, RD_E_TCB_STATUS },
    { "E9 newer module known", EV_BODIES, module_too_new, RD_E_TCB_STATUS },
    { "E9 module revoked", EV_BODIES, module_revoked, RD_E_TCB_STATUS },
    { "E9 loader SVN below", EV_PLATFORM, loader_old, RD_E_TCB_STATUS },
    { "I1 report data of another statement", EV_TD, report_data_other, RD_E_BINDING },
    { "I1 last byte of report data", EV_TD, report_data_tail, RD_E_BINDING },
    { "I2 other nonce", EV_CHECK, nonce_other, RD_E_NONCE },
    { "I2 nonce among a million (ok)", EV_PLATFORM, nonce_among_others, RD_OK },
    { "I2 nonce in the root's place", EV_PLATFORM, nonce_bare, RD_E_NONCE },
    { "I2 path of another nonce", EV_TD, path_longer, RD_E_NONCE },
    { "I2 no path", EV_BUNDLE, path_missing, RD_E_JSON_MISSING },
    { "I2 other purpose", EV_CHECK, purpose_other, RD_E_PURPOSE },
    { "statement: app", EV_CHECK, app_other, RD_E_STATEMENT },
    { "statement: release", EV_CHECK, release_other, RD_E_STATEMENT },
    { "statement: head", EV_CHECK, head_other, RD_E_STATEMENT },
    { "statement: instance", EV_CHECK, instance_other, RD_E_STATEMENT },
    { "statement: epoch", EV_CHECK, epoch_other, RD_E_STATEMENT },
    { "statement: TLS key", EV_CHECK, tls_unset, RD_E_STATEMENT },
    { "statement: class hardware on a simulated root", EV_PLATFORM, class_in_statement, RD_E_CLASS_MISMATCH },
    { "policy: hardware alone", EV_CHECK, policy_hardware, RD_E_CLASS_MISMATCH },
    { "policy: TEE not listed", EV_CHECK, tee_not_listed, RD_E_POLICY_TEE },
    { "anchors: simulation root not listed", EV_CHECK, root_not_trusted, RD_E_CHAIN_ROOT },
    { "anchors: none", EV_CHECK, no_anchors, RD_E_CHAIN_ROOT },
    { "bundle cut", EV_BUNDLE, bundle_cut, RD_E_TRUNCATED },
    { "bundle not canonical", EV_BUNDLE, bundle_space, RD_E_NOT_CANONICAL },
};

static rd_code run(ev_stage stage, ev_spoiler spoil, void (*last)(ev_builder *), rd_attest_report *report)
{
    ev_builder b;
    ev_build(&b, stage, spoil);
    if (last)
        last(&b);
    rd_code code = ev_check(&b, report);
    ev_done(&b);
    return code;
}

static void one(void **state)
{
    const row *this = *state;
    rd_attest_report report;
    rd_code code = run(this->stage, this->spoil, NULL, &report);
    if (code != this->want)
        print_message("%s: %s\n", this->name, report.refusal.text);
    assert_string_equal(code ? rd_code_describe(code)->name : "accepted",
                        this->want ? rd_code_describe(this->want)->name : "accepted");
    assert_int_equal(report.is_accepted, this->want == RD_OK);
}

static void accept_old(ev_builder *b)
{
    b->policy.tcb[b->policy.tcb_count++] = RD_TCB_OUT_OF_DATE;
}

static void accept_old_deny(ev_builder *b)
{
    accept_old(b);
    b->floor.denied_advisories = denied;
}

/* D14, and the parts of a verdict about a platform that is behind. */
static void out_of_date(void **state)
{
    (void)state;
    rd_attest_report report;
    assert_int_equal(run(EV_PLATFORM, deny_advisory, accept_old, &report), RD_OK);
    const rd_tcb_verdict *tcb = &report.verdict.tcb;
    assert_int_equal(tcb->status, RD_TCB_OUT_OF_DATE);
    assert_int_equal(tcb->platform, RD_TCB_OUT_OF_DATE);
    assert_int_equal(tcb->qe, RD_TCB_UP_TO_DATE);
    assert_int_equal(tcb->module, RD_TCB_UP_TO_DATE);
    assert_int_equal(tcb->shortfall_count, 1);
    assert_string_equal(tcb->shortfalls[0].component, "sgxtcbcomponents[0]");
    assert_int_equal(tcb->shortfalls[0].kind, RD_TCB_KIND_MICROCODE_EARLY);
    assert_int_equal(tcb->shortfalls[0].has, 4);
    assert_int_equal(tcb->shortfalls[0].needs, 5);
    assert_int_equal(tcb->advisory_count, 2);
    assert_string_equal(tcb->advisories[0], "REDOUBT-SIM-SA-00001");
    assert_int_equal(run(EV_PLATFORM, deny_advisory, accept_old_deny, &report), RD_E_ADVISORY_DENIED);
    assert_true(report.verdict.is_genuine);
    assert_false(report.is_accepted);
}

static void numbers_differ(void **state)
{
    (void)state;
    ev_builder b;
    rd_attest_report report;
    ev_build(&b, EV_BODIES, one_number_differs);
    assert_int_equal(ev_check(&b, &report), RD_E_COLLATERAL_EVALNUM);
    ev_done(&b);
}

/* The policy may name report data too, under the same code: whose refusal it is must not be read from the code. */
static void appraisal(void **state)
{
    (void)state;
    rd_attest_report report;
    assert_int_equal(run(EV_TD, report_data_other, NULL, &report), RD_E_BINDING);
    assert_false(report.is_appraisal);
}

static void enrolment(void **state)
{
    (void)state;
    rd_attest_report report;
    rd_code code = run(EV_PLATFORM, enrol, enrol_check, &report);
    if (code != RD_OK)
        print_message("%s\n", report.refusal.text);
    assert_int_equal(code, RD_OK);
    /* A blank's is for the agent beside it, and for no other question. */
    assert_int_equal(run(EV_PLATFORM, blank, enrol_check, &report), RD_E_PURPOSE);
}

int main(void)
{
    static const struct CMUnitTest more[] = {
        { "D14 a denied advisory, and what lies behind OutOfDate", out_of_date, NULL, NULL, NULL },
        { "D6 one number demanded, and they differ", numbers_differ, NULL, NULL, NULL },
        { "enrolment (ok)", enrolment, NULL, NULL, NULL },
        { "whose refusal", appraisal, NULL, NULL, NULL },
    };
    struct CMUnitTest tests[RD_ARRAY_LEN(rows) + RD_ARRAY_LEN(more)];
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        tests[i] =
            (struct CMUnitTest){ .name = rows[i].name, .test_func = one, .initial_state = (void *)(uintptr_t)&rows[i] };
    memcpy(tests + RD_ARRAY_LEN(rows), more, sizeof more);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
