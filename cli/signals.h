/* signals: what Ctrl-C says and leaves behind, and the line that shows that a request is on its way.
 * Used by main.c, by the client, and by verbs that wait. Handlers only write, restore the terminal, and leave. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include "common/base/defs.h"

#include <termios.h>

/* SIGPIPE ends us quietly; SIGINT and SIGTERM end us with 130 and 143 after saying what cli_interrupt_say was given. */
void cli_signals_install(void);
/* What Ctrl-C prints from now on; NULL for nothing. At most 255 characters. */
void cli_interrupt_say(const char *fmt, ...) RD_PRINTF(1, 2);
/* What Ctrl-C restores the terminal to; NULL for nothing. The struct is borrowed. */
void cli_interrupt_terminal(const struct termios *before);

/* Shows "asking <what>" on stderr unless cli_waited comes within 80 ms; for terminals alone. */
void cli_waiting(const char *what);
/* Takes the line away again. */
void cli_waited(void);

/* Between two tries of a command line there is no event to wait for. False when it was cut short. */
bool cli_pause(int64_t time_us);

#endif
