#include "api/client_hello.h"

#include "common/base/cursor.h"
#include "common/base/mem.h"

#include <string.h>

#define RECORD_ALERT         21
#define RECORD_HANDSHAKE     22
#define RECORD_MAX           16384 /* RFC 8446, 5.1 */
#define MESSAGE_CLIENT_HELLO 1
#define EXTENSION_NAME       0
#define NAME_HOST            0
#define EXTENSIONS_MAX       64

static int refuse(api_client_hello *hello, api_tls_alert alert, const char *what, rd_err *err)
{
    hello->alert = alert;
    return rd_err_set(err, RD_E_TLS_HELLO, "client hello: %s", what);
}

/* ---- records ---- */

/* Takes the fragments of the first handshake message out of their records (RFC 8446, 5.1). DONE: message is whole, with
 * its header. */
static int gather(rd_bytes bytes, rd_buf *message, api_client_hello *hello, rd_err *err)
{
    size_t wanted = 4;
    while (bytes.size > 0) {
        if (bytes.data[0] != RECORD_HANDSHAKE)
            return message->size == 0 ? refuse(hello, API_ALERT_NONE, "not TLS", err)
                                      : refuse(hello, API_ALERT_UNEXPECTED_MESSAGE, "cut by another record", err);
        if ((bytes.size > 1 && bytes.data[1] != 3) || (bytes.size > 2 && bytes.data[2] > 4))
            return refuse(hello, API_ALERT_NONE, "a record of no known version", err);
        if (bytes.size < 5)
            return API_HELLO_MORE;
        size_t size = (size_t)bytes.data[3] << 8 | bytes.data[4];
        if (size > RECORD_MAX)
            return refuse(hello, API_ALERT_RECORD_OVERFLOW, "a record that is too long", err);
        if (size == 0)
            return refuse(hello, API_ALERT_UNEXPECTED_MESSAGE, "an empty record", err);
        rd_bytes fragment = rd_bytes_of(bytes.data + 5, RD_MIN(size, bytes.size - 5));
        bytes = rd_bytes_of(fragment.data + fragment.size, bytes.size - 5 - fragment.size);
        (void)rd_buf_append_bytes(message, fragment);
        if (message->size > 0 && message->data[0] != MESSAGE_CLIENT_HELLO)
            return refuse(hello, API_ALERT_UNEXPECTED_MESSAGE, "another message", err);
        if (message->size >= 4)
            wanted = 4 + ((size_t)message->data[1] << 16 | (size_t)message->data[2] << 8 | message->data[3]);
        if (wanted > API_HELLO_MAX)
            return refuse(hello, API_ALERT_RECORD_OVERFLOW, "too long", err);
        if (message->size > wanted || (message->size == wanted && fragment.size < size))
            return refuse(hello, API_ALERT_UNEXPECTED_MESSAGE, "more in its last record", err);
        if (message->size >= 4 && message->size == wanted)
            return API_HELLO_DONE;
    }
    return API_HELLO_MORE;
}

/* ---- the message ---- */

/* A DNS name of letters, digits and hyphens (RFC 6066, 3: ASCII, no final dot), in lower case. */
static bool read_name(rd_bytes name, char ret[API_HELLO_NAME_MAX + 1])
{
    if (name.size == 0 || name.size > API_HELLO_NAME_MAX)
        return false;
    size_t label = 0;
    for (size_t i = 0; i < name.size; i++) {
        char c = (char)name.data[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        bool is_word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        label = c == '.' ? 0 : label + 1;
        if ((!is_word && c != '.') || label > 63 || (c == '.' && (i == 0 || ret[i - 1] == '.')))
            return false;
        ret[i] = c;
    }
    ret[name.size] = 0;
    return ret[name.size - 1] != '.';
}

static int read_server_name(rd_bytes data, api_client_hello *hello, rd_err *err)
{
    rd_cursor in = rd_cursor_of(data);
    rd_cursor list = rd_cursor_of(rd_cursor_take(&in, rd_cursor_u16be(&in)));
    uint8_t type = rd_cursor_u8(&list);
    rd_bytes name = rd_cursor_take(&list, rd_cursor_u16be(&list));
    if (!rd_cursor_is_done(&in) || !rd_cursor_is_done(&list))
        return refuse(hello, API_ALERT_DECODE_ERROR, "server_name holds something else than one name", err);
    if (type != NAME_HOST || !read_name(name, hello->name))
        return refuse(hello, API_ALERT_UNRECOGNIZED_NAME, "server_name is no host name", err);
    return 0;
}

static int read_extensions(rd_bytes data, api_client_hello *hello, rd_err *err)
{
    uint16_t seen[EXTENSIONS_MAX];
    size_t count = 0;
    rd_cursor in = rd_cursor_of(data);
    while (rd_cursor_left(&in) > 0) {
        uint16_t type = rd_cursor_u16be(&in);
        rd_bytes value = rd_cursor_take(&in, rd_cursor_u16be(&in));
        if (!rd_cursor_is_ok(&in) || count == EXTENSIONS_MAX)
            return refuse(hello, API_ALERT_DECODE_ERROR, "its extensions are malformed or too many", err);
        for (size_t i = 0; i < count; i++)
            if (seen[i] == type)
                return refuse(hello, API_ALERT_ILLEGAL_PARAMETER, "an extension stands twice", err);
        seen[count++] = type;
        if (type == EXTENSION_NAME && read_server_name(value, hello, err) < 0)
            return -1;
    }
    return hello->name[0] ? API_HELLO_DONE
                          : refuse(hello, API_ALERT_UNRECOGNIZED_NAME, "it names no host (no server_name)", err);
}

static int read_message(rd_bytes message, api_client_hello *hello, rd_err *err)
{
    rd_cursor in = rd_cursor_of(message);
    rd_cursor_skip(&in, 4);
    uint16_t version = rd_cursor_u16be(&in);
    rd_cursor_skip(&in, 32);
    size_t session = rd_cursor_u8(&in);
    rd_cursor_skip(&in, session);
    size_t suites = rd_cursor_u16be(&in);
    rd_cursor_skip(&in, suites);
    size_t compressions = rd_cursor_u8(&in);
    rd_cursor_skip(&in, compressions);
    rd_bytes extensions = rd_cursor_take(&in, rd_cursor_u16be(&in));
    if (!rd_cursor_is_done(&in) || version != 0x0303 || session > 32 || suites < 2 || suites % 2 != 0 ||
        compressions == 0)
        return refuse(hello, API_ALERT_DECODE_ERROR, "malformed", err);
    return read_extensions(extensions, hello, err);
}

int api_client_hello_read(rd_bytes bytes, api_client_hello *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf message = { .size_max = API_HELLO_MAX + RECORD_MAX };
    *ret = (api_client_hello){ .alert = API_ALERT_NONE };
    int status = gather(bytes, &message, ret, err);
    if (status == API_HELLO_MORE && bytes.size >= API_HELLO_MAX)
        return refuse(ret, API_ALERT_RECORD_OVERFLOW, "too long", err);
    return status == API_HELLO_DONE ? read_message(rd_buf_bytes(&message), ret, err) : status;
}

void api_tls_alert_write(api_tls_alert alert, uint8_t out[API_ALERT_SIZE])
{
    const uint8_t record[API_ALERT_SIZE] = { RECORD_ALERT, 3, 3, 0, 2, 2, (uint8_t)alert };
    memcpy(out, record, sizeof record);
}
