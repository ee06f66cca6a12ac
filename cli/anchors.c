#include "cli/anchors.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/crypto/x509.h"

/* The one root that counts then. It is a vendor's, or else evidence under it is of class simulated. */
static int read_trust_root(const char *path, rd_anchors *ret, rd_err *err)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size = 0;
    rd_anchors vendors;
    if (cli_read_file(path, RD_CERT_SIZE_MAX * 2, &data, &size, err) < 0 ||
        rd_certs_parse_mixed(rd_bytes_of(data, size), 1, &certs, err) < 0) {
        err->code = RD_E_USAGE;
        return rd_err_wrap(err, "--trust-root");
    }
    rd_anchor anchor = { .class = RD_CLASS_SIMULATED };
    rd_cert_fingerprint(certs.items[0], anchor.fingerprint);
    rd_anchors_init(&vendors);
    for (size_t i = 0; i < vendors.count; i++)
        if (memcmp(vendors.items[i].fingerprint, anchor.fingerprint, 32) == 0)
            anchor.class = RD_CLASS_HARDWARE;
    *ret = (rd_anchors){ .count = 2, .items = { anchor, anchor } };
    ret->items[0].tee = RD_TEE_TDX;
    ret->items[1].tee = RD_TEE_SNP;
    return 0;
}

int cli_anchors_of_profile(const cli_profile *profile, rd_anchors *ret, rd_err *err)
{
    rd_anchors_init(ret);
    for (size_t i = 0; i < profile->simulation_root_count; i++)
        if (rd_anchors_add_simulated(ret, profile->simulation_roots[i], err) < 0)
            return rd_err_wrap(err, "simulation root of the profile");
    return 0;
}

int cli_anchors_read(const cli_context *context, const cli_args *args, rd_anchors *ret, rd_err *err)
{
    const char *path = cli_args_value(args, "trust-root");
    return path ? read_trust_root(path, ret, err) : cli_anchors_of_profile(context->profile, ret, err);
}
