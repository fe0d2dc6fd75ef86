#include "cache/env/quote.h"

#include <stdio.h>

struct escape {
	char c;
	const char *written;
};

/* What must be written differently inside of the quotes; each list ends with c = 0. */
static const struct escape escapes[][4] = {
	[QUOTE_SH] = { { '\'', "'\"'\"'" } },
	/* History runs even inside of single quotes. */
	[QUOTE_CSH] = { { '\'', "'\"'\"'" }, { '!', "\\!" }, { '\n', "\\\n" } },
	[QUOTE_FISH] = { { '\'', "\\'" }, { '\\', "\\\\" } },
	[QUOTE_NU] = { { '"', "\\\"" }, { '\\', "\\\\" } },
	[QUOTE_POWERSHELL] = { { '\'', "''" } },
	[QUOTE_PYTHON] = { { '"', "\\\"" }, { '\\', "\\\\" } },
};

/* NULL: as it is. */
static const char *escape(enum quoting quoting, char c, char hex[8])
{
	for (const struct escape *e = escapes[quoting]; e->c; e++) {
		if (e->c == c)
			return e->written;
	}
	if (quoting != QUOTE_PYTHON || (unsigned char)c >= 0x20)
		return NULL;
	(void)snprintf(hex, 8, "\\x%02x", (unsigned)(unsigned char)c);
	return hex;
}

int quote_append(struct buffer *out, enum quoting quoting, const char *text)
{
	const char *mark = quoting == QUOTE_NU || quoting == QUOTE_PYTHON ? "\"" : "'";
	int r = buffer_append_text(out, mark);
	for (; r == 0 && *text; text++) {
		char hex[8];
		const char *escaped = escape(quoting, *text, hex);
		r = escaped ? buffer_append_text(out, escaped)
			    : buffer_append(out, text, 1);
	}
	return r < 0 ? r : buffer_append_text(out, mark);
}
