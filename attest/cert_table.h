/* cert_table: the host's table of AMD certificates beside a report (GHCB, AMD 56421; auxblob of configfs-tsm).
 * Used by judge.c. The host fills it, so it is collateral like any other: a hint that the chain's check believes or
 * not. */
#ifndef RD_ATTEST_CERT_TABLE_H
#define RD_ATTEST_CERT_TABLE_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define RD_CERT_TABLE_SIZE_MAX ((size_t)64 << 10)

typedef struct rd_cert_table {
    rd_bytes vcek, vlek, ask, ark, crl; /* borrowed; no data when absent */
} rd_cert_table;

/* SNP_CERTTABLE: an unknown GUID, one that stands twice, ranges past the end, inside the table or over each other, no
 * end. */
int rd_cert_table_read(rd_bytes bytes, rd_cert_table *ret, rd_err *err) RD_NODISCARD;

#endif
