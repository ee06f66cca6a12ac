/* changes: what differs between two versions of an app, as rows for people and for --json.
 * Used by deploy, approve and rollback. Pure. */
#ifndef CLI_CHANGES_H
#define CLI_CHANGES_H

#include "cli/current.h"
#include "cli/out.h"
#include "cli/terms.h"

typedef struct cli_changed {
    const rd_release *release;
    const rd_code_bundle *code;
    bool is_sealed;                        /* the code */
    const cli_terms *terms;                /* NULL: not compared */
    const rd_kms_id *kms;                  /* NULL: none */
    uint64_t instances_min, instances_max; /* both 0: not compared */
    uint64_t idle_s;
} cli_changed;

/* What a first release is compared with: one that grants nothing, without code. To be freed with cli_nothing_done. */
typedef struct cli_nothing {
    rd_release release;
    rd_code_bundle code;
} cli_nothing;

void cli_nothing_init(cli_nothing *nothing);
void cli_nothing_done(cli_nothing *nothing);

/* A new array of {"member","from","to"}, for code {"member":"code","module","added","removed"}. Empty: no change. */
json_t *cli_changes_list(const cli_changed *before, const cli_changed *after);
/* A note a row, for lists a note an item that comes or goes; values whole, in ASCII, with everything else escaped. */
void cli_changes_note(const cli_out *out, const json_t *changes);
/* The code's difference, module by module, as notes. before NULL: everything is new. */
void cli_changes_note_code(const cli_out *out, const rd_code_bundle *before, const rd_code_bundle *after);

#endif
