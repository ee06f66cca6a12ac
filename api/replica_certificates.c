#include "api/replica_certificates.h"

static size_t place_of(const api_replica_certificates *all, const rd_kms_id *kms, const rd_public_key *replica)
{
    size_t i = 0;
    while (i < all->count &&
           (!rd_kms_id_equal(&all->items[i].kms, kms) || !rd_public_key_equal(&all->items[i].replica, replica)))
        i++;
    return i;
}

static api_replica_certificate *take_place(api_replica_certificates *all)
{
    if (all->count < API_REPLICA_CERTIFICATES_MAX)
        return &all->items[all->count++];
    api_replica_certificate *first = &all->items[all->next];
    all->next = (all->next + 1) % API_REPLICA_CERTIFICATES_MAX;
    return first;
}

void api_replica_certificates_note(api_replica_certificates *all, const rd_kms_id *kms, const rd_public_key *replica,
                                   rd_bytes envelope)
{
    size_t i = place_of(all, kms, replica);
    api_replica_certificate *one = i < all->count ? &all->items[i] : take_place(all);
    one->kms = *kms;
    one->replica = *replica;
    rd_buf_clear(&one->envelope);
    (void)rd_buf_append_bytes(&one->envelope, envelope);
}

rd_bytes api_replica_certificates_find(const api_replica_certificates *all, const rd_kms_id *kms,
                                       const rd_public_key *replica)
{
    size_t i = place_of(all, kms, replica);
    return i < all->count ? rd_buf_bytes(&all->items[i].envelope) : RD_BYTES_NULL;
}

void api_replica_certificates_done(api_replica_certificates *all)
{
    for (size_t i = 0; i < all->count; i++)
        rd_buf_done(&all->items[i].envelope);
    *all = (api_replica_certificates){ .count = 0 };
}
