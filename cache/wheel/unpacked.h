/*
 * A wheel that somebody else has unpacked, as uv keeps them: its files as the members of
 * a zip file that was checked, under the same rules for names and sizes. Only files and
 * directories; a symlink is refused. Private to cache/wheel.
 */
#pragma once

#include "cache/wheel/zip.h"

/* Members have no packed bytes: offsets are 0, and `packed` is the size. */
int unpacked_open(int dirfd, const struct zip_limits *limits, struct zip *ret,
		  struct error *reterr);
