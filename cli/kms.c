#include "cli/kms.h"

#include "attest/attest.h"
#include "cli/anchors.h"
#include "cli/demands.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "common/model/secret_seal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRUSTED_MAX 64

/* ---- genesis and evidence ---- */

int cli_kms_fetch(cli_client *client, const rd_kms_id *id, cli_kms *ret, rd_err *err)
{
    *ret = (cli_kms){ .id = *id };
    rd_kms_id_format(id, ret->text);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/kms/%s", ret->text);
    RD_CLEANUP(rd_json_free_p) json_t *shown = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf genesis = { 0 };
    if (cli_client_json(client, "GET", path, NULL, &shown, err) < 0)
        return -1;
    if (cli_json_b64(shown, "genesis", RD_JSON_SIZE_MAX, &genesis, err) < 0 ||
        rd_kms_genesis_open(rd_buf_bytes(&genesis), id, &ret->genesis, err) < 0)
        return rd_err_wrap(err, "%s", ret->text);
    return 0;
}

/* Good builds of a key service are this machine's to name: the list inside a genesis proves nothing about its author.
 */
static int fill_policy(const cli_context *context, rd_class class, rd_policy *ret, rd_err *err)
{
    const cli_profile *profile = context->profile;
    uint32_t age_s = context->demands.collateral_age_s;
    *ret = (rd_policy){ .is_simulated = class == RD_CLASS_SIMULATED,
                        .tees = { RD_TEE_TDX },
                        .tees_count = 1,
                        .tcb = { RD_TCB_UP_TO_DATE, RD_TCB_SW_HARDENING_NEEDED },
                        .tcb_count = 2,
                        .max_collateral_age_s = age_s ? age_s : 7 * 86400 };
    if (profile->kms_measurement_count == 0)
        return rd_err_set(err, RD_E_CONFIG, "the profile lists no builds of a key service (kms_measurements)");
    uint8_t mrtd[RD_MRTD_SIZE];
    for (size_t i = 0; i < profile->kms_measurement_count; i++)
        if (rd_hex_decode(profile->kms_measurements[i], 96, mrtd, sizeof mrtd) < 0 || rd_policy_add_mrtd(ret, mrtd) < 0)
            return rd_err_set(err, RD_E_CONFIG, "kms_measurements %zu of the profile is malformed", i + 1);
    return 0;
}

int cli_kms_check(cli_context *context, const cli_kms *kms, rd_bytes evidence, const cli_collateral *collateral,
                  rd_purpose purpose, const uint8_t nonce[32], json_t *steps, rd_attest_report *report, rd_err *err)
{
    RD_CLEANUP(rd_free_p) rd_policy *policy = rd_alloc(sizeof *policy);
    rd_anchors anchors;
    if (cli_anchors_of_profile(context->profile, &anchors, err) < 0 ||
        fill_policy(context, kms->genesis.class, policy, err) < 0)
        return cli_step_failed(steps, "key service", err);
    const rd_evidence_check check = {
        .evidence = evidence,
        .collateral = rd_buf_bytes(&collateral->json),
        .anchors = &anchors,
        .policy = policy,
        .expect = { .purpose = purpose, .nonce = nonce, .kms = &kms->id, .kms_count = 1, .user = kms->id.b },
        .time_us = rd_clock_wall_us(context->clock),
    };
    int status = rd_attest_check_evidence(&check, report, err);
    for (size_t i = 0; i < report->verdict.step_count; i++)
        cli_step(steps, report->verdict.steps[i].name, report->verdict.steps[i].is_ok, "%s",
                 report->verdict.steps[i].detail);
    if (status < 0)
        return cli_steps_are_ok(steps) ? cli_step_failed(steps, "key service", err) : cli_steps_explain(steps, err);
    const cli_finding found = { .verdict = &report->verdict, .source = collateral->source };
    if (cli_demands_appraise(context, &found, policy, "key service", check.time_us, steps, err) < 0)
        return -1;
    if (!rd_kms_genesis_lists_build(&kms->genesis, report->verdict.claims.tdx.mr_td)) {
        (void)rd_err_set(err, RD_E_KMS_BUILD, "the evidence is of a build that the genesis does not list");
        return cli_step_failed(steps, "build", err);
    }
    if (!rd_kms_genesis_lists_platform(&kms->genesis, report->verdict.claims.platform_id)) {
        (void)rd_err_set(err, RD_E_KMS_PLATFORM, "the evidence is of a machine that the genesis does not list");
        return cli_step_failed(steps, "machine", err);
    }
    cli_step(steps, "key service", true, "%.12s… attests this genesis, from a build on this machine's list", kms->text);
    return 0;
}

int cli_kms_attest(cli_context *context, cli_client *client, const cli_kms *kms, json_t *steps, rd_err *err)
{
    uint8_t nonce[32];
    char nonce_text[44];
    rd_random_bytes(nonce, sizeof nonce);
    rd_base64url_encode(RD_BYTES_ARRAY(nonce), nonce_text);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/kms/%s/evidence?nonce=%s", kms->text, nonce_text);
    RD_CLEANUP(rd_buf_done) rd_buf evidence = { .size_max = CLI_EVIDENCE_MAX };
    RD_CLEANUP(cli_collateral_done) cli_collateral collateral;
    RD_CLEANUP(rd_free_p) rd_attest_report *report = rd_alloc(sizeof *report);
    cli_collateral_init(&collateral);
    if (cli_client_fetch(client, path, NULL, &evidence, err) < 0 ||
        cli_collateral_get(context, client, rd_buf_bytes(&evidence), &collateral, err) < 0)
        return cli_step_failed(steps, "key service", err);
    return cli_kms_check(context, kms, rd_buf_bytes(&evidence), &collateral, RD_PURPOSE_KMS, nonce, steps, report, err);
}

/* ---- trust ---- */

static char *trust_path(const cli_context *context)
{
    return rd_asprintf("%s/kms.json", cli_profile_get(context->profile, CLI_SET_STATE_DIR));
}

int cli_kms_trusted(const cli_context *context, json_t **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = trust_path(context);
    *ret = NULL;
    FILE *file = fopen(path, "re");
    if (!file && errno == ENOENT) {
        *ret = json_array();
        return 0;
    }
    if (!file)
        return rd_err_set_errno(err, RD_E_CONFIG, errno, "%s", path);
    json_t *document = json_loadf(file, JSON_REJECT_DUPLICATES, NULL);
    (void)fclose(file);
    json_t *list = json_object_get(document, "trusted");
    if (json_is_array(list))
        *ret = json_incref(list);
    json_decref(document);
    return *ret ? 0
                : rd_err_set(err, RD_E_CONFIG, "%s is not the list of trusted key services that this program wrote",
                             path);
}

bool cli_kms_is_in(const json_t *trusted, const rd_kms_id *id)
{
    char text[RD_KMS_ID_TEXT_SIZE];
    rd_kms_id_format(id, text);
    bool is_there = false;
    for (size_t i = 0; i < json_array_size(trusted); i++) {
        const char *one = json_string_value(json_array_get(trusted, i));
        is_there |= one && strcmp(one, text) == 0;
    }
    return is_there;
}

int cli_kms_trust(const cli_context *context, const rd_kms_id *id, rd_err *err)
{
    char text[RD_KMS_ID_TEXT_SIZE];
    rd_kms_id_format(id, text);
    RD_CLEANUP(rd_json_free_p) json_t *list = NULL;
    if (cli_kms_trusted(context, &list, err) < 0)
        return -1;
    if (cli_kms_is_in(list, id))
        return 0;
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    (void)json_array_append_new(list, json_string(text));
    while (json_array_size(list) > TRUSTED_MAX)
        (void)json_array_remove(list, 0);
    (void)json_object_set(document, "trusted", list);
    RD_CLEANUP(rd_free_p) char *path = trust_path(context);
    RD_CLEANUP(rd_free_p) char *content = json_dumps(document, JSON_INDENT(2));
    const char *dir = cli_profile_get(context->profile, CLI_SET_STATE_DIR);
    if (cli_make_dirs(dir, err) < 0)
        return -1;
    return cli_write_file(path, content, strlen(content), 0600, err);
}

void cli_kms_note(const cli_out *out, const cli_kms *kms)
{
    const rd_kms_genesis *genesis = &kms->genesis;
    cli_note(out, "Key service %s", kms->text);
    cli_note(out, "  class      %s",
             genesis->class == RD_CLASS_SIMULATED ? "SIMULATED: everything is checked, nothing is confidential"
                                                  : rd_class_name(genesis->class));
    cli_note(out, "  machines   %zu, replicas %u", genesis->platforms_count, genesis->replicas);
    if (genesis->recovery_count == 0)
        cli_note(out, "  recovery   none: when its machines are gone, so are the keys");
    else
        cli_note(out, "  recovery   any %u of %zu holders of shares, towards a machine of the list",
                 genesis->recovery_threshold, genesis->recovery_count);
    for (size_t i = 0; i < genesis->recovery_count; i++) {
        char key[44];
        rd_base64url_encode(RD_BYTES_ARRAY(genesis->recovery_keys[i]), key);
        cli_note(out, "             %s", key);
    }
    cli_note(out, "  witnesses  none: no log shows what it grants");
}

/* Only a person, or the verb that names the id, gives trust: --yes answers smaller questions. */
static int ask_first(cli_context *context, const cli_kms *kms, rd_err *err)
{
    bool is_yes = false;
    cli_kms_note(&context->out, kms);
    if (context->out.assume_yes || !context->out.may_ask)
        return rd_err_set(err, RD_E_KMS_UNKNOWN,
                          "no key service is trusted here yet; if this one is yours: %s kms trust %s", context->program,
                          kms->text);
    if (cli_confirm(&context->out, "Trust it with the secrets of your apps?", false, &is_yes, err) < 0)
        return -1;
    if (!is_yes)
        return rd_err_set(err, RD_E_CANCELLED, "not trusted; nothing was sealed");
    return cli_kms_trust(context, &kms->id, err);
}

int cli_kms_demand(cli_context *context, cli_client *client, const rd_kms_id *id, cli_kms *ret, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *steps = json_array();
    RD_CLEANUP(rd_json_free_p) json_t *trusted = NULL;
    if (cli_kms_trusted(context, &trusted, err) < 0 || cli_kms_fetch(client, id, ret, err) < 0 ||
        cli_kms_attest(context, client, ret, steps, err) < 0)
        return -1;
    if (cli_kms_is_in(trusted, id))
        return 0;
    if (json_array_size(trusted) == 0)
        return ask_first(context, ret, err);
    cli_kms_note(&context->out, ret);
    return rd_err_set(err, RD_E_KMS_UNKNOWN,
                      "%s is another key service than this machine trusts; if it is yours: %s kms trust %s", ret->text,
                      context->program, ret->text);
}

int cli_kms_choose(cli_context *context, cli_client *client, rd_class class, bool *ret_found, rd_kms_id *ret,
                   rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *trusted = NULL;
    *ret_found = false;
    if (cli_kms_trusted(context, &trusted, err) < 0)
        return -1;
    int outcome = 0;
    for (size_t i = json_array_size(trusted); !*ret_found && i > 0; i--) {
        const char *text = json_string_value(json_array_get(trusted, i - 1));
        cli_kms kms;
        rd_err why = RD_ERR_INIT;
        if (!text || rd_kms_id_parse(text, strlen(text), ret, &why) < 0 || cli_kms_fetch(client, ret, &kms, &why) < 0) {
            outcome = -1;
            *err = why;
        } else {
            *ret_found = kms.genesis.class == class;
        }
    }
    return *ret_found || outcome == 0 ? 0 : rd_err_wrap(err, "the key service that is trusted here");
}

int cli_kms_seal_key(cli_client *client, const cli_kms *kms, const rd_app_id *app, uint8_t out[32], rd_err *err)
{
    char app_text[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(app, app_text);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/kms/%s/seal-key?app=%s&version=1", kms->text, app_text);
    RD_CLEANUP(rd_json_free_p) json_t *shown = NULL;
    rd_signature signature;
    if (cli_client_json(client, "GET", path, NULL, &shown, err) < 0)
        return -1;
    if (rd_json_b64(json_object_get(shown, "key"), "/key", out, 32, err) < 0 ||
        rd_json_b64(json_object_get(shown, "signature"), "/signature", signature.b, sizeof signature.b, err) < 0 ||
        rd_seal_key_verify(&kms->genesis.root, app, 1, out, &signature, err) < 0)
        return rd_err_wrap(err, "seal key of %s", kms->text);
    return 0;
}
