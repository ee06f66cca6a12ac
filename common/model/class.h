/* class: hardware or simulated, the mark that stands in heads, evidence, receipts and leases.
 * Used by every layer above; the two never mix. Numbers are those of the database. */
#ifndef RD_MODEL_CLASS_H
#define RD_MODEL_CLASS_H

#include "common/base/defs.h"

typedef enum rd_class { RD_CLASS_SIMULATED = 1, RD_CLASS_HARDWARE = 2 } rd_class;

/* "simulated" or "hardware"; NULL for anything else. */
const char *rd_class_name(rd_class class_);
bool rd_class_parse(const char *text, rd_class *ret);
/* Index by value, NULL-terminated from 1; slot 0 holds "". For RD_JSON_ENUM. */
extern const char *const rd_class_names[];

#endif
