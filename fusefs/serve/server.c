#include "fusefs/serve/server.h"

#include "cache/base/file.h"
#include "cache/base/trust.h"
#include "cache/store/cache.h"
#include "cache/store/lease.h"
#include "fusefs/overlay/overlay.h"
#include "fusefs/serve/ahead.h"
#include "fusefs/serve/answer_changes.h"
#include "fusefs/serve/confine.h"
#include "fusefs/serve/control.h"
#include "fusefs/serve/features.h"
#include "fusefs/serve/log.h"
#include "fusefs/serve/plan.h"
#include "fusefs/serve/reach.h"
#include "fusefs/serve/session.h"
#include "fusefs/serve/state.h"
#include "fusefs/serve/view.h"
#include "fusefs/supervise/shared.h"
#include "fusefs/upper/upper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* Decided by the table in ARCHITECTURE.md (Measurements). */
enum { SERVING_THREADS = 3, THREADS_MOST = SHARED_THREADS };

struct server {
	const char *state_path;
	struct state *state;
	struct plan plan;
	struct cache *cache;
	struct lease *lease;
	struct ahead ahead; /* outlives the view */
	struct view *view;
	struct upper *upper; /* NULL: read-only */
	struct overlay *overlay;
	struct log log;
	struct shared *shared;
	struct server_fds fds;
	int bell; /* -1: there is none */
	int gate; /* where it waits for the mount; -1: there is one */
	struct session *session;
	struct control *control;
	_Atomic(int) ready_fd;
	bool waits; /* another server has the mount still */
};

/*
 * Has the mount ended, or never begun? Else another server comes, or is there already,
 * and what this one could not use is the other's.
 */
static bool is_over(const struct server *s)
{
	struct pollfd fuse = { .fd = s->fds.fuse };
	if (s->waits || !s->shared)
		return false;
	return atomic_load(&s->shared->init_size) == 0 ||
	       (poll(&fuse, 1, 0) > 0 && (fuse.revents & POLLERR));
}

static void server_release(struct server *s)
{
	bool is_last = is_over(s); /* asked while its descriptor is open */
	control_stop(s->control);
	session_free(s->session);
	overlay_free(s->overlay);
	upper_close(s->upper);
	if (s->plan.ephemeral && is_last)
		(void)upper_discard(s->plan.upper, NULL);
	view_free(s->view);
	ahead_release(&s->ahead);
	lease_free(s->lease);
	cache_free(s->cache);
	if (s->plan.throwaway && is_last) {
		(void)rmdir(s->plan.path);
		(void)state_remove(s->state);
	}
	plan_release(&s->plan);
	state_free(s->state);
	if (s->shared)
		(void)munmap(s->shared, SHARED_SIZE);
}

static int narrow_lease(struct server *s)
{
	cleanup_free struct digest *ids = calloc(s->plan.count + 1, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	for (size_t i = 0; i < s->plan.count; i++)
		ids[i] = s->plan.layers[i].image;
	return lease_narrow(s->lease, ids, s->plan.count);
}

static void tell(struct server *s, const char *text)
{
	int fd = atomic_exchange(&s->ready_fd, -1);
	if (fd < 0)
		return;
	(void)dprintf(fd, "%s\n", text);
	(void)close(fd);
}

static void on_ready(void *context)
{
	tell(context, "ready");
}

/* To a supervisor that follows one that has died (supervise/takeover.h). */
static json_t *hand_over(const struct server *s, int fds[DESCRIPTORS_MOST])
{
	if (atomic_load(&s->shared->init_size) == 0)
		return json_pack("{s:s}", "error", "it is being mounted");
	fds[0] = s->fds.fuse;
	fds[1] = s->fds.lock;
	fds[2] = s->fds.shared;
	fds[3] = s->bell;
	return json_pack("{s:b}", "descriptors", true);
}

static json_t *answer(void *context, const json_t *request, int fds[DESCRIPTORS_MOST])
{
	struct server *s = context;
	const char *verb = json_get_text(request, "verb");
	if (verb && strcmp(verb, "descriptors") == 0)
		return hand_over(s, fds);
	if (verb && strcmp(verb, "changes") == 0)
		return answer_changes(s->overlay, json_get_text(request, "from"));
	return json_pack("{s:s}", "error", "unknown verb");
}

/*
 * SIGTERM (a shutdown): the mount leaves sight, and ends with its last user. Unmounting
 * is nothing that a worker may do, and neither is connecting to anybody, so it rings.
 */
static void *wait_for_signal(void *argument)
{
	const struct server *s = argument;
	sigset_t set;
	int signal_number;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	while (sigwait(&set, &signal_number) == 0)
		(void)eventfd_write(s->bell, 1);
	return NULL;
}

/* Threads inherit the mask, the upper's too, so that only wait_for_signal() sees these.
 */
static void block_signals(void)
{
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int take_signals(struct server *s)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, wait_for_signal, s);
	if (r == 0)
		r = pthread_detach(thread);
	return -r;
}

static void on_blocking(void *context, bool begins)
{
	const struct server *s = context;
	session_blocking(s->session, begins);
}

/* What rows refer to is on disk before the first of them can be. */
static int on_first(void *context)
{
	static const char *const names[] = { "layers", "base", "." };
	const struct server *s = context;
	const int dirs[] = { state_fd(s->state), upper_fd(s->upper) };
	int r = 0;
	for (size_t i = 0; r == 0 && !s->plan.ephemeral && i < 6; i++) {
		cleanup_fd int fd =
		    file_open_beneath(dirs[i % 2], names[i / 2], O_RDONLY, 0);
		if (fd >= 0 && fsync(fd) < 0)
			r = -errno;
	}
	return r;
}

static bool is_successor(const struct server *s)
{
	return atomic_load(&s->shared->init_size) > 0;
}

/* For tests: SIGKILL between the n-th commit and its reply. */
static int test_deaths(void)
{
	const char *text = getenv("VENVFS_TEST_DIE");
	return text ? (int)strtol(text, NULL, 10) : 0;
}

static int map_shared(struct server *s, int fd, struct error *reterr)
{
	void *map = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (map == MAP_FAILED)
		return error_errno(reterr, -errno, "cannot map the supervisor's memory");
	s->shared = map;
	return s->shared->magic == SHARED_MAGIC && s->shared->version == SHARED_VERSION
		   ? 0
		   : error_set(reterr, -EPROTO,
			       "the mount's shared memory is of another version; unmount "
			       "and mount again");
}

/* What the server before has committed and perhaps not answered. */
static void keep_last_record(struct server *s)
{
	struct upper_record record;
	if (!s->upper || !is_successor(s) || !upper_last_record(s->upper, &record))
		return;
	uint32_t i = atomic_load(&s->shared->deaths);
	if (i > 0 &&
	    atomic_load(&s->shared->done[(i - 1) % SHARED_DONE].unique) == record.unique)
		return;
	struct shared_done *done = &s->shared->done[i % SHARED_DONE];
	atomic_store(&done->unique, 0);
	atomic_store(&done->node, record.node);
	atomic_store(&done->unique, record.unique);
	atomic_store(&s->shared->deaths, i + 1);
}

static bool was_done(void *context, uint64_t unique, uint64_t *ret_node)
{
	const struct server *s = context;
	for (size_t i = 0; unique != 0 && i < SHARED_DONE; i++) {
		if (atomic_load(&s->shared->done[i].unique) != unique)
			continue;
		*ret_node = atomic_load(&s->shared->done[i].node);
		return true;
	}
	return false;
}

static int prepare_upper(struct server *s, struct error *reterr)
{
	const struct upper_options options = { .path = s->plan.upper,
					       .owner = s->plan.path,
					       .sync = !s->plan.ephemeral,
					       .again = is_successor(s),
					       .on_first = on_first,
					       .context = s };
	int r = *s->plan.upper ? upper_open(&options, &s->upper, reterr) : 0;
	if (r < 0)
		return r;
	keep_last_record(s);
	const struct overlay_options overlay = { .tree = view_tree(s->view),
						 .upper = s->upper,
						 .counts = shared_counts(s->shared),
						 .was_done = was_done,
						 .die_after = test_deaths(),
						 .on_blocking = on_blocking,
						 .context = s };
	return overlay_new(&overlay, &s->overlay);
}

/* A lease before images are looked for, be it ahead of the mount. */
static int prepare(struct server *s, const char *state_path, struct error *reterr)
{
	cleanup_fd int gate = steal_fd(&s->gate);
	int r = cache_open(&s->cache, reterr);
	if (r == 0 && gate >= 0)
		r = ahead_wait(gate, s->fds.fuse, s->cache, state_path, &s->ahead,
			       &s->lease, reterr);
	if (r == 0)
		r = state_open_directory(state_path, &s->state, reterr);
	if (r < 0)
		return r;
	r = plan_read(state_fd(s->state), &s->plan);
	if (r < 0)
		return error_errno(reterr, r, "cannot read '%s/mount.json'", state_path);
	r = ahead_lend(&s->ahead, &s->plan, reterr);
	if (r == 0 && !s->lease)
		r = lease_take(cache_own(s->cache), s->plan.path, &s->lease);
	if (r == 0 && !s->ahead.has_limited)
		r = reach_limit(&s->plan, s->cache, state_path, reterr);
	if (r == 0)
		r = view_open(state_fd(s->state), &s->plan, s->cache, &s->view, reterr);
	return r == 0 ? narrow_lease(s) : r;
}

/* The upper is another server's until that one has ended. */
static int wait_for_go(struct server *s, struct error *reterr)
{
	static const char word[] = "prepared\n";
	char byte;
	if (s->fds.go < 0)
		return 0;
	int ready = atomic_load(&s->ready_fd);
	int r = ready < 0 ? -EINVAL : file_write_all(ready, word, strlen(word));
	cleanup_fd int go = steal_fd(&s->fds.go);
	if (r == 0 && read(go, &byte, 1) != 1)
		r = -ECANCELED;
	s->waits = r < 0;
	return r < 0 ? error_errno(reterr, r, "cannot follow another version") : 0;
}

/* For measuring only, as is VENVFS_SERVING_FAR. */
static unsigned serving_threads(void)
{
	const char *text = getenv("VENVFS_SERVING_THREADS");
	unsigned long count = text ? strtoul(text, NULL, 10) : 0;
	return count >= 1 && count <= THREADS_MOST ? (unsigned)count : SERVING_THREADS;
}

/* A mount that is in use goes on without a socket, until one can be made. */
static int start_control(struct server *s, struct error *reterr)
{
	struct error err = ERROR_INIT;
	const struct control_options options = { .place = { .path = s->plan.socket,
							    .suffix = ".worker",
							    .state_path = s->state_path },
						 .may_lack = is_successor(s),
						 .answer = answer,
						 .context = s };
	int r = control_start(&options, &s->control, &err);
	if (r < 0)
		return error_set(reterr, r, "%s", error_text(&err, r));
	if (*err.text)
		log_line(&s->log, "%s", err.text);
	return 0;
}

static int start(struct server *s, int fuse_fd, struct error *reterr)
{
	struct session_options options = { .fuse_fd = fuse_fd,
					   .overlay = s->overlay,
					   .shared = s->shared,
					   .log = &s->log,
					   .threads = serving_threads(),
					   .near = !getenv("VENVFS_SERVING_FAR"),
					   .on_ready = on_ready,
					   .context = s };
	int r = features_unmasked(getenv("VENVFS_MASK"), &options.features, reterr);
	if (r == 0)
		r = session_new(&options, &s->session, reterr);
	if (r == 0)
		r = take_signals(s);
	return r == 0 ? start_control(s, reterr) : r;
}

int server_run(const char *state_path, const struct server_fds *fds)
{
	struct error err = ERROR_INIT;
	CLEANUP(server_release)
	struct server s = { .state_path = state_path,
			    .log = { .fd = STDERR_FILENO, .state_path = state_path },
			    .fds = *fds,
			    .waits = fds->go >= 0,
			    .bell = BELL_FD,
			    .gate = GATE_FD };
	int fuse_fd = fds->fuse; /* the session's, and closed with it */
	atomic_init(&s.ready_fd, fds->ready);
	(void)prctl(PR_SET_NAME, "venvfs");
	(void)fcntl(fuse_fd, F_SETFD, FD_CLOEXEC);
	if (fds->ready >= 0)
		(void)fcntl(fds->ready, F_SETFD, FD_CLOEXEC);
	if (fds->go >= 0)
		(void)fcntl(fds->go, F_SETFD, FD_CLOEXEC);
	if (fcntl(BELL_FD, F_SETFD, FD_CLOEXEC) < 0)
		s.bell = -1;
	if (fcntl(GATE_FD, F_SETFD, FD_CLOEXEC) < 0)
		s.gate = -1;
	(void)fcntl(fds->lock, F_SETFD, FD_CLOEXEC);
	(void)fcntl(fds->shared, F_SETFD, FD_CLOEXEC);
	block_signals();
	int missing = 0;
	/* Users and groups may be asked for by sockets, which it will not have. */
	cache_ask_ahead();
	trust_ask_ahead(state_path);
	int r = confine_server(&missing, &err);
	if (missing < 0)
		log_line(&s.log,
			 "the worker may call all of the kernel: no filter of "
			 "system calls (seccomp) can be installed here (%s)",
			 strerror(-missing));
	if (r == 0)
		r = map_shared(&s, fds->shared, &err);
	if (r == 0)
		r = prepare(&s, state_path, &err);
	if (r == 0)
		r = wait_for_go(&s, &err);
	if (r == 0)
		r = prepare_upper(&s, &err);
	if (r == 0)
		r = start(&s, fuse_fd, &err);
	if (r == 0) {
		r = session_run(s.session);
		if (r < 0)
			(void)error_errno(&err, r, "serving ended");
	}
	if (r < 0)
		log_line(&s.log, "%s", error_text(&err, r));
	tell(&s, error_text(&err, r));
	return r < 0 ? 1 : 0;
}
