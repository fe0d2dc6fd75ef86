/* What Ctrl-C says. One thread. */
#pragma once

/*
 * From now on SIGINT and SIGTERM end the program with one line, that the next run carries
 * on: at any moment all that was begun is whole, or gone on with, or cleaned up by the
 * next.
 */
void interrupt_explain(void);

/* Ends the program by that signal, as shells expect of who was ended by one. */
void interrupt_die(int number);
