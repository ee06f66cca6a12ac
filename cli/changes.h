/* changes: what differs between two versions of an app, as rows for people and for --json.
 * Used by deploy, approve and rollback. Pure. */
#ifndef CLI_CHANGES_H
#define CLI_CHANGES_H

#include "cli/current.h"
#include "cli/out.h"

typedef struct cli_changed {
    const rd_release *release;
    const rd_code_bundle *code;
    rd_class class;
    const rd_policy *policy;               /* NULL: not compared */
    uint64_t instances_min, instances_max; /* both 0: not compared */
    uint64_t idle_s;
} cli_changed;

/* A new array of {"member","from","to"}, for code {"member":"code","module","added","removed"}. Empty: no change. */
json_t *cli_changes_list(const cli_changed *before, const cli_changed *after);
/* A note a row; all rows of code together first. */
void cli_changes_note(const cli_out *out, const json_t *changes);
/* The code's difference, module by module, as notes. before NULL: everything is new. */
void cli_changes_note_code(const cli_out *out, const rd_code_bundle *before, const rd_code_bundle *after);

#endif
