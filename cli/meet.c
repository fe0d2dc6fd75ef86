#include "cli/meet.h"

#include "cache/base/file.h"
#include "cli/leftovers.h"
#include "fusefs/serve/control.h"
#include "fusefs/serve/device.h"
#include "fusefs/serve/launch.h"
#include "fusefs/supervise/shared.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ANSWER_MILLISECONDS = 2000, FOLLOWER_TRIES = 100, LARGEST_WHY = 200 };

static int ask_status(const struct plan *plan, json_t **ret)
{
	cleanup_json json_t *request = json_pack("{s:s}", "verb", "status");
	return request ? control_ask(plan->socket, request, ANSWER_MILLISECONDS, ret)
		       : -ENOMEM;
}

static bool has_worker(const struct plan *plan)
{
	char *path = NULL;
	struct stat st;
	if (asprintf(&path, "%s.worker", plan->socket) < 0)
		return false;
	cleanup_free char *held = path;
	return lstat(path, &st) == 0;
}

/*
 * Somebody holds the mount. Where no supervisor listens and a worker may serve on, it
 * gets another one: that it lives as long as they die one at a time is what the two are
 * for.
 */
static json_t *ask_served(const struct state *state, const struct plan *plan)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	json_t *answer = NULL;
	int r = ask_status(plan, &answer);
	if ((r != -ECONNREFUSED && r != -ENOENT) || !has_worker(plan))
		return r == 0 ? answer : NULL;
	if (launch_follower(state_path(state), plan->socket, NULL) < 0)
		return NULL;
	/* It may be one that another command has started just now. */
	for (int i = 0; i < FOLLOWER_TRIES; i++) {
		r = ask_status(plan, &answer);
		if (r != -ECONNREFUSED && r != -ENOENT)
			break;
		(void)nanosleep(&pause, NULL);
	}
	return r == 0 ? answer : NULL;
}

static enum met_state state_of_answer(const json_t *answer)
{
	const char *text = json_get_text(answer, "state");
	return text && strcmp(text, "hanging") == 0 ? MET_HANGING : MET_SERVING;
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
		ret->state = ret->answer ? MET_ELSEWHERE : MET_NOTHING;
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
