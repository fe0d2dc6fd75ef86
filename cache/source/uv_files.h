/* What uv's files say: uv.toml, and [tool.uv] in pyproject.toml. Any thread. */
#pragma once

#include "cache/base/error.h"
#include "cache/source/uv_settings.h"

/*
 * Adds what the files say that uv would read in `directory`: the project's (the nearest
 * uv.toml, or pyproject.toml with [tool.uv], upwards), the user's, the machine's; or only
 * the one that UV_CONFIG_FILE names; or none with UV_NO_CONFIG. -EBADMSG: one of them is
 * no TOML; the text names it.
 */
int uv_files_read(const char *directory, struct uv_settings *ret, struct error *reterr);
