/*
 * What is compared with the `packaging` project: a question is a line of words with tabs
 * between, its answer is text. tests/lock/make_vectors.py asks packaging the same.
 */
#pragma once

#include "cache/base/bytes.h"
#include "cache/env/interpreter.h"
#include "cache/env/markers/marker.h"

enum { MOST_WORDS = 16 };

/* What questions about markers and tags are asked for; changed by "env" and "python". */
struct vectors {
	struct marker_environment markers;
	struct interpreter interpreter;
	char texts[2 * MOST_WORDS][256];
};

/* Cuts `line`; the answer is appended to `out`. */
void vectors_answer(struct vectors *v, char *line, struct buffer *out);
