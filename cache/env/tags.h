/*
 * Does a wheel fit an interpreter, and how well? Compatibility tags of PEP 425, 600 and
 * 656. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "cache/env/interpreter.h"

/*
 * `tag` is "cp311-cp311-manylinux_2_17_x86_64", or a set of tags, "py2.py3-none-any".
 * Less is better, in the order of uv; -1: it does not fit.
 */
int tag_rank(const struct interpreter *interpreter, const char *tag);
bool tag_fits(const struct interpreter *interpreter, const char *tag);
