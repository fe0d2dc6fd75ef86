#include "cache/store/lease.h"

#include "cache/base/file.h"
#include "cache/store/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

struct lease {
	int dirfd; /* of leases/, borrowed */
	int fd;    /* locked; -1: a lease of no effect */
	char name[2 * 8 + 1];
};

/* Files whose holder has died: their lock is free. */
static void clean_leases(struct store *store)
{
	cleanup_dir DIR *dir = file_list_dir(store->dirs[DIR_LEASES]);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		cleanup_fd int fd = file_open_beneath(
		    store->dirs[DIR_LEASES], entry->d_name, O_RDWR | O_NOFOLLOW, 0);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void)unlinkat(store->dirs[DIR_LEASES], entry->d_name, 0);
	}
}

/*
 * The file is made and locked while leases/ itself is locked shared: whoever holds that
 * exclusively (gc, cleaners) sees no lease that is not locked yet.
 */
static int make_locked(struct store *store, struct lease *lease, const char *who)
{
	cleanup_fd int guard = file_open(lease->dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (guard < 0)
		return guard;
	if (flock(guard, LOCK_EX | LOCK_NB) == 0)
		clean_leases(store);
	if (flock(guard, LOCK_SH) < 0)
		return -errno;
	uint8_t random[8];
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	hex_encode(random, sizeof(random), lease->name);
	cleanup_fd int fd =
	    file_open_beneath(lease->dirfd, lease->name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	int r = file_write_all(fd, who, strlen(who));
	if (r == 0)
		r = file_write_all(fd, "\n", 1);
	if (r == 0)
		lease->fd = steal_fd(&fd);
	return r;
}

int lease_take(struct store *store, const char *who, struct lease **ret)
{
	CLEANUP(lease_freep) struct lease *lease = calloc(1, sizeof(*lease));
	if (!lease)
		return -ENOMEM;
	lease->fd = -1;
	lease->dirfd = store->dirs[DIR_LEASES];
	int r = store->writable ? make_locked(store, lease, who) : 0;
	if (r < 0)
		return r;
	*ret = steal_ptr(lease);
	return 0;
}

int lease_narrow(struct lease *lease, const struct digest *images, size_t count)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	if (lease->fd < 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		char hex[DIGEST_HEX_SIZE];
		digest_format(&images[i], hex);
		int r = buffer_printf(&text, "image %s\n", hex);
		if (r < 0)
			return r;
	}
	/* "all" is what says that the list is whole: until then everything is pinned. */
	int r = buffer_append_text(&text, "all\n");
	return r < 0 ? r : file_write_all(lease->fd, text.data, text.size);
}

void lease_free(struct lease *lease)
{
	if (!lease)
		return;
	if (lease->fd >= 0) {
		(void)unlinkat(lease->dirfd, lease->name, 0);
		(void)close(lease->fd);
	}
	free(lease);
}
