/*
 * Content of changed files: files/ab/<node id>, found by id, so that no rename touches it
 * and no descriptor is kept for a node. A bounded number of descriptors is cached. Any
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "cache/base/cleanup.h"

struct upper;
struct content_set;
struct content_slot;

/* A file in use: give it back. */
struct content_ref {
	int fd;                    /* open for reading and writing */
	struct content_set *set;   /* private; NULL: it is not cached */
	struct content_slot *slot; /* private */
};
#define CONTENT_NONE ((struct content_ref){ .fd = -1 })

/* -ENOENT: the node has no content of its own. */
int content_open(struct upper *u, uint64_t node, struct content_ref *ret);
/* The same, made empty where it is missing; *ret_made says so. */
int content_make(struct upper *u, uint64_t node, struct content_ref *ret, bool *ret_made);
void content_put(struct content_ref *ref);
/*
 * A node made in the mount was seen to have content, by a row that does not say so: soon
 * it does (NODE_CONTENT), so that content which gets lost is no empty file. Not before
 * the first change.
 */
void content_note(struct upper *u, uint64_t node);
#define cleanup_content CLEANUP(content_put)
int content_stat(struct upper *u, uint64_t node, struct stat *ret);

/*
 * Content that appears whole: fill the descriptor of content_stage() (the caller closes
 * it), then publish it, synced when `sync`, or drop it.
 */
int content_stage(struct upper *u, uint64_t node);
int content_publish(struct upper *u, uint64_t node, int fd, bool sync);
void content_drop(struct upper *u, uint64_t node);

/*
 * The content of `from` is that of `to` as well, until one of them is removed; on disk
 * when it returns. -ENOENT: there is none; -EEXIST: it was linked before, and is shared.
 */
int content_link(struct upper *u, uint64_t from, uint64_t to);

/* -ENOENT never: what is not there is removed. */
int content_remove(struct upper *u, uint64_t node);
/* Its bytes are on disk when it returns; nothing to do for a node without content. */
int content_sync(struct upper *u, uint64_t node, bool data_only);
