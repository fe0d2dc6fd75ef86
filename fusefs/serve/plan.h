/*
 * What a mount serves: mount.json in its state directory. Written by the command that
 * mounts, read by the server and by whoever lists mounts. Untrusted when read. One
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/base/digest.h"
#include "cache/base/error.h"

struct image;

struct plan_layer {
	uint32_t number; /* in node ids; see layers.h */
	char *name;      /* for people: "numpy 2.1.0", or the path of a folder */
	struct digest image;
	bool packed;           /* in skeleton/pack, at offset; else an image of a cache */
	bool folder;           /* a plain folder */
	uint64_t offset, size; /* in the pack */
	struct image *open;    /* borrowed, or NULL: a view of it opens its own */
};

struct plan {
	char *path; /* the mount point, canonical */
	char *
	    python; /* the base interpreter's path; "" and so on where only folders are */
	char *python_version;
	char *site_packages; /* below the mount point */
	char *include;
	char *upper;    /* directory of the writable layer; "": read-only */
	char *socket;   /* path of the control socket */
	char *boot;     /* id of the boot that it was mounted in */
	char *host;     /* host name */
	bool ephemeral; /* what was changed goes with the mount */
	bool throwaway; /* mount point and state directory go with it, too */
	int64_t since;  /* when it was mounted: seconds since 1970 */
	int64_t
	    changed; /* when the layers last changed: what directories show as mtime */
	bool keep_owner;    /* folders show the owners that they had */
	struct digest key;  /* of all that the layers depend on */
	struct digest pack; /* XXH3-128 of skeleton/pack; all zero: there is none */
	char *pack_seen;    /* stamps of the pack when it was last compared with that, in
			       this boot; NULL: unknown */
	struct plan_layer *layers; /* highest priority first */
	size_t count;
	/* Where the pack is while it is not of what is mounted; "": skeleton/pack. Not
	 * written. */
	char pack_file[64];
};

/* Of what is mounted, or was last. -ENOENT: there is none; -EBADMSG: damaged or of
 * another version. */
int plan_read(int state_fd, struct plan *ret);
/* The pack at plan->pack_file takes its place. */
int plan_write(int state_fd, struct plan *plan);
/* The same of a file of any name, and nothing is done about packs. */
int plan_read_file(int state_fd, const char *name, struct plan *ret);
int plan_write_file(int state_fd, const char *name, const struct plan *plan);
/* Where its pack is. */
const char *plan_pack(const struct plan *plan);
/* A pack gets another name, in place of what has that. */
int plan_link_pack(int state_fd, const char *from, const char *to);
void plan_release(struct plan *plan);
size_t plan_wheels(const struct plan *plan); /* layers that are wheels */
size_t plan_folders(const struct plan *plan);
bool plan_has_pack(const struct plan *plan); /* is there a skeleton? */

/* Fills in what the running system says: boot and host. */
int plan_stamp(struct plan *plan);
/* Was it mounted on this host since it was started? */
bool plan_is_of_this_boot(const struct plan *plan);
