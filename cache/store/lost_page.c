#include "cache/store/lost_page.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * A signal handler may take no lock, so the ranges stand in blocks that are only ever
 * added and whose slots are taken and given back by single atomic stores: `start` is
 * written last when a slot is filled, and first when it is emptied.
 */
enum { SLOTS = 128 };

struct slot {
	_Atomic(uintptr_t) start; /* 0: free, 1: being filled */
	_Atomic(size_t) size;
	_Atomic(atomic_bool *) flag;
};

struct block {
	struct slot slots[SLOTS];
	_Atomic(struct block *) next;
};

/* Process-wide, as the handler of a signal is. */
static struct block first_block;
static struct sigaction before;
static long page_size;

static struct slot *find_slot(uintptr_t address)
{
	for (struct block *b = &first_block; b; b = atomic_load(&b->next)) {
		for (int i = 0; i < SLOTS; i++) {
			uintptr_t start = atomic_load(&b->slots[i].start);
			if (start > 1 && address >= start &&
			    address - start < atomic_load(&b->slots[i].size))
				return &b->slots[i];
		}
	}
	return NULL;
}

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	(void)context;
	int saved = errno;
	uintptr_t address = (uintptr_t)info->si_addr;
	struct slot *slot = info->si_code > 0 ? find_slot(address) : NULL;
	if (slot) {
		uintptr_t page = address & ~((uintptr_t)page_size - 1);
		/* The handler gets an address as a number and must give one back. */
		void *at = (void *)page; /* NOLINT(performance-no-int-to-ptr) */
		atomic_store(atomic_load(&slot->flag), true);
		if (mmap(at, (size_t)page_size, PROT_READ,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
			errno = saved;
			return;
		}
	}
	/* Not ours: it happens again with whatever was there before. */
	(void)sigaction(signal, &before, NULL);
	errno = saved;
}

static void install(void)
{
	page_size = sysconf(_SC_PAGESIZE);
	struct sigaction action = { .sa_sigaction = on_sigbus,
				    .sa_flags = SA_SIGINFO | SA_RESTART };
	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGBUS, &action, &before);
}

static struct slot *take_slot(struct block *b)
{
	for (int i = 0; i < SLOTS; i++) {
		uintptr_t unused = 0;
		/* To look first is cheaper than to try, where hundreds are taken. */
		if (atomic_load_explicit(&b->slots[i].start, memory_order_relaxed) == 0 &&
		    atomic_compare_exchange_strong(&b->slots[i].start, &unused, 1))
			return &b->slots[i];
	}
	return NULL;
}

static struct block *next_block(struct block *b)
{
	struct block *next = atomic_load(&b->next);
	if (next)
		return next;
	struct block *made = calloc(1, sizeof(*made));
	if (!made)
		return NULL;
	if (atomic_compare_exchange_strong(&b->next, &next, made))
		return made;
	free(made);
	return next;
}

int lost_page_watch(void *start, size_t size, atomic_bool *flag)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, install);
	for (struct block *b = &first_block; b; b = next_block(b)) {
		struct slot *slot = take_slot(b);
		if (!slot)
			continue;
		atomic_store(&slot->size, size);
		atomic_store(&slot->flag, flag);
		atomic_store(&slot->start, (uintptr_t)start);
		return 0;
	}
	return -ENOMEM;
}

void lost_page_unwatch(const void *start)
{
	struct slot *slot = find_slot((uintptr_t)start);
	if (slot)
		atomic_store(&slot->start, 0);
}
