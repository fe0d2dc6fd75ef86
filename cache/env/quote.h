/* Text as a literal of each language that the activation scripts are written in. */
#pragma once

#include "cache/base/bytes.h"

enum quoting {
	QUOTE_SH,
	QUOTE_CSH,
	QUOTE_FISH,
	QUOTE_NU,
	QUOTE_POWERSHELL,
	QUOTE_PYTHON
};

/* Appends the literal. -ENOMEM. */
int quote_append(struct buffer *out, enum quoting quoting, const char *text);
