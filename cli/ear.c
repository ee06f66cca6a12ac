#include "cli/ear.h"

#include "cli/cmd.h"
#include "common/base/mem.h"

#include <stdlib.h>

#define PEM_MAX ((size_t)8192)

int cli_ear_key_load(const char *path, cli_ear_key *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size = 0;
    rd_err why = RD_ERR_INIT;
    if (cli_read_file(path, PEM_MAX, &data, &size, err) < 0)
        return -1;
    rd_bytes pem = rd_bytes_of(data, size);
    int rc = rd_p256_key_from_pem(pem, &ret->p256, &why) == 0 ? 0 : rd_signing_key_from_pem(pem, &ret->ed25519, &why);
    rd_wipe(data, size);
    if (rc < 0)
        return rd_err_set(err, RD_E_KEY_FORMAT, "%s holds no private key of P-256 or Ed25519 in PEM", path);
    return 0;
}

void cli_ear_key_done(cli_ear_key *key)
{
    key->p256 = rd_p256_key_free(key->p256);
    key->ed25519 = rd_signing_key_free(key->ed25519);
}

int cli_ear_append(const rd_ear_input *input, const cli_ear_key *key, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *claims = rd_ear_claims(input);
    rd_ear_key signer = { .p256 = key->p256, .ed25519 = key->ed25519 };
    return rd_ear_sign(claims, &signer, out, err);
}
