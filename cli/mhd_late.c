/* libmicrohttpd, loaded by the one verb that serves (as fetch/curl_late.c does with libcurl): it brings GnuTLS and what
 * that needs, which no other verb should wait for. The functions carry the library's own names and prototypes. */
#include <microhttpd.h>
#include <stdarg.h>
#include <stddef.h>

#include "fetch/late.h"

static void *library;

#define LATE(type, name) FETCH_LATE_AS(type, fetch_late(&library, "libmicrohttpd.so.12", name))

typedef struct MHD_Daemon *start_fn(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accept,
                                    void *accept_context, MHD_AccessHandlerCallback handler, void *context,
                                    va_list options);
typedef struct MHD_Response *buffer_fn(size_t size, void *data, enum MHD_ResponseMemoryMode mode);
typedef struct MHD_Response *callback_fn(uint64_t size, size_t block, MHD_ContentReaderCallback reader, void *context,
                                         MHD_ContentReaderFreeCallback done);
typedef enum MHD_Result header_fn(struct MHD_Response *response, const char *name, const char *value);
typedef enum MHD_Result queue_fn(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response);
typedef void destroy_fn(struct MHD_Response *response);
typedef const char *lookup_fn(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *name);

/* Called first; everything after it finds the library. */
struct MHD_Daemon *MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accept,
                                    void *accept_context, MHD_AccessHandlerCallback handler, void *context, ...)
{
    start_fn *function = LATE(start_fn, "MHD_start_daemon_va");
    va_list options;
    va_start(options, context);
    struct MHD_Daemon *daemon =
        function ? function(flags, port, accept, accept_context, handler, context, options) : NULL;
    va_end(options);
    return daemon;
}

struct MHD_Response *MHD_create_response_from_buffer(size_t size, void *data, enum MHD_ResponseMemoryMode mode)
{
    buffer_fn *function = LATE(buffer_fn, "MHD_create_response_from_buffer");
    return function ? function(size, data, mode) : NULL;
}

struct MHD_Response *MHD_create_response_from_callback(uint64_t size, size_t block, MHD_ContentReaderCallback reader,
                                                       void *context, MHD_ContentReaderFreeCallback done)
{
    callback_fn *function = LATE(callback_fn, "MHD_create_response_from_callback");
    return function ? function(size, block, reader, context, done) : NULL;
}

enum MHD_Result MHD_add_response_header(struct MHD_Response *response, const char *name, const char *value)
{
    header_fn *function = LATE(header_fn, "MHD_add_response_header");
    return function ? function(response, name, value) : MHD_NO;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
    queue_fn *function = LATE(queue_fn, "MHD_queue_response");
    return function ? function(connection, status, response) : MHD_NO;
}

void MHD_destroy_response(struct MHD_Response *response)
{
    destroy_fn *function = LATE(destroy_fn, "MHD_destroy_response");
    if (function)
        function(response);
}

const char *MHD_lookup_connection_value(struct MHD_Connection *connection, enum MHD_ValueKind kind, const char *name)
{
    lookup_fn *function = LATE(lookup_fn, "MHD_lookup_connection_value");
    return function ? function(connection, kind, name) : NULL;
}
