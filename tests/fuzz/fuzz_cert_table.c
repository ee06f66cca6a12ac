// link: rd_attest
/* Any bytes as a host's table of AMD certificates. What is found lies inside, behind the table, and no two of it over
 * each other; and is then read as what it says that it is. */
#include <stdlib.h>

#include "attest/cert_table.h"
#include "common/crypto/x509_crl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool overlaps(rd_bytes a, rd_bytes b)
{
    return a.size > 0 && b.size > 0 && a.data < b.data + b.size && b.data < a.data + a.size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_bytes in = rd_bytes_of(data, size);
    rd_cert_table table;
    rd_crl *list = NULL;
    if (rd_cert_table_read(in, &table, NULL) < 0)
        return 0;
    const rd_bytes found[] = { table.vcek, table.vlek, table.ask, table.ark, table.crl };
    for (size_t i = 0; i < RD_ARRAY_LEN(found); i++) {
        rd_certs certs = { 0 };
        if (found[i].size > 0 && (found[i].data <= data || found[i].data + found[i].size > data + size))
            abort();
        for (size_t k = 0; k < i; k++)
            if (overlaps(found[i], found[k]))
                abort();
        if (rd_certs_parse_mixed(found[i], 2, &certs, NULL) == 0)
            rd_certs_done(&certs);
    }
    if (rd_crl_parse(table.crl, &list, NULL) == 0)
        rd_crl_free(list);
    return 0;
}
