/* What Ctrl-C says. One thread. */
#pragma once

/*
 * From now on SIGINT and SIGTERM end the program with one line, that the next run carries
 * on: at any moment all that was begun is whole, or gone on with, or cleaned up by the
 * next.
 */
void interrupt_explain(void);
/* What follows says for itself what became of it. */
void interrupt_explain_no_more(void);

/*
 * Holds back the signals that would end the program: a descriptor that can be read once
 * one came, to be closed by the second, which lets them come. -1: not to be had.
 */
int interrupt_hold(void);
void interrupt_let_go(int fd);

/* Ends the program by that signal, as shells expect of who was ended by one. */
void interrupt_die(int number);
