/*
 * Notifications to the kernel: that names or contents it remembers are so no more. They
 * are written to /dev/fuse by a process that holds nothing else, as the kernel may wait
 * in them, not to be killed, for locks that a request under way holds; a worker that
 * waited so could not be followed. The process is started when somebody asks the
 * supervisor for it, who gets a socket (SEQPACKET) to it; it ends when that is closed.
 */
#pragma once

#include <stdint.h>

enum notice_kind {
	NOTICE_NODE = 1,  /* attributes, pages and listing of `node` */
	NOTICE_ENTRY = 2, /* `name` in the directory `parent` */
	NOTICE_EXPIRE =
	    3,             /* the same, without taking it from who is in it: it is asked
			    * for anew when used next. Linux 6.2; before as NOTICE_ENTRY */
	NOTICE_DELETE = 4, /* `name` in `parent`, which was `node`, is gone */
};

enum { NOTICE_NAME = 256 };

/* What is sent; the answer is an int32_t, 0 or a negative errno (-ENOENT: the kernel does
 * not know it). */
struct notice {
	uint32_t kind;
	uint64_t parent, node;
	char name[NOTICE_NAME]; /* with a NUL */
};
