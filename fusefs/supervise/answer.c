#include "fusefs/supervise/answer.h"

#include "fusefs/supervise/descriptors.h"
#include "fusefs/supervise/opcodes.h"
#include "fusefs/supervise/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST = 64 << 10, PEER_SECONDS = 1, WORKER_SECONDS = 30 };

struct text {
	char bytes[LARGEST];
	size_t size;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format,
						      ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(t->bytes + t->size, sizeof(t->bytes) - t->size, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < sizeof(t->bytes) - t->size)
		t->size += (size_t)n;
}

static void add_requests(struct text *t, struct shared *s)
{
	const char *comma = "";
	add(t, "\"requests\": {");
	for (unsigned i = 0; i < SHARED_OPCODES; i++) {
		unsigned long long count = atomic_load(&s->requests[i]);
		const char *name = opcode_name(i);
		if (count == 0)
			continue;
		if (name)
			add(t, "%s\"%s\": %llu", comma, name, count);
		else
			add(t, "%s\"OPCODE_%u\": %llu", comma, i, count);
		comma = ", ";
	}
	add(t, "}");
}

static void add_helpers(struct text *t, const struct notifiers *n)
{
	const char *comma = "";
	add(t, "\"helpers\": [");
	for (unsigned i = 0; i < NOTIFIERS_MOST; i++) {
		if (n->pids[i] == 0)
			continue;
		add(t, "%s%d", comma, (int)n->pids[i]);
		comma = ", ";
	}
	add(t, "], ");
}

/* What has been under way for how long. */
static void add_busy(struct text *t, struct shared *s)
{
	enum { NS = 1000000000, MS = 1000000 };
	struct timespec now;
	const char *comma = "";
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t ns = (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
	add(t, "\"busy\": [");
	for (unsigned i = 0; i < SHARED_THREADS; i++) {
		uint64_t since = atomic_load(&s->slots[i].since);
		const char *name = opcode_name(atomic_load(&s->slots[i].opcode));
		if (atomic_load(&s->slots[i].unique) == 0 || since > ns)
			continue;
		add(t, "%s{\"request\": \"%s\", \"milliseconds\": %llu}", comma,
		    name ? name : "?", (unsigned long long)((ns - since) / MS));
		comma = ", ";
	}
	add(t, "]");
}

static unsigned long long resident_bytes(int pid)
{
	char path[64];
	char text[128] = "";
	(void)snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		(void)close(fd);
	/* Its size, and what of it is resident, in pages. */
	const char *second = n > 0 ? strchr(text, ' ') : NULL;
	unsigned long long pages = second ? strtoull(second, NULL, 10) : 0;
	return pages * (unsigned long long)sysconf(_SC_PAGESIZE);
}

static void answer_status(int fd, struct supervisor *super)
{
	static struct text t;
	struct shared *s = super->shared;
	int worker = super->worker;
	int64_t stuck = watch_look(&super->watch, s, SHARED_FD, FUSE_FD, milliseconds());
	t.size = 0;
	add(&t, "{\"state\": \"%s\", \"version\": \"%s\", \"pid\": %d, ",
	    supervisor_is_unmounted() ? "ending"
	    : stuck >= WATCH_HANGS    ? "hanging"
				      : "serving",
	    VENVFS_VERSION, worker);
	add(&t, "\"stuck_milliseconds\": %lld, ", (long long)stuck);
	add(&t, "\"supervisor\": %d, \"restarts\": %u, \"seconds\": %lld, ",
	    (int)getpid(), atomic_load(&s->restarts), (long long)(time(NULL) - s->since));
	add(&t, "\"resident\": %llu, \"supervisor_resident\": %llu, \"errors\": %llu, ",
	    resident_bytes(worker), resident_bytes(getpid()),
	    (unsigned long long)atomic_load(&s->errors));
	add(&t, "\"bytes_read\": %llu, \"bytes_written\": %llu, \"copy_ups\": %llu, ",
	    (unsigned long long)atomic_load(&s->bytes_read),
	    (unsigned long long)atomic_load(&s->bytes_written),
	    (unsigned long long)atomic_load(&s->copy_ups));
	add(&t, "\"filtered\": %s, ", rights_is_filtered(worker) ? "true" : "false");
	add_helpers(&t, &super->notifiers);
	add_requests(&t, s);
	add(&t, ", ");
	add_busy(&t, s);
	add(&t, "}");
	(void)send(fd, t.bytes, t.size, MSG_NOSIGNAL);
}

/* In a process of its own, as a worker may take its time. */
static void pass_on(int fd, const struct supervisor *s, const char *message, size_t size)
{
	static const char nobody[] = "{\"error\": \"the worker does not answer\"}";
	static char answer[LARGEST];
	ssize_t n = -1;
	int worker = sockets_connect_worker(s, WORKER_SECONDS);
	if (worker >= 0 && send(worker, message, size, MSG_NOSIGNAL) >= 0)
		n = recv(worker, answer, sizeof(answer), 0);
	if (n > 0)
		(void)send(fd, answer, (size_t)n, MSG_NOSIGNAL);
	else
		(void)send(fd, nobody, strlen(nobody), MSG_NOSIGNAL);
}

static int peer_is_ours(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

/* It holds nothing that keeps the mount, or a name, alive when its parent has died. */
_Noreturn static void pass_on_apart(int fd, const struct supervisor *s,
				    const char *message, size_t size)
{
	enum { OWN = STDERR_FILENO + 1 };
	if (fd != OWN)
		(void)dup2(fd, OWN);
	(void)close_range(OWN + 1, ~0u, 0);
	pass_on(OWN, s, message, size);
	_exit(0);
}

static void upgrade(struct supervisor *s, int client, int fds[DESCRIPTORS_MOST])
{
	static const char missing[] = "{\"error\": \"the programs are missing\"}";
	static const char confined[] =
	    "{\"error\": \"its supervisor runs no program for a process that may do less "
	    "than itself; run this outside of the sandbox, or with the rights that the "
	    "mount was made with\"}";
	const char *wrong = fds[0] < 0 || fds[1] < 0        ? missing
			    : !rights_peer_has_ours(client) ? confined
							    : NULL;
	int copy = wrong ? -1 : fcntl(client, F_DUPFD_CLOEXEC, OWN_FDS);
	if (copy < 0) {
		wrong = wrong ? wrong : missing;
		(void)send(client, wrong, strlen(wrong), MSG_NOSIGNAL);
		return;
	}
	upgrade_begin(s, copy, fds[0], fds[1]);
	fds[0] = fds[1] = -1;
}

/* A socket to a process that tells the kernel what to forget (notify.h). */
static void start_notifier(struct supervisor *s, int client)
{
	char text[80];
	int fd = notifier_start(&s->notifiers, s->shared);
	if (fd < 0)
		(void)snprintf(text, sizeof(text), "{\"error\": \"%s\"}", strerror(-fd));
	else
		(void)snprintf(text, sizeof(text), "{\"minor\": %u}",
			       notifier_minor(s->shared));
	(void)descriptors_send(client, text, strlen(text), &fd, fd >= 0);
	if (fd >= 0)
		(void)close(fd);
}

static void leave(struct supervisor *s, int client)
{
	static const char done[] = "{\"leaves\": true}";
	supervisor_leave(s);
	(void)send(client, done, strlen(done), MSG_NOSIGNAL);
}

/* Its own questions have no other text in them; the worker parses the rest. */
static void answer(struct supervisor *s, int client, char *message, size_t size)
{
	int fds[DESCRIPTORS_MOST];
	ssize_t n = descriptors_receive(client, message, size, fds);
	if (n <= 0)
		return;
	message[n] = '\0';
	if (strstr(message, "\"status\""))
		answer_status(client, s);
	else if (strstr(message, "\"upgrade\""))
		upgrade(s, client, fds);
	else if (strstr(message, "\"leave\""))
		leave(s, client);
	else if (strstr(message, "\"notifier\""))
		start_notifier(s, client);
	else if (fork() == 0)
		pass_on_apart(client, s, message, (size_t)n);
	descriptors_close(fds);
}

void answer_one(struct supervisor *s)
{
	static char message[LARGEST];
	int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) {
		sockets_pause(errno);
		return;
	}
	if (peer_is_ours(fd)) {
		sockets_set_timeout(fd, PEER_SECONDS);
		answer(s, fd, message, sizeof(message) - 1);
	}
	(void)close(fd);
}
