#include "api/router.h"

#include <string.h>

#include "common/base/text.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* RFC 3986, 2.1. An encoded slash would let one segment pass for two; NUL ends C strings. */
static bool decode_segment(const char *text, size_t size, bool allows_slash, char out[API_PARAM_SIZE])
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '%') {
            int high = i + 2 < size ? hex_value(text[i + 1]) : -1;
            int low = i + 2 < size ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (unsigned char)(high << 4 | low);
            i += 2;
            if (c == '/')
                return false;
        }
        if (c < 0x20 || c == 0x7f || (c == '/' && !allows_slash) || n + 1 >= API_PARAM_SIZE)
            return false;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return n > 0 && strcmp(out, ".") != 0 && strcmp(out, "..") != 0;
}

static size_t segment_size(const char *text)
{
    return strcspn(text, "/");
}

static bool take_param(const char *name, size_t name_size, const char *value, size_t value_size, bool is_rest,
                       api_match *ret)
{
    if (ret->param_count == API_PARAMS_MAX)
        return false;
    api_param *param = &ret->params[ret->param_count];
    if (!decode_segment(value, value_size, is_rest, param->value))
        return false;
    param->name = name;
    param->name_size = name_size;
    ret->param_count++;
    return true;
}

/* Both begin with '/'. */
static bool match_path(const char *pattern, const char *path, api_match *ret)
{
    ret->param_count = 0;
    while (*pattern == '/' && *path == '/') {
        pattern++;
        path++;
        size_t want = segment_size(pattern);
        size_t have = segment_size(path);
        if (want > 2 && pattern[0] == '{') {
            bool is_rest = pattern[want - 2] == '*';
            size_t name_size = want - 2 - (is_rest ? 1 : 0);
            if (is_rest)
                return take_param(pattern + 1, name_size, path, strlen(path), true, ret);
            if (!take_param(pattern + 1, name_size, path, have, false, ret))
                return false;
        } else if (want != have || memcmp(pattern, path, want) != 0) {
            return false;
        }
        pattern += want;
        path += have;
    }
    return *pattern == '\0' && *path == '\0';
}

static bool method_matches(const char *route_method, const char *method)
{
    return strcmp(route_method, method) == 0 || (strcmp(route_method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static void note_allowed(api_match *ret, const char *method)
{
    size_t used = strlen(ret->allow);
    size_t size = strlen(method);
    if (strstr(ret->allow, method) || used + size + 16 > sizeof(ret->allow))
        return;
    if (used > 0) {
        memcpy(ret->allow + used, ", ", 3);
        used += 2;
    }
    memcpy(ret->allow + used, method, size + 1);
    if (strcmp(method, "GET") == 0)
        memcpy(ret->allow + used + size, ", HEAD", sizeof(", HEAD"));
}

api_match_result api_router_match(const api_route *routes, size_t count, const char *method, const char *path,
                                  api_match *ret)
{
    memset(ret, 0, sizeof(*ret));
    bool has_path = false;
    for (size_t i = 0; i < count; i++) {
        if (!match_path(routes[i].pattern, path, ret))
            continue;
        if (method_matches(routes[i].method, method)) {
            ret->route = &routes[i];
            ret->index = i;
            ret->allow[0] = '\0';
            return API_MATCH_FOUND;
        }
        has_path = true;
        note_allowed(ret, routes[i].method);
    }
    ret->param_count = 0;
    if (!has_path)
        return API_MATCH_NONE;
    note_allowed(ret, "OPTIONS");
    return API_MATCH_METHOD;
}
