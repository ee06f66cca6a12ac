/* engine_name: which engine a release runs on, the member "engine" of its document.
 * Used by every layer that reads releases; the numbers are not stored anywhere. */
#ifndef RD_MODEL_ENGINE_NAME_H
#define RD_MODEL_ENGINE_NAME_H

#include "common/base/defs.h"

typedef enum rd_engine { RD_ENGINE_QUICKJS = 0, RD_ENGINE_JSC = 1, RD_ENGINES = 2 } rd_engine;

/* Index by value, NULL-terminated. For RD_JSON_ENUM. */
extern const char *const rd_engine_names[];

#endif
