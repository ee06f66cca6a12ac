#include "api/secret_list.h"

#include <string.h>

#include "common/base/mem.h"

typedef struct item {
    char name[RD_SECRET_NAME_MAX + 1];
    uint64_t version;
} item;

static const rd_json_field item_fields[] = {
    { .name = "name", .kind = RD_JSON_TEXT, .offset = offsetof(item, name), .min = 1, .max = RD_SECRET_NAME_MAX },
    { .name = "version",
      .kind = RD_JSON_U64,
      .offset = offsetof(item, version),
      .min = 1,
      .max = (int64_t)RD_SECRET_VERSION_MAX },
    RD_JSON_END,
};

static int read_item(const json_t *value, size_t index, void *context, const char *pointer, rd_err *err)
{
    api_secret_list *list = context;
    item one = { .version = 0 };
    if (rd_json_read(value, item_fields, RD_UNKNOWN_REFUSED, pointer, &one, err) < 0)
        return -1;
    memcpy(list->items[index].name, one.name, sizeof one.name);
    list->items[index].version = one.version;
    list->count = index + 1;
    return 0;
}

int api_secret_list_take(json_t *body, api_secret_list *ret, rd_err *err)
{
    ret->count = 0;
    const json_t *value = json_object_get(body, "secrets");
    if (!value)
        return 0;
    if (rd_json_each(value, 0, RD_SECRETS_MAX, "/secrets", read_item, ret, err) < 0)
        return -1;
    (void)json_object_del(body, "secrets");
    return 0;
}

void api_secret_list_arrays(const api_secret_list *list, rd_pg_array *ret_names, rd_pg_array *ret_versions)
{
    rd_pg_array_init(ret_names, RD_PG_T_TEXT);
    rd_pg_array_init(ret_versions, RD_PG_T_INT8);
    for (size_t i = 0; i < list->count; i++) {
        rd_pg_array_bytes(ret_names, rd_bytes_str(list->items[i].name));
        rd_pg_array_i64(ret_versions, (int64_t)list->items[i].version);
    }
}

static rd_pg_outcome check_kms(rd_pg *pg, const rd_head *head, rd_err *err)
{
    for (size_t i = 0; i < head->kms_count; i++) {
        RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
        rd_pg_outcome outcome = rd_pg_call(pg, "kms_get", &row, err, rd_pg_bytes(RD_BYTES_ARRAY(head->kms[i].b)));
        if (outcome == RD_PG_NONE) {
            (void)rd_err_set(err, RD_E_KMS_UNKNOWN, "no host here carries the key service that the head names");
            return RD_PG_FAILED;
        }
        if (outcome != RD_PG_SOME)
            return outcome;
    }
    return RD_PG_SOME;
}

rd_pg_outcome api_secret_list_check(rd_pg *pg, const uint8_t org[16], const rd_head *head, const api_secret_list *list,
                                    rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *rows = NULL;
    RD_CLEANUP(rd_free_p) rd_secret_ref *refs = rd_alloc_array(RD_SECRETS_MAX, sizeof *refs);
    RD_CLEANUP(rd_pg_array_done) rd_pg_array names, versions;
    api_secret_list_arrays(list, &names, &versions);
    rd_pg_outcome outcome = check_kms(pg, head, err);
    if (outcome != RD_PG_SOME)
        return outcome;
    outcome = rd_pg_call(pg, "secrets_of_list", &rows, err, rd_pg_uuid(org), rd_pg_bytes(RD_BYTES_ARRAY(head->app.b)),
                         rd_pg_array_value(&names), rd_pg_array_value(&versions));
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return outcome;
    size_t count = rd_pg_rows(rows);
    if (count > RD_SECRETS_MAX || count != list->count) {
        (void)rd_err_set(err, RD_E_SECRETS_INCOMPLETE, "%zu of the %zu listed secrets are stored here", count,
                         list->count);
        return RD_PG_FAILED;
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(refs[i].name, sizeof refs[i].name, "%s", rd_pg_get_text(rows, i, 0));
        refs[i].version = (uint64_t)rd_pg_get_i64(rows, i, 1);
        (void)rd_pg_get_fixed(rows, i, 2, refs[i].sealed.b, sizeof refs[i].sealed.b);
    }
    if (rd_secrets_check(refs, count, head->secrets_count, &head->secrets_root, err) < 0)
        return RD_PG_FAILED;
    return RD_PG_SOME;
}

rd_pg_outcome api_secret_list_keep(rd_pg *pg, const uint8_t org[16], const rd_head *head, const api_secret_list *list,
                                   rd_err *err)
{
    if (list->count == 0)
        return RD_PG_SOME;
    RD_CLEANUP(rd_pg_array_done) rd_pg_array names, versions;
    api_secret_list_arrays(list, &names, &versions);
    return rd_pg_call(pg, "head_secrets_add", NULL, err, rd_pg_uuid(org), rd_pg_bytes(RD_BYTES_ARRAY(head->app.b)),
                      rd_pg_i64((int64_t)head->seq), rd_pg_array_value(&names), rd_pg_array_value(&versions));
}
