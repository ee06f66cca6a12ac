#include "common/model/class.h"

#include <string.h>

const char *const rd_class_names[] = { "", "simulated", "hardware", NULL };

const char *rd_class_name(rd_class class_)
{
    return class_ == RD_CLASS_SIMULATED || class_ == RD_CLASS_HARDWARE ? rd_class_names[class_] : NULL;
}

bool rd_class_parse(const char *text, rd_class *ret)
{
    for (int i = RD_CLASS_SIMULATED; i <= RD_CLASS_HARDWARE; i++) {
        if (strcmp(text, rd_class_names[i]) == 0) {
            *ret = (rd_class)i;
            return true;
        }
    }
    return false;
}
