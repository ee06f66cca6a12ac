#include "common/model/egress.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static void entry_done(rd_egress_entry *entry)
{
    rd_buf_done(&entry->ca);
    *entry = (rd_egress_entry){ .port = 0 };
}

void rd_egress_done(rd_egress *egress)
{
    for (size_t i = 0; i < egress->count; i++)
        entry_done(&egress->items[i]);
    free(egress->items);
    *egress = (rd_egress){ .count = 0 };
}

/* --- one host, one text ------------------------------------------------------------------------------------------- */

static bool is_ipv6(const char *host)
{
    struct in6_addr address;
    char inner[INET6_ADDRSTRLEN] = "", again[INET6_ADDRSTRLEN];
    size_t size = strlen(host);

    if (size < 4 || size - 2 >= sizeof inner || host[0] != '[' || host[size - 1] != ']')
        return false;
    memcpy(inner, host + 1, size - 2);
    return inet_pton(AF_INET6, inner, &address) == 1 && inet_ntop(AF_INET6, &address, again, sizeof again) &&
           strcmp(inner, again) == 0;
}

static bool is_ipv4(const char *host)
{
    struct in_addr address;
    char again[INET_ADDRSTRLEN];

    return inet_pton(AF_INET, host, &address) == 1 && inet_ntop(AF_INET, &address, again, sizeof again) &&
           strcmp(host, again) == 0;
}

/* RFC 1123, 2.1: labels of letters, digits and inner dashes; the last one begins with a letter, else it is an address.
 */
static bool is_name(const char *host)
{
    size_t label = 0;
    bool is_word = false; /* this label begins with a letter */

    for (const char *at = host; *at; at++) {
        bool is_letter = *at >= 'a' && *at <= 'z';
        bool is_digit = *at >= '0' && *at <= '9';
        if (*at == '.') {
            if (label == 0 || at[-1] == '-')
                return false;
            label = 0;
            continue;
        }
        if (!is_letter && !is_digit && (*at != '-' || label == 0))
            return false;
        is_word = label == 0 ? is_letter : is_word;
        if (++label > 63)
            return false;
    }
    return label > 0 && is_word && host[strlen(host) - 1] != '-';
}

bool rd_egress_host_is_ok(const char *host)
{
    size_t size = strnlen(host, RD_EGRESS_HOST_MAX + 1);

    return size > 0 && size <= RD_EGRESS_HOST_MAX && (is_name(host) || is_ipv4(host) || is_ipv6(host));
}

int rd_egress_place_parse(const char *text, rd_egress_entry *ret, rd_err *err)
{
    const char *at = text;
    uint64_t port;

    ret->is_plain = rd_starts_with(text, "http://");
    if (ret->is_plain)
        at += strlen("http://");
    else if (rd_starts_with(text, "https://"))
        at += strlen("https://");
    const char *colon = strrchr(at, ':');
    if (colon && strchr(colon, ']'))
        colon = NULL;
    size_t size = colon ? (size_t)(colon - at) : strlen(at);
    port = ret->is_plain ? 80 : 443;
    if (size == 0 || size > RD_EGRESS_HOST_MAX ||
        (colon && (rd_parse_u64(colon + 1, strlen(colon + 1), UINT16_MAX, &port) < 0 || port == 0)))
        return rd_err_set(err, RD_E_JSON_RANGE, "\"%.80s\" is no host, host:port or http://host:port", text);
    memcpy(ret->host, at, size);
    ret->host[size] = '\0';
    ret->port = (uint16_t)port;
    if (!rd_egress_host_is_ok(ret->host))
        return rd_err_set(err, RD_E_JSON_RANGE,
                          "\"%.80s\" is no name in lower case, IPv4 address or IPv6 address in brackets", ret->host);
    return 0;
}

/* --- the list ----------------------------------------------------------------------------------------------------- */

static int compare(const rd_egress_entry *a, const rd_egress_entry *b)
{
    int order = strcmp(a->host, b->host);

    if (order == 0)
        order = (a->port > b->port) - (a->port < b->port);
    return order != 0 ? order : (int)a->is_plain - (int)b->is_plain;
}

static int check(const rd_egress *egress, const rd_egress_entry *entry, size_t *ret_at, rd_err *err)
{
    if (egress->count == RD_EGRESS_MAX)
        return rd_err_set(err, RD_E_JSON_RANGE, "egress: more than %d places", RD_EGRESS_MAX);
    if (!rd_egress_host_is_ok(entry->host) || entry->port == 0)
        return rd_err_set(err, RD_E_JSON_RANGE, "egress: \"%.80s\" is no host in its one form", entry->host);
    if (entry->is_plain && (entry->secrets_count > 0 || entry->ca.size > 0))
        return rd_err_set(err, RD_E_JSON_RANGE, "egress: a secret or a CA has no use over plain HTTP");
    *ret_at = egress->count;
    while (*ret_at > 0 && compare(entry, &egress->items[*ret_at - 1]) <= 0) {
        if (compare(entry, &egress->items[*ret_at - 1]) == 0)
            return rd_err_set(err, RD_E_JSON_RANGE, "egress: %s:%u stands twice", entry->host, entry->port);
        --*ret_at;
    }
    return 0;
}

int rd_egress_add(rd_egress *egress, rd_egress_entry *entry, rd_err *err)
{
    size_t at;

    if (check(egress, entry, &at, err) < 0) {
        entry_done(entry);
        return -1;
    }
    egress->items = rd_realloc(egress->items, (egress->count + 1) * sizeof *egress->items);
    memmove(&egress->items[at + 1], &egress->items[at], (egress->count - at) * sizeof *egress->items);
    egress->items[at] = *entry;
    egress->count++;
    *entry = (rd_egress_entry){ .port = 0 };
    return 0;
}

bool rd_egress_entry_carries(const rd_egress_entry *entry, rd_bytes secret)
{
    for (size_t i = 0; i < entry->secrets_count; i++) {
        if (rd_bytes_equal(rd_bytes_str(entry->secrets[i]), secret))
            return true;
    }
    return false;
}

bool rd_egress_carries(const rd_egress *egress, rd_bytes secret)
{
    for (size_t i = 0; i < egress->count; i++) {
        if (rd_egress_entry_carries(&egress->items[i], secret))
            return true;
    }
    return false;
}

const rd_egress_entry *rd_egress_find(const rd_egress *egress, bool is_plain, rd_bytes host, uint16_t port)
{
    for (size_t i = 0; i < egress->count; i++) {
        const rd_egress_entry *entry = &egress->items[i];
        if (entry->is_plain == is_plain && entry->port == port && rd_bytes_equal(rd_bytes_str(entry->host), host))
            return entry;
    }
    return NULL;
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static int read_secret(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_egress_entry *entry = context;
    const char *name = json_string_value(item);

    if (!name || strlen(name) == 0 || strlen(name) > RD_EGRESS_SECRET_MAX ||
        (index > 0 && strcmp(entry->secrets[index - 1], name) >= 0)) {
        (void)rd_err_set(err, name ? RD_E_JSON_RANGE : RD_E_JSON_TYPE, "names of secrets, each once and in order");
        return rd_err_at(err, pointer);
    }
    memcpy(entry->secrets[entry->secrets_count++], name, strlen(name) + 1);
    return 0;
}

static int read_secrets(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_EGRESS_SECRETS_MAX, pointer, read_secret, into, err);
}

static const char *const schemes[] = { "https", "http", NULL };

typedef struct wire_entry {
    rd_egress_entry entry;
    int scheme;
    uint32_t port;
} wire_entry;

static const rd_json_field entry_fields[] = {
    { "ca", RD_JSON_B64_BUF, offsetof(wire_entry, entry.ca), RD_NULLABLE, .min = 1, .max = RD_EGRESS_CA_MAX },
    { "host", RD_JSON_TEXT, offsetof(wire_entry, entry.host), RD_REQUIRED, .min = 1, .max = RD_EGRESS_HOST_MAX },
    { "port", RD_JSON_U32, offsetof(wire_entry, port), RD_REQUIRED, .min = 1, .max = UINT16_MAX },
    { "private", RD_JSON_BOOL, offsetof(wire_entry, entry.is_private), RD_REQUIRED },
    { "scheme", RD_JSON_ENUM, offsetof(wire_entry, scheme), RD_REQUIRED, .names = schemes },
    { "secrets", RD_JSON_CUSTOM, offsetof(wire_entry, entry), RD_REQUIRED, .parse = read_secrets },
    RD_JSON_END,
};

static int read_entry(const json_t *item, size_t index RD_UNUSED, void *context, const char *pointer, rd_err *err)
{
    rd_egress *egress = context;
    wire_entry wire = { .port = 0 };

    if (rd_json_read(item, entry_fields, RD_UNKNOWN_REFUSED, pointer, &wire, err) < 0) {
        entry_done(&wire.entry);
        return -1;
    }
    wire.entry.port = (uint16_t)wire.port;
    wire.entry.is_plain = wire.scheme == 1;
    if (rd_egress_add(egress, &wire.entry, err) < 0)
        return rd_err_at(err, pointer);
    return 0;
}

/* Whether what was read stood in order: adding sorts, so the text must have been sorted already. */
static int check_order(const json_t *array, const rd_egress *egress, const char *pointer, rd_err *err)
{
    for (size_t i = 0; i < egress->count; i++) {
        const json_t *item = json_array_get(array, i);
        if (strcmp(json_string_value(json_object_get(item, "host")), egress->items[i].host) == 0 &&
            json_integer_value(json_object_get(item, "port")) == egress->items[i].port &&
            strcmp(json_string_value(json_object_get(item, "scheme")), schemes[egress->items[i].is_plain]) == 0)
            continue;
        (void)rd_err_set(err, RD_E_JSON_RANGE, "egress is ordered by host, port and scheme");
        return rd_err_at(err, pointer);
    }
    return 0;
}

int rd_egress_read(const json_t *value, void *egress, const char *pointer, rd_err *err)
{
    if (rd_json_each(value, 0, RD_EGRESS_MAX, pointer, read_entry, egress, err) < 0)
        return -1;
    return check_order(value, egress, pointer, err);
}

static json_t *entry_to_json(const rd_egress_entry *entry)
{
    json_t *object = json_object();
    json_t *secrets = json_array();

    for (size_t i = 0; i < entry->secrets_count; i++)
        (void)json_array_append_new(secrets, json_string(entry->secrets[i]));
    if (entry->ca.size > 0)
        rd_json_set_b64(object, "ca", rd_buf_bytes(&entry->ca));
    else
        rd_json_set_null(object, "ca");
    rd_json_set_str(object, "host", entry->host);
    rd_json_set_int(object, "port", entry->port);
    rd_json_set_bool(object, "private", entry->is_private);
    rd_json_set_str(object, "scheme", schemes[entry->is_plain]);
    rd_json_set(object, "secrets", secrets);
    return object;
}

json_t *rd_egress_to_json(const rd_egress *egress)
{
    json_t *array = json_array();

    for (size_t i = 0; i < egress->count; i++)
        (void)json_array_append_new(array, entry_to_json(&egress->items[i]));
    return array;
}
