/*
 * How the program speaks: results on stdout (a table for people, plain lines in a pipe,
 * JSON on request), everything else in single lines on stderr. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/base/error.h"
#include "cache/base/json.h"
#include "cli/table.h"

/* "<who>: <text>" on stderr, one line whatever the text holds. */
__attribute__((format(printf, 2, 3))) void say_as(const char *who, const char *format,
						  ...);
/* "venvfs: <text>" so; the exit status 1. */
__attribute__((format(printf, 1, 2))) int say_failed(const char *format, ...);
/* The same of an error that a layer below described. */
int say_error(struct error *err, int code);
/* A note that is no failure. */
__attribute__((format(printf, 1, 2))) void say_note(const char *format, ...);
/* A note "<what>: <line>" for each line. */
void say_lines(const char *what, const char *lines);

/* "1.5 MB": sizes in powers of 1000, as uv and pip print them. */
void format_size(uint64_t bytes, char ret_text[24]);
/* "3 minutes ago", from seconds. */
void format_age(int64_t seconds, char ret_text[32]);

/* What a terminal would obey becomes '?', so that a name stays on its line. */
void make_printable(char *text);
/* May it be bold or coloured? On a terminal that can, unless NO_COLOR says no. */
bool is_styled(int fd);

/* The value as indented JSON and a line break. Exit status. */
int print_json(const json_t *value);
/* Has everything on stdout reached its reader? Turns a failed write into exit status 1.
 */
int finish_output(int status);
