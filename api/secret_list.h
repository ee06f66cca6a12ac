/* secret_list: which sealed secrets a head names: taken off the request, looked up, held against the head's root, kept.
 * Used by the route that publishes heads, inside its transaction. Knows ciphertexts by their digests alone. */
#ifndef API_SECRET_LIST_H
#define API_SECRET_LIST_H

#include "api/store.h"
#include "common/model/head.h"
#include "common/model/secret_seal.h"

typedef struct api_secret_list {
    struct {
        char name[RD_SECRET_NAME_MAX + 1];
        uint64_t version;
    } items[RD_SECRETS_MAX];
    size_t count;
} api_secret_list;

/* Reads member "secrets" of a head's body, [{"name","version"}…], and takes it off, so that the envelope is left. */
int api_secret_list_take(json_t *body, api_secret_list *ret, rd_err *err) RD_NODISCARD;
/* Names and versions as two arrays for unnest; rd_pg_array_done ends each. */
void api_secret_list_arrays(const api_secret_list *list, rd_pg_array *ret_names, rd_pg_array *ret_versions);
/* Within the transaction, after the head was accepted: SECRETS_INCOMPLETE unless the stored ciphertexts of the list are
 * exactly what the head was signed over; KMS_UNKNOWN when the head names a key service that no host here has carried.
 */
rd_pg_outcome api_secret_list_check(rd_pg *pg, const uint8_t org[16], const rd_head *head, const api_secret_list *list,
                                    rd_err *err) RD_NODISCARD;
/* After the head's row. */
rd_pg_outcome api_secret_list_keep(rd_pg *pg, const uint8_t org[16], const rd_head *head, const api_secret_list *list,
                                   rd_err *err) RD_NODISCARD;

#endif
