/* yaml: a YAML document as JSON values, by libfyaml.
 * Used by manifest alone. Refuses aliases, anchors, tags, documents over 64 KiB or deeper than 16 levels. */
#ifndef CLI_YAML_H
#define CLI_YAML_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#include <jansson.h>

/* A new reference. Plain scalars follow the YAML 1.2 core schema (null, booleans, decimal integers), else texts. */
int cli_yaml_parse(rd_bytes text, json_t **ret, rd_err *err) RD_NODISCARD;
/* The line, from 1, of the member that an RFC 6901 pointer names, or of its nearest ancestor that is there; 0 when the
 * text is no YAML. JSON is YAML too. */
unsigned cli_yaml_line(rd_bytes text, const char *pointer);

#endif
