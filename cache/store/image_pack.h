/* Images that lie in one file. One thread at a time; their images as all (image.h). */
#pragma once

#include "cache/store/image.h"

/*
 * A file of many images, mapped once for all of them, as mapping costs more than reading
 * a small one's head does. The descriptor is borrowed for the life of the pack, the pack
 * for that of its images. -EBADMSG: it is empty.
 */
struct image_pack;
int image_pack_open(int fd, struct image_pack **ret, struct error *reterr);
void image_pack_free(struct image_pack *pack);
DEFINE_CLEANUP(struct image_pack *, image_pack_free);
/* That of `size` bytes at `offset`, which may be any: -EBADMSG. It has no objects. */
int image_open_packed(const struct image_pack *pack, uint64_t offset, uint64_t size,
		      struct image **ret_image, struct error *reterr);
