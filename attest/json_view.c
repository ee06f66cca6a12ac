#include "attest/json_view.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

#define DEPTH_MAX 16
#define NAMES_MAX 256
#define BOXES_MAX 8192
#define TEXT_MAX  ((size_t)256 << 10)

/* --- characters --- */

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static int hex_of(int c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_hex(rd_bytes text, size_t *at, uint32_t *ret)
{
    if (text.size - *at < 4)
        return false;
    *ret = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_of(text.data[(*at)++]);
        if (digit < 0)
            return false;
        *ret = *ret << 4 | (uint32_t)digit;
    }
    return true;
}

/* A code point; two escapes where it takes two. NUL and half of a pair are refused. */
static bool take_code(rd_bytes text, size_t *at, uint32_t *ret)
{
    uint32_t low;
    if (!take_hex(text, at, ret) || *ret == 0 || (*ret >= 0xdc00 && *ret < 0xe000))
        return false;
    if (*ret < 0xd800 || *ret >= 0xe000)
        return true;
    if (text.size - *at < 2 || text.data[*at] != '\\' || text.data[*at + 1] != 'u')
        return false;
    *at += 2;
    if (!take_hex(text, at, &low) || low < 0xdc00 || low >= 0xe000)
        return false;
    *ret = 0x10000 + ((*ret - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static size_t put_utf8(uint32_t code, uint8_t out[4])
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)((0xf00 >> size & 0xf0) | code);
    return size;
}

/* One character of a string, or an escape, as UTF-8 bytes or a part of them; 0 when it is malformed. */
static size_t take_char(rd_bytes text, size_t *at, uint8_t out[4])
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    uint32_t code;
    if (*at >= text.size || text.data[*at] < 0x20)
        return 0;
    out[0] = text.data[(*at)++];
    if (out[0] != '\\')
        return 1;
    if (*at >= text.size)
        return 0;
    uint8_t escape = text.data[(*at)++];
    if (escape == 'u')
        return take_code(text, at, &code) ? put_utf8(code, out) : 0;
    const char *found = escape ? strchr(names, escape) : NULL;
    out[0] = found ? (uint8_t)values[found - names] : 0;
    return found != NULL;
}

/* --- the strict pass --- */

typedef struct reader {
    rd_bytes text;
    size_t at;
    rd_json_doc *doc;
    uint32_t capacity;
    unsigned depth;
    /* Hashes of the members' names of every object that is open. Two names of one hash count as one name. */
    uint64_t names[NAMES_MAX];
    size_t name_count;
    const char *why;
} reader;

static bool refuse(reader *in, const char *why)
{
    if (!in->why)
        in->why = why;
    return false;
}

static int peek(const reader *in)
{
    return in->at < in->text.size ? in->text.data[in->at] : -1;
}

static size_t skip_space(rd_bytes text, size_t at)
{
    while (at < text.size &&
           (text.data[at] == ' ' || text.data[at] == '\t' || text.data[at] == '\r' || text.data[at] == '\n'))
        at++;
    return at;
}

static bool take(reader *in, char c)
{
    in->at = skip_space(in->text, in->at);
    if (peek(in) != c)
        return false;
    in->at++;
    return true;
}

/* A byte of a string that means itself. */
static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

static bool read_string(reader *in)
{
    uint8_t unused[4];
    for (;;) {
        while (in->at < in->text.size && is_plain(in->text.data[in->at]))
            in->at++;
        if (peek(in) == '"')
            break;
        if (take_char(in->text, &in->at, unused) == 0)
            return refuse(in, "a malformed string");
    }
    in->at++;
    return true;
}

static uint64_t hash_more(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * UINT64_C(0x100000001b3);
}

/* FNV-1a of what it means. */
static bool read_name(reader *in, uint64_t *ret_hash)
{
    uint8_t bytes[4];
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (;;) {
        while (in->at < in->text.size && is_plain(in->text.data[in->at]))
            hash = hash_more(hash, in->text.data[in->at++]);
        if (peek(in) == '"')
            break;
        size_t size = take_char(in->text, &in->at, bytes);
        if (size == 0)
            return refuse(in, "a malformed name");
        for (size_t i = 0; i < size; i++)
            hash = hash_more(hash, bytes[i]);
    }
    in->at++;
    *ret_hash = hash;
    return true;
}

static size_t skip_digits(reader *in)
{
    size_t start = in->at;
    while (is_digit(peek(in)))
        in->at++;
    return in->at - start;
}

static bool read_number(reader *in)
{
    size_t start = in->at;
    int64_t value;
    if (peek(in) == '-')
        in->at++;
    bool is_zero = peek(in) == '0';
    size_t digits = skip_digits(in);
    if (digits == 0 || (is_zero && digits > 1))
        return refuse(in, "a malformed number");
    bool is_integer = peek(in) != '.' && (peek(in) | 0x20) != 'e';
    if (peek(in) == '.') {
        in->at++;
        if (skip_digits(in) == 0)
            return refuse(in, "a malformed fraction");
    }
    if (peek(in) == 'e' || peek(in) == 'E') {
        in->at++;
        if (peek(in) == '+' || peek(in) == '-')
            in->at++;
        digits = skip_digits(in);
        if (digits == 0 || digits > 2)
            return refuse(in, "a malformed exponent, or one of more than two digits");
    }
    rd_json_view view = { .doc = in->doc, .at = (uint32_t)start };
    return !is_integer || rd_json_view_int(view, &value) || refuse(in, "an integer beyond 64 bits");
}

static bool read_word(reader *in)
{
    static const char *const words[] = { "true", "false", "null" };
    for (size_t i = 0; i < RD_ARRAY_LEN(words); i++) {
        size_t size = strlen(words[i]);
        if (in->text.size - in->at >= size && memcmp(in->text.data + in->at, words[i], size) == 0) {
            in->at += size;
            return true;
        }
    }
    return refuse(in, "no value");
}

static bool open_box(reader *in, uint32_t *ret)
{
    rd_json_doc *doc = in->doc;
    if (in->depth == DEPTH_MAX)
        return refuse(in, "nested too deeply");
    if (doc->count == BOXES_MAX)
        return refuse(in, "too many objects and arrays");
    if (doc->count == in->capacity) {
        in->capacity = RD_MAX(2 * in->capacity, (uint32_t)(in->text.size / 64 + 16));
        doc->boxes = rd_realloc(doc->boxes, in->capacity * sizeof *doc->boxes);
    }
    in->depth++;
    in->at++;
    *ret = doc->count++;
    return true;
}

static bool close_box(reader *in, uint32_t box)
{
    in->doc->boxes[box] = (rd_json_box){ .end = (uint32_t)in->at, .next = in->doc->count };
    in->depth--;
    return true;
}

static bool read_value(reader *in);

static bool read_member(reader *in, size_t first_name)
{
    uint64_t hash = 0;
    if (!take(in, '"'))
        return refuse(in, "no name");
    if (!read_name(in, &hash))
        return false;
    for (size_t i = first_name; i < in->name_count; i++)
        if (in->names[i] == hash)
            return refuse(in, "a member stands twice");
    if (in->name_count == NAMES_MAX)
        return refuse(in, "too many members");
    in->names[in->name_count++] = hash;
    return take(in, ':') ? read_value(in) : refuse(in, "no colon");
}

static bool read_object(reader *in)
{
    uint32_t box;
    size_t first_name = in->name_count;
    if (!open_box(in, &box))
        return false;
    if (!take(in, '}')) {
        do {
            if (!read_member(in, first_name))
                return false;
        } while (take(in, ','));
        if (!take(in, '}'))
            return refuse(in, "an object that does not end");
    }
    in->name_count = first_name;
    return close_box(in, box);
}

static bool read_array(reader *in)
{
    uint32_t box;
    if (!open_box(in, &box))
        return false;
    if (!take(in, ']')) {
        do {
            if (!read_value(in))
                return false;
        } while (take(in, ','));
        if (!take(in, ']'))
            return refuse(in, "an array that does not end");
    }
    return close_box(in, box);
}

static bool read_value(reader *in)
{
    in->at = skip_space(in->text, in->at);
    switch (peek(in)) {
    case '{':
        return read_object(in);
    case '[':
        return read_array(in);
    case '"':
        in->at++;
        return read_string(in);
    case 't':
    case 'f':
    case 'n':
        return read_word(in);
    default:
        return read_number(in);
    }
}

int rd_json_doc_read(rd_bytes text, rd_json_doc *ret, rd_err *err)
{
    *ret = (rd_json_doc){ .text = text };
    reader in = { .text = text, .doc = ret };
    if (text.size > TEXT_MAX || !rd_is_utf8(text))
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "JSON: not UTF-8, or too large");
    in.at = skip_space(text, 0);
    if (peek(&in) != '{' && peek(&in) != '[')
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "JSON: neither object nor array");
    if (!read_value(&in))
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "JSON: byte %zu: %s", in.at, in.why);
    in.at = skip_space(text, in.at);
    if (in.at != text.size)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "JSON: %zu bytes behind the end", text.size - in.at);
    return 0;
}

void rd_json_doc_done(rd_json_doc *doc)
{
    free(doc->boxes);
    *doc = (rd_json_doc){ .count = 0 };
}

/* --- views of what passed --- */

static uint8_t first_of(rd_json_view view)
{
    return view.doc->text.data[view.at];
}

rd_json_view rd_json_doc_root(const rd_json_doc *doc)
{
    return (rd_json_view){ .doc = doc, .at = (uint32_t)skip_space(doc->text, 0) };
}

bool rd_json_view_is_object(rd_json_view view)
{
    return first_of(view) == '{';
}

bool rd_json_view_is_array(rd_json_view view)
{
    return first_of(view) == '[';
}

/* Between the quotes of a string. */
static rd_bytes inside_string(rd_json_view view, bool *ret_has_escape)
{
    rd_bytes text = view.doc->text;
    size_t start = (size_t)view.at + 1, at = start;
    *ret_has_escape = false;
    for (; text.data[at] != '"'; at++)
        if (text.data[at] == '\\') {
            *ret_has_escape = true;
            at++;
        }
    return rd_bytes_of(text.data + start, at - start);
}

/* Behind the value. */
static void skip_value(rd_json_view *place)
{
    const rd_json_doc *doc = place->doc;
    uint8_t c = first_of(*place);
    if (c == '{' || c == '[') {
        const rd_json_box *box = &doc->boxes[place->box];
        place->at = box->end;
        place->box = box->next;
    } else if (c == '"') {
        bool unused;
        place->at += (uint32_t)inside_string(*place, &unused).size + 2;
    } else {
        /* A number or a word, whose characters are all above the comma but for two signs. */
        while (c > ',' || c == '+') {
            c = doc->text.data[++place->at];
            if (c == ']' || c == '}')
                break;
        }
    }
}

static void skip_to_token(rd_json_view *place)
{
    place->at = (uint32_t)skip_space(place->doc->text, place->at);
}

/* Onto the next item or name of what is open here. */
static bool find_next(rd_json_view *place)
{
    skip_to_token(place);
    if (first_of(*place) == ',') {
        place->at++;
        skip_to_token(place);
    }
    return first_of(*place) != ']' && first_of(*place) != '}';
}

static rd_json_view inside(rd_json_view view)
{
    view.at++;
    view.box++;
    return view;
}

/* The size when it fits, decoded; -1 otherwise. */
static ssize_t decode(rd_bytes string, char *out, size_t room)
{
    uint8_t bytes[4];
    size_t size = 0, at = 0;
    while (at < string.size) {
        size_t more = take_char(string, &at, bytes);
        if (more > room - size)
            return -1;
        memcpy(out + size, bytes, more);
        size += more;
    }
    return (ssize_t)size;
}

/* By what a name means, however it is written. */
static bool is_named(rd_bytes string, bool has_escape, const char *name, size_t size)
{
    uint8_t bytes[4];
    size_t at = 0, matched = 0;
    if (!has_escape)
        return string.size == size && memcmp(string.data, name, size) == 0;
    while (at < string.size) {
        size_t more = take_char(string, &at, bytes);
        if (more > size - matched || memcmp(name + matched, bytes, more) != 0)
            return false;
        matched += more;
    }
    return matched == size;
}

bool rd_json_view_get(rd_json_view object, const char *name, rd_json_view *ret)
{
    size_t size = strlen(name);
    if (!rd_json_view_is_object(object))
        return false;
    for (rd_json_view place = inside(object); find_next(&place); skip_value(&place)) {
        bool has_escape;
        rd_bytes string = inside_string(place, &has_escape);
        place.at += (uint32_t)string.size + 2;
        skip_to_token(&place);
        place.at++; /* the colon */
        skip_to_token(&place);
        if (is_named(string, has_escape, name, size)) {
            *ret = place;
            return true;
        }
    }
    return false;
}

rd_json_view rd_json_view_items(rd_json_view array)
{
    return inside(array);
}

bool rd_json_view_next(rd_json_view *place, rd_json_view *ret)
{
    if (!find_next(place))
        return false;
    *ret = *place;
    skip_value(place);
    return true;
}

size_t rd_json_view_count(rd_json_view array)
{
    rd_json_view item;
    size_t count = 0;
    if (!rd_json_view_is_array(array))
        return 0;
    for (rd_json_view place = inside(array); rd_json_view_next(&place, &item);)
        count++;
    return count;
}

ssize_t rd_json_view_text(rd_json_view view, char *out, size_t room)
{
    bool has_escape;
    if (first_of(view) != '"')
        return -1;
    rd_bytes string = inside_string(view, &has_escape);
    ssize_t size = (ssize_t)string.size;
    if (has_escape)
        size = decode(string, out, room - 1);
    else if (string.size < room)
        memcpy(out, string.data, string.size);
    if (size < 0 || (size_t)size >= room)
        return -1;
    out[size] = 0;
    return size;
}

bool rd_json_view_int(rd_json_view view, int64_t *ret)
{
    rd_bytes text = view.doc->text;
    bool is_negative = first_of(view) == '-';
    size_t at = view.at + is_negative;
    int64_t value = 0;
    if (at >= text.size || !is_digit(text.data[at]))
        return false;
    for (; at < text.size && is_digit(text.data[at]); at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, (int64_t)(text.data[at] - '0'), &value))
            return false;
    if (at < text.size && (text.data[at] == '.' || (text.data[at] | 0x20) == 'e'))
        return false;
    return is_negative ? (*ret = value, true) : !__builtin_sub_overflow((int64_t)0, value, ret);
}
