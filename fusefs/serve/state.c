#include "fusefs/serve/state.h"

#include "cache/base/digest.h"
#include "cache/base/file.h"
#include "cache/base/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

struct state {
	char *path;
	const char *id; /* in path */
	int fd;
};

static int state_home(char **ret_path, struct error *reterr)
{
	const char *home = getenv("XDG_STATE_HOME");
	if (home && *home == '/') {
		*ret_path = path_join(home, "venvfs");
		return *ret_path ? 0 : -ENOMEM;
	}
	home = getenv("HOME");
	if (!home || *home != '/')
		return error_set(reterr, -ENOENT,
				 "neither XDG_STATE_HOME nor HOME is set: there is no "
				 "place for the state of mounts");
	*ret_path = path_join(home, ".local/state/venvfs");
	return *ret_path ? 0 : -ENOMEM;
}

static int check_own(int fd, const char *path, struct error *reterr)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_errno(reterr, -errno, "cannot look at '%s'", path);
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return error_set(reterr, -EACCES,
				 "'%s' is not this user's alone (owner %u, mode %04o); "
				 "remove it or make it so: chmod 700",
				 path, st.st_uid, st.st_mode & 07777u);
	return 0;
}

/* Who could rename what lies above could have one mount take the changes of another. */
static int check_way(const char *path, struct error *reterr)
{
	const uid_t own = geteuid();
	cleanup_free char *canonical = NULL;
	int r = path_canonical(path, &canonical, reterr);
	return r < 0 ? r : trust_check_path(canonical, &own, 1, "XDG_STATE_HOME", reterr);
}

int state_open_directory(const char *path, struct state **ret, struct error *reterr)
{
	CLEANUP(state_freep) struct state *state = calloc(1, sizeof(*state));
	if (!state)
		return -ENOMEM;
	state->fd = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	state->path = strdup(path);
	if (!state->path)
		return -ENOMEM;
	if (state->fd < 0)
		return error_errno(reterr, state->fd, "cannot open '%s'", path);
	state->id = strrchr(state->path, '/');
	state->id = state->id ? state->id + 1 : state->path;
	int r = check_own(state->fd, path, reterr);
	if (r == 0)
		r = check_way(path, reterr);
	if (r < 0)
		return r;
	*ret = steal_ptr(state);
	return 0;
}

int state_open(const char *mount_path, bool create, struct state **ret,
	       struct error *reterr)
{
	cleanup_free char *home = NULL;
	char *path = NULL;
	char id[DIGEST_HEX_SIZE];
	struct digest digest = digest_of(mount_path, strlen(mount_path));
	digest_format(&digest, id);
	int r = state_home(&home, reterr);
	if (r < 0)
		return r;
	if (asprintf(&path, "%s/mounts/%s", home, id) < 0)
		return -ENOMEM;
	cleanup_free char *held = path;
	cleanup_free char *made = NULL;
	r = create ? trust_make_path(path, "XDG_STATE_HOME", &made, reterr) : 0;
	return r < 0 ? r : state_open_directory(path, ret, create ? reterr : NULL);
}

int state_make_folder(const char *name, char **ret_path, struct error *reterr)
{
	cleanup_free char *home = NULL;
	cleanup_free char *made = NULL;
	int r = state_home(&home, reterr);
	cleanup_free char *path = r == 0 ? path_join(home, name) : NULL;
	if (r == 0)
		r = path ? trust_make_path(path, "XDG_STATE_HOME", &made, reterr)
			 : -ENOMEM;
	if (r == 0)
		*ret_path = steal_ptr(path);
	return r;
}

void state_free(struct state *state)
{
	if (!state)
		return;
	if (state->fd >= 0)
		(void)close(state->fd);
	free(state->path);
	free(state);
}

int state_fd(const struct state *state)
{
	return state->fd;
}

const char *state_path(const struct state *state)
{
	return state->path;
}

const char *state_id(const struct state *state)
{
	return state->id;
}

int state_lock(const struct state *state, int milliseconds)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	cleanup_fd int fd =
	    file_open_beneath(state->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fd;
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (milliseconds-- <= 0)
			return -EAGAIN;
		(void)nanosleep(&pause, NULL);
	}
	return steal_fd(&fd);
}

bool state_is_locked(const struct state *state)
{
	cleanup_fd int fd = file_open_beneath(state->fd, "lock", O_RDWR, 0);
	return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;
}

void state_sweep(const struct state *state)
{
	static const char *const folders[] = { ".", "changed", "made" };
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		cleanup_fd int fd =
		    file_open_beneath(state->fd, folders[i], O_RDONLY | O_DIRECTORY, 0);
		file_sweep_asides(fd);
	}
}

int state_remove(const struct state *state)
{
	cleanup_free char *folder =
	    strndup(state->path, (size_t)(state->id - state->path));
	if (!folder)
		return -ENOMEM;
	cleanup_fd int mounts = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0);
	return mounts < 0 ? mounts : file_remove_tree_at(mounts, state->id);
}

int state_each(state_visit *visit, void *context)
{
	cleanup_free char *home = NULL;
	int r = state_home(&home, NULL);
	if (r < 0)
		return 0;
	cleanup_free char *mounts = path_join(home, "mounts");
	if (!mounts)
		return -ENOMEM;
	cleanup_fd int fd = file_open(AT_FDCWD, mounts, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	cleanup_dir DIR *dir = file_list_dir(fd);
	const struct dirent *entry;
	while (dir && r == 0 && (entry = readdir(dir)) != NULL) {
		struct digest ignored;
		CLEANUP(state_freep) struct state *state = NULL;
		if (!digest_parse(entry->d_name, &ignored))
			continue;
		cleanup_free char *path = path_join(mounts, entry->d_name);
		if (!path)
			return -ENOMEM;
		if (state_open_directory(path, &state, NULL) == 0)
			r = visit(context, state);
	}
	return dir ? r : -errno;
}

/* Nobody else may so much as look into it. */
static int make_own(const char *path, const char *variable, struct error *reterr,
		    char **ret_path)
{
	cleanup_free char *made = NULL;
	int r = trust_make_path(path, variable, &made, reterr);
	if (r < 0)
		return r;
	cleanup_fd int fd =
	    file_open(AT_FDCWD, made, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	r = fd < 0 ? fd : check_own(fd, made, reterr);
	if (r == 0)
		*ret_path = steal_ptr(made);
	return r;
}

/* A folder that may hold sockets: ours, or made in one that exists. */
static int take_directory(const char *parent, struct error *reterr, char **ret_path)
{
	cleanup_free char *path = path_join(parent, "venvfs");
	if (!path)
		return -ENOMEM;
	if (access(parent, F_OK) < 0)
		return -errno;
	return make_own(path, "XDG_RUNTIME_DIR", reterr, ret_path);
}

static bool holds_venvfs(const char *parent)
{
	struct stat st;
	cleanup_free char *path = path_join(parent, "venvfs");
	return path && lstat(path, &st) == 0;
}

static int home_directory(char **ret_path, struct error *reterr)
{
	cleanup_free char *home = NULL;
	int r = state_home(&home, reterr);
	if (r < 0)
		return r;
	cleanup_free char *path = path_join(home, "run");
	if (!path)
		return -ENOMEM;
	return make_own(path, "XDG_STATE_HOME", reterr, ret_path);
}

int state_socket_directory(char **ret_path, struct error *reterr)
{
	char user[64];
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	(void)snprintf(user, sizeof(user), "/run/user/%u", geteuid());
	const char *places[] = { runtime && *runtime == '/' ? runtime : NULL, user,
				 geteuid() == 0 ? "/run" : NULL };
	enum { RUN = 2 };
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct error err = ERROR_INIT;
		int r = places[i] ? take_directory(places[i], &err, ret_path) : -ENOENT;
		if (r == 0)
			return 0;
		/* In a user namespace /run/venvfs may be that of the host's root. */
		if (r == -EACCES && i != RUN && holds_venvfs(places[i]))
			return error_set(reterr, r, "%s", err.text);
	}
	return home_directory(ret_path, reterr);
}
