#include "fusefs/serve/near.h"

#include "cache/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { UNKNOWN = -2 };

/* Where this thread was put last. */
static _Thread_local int placed = UNKNOWN;

void near_init(struct near *near, bool wanted)
{
	*near = (struct near){ .proc_fd = -1, .cpu = NEAR_ANYWHERE };
	if (!wanted || sched_getaffinity(0, sizeof(near->all), &near->all) < 0 ||
	    CPU_COUNT(&near->all) < 2)
		return;
	near->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void near_finish(struct near *near)
{
	if (near->proc_fd >= 0)
		(void)close(near->proc_fd);
	near->proc_fd = -1;
}

int near_cpu_of_stat(const char *stat)
{
	enum { STATE = 3, PROCESSOR = 39 };
	/* The command's name, in parentheses, may hold anything. */
	const char *at = strrchr(stat, ')');
	for (int field = STATE - 1; at && field < PROCESSOR; field++) {
		at = strchr(at, ' ');
		if (at)
			at++;
	}
	if (!at || *at < '0' || *at > '9')
		return -EBADMSG;
	unsigned long cpu = strtoul(at, NULL, 10);
	return cpu < CPU_SETSIZE ? (int)cpu : -EBADMSG;
}

static int cpu_of(const struct near *near, uint32_t client)
{
	char name[32];
	char stat[1024];
	(void)snprintf(name, sizeof(name), "%u/stat", client);
	cleanup_fd int fd = openat(near->proc_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof(stat) - 1);
	if (n <= 0)
		return -ESRCH;
	stat[n] = '\0';
	int cpu = near_cpu_of_stat(stat);
	return cpu >= 0 && CPU_ISSET((size_t)cpu, &near->all) ? cpu : -ESRCH;
}

static void leave(struct near *near)
{
	atomic_store_explicit(&near->row, 0, memory_order_relaxed);
	atomic_store_explicit(&near->cpu, NEAR_ANYWHERE, memory_order_relaxed);
}

/* One now and then: the client is looked for once more with its next request. */
static void count_page(struct near *near)
{
	unsigned rest = atomic_exchange_explicit(&near->rest, 0, memory_order_relaxed);
	unsigned row = atomic_load_explicit(&near->row, memory_order_relaxed);
	if (rest < NEAR_ROW || row < NEAR_ROW) {
		leave(near);
		return;
	}
	atomic_store_explicit(&near->woken, true, memory_order_relaxed);
	atomic_store_explicit(&near->row, NEAR_ROW - 1, memory_order_relaxed);
}

bool near_count(struct near *near, uint32_t client, enum near_kind kind)
{
	if (kind == NEAR_ASIDE)
		return false;
	uint32_t last =
	    atomic_exchange_explicit(&near->last, client, memory_order_relaxed);
	if (last != client || client == 0) {
		leave(near);
		return false;
	}
	if (kind == NEAR_PAGES) {
		count_page(near);
		return false;
	}
	atomic_fetch_add_explicit(&near->rest, 1, memory_order_relaxed);
	unsigned row = atomic_fetch_add_explicit(&near->row, 1, memory_order_relaxed) + 1;
	return row == NEAR_ROW || row % NEAR_AGAIN == 0;
}

void near_found(struct near *near, int cpu)
{
	int before = atomic_load_explicit(&near->cpu, memory_order_relaxed);
	bool woken = atomic_exchange_explicit(&near->woken, false, memory_order_relaxed);
	/* It goes about; the next look is one NEAR_AGAIN away. */
	if (cpu < 0 || (before != NEAR_ANYWHERE && before != cpu && !woken))
		cpu = NEAR_ANYWHERE;
	atomic_store_explicit(&near->cpu, cpu, memory_order_relaxed);
}

/* A failure (a CPU that was taken away from us) leaves the thread where it is. */
static void place(const struct near *near, int cpu)
{
	cpu_set_t one;
	if (cpu == placed)
		return;
	CPU_ZERO(&one);
	if (cpu != NEAR_ANYWHERE)
		CPU_SET((size_t)cpu, &one);
	(void)sched_setaffinity(0, sizeof(one), cpu == NEAR_ANYWHERE ? &near->all : &one);
	placed = cpu;
}

void near_request(struct near *near, uint32_t client, enum near_kind kind)
{
	if (near->proc_fd < 0)
		return;
	if (near_count(near, client, kind))
		near_found(near, cpu_of(near, client));
	place(near, atomic_load_explicit(&near->cpu, memory_order_relaxed));
}

void near_leave(struct near *near)
{
	if (near->proc_fd < 0)
		return;
	leave(near);
	place(near, NEAR_ANYWHERE);
}
