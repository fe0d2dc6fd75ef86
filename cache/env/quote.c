#include "cache/env/quote.h"

#include <stdio.h>

/* How a character that means something is written inside of the quotes; NULL: as it is.
 */
static const char *escape(enum quoting quoting, char c, char hex[8])
{
	switch (quoting) {
	case QUOTE_SH:
		return c == '\'' ? "'\"'\"'" : NULL;
	case QUOTE_CSH:
		/* History runs even inside of single quotes. */
		return c == '\''   ? "'\"'\"'"
		       : c == '!'  ? "\\!"
		       : c == '\n' ? "\\\n"
				   : NULL;
	case QUOTE_FISH:
		return c == '\'' ? "\\'" : c == '\\' ? "\\\\" : NULL;
	case QUOTE_POWERSHELL:
		return c == '\'' ? "''" : NULL;
	case QUOTE_NU:
		return c == '"' ? "\\\"" : c == '\\' ? "\\\\" : NULL;
	case QUOTE_PYTHON:
		break;
	}
	if (c == '"' || c == '\\') {
		(void)snprintf(hex, 8, "\\%c", c);
		return hex;
	}
	if ((unsigned char)c >= 0x20)
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
