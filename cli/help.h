/* help: overview, help of a verb or noun, and the man page, all from the table of verbs.
 * Used by main.c. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/cmd.h"

void cli_help_overview(void);
void cli_help_command(const cli_command *command);
bool cli_help_is_noun(const char *word);
/* Every verb of a noun; false when there is none. */
bool cli_help_noun(const char *noun);
/* One code of the registry, or all with NULL; false when there is none of that name. */
bool cli_help_errors(const char *name);
/* In roff: redoubt(1), or with "config" redoubt-config(5); false for another word. */
bool cli_help_man(const char *page);
/* The nearest verb to what was typed, or NULL. */
const char *cli_help_nearest(const char *typed);

#endif
