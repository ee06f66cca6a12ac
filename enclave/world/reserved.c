#include "enclave/world/reserved.h"

#include <strings.h>

#include "common/http/head.h"

bool encl_http_is_reserved(rd_bytes name)
{
    return rd_http_is_of_connection(name) ||
           (name.size >= 8 && strncasecmp((const char *)name.data, "redoubt-", 8) == 0);
}
