#include "cache/env/launcher.h"

#include "cache/env/quote.h"

/* The kernel reads 128 bytes of a first line, its end included. */
enum { LONGEST_SHEBANG = 127 };

int launcher_shebang(struct buffer *out, const char *python)
{
	size_t size = strlen("#!") + strlen(python) + strlen("\n");
	if (size <= LONGEST_SHEBANG && !strpbrk(python, " \t\n"))
		return buffer_printf(out, "#!%s\n", python);
	/* For sh an empty string and an exec; for Python a string of three quotes. */
	int r = buffer_append_text(out, "#!/bin/sh\n'''exec' ");
	if (r == 0)
		r = quote_append(out, QUOTE_SH, python);
	return r < 0 ? r : buffer_append_text(out, " \"$0\" \"$@\"\n' '''\n");
}

int launcher_script(struct buffer *out, const char *python, const char *module,
		    const char *function)
{
	int r = launcher_shebang(out, python);
	if (r < 0)
		return r;
	return buffer_printf(out,
			     "# -*- coding: utf-8 -*-\n"
			     "import sys\n"
			     "from %s import %.*s\n"
			     "if __name__ == \"__main__\":\n"
			     "    if sys.argv[0].endswith(\"-script.pyw\"):\n"
			     "        sys.argv[0] = sys.argv[0][:-11]\n"
			     "    elif sys.argv[0].endswith(\".exe\"):\n"
			     "        sys.argv[0] = sys.argv[0][:-4]\n"
			     "    sys.exit(%s())\n",
			     module, (int)strcspn(function, "."), function, function);
}
