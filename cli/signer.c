#include "cli/signer.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

static int load_delegation(const char *path, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) uint8_t *text = NULL;
    size_t size = 0;
    if (cli_read_file(path, RD_ENVELOPE_SIZE_MAX, &text, &size, err) < 0)
        return rd_err_wrap(err, "delegation_file");
    /* Stored as it will travel: without what an editor leaves at its end. */
    while (size > 0 && strchr(" \t\r\n", text[size - 1]))
        size--;
    rd_buf_init(ret, RD_ENVELOPE_SIZE_MAX);
    (void)rd_buf_append(ret, text, size);
    return size > 0 ? 0 : rd_err_set(err, RD_E_DELEGATION, "%s is empty", path);
}

int cli_signer_load(const cli_profile *profile, cli_signer *ret, rd_err *err)
{
    const char *path = cli_profile_get(profile, CLI_SET_DELEGATION_FILE);
    if (path && load_delegation(path, &ret->delegation, err) < 0)
        return -1;
    return cli_keys_load(profile, &ret->key, err);
}

void cli_signer_done(cli_signer *signer)
{
    signer->key = rd_signing_key_free(signer->key);
    rd_buf_done(&signer->delegation);
}

bool cli_signer_is_delegated(const cli_signer *signer)
{
    return signer->delegation.size > 0;
}

static bool is_owner(const cli_current *current, const rd_public_key *key)
{
    for (uint32_t i = 0; i < current->genesis.owners_count; i++)
        if (rd_public_key_equal(&current->genesis.owners[i], key))
            return true;
    return false;
}

int cli_signer_check(cli_signer *signer, const cli_current *current, int64_t now_us, rd_err *err)
{
    const rd_public_key *key = rd_signing_key_public(signer->key);
    char until[RD_TIME_TEXT_SIZE];
    if (!cli_signer_is_delegated(signer)) {
        if (is_owner(current, key))
            return 0;
        return rd_err_set(
            err, RD_E_SIGNATURE,
            "this owner key does not own the app; use the key that created it (key_file), or one that its "
            "owner delegated to (delegation_file)");
    }
    if (rd_delegation_accept(rd_buf_bytes(&signer->delegation), &current->genesis, &current->app, &signer->given, err) <
        0)
        return -1;
    if (!rd_public_key_equal(key, &signer->given.key))
        return rd_err_set(err, RD_E_DELEGATION, "the delegation is for another key than that of key_file");
    rd_time_format(signer->given.not_after_us, until);
    if (now_us >= signer->given.not_after_us)
        return rd_err_set(err, RD_E_DELEGATION, "the delegation ended %s; the owner makes a new one", until);
    if (!current->has_head)
        return rd_err_set(err, RD_E_DELEGATION, "the owner has to deploy once before others can");
    return 0;
}

int cli_signer_sign(const cli_signer *signer, rd_bytes document, rd_sign_label label, rd_bytes base, rd_envelope *ret,
                    rd_err *err)
{
    rd_envelope_init(ret, document);
    if (rd_envelope_sign(ret, signer->key, label, err) < 0)
        return -1;
    if (cli_signer_is_delegated(signer)) {
        (void)rd_buf_append_bytes(&ret->signatures[0].delegation, rd_buf_bytes(&signer->delegation));
        (void)rd_buf_append_bytes(&ret->signatures[0].base, base);
    }
    return 0;
}
