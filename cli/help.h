/* help: overview, help of a verb or noun, and the man page, all from the table of verbs.
 * Used by main.c. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/cmd.h"

void cli_help_overview(void);
void cli_help_command(const cli_command *command);
/* Every verb of a noun; false when there is none. */
bool cli_help_noun(const char *noun);
/* redoubt(1) in roff. */
void cli_help_man(void);
/* The nearest verb to what was typed, or NULL. */
const char *cli_help_nearest(const char *typed);

#endif
