/* Verifies the quote in a folder with the collateral beside it, and says why.
 * Build: cc verify.c $(pkg-config --cflags --libs redoubt-attest)      Usage: verify FOLDER [RFC3339] */
#include <redoubt_attest.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rd_bytes piece(const char *folder, const char *name)
{
    char path[4096];
    size_t size = 0, room = (size_t)1 << 20;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    char *data = file ? malloc(room) : NULL;
    if (data)
        size = fread(data, 1, room, file);
    if (file)
        fclose(file);
    return rd_bytes_of(data, size); /* what is not there has no data; this short program keeps what is */
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : ".";
    rd_collateral collateral = { .pck_crl = piece(dir, "pck_crl.der"),
                                 .root_ca_crl = piece(dir, "root_ca_crl.der"),
                                 .tcb_info = piece(dir, "tcb_info.json"),
                                 .tcb_info_chain = piece(dir, "tcb_info_issuer_chain.pem"),
                                 .qe_identity = piece(dir, "qe_identity.json"),
                                 .qe_identity_chain = piece(dir, "qe_identity_issuer_chain.pem") };
    rd_anchors anchors;
    rd_judgement judgement;
    rd_err err = RD_ERR_INIT;
    rd_judge_input input = { .evidence = piece(dir, "quote.bin"), .collateral = &collateral, .anchors = &anchors };
    input.time_us = rd_clock_wall_us(rd_clock_system());
    rd_anchors_init(&anchors); /* the vendors' roots */
    if (argc > 2 && rd_time_parse(argv[2], strlen(argv[2]), &input.time_us) < 0)
        return 2;
    int rc = rd_judge(&input, &judgement, &err);
    printf("%s, %s\n", judgement.word, rc == 0 ? "accepted" : err.text);
    return rc == 0 ? 0 : 6;
}
