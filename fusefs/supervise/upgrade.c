#include "fusefs/supervise/upgrade.h"

#include "fusefs/supervise/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PREPARED_MILLISECONDS = 30000, CHECK_SECONDS = 10, CHECKED_VERSION = 3 };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* One line of JSON, whatever the text holds. */
static void tell(int client, const char *key, const char *text)
{
	char answer[400];
	size_t size = (size_t)snprintf(answer, sizeof(answer), "{\"%s\": \"", key);
	for (; *text && size < sizeof(answer) - 3; text++) {
		bool plain = (unsigned char)*text >= ' ' && *text != '"' && *text != '\\';
		answer[size++] = plain ? *text : '\'';
	}
	memcpy(answer + size, "\"}", 2);
	(void)send(client, answer, size + 2, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void finish(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	close_fd(&u->client);
	close_fd(&u->words);
	close_fd(&u->go);
	close_fd(&u->program);
	close_fd(&u->supervise);
	*u = UPGRADE_INIT;
}

/* Nothing has changed: the old programs go on. */
static void fail(struct supervisor *s, const char *text)
{
	say(s, "the upgrade failed, the old version serves on: %s", text);
	tell(s->upgrade.client, "error", text);
	if (s->upgrade.worker > 0)
		(void)kill(s->upgrade.worker, SIGKILL);
	finish(s);
}

/* Does it start, and know this version of the shared memory? NULL, or what is wrong. */
static const char *check_supervise(int program)
{
	static char text[80];
	const char *const argv[] = { "venvfs-supervise", "check", NULL };
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		sigset_t none;
		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		(void)alarm(CHECK_SECONDS);
		(void)fexecve(program, (char **)(uintptr_t)argv, environ);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return "the new venvfs-supervise cannot be started";
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return NULL;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHECKED_VERSION)
		return "the new version keeps its shared memory in another way; unmount "
		       "and mount again";
	(void)snprintf(text, sizeof(text), "the new venvfs-supervise ends with %s %d",
		       WIFEXITED(status) ? "status" : "signal",
		       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return text;
}

static int start_worker(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	int words[2];
	int go[2];
	if (pipe2(words, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(go, O_CLOEXEC) < 0) {
		(void)close(words[0]);
		(void)close(words[1]);
		return -errno;
	}
	u->words = own_fd(words[0]);
	u->go = own_fd(go[1]);
	const struct worker_request request = { .program = u->program,
						.state_path = s->state_path,
						.words = own_fd(words[1]),
						.bell = s->bell,
						.gate = -1,
						.go = own_fd(go[0]) };
	u->worker = worker_start(&request);
	(void)close(request.words);
	(void)close(request.go);
	return u->worker < 0 ? u->worker : 0;
}

void upgrade_begin(struct supervisor *s, int take_client, int take_program,
		   int take_supervise)
{
	struct upgrade *u = &s->upgrade;
	if (u->stage != UPGRADE_NONE || s->worker == 0) {
		tell(take_client, "error",
		     s->worker == 0
			 ? "its worker has died and another one is not there yet"
			 : "it is being upgraded already");
		(void)close(take_client);
		(void)close(take_program);
		(void)close(take_supervise);
		return;
	}
	u->client = own_fd(take_client);
	u->program = own_fd(take_program);
	u->supervise = own_fd(take_supervise);
	u->until = milliseconds() + PREPARED_MILLISECONDS;
	const char *wrong = check_supervise(u->supervise);
	if (wrong)
		fail(s, wrong);
	else if (start_worker(s) < 0)
		fail(s, "the new worker cannot be started");
	else
		u->stage = UPGRADE_PREPARING;
}

static void set_inherited(const int *fds, size_t count, bool inherited)
{
	for (size_t i = 0; i < count; i++)
		(void)fcntl(fds[i], F_SETFD, inherited ? 0 : FD_CLOEXEC);
}

/* Comes back only when the new supervisor could not be executed. */
static void become_new(struct supervisor *s)
{
	enum { DIGITS = 12, BEFORE = 4 };
	const struct upgrade *u = &s->upgrade;
	const int values[NUMBERS] = {
		[NUMBER_WORKER] = s->worker,       [NUMBER_ADOPTED] = s->adopted,
		[NUMBER_NEW_WORKER] = u->worker,   [NUMBER_LISTENER] = s->listener,
		[NUMBER_GUARD] = s->guard,         [NUMBER_OLD_PROGRAM] = s->program,
		[NUMBER_NEW_PROGRAM] = u->program, [NUMBER_CLIENT] = u->client,
		[NUMBER_WORDS] = u->words,         [NUMBER_GO] = u->go,
		[NUMBER_BELL] = s->bell,
	};
	const int fds[] = { s->adopted, s->listener, s->guard, s->program, u->program,
			    u->client,  u->words,    u->go,    s->bell };
	enum { FDS = sizeof(fds) / sizeof(*fds) };
	char texts[NUMBERS][DIGITS];
	const char *argv[BEFORE + NUMBERS + 1] = { "venvfs-supervise", "upgraded",
						   s->state_path, s->socket_path };
	for (size_t i = 0; i < NUMBERS; i++) {
		(void)snprintf(texts[i], DIGITS, "%d", values[i]);
		argv[BEFORE + i] = texts[i];
	}
	set_inherited(fds, FDS, true);
	(void)fexecve(u->supervise, (char **)(uintptr_t)argv, environ);
	set_inherited(fds, FDS, false);
}

static bool parse_numbers(char **texts, int *ret)
{
	for (size_t i = 0; i < NUMBERS; i++)
		ret[i] = -1;
	for (size_t i = 0; i < NUMBERS; i++) {
		char *end;
		if (!texts[i])
			return i >= NUMBERS_FIRST;
		long value = strtol(texts[i], &end, 10);
		if (!*texts[i] || *end || value < -1 || value > INT32_MAX)
			return false;
		ret[i] = (int)value;
	}
	return true;
}

bool upgrade_resume(struct supervisor *s, char **numbers)
{
	struct upgrade *u = &s->upgrade;
	int values[NUMBERS];
	if (!parse_numbers(numbers, values))
		return false;
	s->worker = values[NUMBER_WORKER];
	s->adopted = values[NUMBER_ADOPTED];
	s->listener = values[NUMBER_LISTENER];
	s->guard = values[NUMBER_GUARD];
	s->program = values[NUMBER_OLD_PROGRAM];
	u->program = values[NUMBER_NEW_PROGRAM];
	u->client = values[NUMBER_CLIENT];
	u->words = values[NUMBER_WORDS];
	u->go = values[NUMBER_GO];
	u->worker = values[NUMBER_NEW_WORKER];
	s->bell = values[NUMBER_BELL];
	u->until = milliseconds() + PREPARED_MILLISECONDS;
	const int fds[] = { s->adopted, s->listener, s->guard, s->program, u->program,
			    u->client,  u->words,    u->go,    s->bell };
	set_inherited(fds, sizeof(fds) / sizeof(*fds), false);
	sockets_resume(s);
	return true;
}

void upgrade_end_old(struct supervisor *s)
{
	s->upgrade.stage = UPGRADE_ENDING;
	/* The number of a child is its own until it was waited for. */
	if (s->adopted >= 0)
		(void)syscall(SYS_pidfd_send_signal, s->adopted, SIGKILL, NULL, 0);
	else if (s->worker > 0)
		(void)kill(s->worker, SIGKILL);
	else
		(void)upgrade_takes_end(s); /* it has died before */
}

static void take_line(struct supervisor *s, char *line)
{
	struct upgrade *u = &s->upgrade;
	if (u->stage == UPGRADE_PREPARING && strcmp(line, "prepared") == 0) {
		become_new(s);
		fail(s, "the new venvfs-supervise cannot be executed");
	} else if (u->stage == UPGRADE_STARTING && strcmp(line, "ready") == 0) {
		say(s, "has been upgraded to %s, and so has the worker (pid %d)",
		    VENVFS_VERSION, (int)s->worker);
		tell(u->client, "version", VENVFS_VERSION);
		finish(s);
	} else if (u->stage == UPGRADE_PREPARING) {
		fail(s, line);
	} else {
		/* Kept as the reason, for when it has ended. */
		close_fd(&u->words);
		(void)memmove(u->said, line, strlen(line) + 1);
	}
}

void upgrade_hear(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	if (u->words < 0)
		return;
	ssize_t n = read(u->words, u->said + u->size, sizeof(u->said) - 1 - u->size);
	u->size += n > 0 ? (size_t)n : 0;
	u->said[u->size] = '\0';
	char *end = strchr(u->said, '\n');
	bool whole = end || n <= 0 || u->size == sizeof(u->said) - 1;
	if (!whole)
		return;
	if (end)
		*end = '\0';
	u->size = 0;
	if (*u->said)
		take_line(s, u->said);
	else if (u->stage == UPGRADE_PREPARING)
		fail(s, "the new worker ended before it served");
	else
		close_fd(&u->words); /* its end will be heard of */
}

/* The new one did not come to serve. */
static void go_back(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	int new = s->program;
	s->program = u->program;
	u->program = new;
	u->worker = 0;
	fail(s, *u->said ? u->said : "the new worker ended before it served");
	supervisor_restart(s, 0);
}

/* The old worker is gone, and with it its hold on the upper. */
static void go_on(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	int old = s->program;
	if (s->adopted >= 0)
		close_fd(&s->adopted);
	s->program = u->program;
	s->worker = u->worker;
	s->deaths = (struct deaths){ .idle = 0 };
	atomic_store(&s->shared->worker, (int32_t)s->worker);
	u->program = old;
	u->stage = UPGRADE_STARTING;
	if (s->worker == 0) {
		upgrade_hear(s);
		go_back(s);
		return;
	}
	(void)write(u->go, "g", 1);
	close_fd(&u->go);
}

void upgrade_child_ended(struct supervisor *s, pid_t pid)
{
	if (pid == s->upgrade.worker)
		s->upgrade.worker = 0;
}

bool upgrade_takes_end(struct supervisor *s)
{
	if (supervisor_is_unmounted())
		return false;
	if (s->upgrade.stage == UPGRADE_ENDING) {
		go_on(s);
		return true;
	}
	/* It may have said something before it ended, even that it serves. */
	if (s->upgrade.stage == UPGRADE_STARTING)
		upgrade_hear(s);
	if (s->upgrade.stage != UPGRADE_STARTING)
		return false;
	go_back(s);
	return true;
}

void upgrade_look(struct supervisor *s)
{
	struct upgrade *u = &s->upgrade;
	if (u->stage == UPGRADE_NONE || milliseconds() < u->until)
		return;
	if (u->stage == UPGRADE_PREPARING) {
		fail(s, "the new worker did not get ready within 30 seconds");
	} else if (u->stage == UPGRADE_STARTING) {
		(void)snprintf(u->said, sizeof(u->said),
			       "the new worker did not serve within 30 seconds");
		close_fd(&u->words);
		(void)kill(u->worker, SIGKILL); /* and its end goes back */
	}
}
