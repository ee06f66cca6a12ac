#include "cli/yaml.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <libfyaml.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define YAML_SIZE_MAX  65536
#define YAML_DEPTH_MAX 16

static int to_json(struct fy_node *node, int depth, json_t **ret, rd_err *err);

static json_t *plain_scalar(const char *text, size_t size)
{
    if (size == 0 || (size == 1 && text[0] == '~') || (size == 4 && memcmp(text, "null", 4) == 0))
        return json_null();
    if (size == 4 && memcmp(text, "true", 4) == 0)
        return json_true();
    if (size == 5 && memcmp(text, "false", 5) == 0)
        return json_false();
    bool is_negative = text[0] == '-';
    uint64_t value;
    if (rd_parse_u64(text + is_negative, size - is_negative, INT64_MAX, &value) == 0)
        return json_integer(is_negative ? -(json_int_t)value : (json_int_t)value);
    return json_stringn(text, size);
}

static int scalar_to_json(struct fy_node *node, json_t **ret, rd_err *err)
{
    size_t size = 0;
    const char *text = fy_node_get_scalar(node, &size);
    if (!text)
        size = 0;
    bool is_plain = fy_node_get_style(node) == FYNS_PLAIN;
    *ret = is_plain ? plain_scalar(text ? text : "", size) : json_stringn(text ? text : "", size);
    return *ret ? 0 : rd_err_set(err, RD_E_CLI_MANIFEST, "text is not UTF-8");
}

static int sequence_to_json(struct fy_node *node, int depth, json_t **ret, rd_err *err)
{
    json_t *list = json_array();
    void *at = NULL;
    for (struct fy_node *item; (item = fy_node_sequence_iterate(node, &at));) {
        json_t *value = NULL;
        if (to_json(item, depth + 1, &value, err) < 0) {
            json_decref(list);
            return -1;
        }
        (void)json_array_append_new(list, value);
    }
    *ret = list;
    return 0;
}

static int pair_to_json(struct fy_node_pair *pair, int depth, json_t *object, rd_err *err)
{
    size_t size = 0;
    struct fy_node *key = fy_node_pair_key(pair);
    const char *name = key && fy_node_is_scalar(key) ? fy_node_get_scalar(key, &size) : NULL;
    if (!name || size == 0 || size > 255)
        return rd_err_set(err, RD_E_CLI_MANIFEST, "keys must be plain texts");
    RD_CLEANUP(rd_free_p) char *copy = rd_strndup(name, size);
    if (json_object_get(object, copy))
        return rd_err_set(err, RD_E_CLI_MANIFEST, "%s stands twice", copy);
    json_t *value = NULL;
    if (to_json(fy_node_pair_value(pair), depth + 1, &value, err) < 0)
        return rd_err_wrap(err, "%s", copy);
    if (json_object_set_new(object, copy, value) < 0)
        return rd_err_set(err, RD_E_CLI_MANIFEST, "a key is not UTF-8");
    return 0;
}

static int to_json(struct fy_node *node, int depth, json_t **ret, rd_err *err)
{
    if (!node) {
        *ret = json_null();
        return 0;
    }
    if (depth > YAML_DEPTH_MAX)
        return rd_err_set(err, RD_E_CLI_MANIFEST, "nested deeper than %d levels", YAML_DEPTH_MAX);
    if (fy_node_is_alias(node) || fy_node_get_tag_token(node) || fy_node_get_anchor(node))
        return rd_err_set(err, RD_E_CLI_MANIFEST, "aliases, anchors and tags are not accepted");
    if (fy_node_is_scalar(node))
        return scalar_to_json(node, ret, err);
    if (fy_node_is_sequence(node))
        return sequence_to_json(node, depth, ret, err);
    json_t *object = json_object();
    void *at = NULL;
    for (struct fy_node_pair *pair; (pair = fy_node_mapping_iterate(node, &at));) {
        if (pair_to_json(pair, depth, object, err) < 0) {
            json_decref(object);
            return -1;
        }
    }
    *ret = object;
    return 0;
}

/* YAML 1.2, 5.1: control characters but tab and line ends are no part of a document; the library does not survive all
 * of them. Explicit keys ("? ") are not needed here and are kept from it for the same reason. */
static bool is_plain_text(rd_bytes text)
{
    bool is_indent = true;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f || (is_indent && c == '?'))
            return false;
        is_indent = c == '\n' || c == '\r' || (is_indent && (c == ' ' || c == '\t' || c == '-'));
    }
    return true;
}

/* libfyaml collects what it found; the first is what a person should look at. */
static int syntax_error(struct fy_diag *diag, rd_err *err)
{
    void *at = NULL;
    const struct fy_diag_error *first = fy_diag_errors_iterate(diag, &at);
    if (!first)
        return rd_err_set(err, RD_E_CLI_MANIFEST, "not a YAML document");
    return rd_err_set(err, RD_E_CLI_MANIFEST, "line %d, column %d: %s", first->line, first->column, first->msg);
}

static struct fy_document *open_document(rd_bytes text, rd_err *err)
{
    const struct fy_diag_cfg diag_config = { .fp = NULL, .level = FYET_ERROR, .module_mask = UINT_MAX };
    struct fy_diag *diag = fy_diag_create(&diag_config);
    fy_diag_set_collect_errors(diag, true);
    const struct fy_parse_cfg config = { .flags = FYPCF_QUIET, .diag = diag };
    struct fy_document *document = fy_document_build_from_string(&config, (const char *)text.data, text.size);
    if (!document)
        (void)syntax_error(diag, err);
    fy_diag_reset_error(diag); /* frees what was collected */
    fy_diag_unref(diag);
    return document;
}

int cli_yaml_parse(rd_bytes text, json_t **ret, rd_err *err)
{
    if (text.size > YAML_SIZE_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "%zu bytes; at most %d", text.size, YAML_SIZE_MAX);
    if (!rd_is_utf8(text))
        return rd_err_set(err, RD_E_CLI_MANIFEST, "not UTF-8");
    if (!is_plain_text(text))
        return rd_err_set(err, RD_E_CLI_MANIFEST, "a control character, or a key that begins with '?'");
    struct fy_document *document = open_document(text, err);
    if (!document)
        return -1;
    int status = to_json(fy_document_root(document), 1, ret, err);
    fy_document_destroy(document);
    return status;
}

static unsigned line_of(struct fy_node *node)
{
    struct fy_token *token = fy_node_is_scalar(node) ? fy_node_get_scalar_token(node) : NULL;
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    return mark ? (unsigned)mark->line + 1 : 0;
}

unsigned cli_yaml_line(rd_bytes text, const char *pointer)
{
    rd_err ignored = RD_ERR_INIT;
    struct fy_document *document = open_document(text, &ignored);
    struct fy_node *node = document ? fy_document_root(document) : NULL;
    unsigned line = node ? 1 : 0;
    while (node && *pointer == '/') {
        size_t size = strcspn(pointer + 1, "/");
        struct fy_node_pair *pair =
            fy_node_is_mapping(node) ? fy_node_mapping_lookup_pair_by_string(node, pointer + 1, size) : NULL;
        if (!pair)
            break;
        unsigned at = line_of(fy_node_pair_key(pair));
        line = at ? at : line;
        node = fy_node_pair_value(pair);
        pointer += 1 + size;
    }
    if (document)
        fy_document_destroy(document);
    return line;
}
