#include "cli/meet.h"

#include "cache/base/file.h"
#include "cli/behalf.h"
#include "cli/leftovers.h"
#include "cli/output.h"
#include "fusefs/serve/control.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/launch.h"
#include "fusefs/serve/mounts.h"
#include "fusefs/supervise/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	ANSWER_MILLISECONDS = 10000,
	FOLLOWERS = 30,
	FOLLOWER_TRIES = 30,
	SOCKET_TRIES = SOCKET_EVERY / 10 + 50, /* 10 ms each: until they were looked at */
	LARGEST_WHY = 200
};

struct control_place meet_place(const struct state *state, const struct plan *plan)
{
	return (struct control_place){ .path = plan->socket,
				       .suffix = "",
				       .state_path = state_path(state) };
}

static int ask_status(const struct control_place *place, json_t **ret)
{
	cleanup_json json_t *request = json_pack("{s:s}", "verb", "status");
	return request ? control_ask(place, request, ANSWER_MILLISECONDS, ret) : -ENOMEM;
}

/* Or somebody who is dying just now, who takes a connection and does not answer. */
static bool is_nobody(int r)
{
	return r == -ECONNREFUSED || r == -ENOENT || r == -ECONNRESET || r == -EPIPE;
}

static bool has_worker(const struct state *state, const struct plan *plan)
{
	char *path = NULL;
	struct stat st;
	if (asprintf(&path, "%s.worker", plan->socket) < 0)
		return false;
	cleanup_free char *held = path;
	return lstat(path, &st) == 0 || fstatat(state_fd(state), SOCKET_FILE ".worker",
						&st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Then supervisor and worker are about to make their sockets anew. */
static bool is_directory_gone(const struct plan *plan)
{
	struct stat st;
	const char *slash = strrchr(plan->socket, '/');
	cleanup_free char *directory =
	    slash ? strndup(plan->socket, (size_t)(slash - plan->socket)) : NULL;
	return directory && lstat(directory, &st) < 0 && errno == ENOENT;
}

static int ask_patiently(const struct control_place *place, int tries, json_t **ret)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	int r = ask_status(place, ret);
	while (is_nobody(r) && tries-- > 0) {
		(void)nanosleep(&pause, NULL);
		r = ask_status(place, ret);
	}
	return r;
}

/*
 * Somebody holds the mount. Where no supervisor listens and a worker may serve on, it
 * gets another one: that it lives as long as they die one at a time is what the two are
 * for.
 */
static json_t *ask_served(const struct state *state, const struct plan *plan)
{
	const struct control_place place = meet_place(state, plan);
	json_t *answer = NULL;
	bool patient = is_directory_gone(plan) && !has_worker(state, plan);
	int r = ask_patiently(&place, patient ? SOCKET_TRIES : 0, &answer);
	if (!is_nobody(r) || !has_worker(state, plan))
		return r == 0 ? answer : NULL;
	/* It may be one that another command has started just now; or there is none, as
	 * the one that dies holds the lock still. */
	for (int i = 0; i < FOLLOWERS && is_nobody(r); i++) {
		if (launch_follower(state_path(state), plan->socket, NULL) < 0)
			return NULL;
		r = ask_patiently(&place, FOLLOWER_TRIES, &answer);
	}
	return r == 0 ? answer : NULL;
}

static enum met_state state_of_answer(const json_t *answer)
{
	const char *text = json_get_text(answer, "state");
	return text && strcmp(text, "hanging") == 0 ? MET_HANGING : MET_SERVING;
}

/* Its supervisor answers for some ms after the end of a mount. */
static bool is_of_a_mount(const json_t *answer)
{
	const char *text = answer ? json_get_text(answer, "state") : NULL;
	return text && strcmp(text, "ending") != 0;
}

/*
 * Whoever comes first takes away what is left; only who may not leaves it. One that is
 * served, with its state elsewhere, is none of this state's.
 */
static enum met_state clean_up(const struct state *state, const struct plan *plan)
{
	int r = leftovers_remove_mount(state, plan, NULL, NULL);
	return r == -EBUSY ? MET_NOTHING : r == -EAGAIN ? MET_SILENT : MET_DEAD;
}

void meet(const struct state *state, const struct plan *plan, struct met *ret)
{
	char type[64];
	bool served = state_is_locked(state);
	bool mounted = device_look(plan->path, type) == MOUNTED_VENVFS;
	*ret = (struct met){ .answer = served ? ask_served(state, plan) : NULL };
	if (mounted && !served)
		ret->state = clean_up(state, plan);
	else if (mounted)
		ret->state = ret->answer ? state_of_answer(ret->answer) : MET_SILENT;
	else
		ret->state = is_of_a_mount(ret->answer) ? MET_ELSEWHERE : MET_NOTHING;
}

void met_release(struct met *met)
{
	json_decref(met->answer);
	met->answer = NULL;
}

const char *met_text(const struct met *met)
{
	static const char *const texts[] = {
		[MET_NOTHING] = "not mounted",
		[MET_SERVING] = "serving",
		[MET_HANGING] = "hanging",
		[MET_SILENT] = "not answering",
		[MET_ELSEWHERE] = "serving elsewhere",
		[MET_DEAD] = "dead",
	};
	return texts[met->state];
}

int meet_say_none(const char *path)
{
	char type[64];
	char name[64];
	uid_t uid;
	enum mounted mounted = device_look(path, type);
	if (mounted == MOUNTED_OTHER)
		return say_failed("'%s' is not a venvfs mount (%s)", path, type);
	if (mounted == MOUNTED_NO || !mounts_user_at(path, &uid))
		return say_failed("'%s' is not mounted", path);
	if (uid == geteuid())
		return say_failed("'%s' was mounted with its state elsewhere "
				  "(XDG_STATE_HOME, HOME)",
				  path);
	behalf_name(uid, name);
	return say_failed("'%s' is a mount of %s, who may ask this of it; so may root, "
			  "with --user %s",
			  path, name, name);
}

bool meet_ended(const struct state *state, char *ret_why, int64_t *ret_when)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	char *why;
	if (file_read_at(state_fd(state), ENDED_FILE, LARGEST_WHY, &text) < 0)
		return false;
	const char *line = buffer_cstr(&text);
	if (!line)
		return false;
	*ret_when = strtoll(line, &why, 10);
	(void)snprintf(ret_why, LARGEST_WHY, "%s", why + (*why == ' '));
	ret_why[strcspn(ret_why, "\n")] = '\0';
	return true;
}
