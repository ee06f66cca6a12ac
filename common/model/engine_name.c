#include "common/model/engine_name.h"

const char *const rd_engine_names[] = { "quickjs", "jsc", NULL };
