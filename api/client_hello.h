/* client_hello: the name that a TLS client asks for, read out of its first bytes and nothing else.
 * Used by the passthrough listener, which ends no TLS: it forwards what it read (RFC 8446, 4.1.2; RFC 6066, 3).
 * Knows no version, cipher or key; refuses what is malformed, too long, or names nobody. */
#ifndef API_CLIENT_HELLO_H
#define API_CLIENT_HELLO_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define API_HELLO_MAX      ((size_t)16 << 10) /* records with their headers; clients of today send less than 2 KiB */
#define API_HELLO_NAME_MAX 253

/* Alerts that a refused client is told (RFC 8446, 6). */
typedef enum api_tls_alert {
    API_ALERT_NONE = 255, /* it does not speak TLS: nothing is said */
    API_ALERT_UNEXPECTED_MESSAGE = 10,
    API_ALERT_RECORD_OVERFLOW = 22,
    API_ALERT_ILLEGAL_PARAMETER = 47,
    API_ALERT_ACCESS_DENIED = 49,
    API_ALERT_DECODE_ERROR = 50,
    API_ALERT_INTERNAL_ERROR = 80,
    API_ALERT_UNRECOGNIZED_NAME = 112,
} api_tls_alert;

typedef struct api_client_hello {
    char name[API_HELLO_NAME_MAX + 1]; /* lower case, without a final dot */
    api_tls_alert alert;               /* of a refusal */
} api_client_hello;

#define API_HELLO_MORE 0
#define API_HELLO_DONE 1

/* bytes: all that came so far. DONE: ret->name is set; whatever follows the hello is not looked at. MORE: the hello is
 * not whole yet and may still become one. -1 (TLS_HELLO): it never will; ret->alert says what the client is told. */
int api_client_hello_read(rd_bytes bytes, api_client_hello *ret, rd_err *err) RD_NODISCARD;

/* The record of a fatal alert. */
#define API_ALERT_SIZE 7
void api_tls_alert_write(api_tls_alert alert, uint8_t out[API_ALERT_SIZE]);

#endif
