// link: enclave_core encl_engine
#include <stdlib.h>

#include "enclave/runtime/control.h"
#include "enclave/runtime/specialise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The stream as an instance reads it; START and EVIDENCE go on into their parsers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    encl_control control;
    encl_control_init(&control);
    bool was_measured = false;
    int outcome = 0;
    for (size_t at = 0; at < size && outcome >= 0;) {
        size_t room = encl_control_room(&control);
        if (room == 0)
            abort();
        size_t step = size - at < room ? size - at : room;
        outcome = encl_control_feed(&control, rd_bytes_of(data + at, step), NULL);
        at += step;
        encl_control_message message;
        while (outcome >= 0 && (outcome = encl_control_next(&control, &message, NULL)) > 0) {
            encl_start start;
            uint8_t nonce[RD_NONCE_SIZE];
            if (message.type == ENCL_CONTROL_HEADER) {
                if (was_measured || message.payload.size != ENCL_HEADER_SIZE || encl_control_room(&control) != 0)
                    abort();
                was_measured = true;
                encl_control_measured(&control);
            } else if (!was_measured) {
                abort();
            } else if (message.type == ENCL_CONTROL_START) {
                (void)!encl_start_parse(message.payload, &start, NULL);
                encl_start_done(&start);
            } else if (message.type == ENCL_CONTROL_EVIDENCE) {
                (void)!encl_evidence_order_parse(message.payload, nonce, NULL);
            }
        }
    }
    encl_control_done(&control);
    return 0;
}
