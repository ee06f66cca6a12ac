/* specialise: whether the documents behind a header may run here, and what they say.
 * Used by the instance after the header was measured: genesis, head, release and code, each check with its own code.
 * Believes none of them before it is verified; the time is the platform's floor.
 */
#ifndef ENCL_SPECIALISE_H
#define ENCL_SPECIALISE_H

#include "common/model/class.h"
#include "common/model/code_bundle.h"
#include "common/model/evidence.h"
#include "common/model/release.h"
#include "common/model/statement.h"

/* The documents as they came, and the order to start. */
typedef struct encl_documents {
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
    rd_buf genesis; /* canonical JSON */
    rd_buf head;    /* envelope */
    rd_buf release; /* envelope */
    rd_buf code;    /* code bundle */
} encl_documents;

void encl_documents_done(encl_documents *documents);

/* START as parsed. host_time_us is a hint. */
typedef struct encl_start {
    rd_id instance;
    uint64_t epoch;
    uint8_t nonce[RD_NONCE_SIZE];
    int64_t host_time_us;
} encl_start;

int encl_start_parse(rd_bytes json, encl_start *ret, rd_err *err) RD_NODISCARD;
/* {"purpose":"status","nonce":…}: the nonce. PURPOSE for any other purpose. */
int encl_evidence_order_parse(rd_bytes json, uint8_t ret_nonce[RD_NONCE_SIZE], rd_err *err) RD_NODISCARD;

/* What runs here, verified. */
typedef struct encl_app {
    rd_app_id id;
    rd_digest release;
    rd_digest head;
    rd_class class;
    rd_release manifest;
    rd_code_bundle code;
} encl_app;

void encl_app_done(encl_app *app);

/* Verifies everything against the header. class is the platform's. Codes: GENESIS_MISMATCH, SIGNATURE, PURPOSE,
 * HEAD_TIME, CLASS_MISMATCH, RELEASE_NOT_ALLOWED, HEADER_MISMATCH, CODE_MISMATCH, and those of parsing. Call
 * encl_app_done also after a failure. */
int encl_app_open(const encl_documents *documents, rd_class class, int64_t now_us, encl_app *ret,
                  rd_err *err) RD_NODISCARD;

#endif
