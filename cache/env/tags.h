/*
 * Does a wheel fit an interpreter? Compatibility tags of PEP 425, 600 and 656.
 */
#pragma once

#include <stdbool.h>

#include "cache/env/interpreter.h"

/* `tag` is "cp311-cp311-manylinux_2_17_x86_64", or a set of tags, "py2.py3-none-any". */
bool tag_fits(const struct interpreter *interpreter, const char *tag);
