/* The scripts in bin/: first lines and the launchers of entry points. */
#pragma once

#include "cache/base/bytes.h"

/*
 * Appends the first line(s) that start `python`: "#!/path\n", or where the kernel would
 * not take that (longer than 127 bytes, white space), lines that sh runs and Python
 * skips.
 */
int launcher_shebang(struct buffer *out, const char *python);

/* The whole launcher of "module:function", letter by letter that of uv and pip's wheels.
 */
int launcher_script(struct buffer *out, const char *python, const char *module,
		    const char *function);
