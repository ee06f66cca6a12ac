/* eventlog: logs of measured events of other guests, replayed into the run-time registers of a TD.
 * Used to judge guests that are not ours: firmware logs (CCEL: UEFI 2.10 confidential computing, TCG PC Client Platform
 * Firmware Profile) and dstack's JSON. Ours travel in the evidence bundle and are replayed by common/model/evidence.
 * A log is believed only after its replay equals the registers of a genuine quote; and even then a digest covers an
 * event's data only where the data is what was hashed. */
#ifndef RD_ATTEST_EVENTLOG_H
#define RD_ATTEST_EVENTLOG_H

#include "attest/claims.h"

#define RD_EVENTLOG_SIZE_MAX   ((size_t)1 << 20)
#define RD_EVENTLOG_EVENTS_MAX 4096

typedef struct rd_register_log {
    uint8_t rtmr[4][48];
    size_t event_count; /* without the header; events that are not extended are counted */
    size_t end;         /* CCEL: where padding begins */
} rd_register_log;

/* The area of the CCEL table. EVENTLOG: not crypto-agile with SHA-384 alone, an unknown register, lengths past the end,
 * anything but padding behind the end; and of either log a second separator in a register, under whatever type, none in
 * a register that the firmware measured into (RTMR0, RTMR1), or one that is none. */
int rd_ccel_replay(rd_bytes area, rd_register_log *ret, rd_err *err) RD_NODISCARD;
/* The ACPI table beside the area: of TDX, and with room for a log that ends at end. EVENTLOG otherwise. */
int rd_ccel_table_check(rd_bytes table, size_t end, rd_err *err) RD_NODISCARD;
/* JSON array of {imr, event_type, digest, event, event_payload}; run-time events are hashed from their payload, and a
 * digest beside them must agree. EVENTLOG otherwise. */
int rd_dstack_replay(rd_bytes json, rd_register_log *ret, rd_err *err) RD_NODISCARD;

/* RTMR unless all four registers equal the TD's. */
int rd_register_log_check(const rd_register_log *log, const rd_tdx_claims *tdx, rd_err *err) RD_NODISCARD;

#endif
