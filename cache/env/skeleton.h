/*
 * The small images that belong to one mount: the venv's own files, and for each wheel
 * what depends on where it is mounted and by what interpreter. Private to cache/env.
 */
#pragma once

#include "cache/env/environment.h"
#include "cache/env/quote.h"
#include "cache/store/image_writer.h"

/* pyvenv.cfg, bin/python*, lib64, activation scripts, ... */
int skeleton_add_venv(struct image_writer *w, const struct environment_request *request);

/*
 * Launchers, #!python scripts, headers' rows, direct_url.json and the RECORD that holds
 * them. *ret_needed: false when the wheel's own image is right as it is, and nothing was
 * added.
 */
int skeleton_add_wheel(struct image_writer *w, const struct environment_request *request,
		       const struct environment_wheel *wheel, bool *ret_needed,
		       struct error *reterr);

/* The activation script of that name, of an environment at `path`, is appended. */
int skeleton_activation(struct buffer *out, const char *name, const char *path,
			const char *site_packages);
/* Is bin/<name> one, and in which language are its literals? */
bool skeleton_is_activation(const char *name, enum quoting *ret_quoting);
