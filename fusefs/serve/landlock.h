/*
 * Landlock domains: which files a process may reach, said by itself and for good. Private
 * to fusefs/serve. One thread, as a domain is that of the thread that enters it and of
 * those that it starts.
 */
#pragma once

#include <linux/landlock.h>
#include <stdint.h>

/* Of kernels after the headers that this is built with. */
#define LANDLOCK_REFER (UINT64_C(1) << 13)    /* Linux 5.19 */
#define LANDLOCK_TRUNCATE (UINT64_C(1) << 14) /* Linux 6.2 */

struct landlock {
	int rules;
	uint64_t limited;
};
#define LANDLOCK_INIT ((struct landlock){ .rules = -1 })

/*
 * Rules under which all of `limited` is forbidden that they do not allow; what this
 * kernel does not know of it stays allowed. -EOPNOTSUPP: no Landlock, or one in which
 * nothing could be moved from one directory to another.
 */
int landlock_begin(struct landlock *l, uint64_t limited);
void landlock_release(struct landlock *l);
/* At fd (borrowed; O_PATH will do), a file or a directory with all beneath it. */
int landlock_allow(struct landlock *l, int fd, uint64_t access);
/* Without rights to gain (no_new_privs). -EOPNOTSUPP: too many domains already. */
int landlock_enter(struct landlock *l);
