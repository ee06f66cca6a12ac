/* json_peer: a document that attest/json_view read, walked beside the tree that common/model/json builds of its text.
 * Used by the unit test and the fuzz target of the views. */
#ifndef RD_TESTS_JSON_PEER_H
#define RD_TESTS_JSON_PEER_H

#include <string.h>

#include "attest/json_view.h"
#include "common/base/mem.h"
#include "common/model/json.h"

#define JSON_PEER_TEXT_MAX 4096

static inline const char *json_peer_compare(rd_json_view view, const json_t *tree)
{
    static char text[JSON_PEER_TEXT_MAX];
    const char *name, *what = NULL;
    json_t *child, *borrowed = (json_t *)tree; /* jansson's iterators take no const */
    rd_json_view place, item;
    int64_t number = 0;
    size_t i = 0;
    if (rd_json_view_is_object(view) != json_is_object(tree) || rd_json_view_is_array(view) != json_is_array(tree))
        return "kind";
    if (rd_json_view_int(view, &number) != json_is_integer(tree) ||
        (json_is_integer(tree) && number != json_integer_value(tree)))
        return "integer";
    ssize_t size = rd_json_view_text(view, text, sizeof text);
    if (json_is_string(tree) && json_string_length(tree) < sizeof text &&
        (size != (ssize_t)json_string_length(tree) || memcmp(text, json_string_value(tree), (size_t)size) != 0))
        return "string";
    if (json_is_array(tree) && rd_json_view_count(view) != json_array_size(tree))
        return "items";
    if (json_is_array(tree))
        for (place = rd_json_view_items(view); !what && rd_json_view_next(&place, &item); i++)
            what = json_peer_compare(item, json_array_get(tree, i));
    json_object_foreach(borrowed, name, child)
    {
        if (!what)
            what = rd_json_view_get(view, name, &item) ? json_peer_compare(item, child) : "member";
    }
    return what;
}

static inline json_t *json_peer_parse(rd_bytes text, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = (size_t)1 << 20 };
    json_t *tree = NULL;
    return rd_json_parse(text, &limits, &tree, err) == 0 ? tree : NULL;
}

static inline bool json_peer_passes(rd_bytes text)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_json_free_p) json_t *tree = json_peer_parse(text, &err);
    return tree != NULL;
}

/* What differs; NULL: nothing. A number that only the tree has no room for is no difference. */
static inline const char *json_peer_differs(const rd_json_doc *doc)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_json_free_p) json_t *tree = json_peer_parse(doc->text, &err);
    if (!tree && err.code == RD_E_JSON_RANGE)
        return NULL;
    return tree ? json_peer_compare(rd_json_doc_root(doc), tree) : "the other reader refuses it";
}

#endif
