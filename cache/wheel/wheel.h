/*
 * A wheel file understood: its zip structure checked, its dist-info read, and for each
 * member the place that it is installed at (PyPA's binary distribution format). Immutable
 * after wheel_open() but for `matched` of RECORD's rows, each of which one member owns.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/base/bytes.h"
#include "cache/wheel/entry_points.h"
#include "cache/wheel/record.h"
#include "cache/wheel/wheel_name.h"
#include "cache/wheel/zip.h"

struct wheel {
	int fd;         /* borrowed: of the file, or of the folder */
	bool is_folder; /* unpacked by somebody else */
	struct wheel_name name;
	struct zip zip;
	struct record record;
	struct entry_points points;
	struct buffer metadata, info /* the file WHEEL */;
	char dist_info[300]; /* directory name, "numpy-2.1.0.dist-info" */
	char data[300];      /* "numpy-2.1.0.data/" */
	bool is_lenient;     /* without `lenient_record` it would have been refused */
};

struct wheel_options {
	struct zip_limits limits;
	bool lenient_record; /* take RECORDs that list more or less than there is, never
				one whose hash is wrong */
};

#define WHEEL_OPTIONS_DEFAULT ((struct wheel_options){ .limits = ZIP_LIMITS_DEFAULT })

/*
 * `file_name` is the last component of the file's path. -EBADMSG: the text names the
 * rule.
 */
int wheel_open(int fd, uint64_t size, const char *file_name,
	       const struct wheel_options *options, struct wheel *ret,
	       struct error *reterr);
/*
 * The same of a wheel that was unpacked into the folder fd, and was in a file of that
 * name. That the files are the wheel's, RECORD says; that RECORD is, the caller must
 * know.
 */
int wheel_open_unpacked(int fd, const char *file_name,
			const struct wheel_options *options, struct wheel *ret,
			struct error *reterr);
void wheel_release(struct wheel *wheel);

/* Where a member goes in the wheel's image; FORMAT.md names the four trees. */
enum wheel_tree {
	TREE_NOWHERE, /* what is the installer's to write (RECORD, INSTALLER, ...), and
			 scripts that an entry point replaces */
	TREE_SITE,    /* site-packages/ */
	TREE_ROOT,    /* root/: the data scheme, and bin/ */
	TREE_SCRIPT,  /* root/bin/, or scripts/ when it begins with #!python */
	TREE_INCLUDE, /* include/<normalised name>/ */
};

/*
 * The member's tree and its path within (a suffix of the member's own name). -EBADMSG: it
 * may not go where it wants to.
 */
int wheel_place(const struct wheel *wheel, const struct zip_member *member,
		enum wheel_tree *ret_tree, const char **ret_path, struct error *reterr);
