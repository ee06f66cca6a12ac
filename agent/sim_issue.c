#include "agent/sim_issue.h"

#include <stdio.h>
#include <string.h>

#include "common/base/text.h"
#include "common/crypto/random.h"

#define YEAR_US (365 * AGENT_SIM_DAY_US)
/* Certificates begin a day early, so that clocks which differ a little agree. */
#define SLACK_US AGENT_SIM_DAY_US

void agent_sim_ca_done(agent_sim_ca *ca)
{
    rd_p256_key_free(ca->root_key);
    rd_p256_key_free(ca->platform_key);
    rd_p256_key_free(ca->tcb_key);
    rd_cert_free(ca->root);
    rd_cert_free(ca->platform);
    rd_cert_free(ca->tcb);
    *ca = (agent_sim_ca){ 0 };
}

static rd_cert_spec spec_of(rd_cert_kind kind, const char *name, int path_length, int64_t now_us, int years)
{
    return (rd_cert_spec){ .kind = kind,
                           .common_name = name,
                           .organization = AGENT_SIM_ORGANIZATION,
                           .path_length = path_length,
                           .not_before_us = now_us - SLACK_US,
                           .not_after_us = now_us + years * YEAR_US };
}

static int issue(const rd_cert_spec *spec, const rd_p256_key *key, const rd_cert *issuer, const rd_p256_key *issuer_key,
                 rd_cert **ret, rd_err *err)
{
    uint8_t spki[RD_P256_SPKI_SIZE];
    rd_p256_key_spki(key, spki);
    return rd_cert_issue(spec, RD_BYTES_ARRAY(spki), issuer, issuer_key, ret, err);
}

static int issue_all(agent_sim_ca *ca, int64_t now_us, rd_err *err)
{
    rd_cert_spec root = spec_of(RD_CERT_KIND_CA, "Redoubt Simulation SGX Root CA", 1, now_us, 20);
    rd_cert_spec platform = spec_of(RD_CERT_KIND_CA, "Redoubt Simulation SGX PCK Platform CA", 0, now_us, 15);
    rd_cert_spec tcb = spec_of(RD_CERT_KIND_SIGNER, "Redoubt Simulation SGX TCB Signing", -1, now_us, 7);
    if (issue(&root, ca->root_key, NULL, ca->root_key, &ca->root, err) < 0 ||
        issue(&platform, ca->platform_key, ca->root, ca->root_key, &ca->platform, err) < 0)
        return -1;
    return issue(&tcb, ca->tcb_key, ca->root, ca->root_key, &ca->tcb, err);
}

int agent_sim_ca_make(int64_t now_us, agent_sim_ca *ret, rd_err *err)
{
    *ret = (agent_sim_ca){ .root_key = rd_p256_key_new(),
                           .platform_key = rd_p256_key_new(),
                           .tcb_key = rd_p256_key_new() };
    if (issue_all(ret, now_us, err) == 0)
        return 0;
    agent_sim_ca_done(ret);
    return -1;
}

/* --- the platform --- */

static const uint8_t newest_sgx_svn[16] = { 5, 5, 2, 2, 4, 1, 0, 5 };
static const uint8_t older_sgx_svn[16] = { 3, 3, 2, 2, 3, 1, 0, 5 };
#define NEWEST_PCE_SVN 13
#define OLDER_PCE_SVN  11
/* A TDX module of major version 1, SVN 5: judged by the identity TDX_01. */
const uint8_t agent_sim_tee_tcb_svn[16] = { 5, 1, 2 };

void agent_sim_platform_make(const uint8_t fmspc[6], agent_sim_platform *ret)
{
    *ret = (agent_sim_platform){ .pce_svn = NEWEST_PCE_SVN };
    rd_random_bytes(ret->ppid, sizeof ret->ppid);
    rd_random_bytes(ret->piid, sizeof ret->piid);
    memcpy(ret->sgx_svn, newest_sgx_svn, 16);
    memcpy(ret->cpu_svn, newest_sgx_svn, 16);
    memcpy(ret->fmspc, fmspc, 6);
}

static void put_der(rd_buf *out, uint8_t tag, rd_bytes content)
{
    rd_buf_append_u8(out, tag);
    if (content.size < 0x80) {
        rd_buf_append_u8(out, (uint8_t)content.size);
    } else {
        rd_buf_append_u8(out, 0x82);
        rd_buf_append_u16be(out, (uint16_t)content.size);
    }
    rd_buf_append_bytes(out, content);
}

/* A pair of the OID 1.2.840.113741.1.13.1[.group].id and a value. */
static void put_entry(rd_buf *out, uint8_t group, uint8_t id, uint8_t tag, rd_bytes value)
{
    RD_CLEANUP(rd_buf_done) rd_buf pair = { 0 };
    uint8_t oid[11] = { 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01 };
    size_t size = 9;
    if (group != 0)
        oid[size++] = group;
    oid[size++] = id;
    put_der(&pair, 0x06, rd_bytes_of(oid, size));
    put_der(&pair, tag, value);
    put_der(out, 0x30, rd_buf_bytes(&pair));
}

static void put_int(rd_buf *out, uint8_t group, uint8_t id, unsigned value)
{
    uint8_t bytes[3] = { 0, (uint8_t)(value >> 8), (uint8_t)value };
    size_t from = value > 0x7fff ? 0 : value > 0x7f ? 1 : 2;
    put_entry(out, group, id, 0x02, rd_bytes_of(bytes + from, 3 - from));
}

static void put_tcb(rd_buf *out, const agent_sim_platform *platform)
{
    RD_CLEANUP(rd_buf_done) rd_buf tcb = { 0 };
    for (uint8_t i = 0; i < 16; i++)
        put_int(&tcb, 2, i + 1, platform->sgx_svn[i]);
    put_int(&tcb, 2, 17, platform->pce_svn);
    put_entry(&tcb, 2, 18, 0x04, RD_BYTES_ARRAY(platform->cpu_svn));
    put_entry(out, 0, 2, 0x30, rd_buf_bytes(&tcb));
}

static void put_configuration(rd_buf *out)
{
    static const uint8_t yes = 0xff, no = 0;
    RD_CLEANUP(rd_buf_done) rd_buf configuration = { 0 };
    put_entry(&configuration, 7, 1, 0x01, rd_bytes_of(&yes, 1));
    put_entry(&configuration, 7, 2, 0x01, rd_bytes_of(&no, 1));
    put_entry(&configuration, 7, 3, 0x01, rd_bytes_of(&yes, 1));
    put_entry(out, 0, 7, 0x30, rd_buf_bytes(&configuration));
}

void agent_sim_pck_extension(const agent_sim_platform *platform, rd_buf *out)
{
    static const uint8_t scalable = 1;
    RD_CLEANUP(rd_buf_done) rd_buf entries = { 0 };
    put_entry(&entries, 0, 1, 0x04, RD_BYTES_ARRAY(platform->ppid));
    put_tcb(&entries, platform);
    put_entry(&entries, 0, 3, 0x04, RD_BYTES_ARRAY(platform->pce_id));
    put_entry(&entries, 0, 4, 0x04, RD_BYTES_ARRAY(platform->fmspc));
    put_entry(&entries, 0, 5, 0x0a, rd_bytes_of(&scalable, 1));
    put_entry(&entries, 0, 6, 0x04, RD_BYTES_ARRAY(platform->piid));
    put_configuration(&entries);
    put_der(out, 0x30, rd_buf_bytes(&entries));
}

int agent_sim_pck_issue(const agent_sim_ca *ca, rd_bytes extension, rd_bytes spki, int64_t now_us, rd_cert **ret,
                        rd_err *err)
{
    rd_cert_extra extra = { .oid = "1.2.840.113741.1.13.1", .value = extension };
    rd_cert_spec spec = spec_of(RD_CERT_KIND_SIGNER, "Redoubt Simulation SGX PCK Certificate", -1, now_us, 7);
    spec.extras = &extra;
    spec.extra_count = 1;
    return rd_cert_issue(&spec, spki, ca->platform, ca->platform_key, ret, err);
}

void agent_sim_pck_chain(const agent_sim_ca *ca, const rd_cert *leaf, rd_buf *out)
{
    rd_cert_to_pem(leaf, out);
    rd_cert_to_pem(ca->platform, out);
    rd_cert_to_pem(ca->root, out);
}

/* --- TCB info and identity --- */

static void put_dates(rd_buf *out, int64_t now_us)
{
    char from[RD_TIME_TEXT_SIZE], to[RD_TIME_TEXT_SIZE];
    int64_t start_us = now_us - now_us % 1000000;
    rd_time_format(start_us, from);
    rd_time_format(start_us + AGENT_SIM_TERM_US, to);
    /* Whole seconds, as the vendor writes them. */
    rd_buf_printf(out, "\"issueDate\":\"%.19sZ\",\"nextUpdate\":\"%.19sZ\"", from, to);
}

static void put_components(rd_buf *out, const char *name, const uint8_t svn[16])
{
    rd_buf_printf(out, "\"%s\":[", name);
    for (int i = 0; i < 16; i++)
        rd_buf_printf(out, "%s{\"svn\":%u}", i ? "," : "", svn[i]);
    rd_buf_append_str(out, "]");
}

static void put_level(rd_buf *out, const uint8_t sgx[16], unsigned pce_svn, const uint8_t tdx[16], const char *rest)
{
    rd_buf_append_str(out, "{\"tcb\":{");
    put_components(out, "sgxtcbcomponents", sgx);
    rd_buf_printf(out, ",\"pcesvn\":%u,", pce_svn);
    put_components(out, "tdxtcbcomponents", tdx);
    rd_buf_printf(out, "},%s}", rest);
}

#define ZEROS_48 "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
#define MODULE                                                                                                         \
    "\"mrsigner\":\"" ZEROS_48 "\",\"attributes\":\"0000000000000000\",\"attributesMask\":\"FFFFFFFFFFFFFFFF\""

void agent_sim_tcb_info(const uint8_t fmspc[6], int64_t now_us, rd_buf *out)
{
    agent_sim_tcb_info_at(fmspc, 1, now_us, out);
}

void agent_sim_tcb_info_at(const uint8_t fmspc[6], uint32_t evaluation, int64_t now_us, rd_buf *out)
{
    static const uint8_t newest_tdx[16] = { 5, 0, 2 }, older_tdx[16] = { 4, 0, 1 };
    uint8_t newest_sgx[16];
    char fmspc_hex[13];
    memcpy(newest_sgx, newest_sgx_svn, sizeof newest_sgx);
    newest_sgx[0] = (uint8_t)(newest_sgx[0] + RD_MIN(evaluation - 1, 200u));
    rd_hex_encode(rd_bytes_of(fmspc, 6), fmspc_hex);
    rd_buf_append_str(out, "{\"id\":\"TDX\",\"version\":3,");
    put_dates(out, now_us);
    rd_buf_printf(out, ",\"fmspc\":\"%s\",\"pceId\":\"0000\",\"tcbType\":0,\"tcbEvaluationDataNumber\":%u,", fmspc_hex,
                  evaluation);
    rd_buf_append_str(out, "\"tdxModule\":{" MODULE "},");
    rd_buf_append_str(out, "\"tdxModuleIdentities\":[{\"id\":\"TDX_01\"," MODULE
                           ",\"tcbLevels\":[{\"tcb\":{\"isvsvn\":5},\"tcbDate\":\"2026-02-11T00:00:00Z\",\"tcbStatus\":"
                           "\"UpToDate\"},{\"tcb\":{\"isvsvn\":2},\"tcbDate\":\"2024-11-13T00:00:00Z\",\"tcbStatus\":"
                           "\"OutOfDate\",\"advisoryIDs\":[\"REDOUBT-SIM-SA-00002\"]}]}],\"tcbLevels\":[");
    put_level(out, newest_sgx, NEWEST_PCE_SVN, newest_tdx,
              "\"tcbDate\":\"2026-02-11T00:00:00Z\",\"tcbStatus\":\"UpToDate\"");
    rd_buf_append_str(out, ",");
    put_level(out, older_sgx_svn, OLDER_PCE_SVN, older_tdx,
              "\"tcbDate\":\"2024-11-13T00:00:00Z\",\"tcbStatus\":\"OutOfDate\",\"advisoryIDs\":"
              "[\"REDOUBT-SIM-SA-00001\",\"REDOUBT-SIM-SA-00002\"]");
    rd_buf_append_str(out, "]}");
}

void agent_sim_qe_signer(uint8_t ret[32])
{
    rd_sha256(RD_BYTES_LIT("Redoubt simulated quoting enclave, not confidential"), ret);
}

void agent_sim_qe_identity(int64_t now_us, rd_buf *out)
{
    agent_sim_qe_identity_at(1, now_us, out);
}

void agent_sim_qe_identity_at(uint32_t evaluation, int64_t now_us, rd_buf *out)
{
    uint8_t signer[32];
    char signer_hex[65];
    agent_sim_qe_signer(signer);
    rd_hex_encode(RD_BYTES_ARRAY(signer), signer_hex);
    rd_buf_append_str(out, "{\"id\":\"TD_QE\",\"version\":2,");
    put_dates(out, now_us);
    rd_buf_printf(out,
                  ",\"tcbEvaluationDataNumber\":%u,\"miscselect\":\"00000000\",\"miscselectMask\":\"FFFFFFFF\","
                  "\"attributes\":\"11000000000000000000000000000000\","
                  "\"attributesMask\":\"FBFFFFFFFFFFFFFF0000000000000000\",\"mrsigner\":\"%s\",\"isvprodid\":%d,"
                  "\"tcbLevels\":[{\"tcb\":{\"isvsvn\":%d},\"tcbDate\":\"2026-02-11T00:00:00Z\",\"tcbStatus\":"
                  "\"UpToDate\"},{\"tcb\":{\"isvsvn\":2},\"tcbDate\":\"2024-11-13T00:00:00Z\",\"tcbStatus\":"
                  "\"OutOfDate\",\"advisoryIDs\":[\"REDOUBT-SIM-SA-00003\"]}]}",
                  evaluation, signer_hex, AGENT_SIM_QE_PROD_ID, AGENT_SIM_QE_SVN);
}

int agent_sim_sign_body(const rd_p256_key *key, const char *member, rd_bytes body, rd_buf *out, rd_err *err)
{
    uint8_t signature[RD_P256_SIGNATURE_SIZE];
    char hex[2 * RD_P256_SIGNATURE_SIZE + 1];
    if (rd_p256_sign(key, body, signature, err) < 0)
        return -1;
    rd_hex_encode(RD_BYTES_ARRAY(signature), hex);
    rd_buf_printf(out, "{\"%s\":", member);
    rd_buf_append_bytes(out, body);
    rd_buf_printf(out, ",\"signature\":\"%s\"}", hex);
    return 0;
}
