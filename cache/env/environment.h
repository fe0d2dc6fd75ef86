/*
 * An environment: an ordered list of wheels, an interpreter, and where it will be
 * mounted, turned into the layers of a mount. Any thread, one at a time for one pack.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/base/digest.h"
#include "cache/base/error.h"
#include "cache/env/interpreter.h"
#include "cache/store/image.h"

struct environment_wheel {
	struct digest image_id;
	struct image *image; /* borrowed */
	/* What files of these names in dist-info say; NULL: they are not there. */
	const char *direct_url; /* so is this one for what came from an index */
	const char *uv_cache, *uv_build;
	const char *installer; /* NULL: that of the wheel's image */
	const char *name;      /* for people */
};

struct environment_request {
	const char *mount_path; /* canonical */
	const struct interpreter *interpreter;
	const struct environment_wheel *wheels; /* the later one wins */
	size_t count;
};

/* One layer; the list is ordered by priority, the highest first. */
struct environment_layer {
	char *name;            /* "numpy 2.1.0", or "skeleton", "skeleton of numpy" */
	bool packed;           /* in the pack, at offset; else an image of the cache */
	struct digest image;   /* its id */
	uint64_t offset, size; /* in the pack */
};

struct environment {
	struct environment_layer *layers;
	size_t count;
	uint64_t pack_size;
};

/*
 * Names what environment_build() depends on: requests of one key have byte-equal packs
 * and the same layers.
 */
struct digest environment_key(const struct environment_request *request);

/*
 * Checks that the wheels fit the interpreter and each other, and writes the pack to
 * pack_fd (an empty file). -EINVAL with a text for wheels that do not fit.
 */
int environment_build(const struct environment_request *request, int pack_fd,
		      struct environment *ret, struct error *reterr);
void environment_release(struct environment *environment);
