#include "fusefs/serve/plan_changed.h"

#include "cache/base/file.h"
#include "fusefs/upper/upper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGEST_BASE = 64 << 20, NAME_SIZE = 64 };

static const char folder_name[] = "changed";

int plan_describe(const struct plan *plan, struct buffer *out)
{
	int r = buffer_printf(out, "%s\n%s\n", plan->site_packages, plan->include);
	for (size_t i = 0; r == 0 && i < plan->count; i++) {
		char hex[DIGEST_HEX_SIZE];
		digest_format(&plan->layers[i].image, hex);
		r = buffer_printf(out, "%u %s\n", plan->layers[i].number, hex);
	}
	return r;
}

bool plan_is_base(const struct plan *plan, const struct buffer *base)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	return plan_describe(plan, &text) == 0 && text.size == base->size &&
	       memcmp(text.data, base->data, text.size) == 0;
}

bool plan_has_rows(const struct plan *plan)
{
	struct stat st;
	cleanup_free char *index = path_join(plan->upper, "index.db");
	return index && lstat(index, &st) == 0 && st.st_size > 0;
}

/* Opening it decides whether the changes were carried over. */
static int settle(const struct plan *plan, int fd, struct error *reterr)
{
	CLEANUP(upper_closep) struct upper *upper = NULL;
	const struct upper_options options = { .path = plan->upper,
					       .sync = true,
					       .owner = plan->path };
	return upper_base_is_staged(fd) ? upper_open(&options, &upper, reterr) : 0;
}

int plan_read_base(const struct plan *plan, struct buffer *out, struct error *reterr)
{
	cleanup_fd int fd = file_open(AT_FDCWD, plan->upper, O_RDONLY | O_DIRECTORY, 0);
	int r = fd < 0 ? fd : settle(plan, fd, reterr);
	if (r < 0)
		return r;
	r = file_read_at(fd, "base", LARGEST_BASE, out);
	return r < 0 && r != -ENOENT
		   ? error_errno(reterr, r, "cannot read '%s/base'", plan->upper)
		   : r;
}

static void file_name(const struct digest *digest, const char *ending,
		      char ret_name[NAME_SIZE])
{
	char hex[DIGEST_HEX_SIZE];
	digest_format(digest, hex);
	(void)snprintf(ret_name, NAME_SIZE, "%s/%s.%s", folder_name, hex, ending);
}

static void plan_name(const char *upper, char ret_name[NAME_SIZE])
{
	struct digest digest = digest_of(upper, strlen(upper));
	file_name(&digest, "json", ret_name);
}

static int read_named(int state_fd, const char *name, struct plan *ret)
{
	int r = plan_read_file(state_fd, name, ret);
	if (r == 0 && plan_has_pack(ret))
		file_name(&ret->pack, "pack", ret->pack_file);
	return r;
}

int plan_changed_read(int state_fd, const char *upper, struct plan *ret)
{
	char name[NAME_SIZE];
	CLEANUP(plan_release) struct plan plan = { .path = NULL };
	plan_name(upper, name);
	int r = read_named(state_fd, name, &plan);
	if (r < 0 || strcmp(plan.upper, upper) != 0)
		return r < 0 ? r : -ENOENT;
	*ret = plan;
	plan = (struct plan){ .path = NULL };
	return 0;
}

int plan_changed_each(int state_fd, plan_changed_visit *visit, void *context)
{
	cleanup_fd int fd =
	    file_open_beneath(state_fd, folder_name, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	const struct dirent *entry;
	int r = 0;
	while (r == 0 && dir && (entry = readdir(dir)) != NULL) {
		CLEANUP(plan_release) struct plan plan = { .path = NULL };
		const char *dot = strchr(entry->d_name, '.');
		char name[NAME_SIZE];
		if (!dot || strcmp(dot, ".json") != 0 ||
		    strlen(entry->d_name) > DIGEST_HEX_SIZE + strlen(dot))
			continue;
		(void)snprintf(name, sizeof(name), "%s/%.*s", folder_name,
			       DIGEST_HEX_SIZE + 5, entry->d_name);
		if (read_named(state_fd, name, &plan) == 0)
			r = visit(context, &plan);
	}
	return r;
}

static int is_of_pack(void *context, const struct plan *plan)
{
	const struct digest *pack = context;
	return plan_has_pack(plan) && digest_equal(&plan->pack, pack);
}

/* Packs that no plan has any more, and names that linking left. */
static void sweep_packs(int state_fd)
{
	cleanup_fd int fd =
	    file_open_beneath(state_fd, folder_name, O_RDONLY | O_DIRECTORY, 0);
	cleanup_dir DIR *dir = fd < 0 ? NULL : file_list_dir(fd);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir)) != NULL) {
		struct digest pack;
		char hex[DIGEST_HEX_SIZE] = "";
		const char *dot = strchr(entry->d_name, '.');
		if (!dot || strncmp(dot, ".pack", 5) != 0)
			continue;
		(void)snprintf(hex, sizeof(hex), "%.*s", (int)(dot - entry->d_name),
			       entry->d_name);
		if (dot[5] || !digest_parse(hex, &pack) ||
		    plan_changed_each(state_fd, is_of_pack, &pack) == 0)
			(void)unlinkat(fd, entry->d_name, 0);
	}
}

/* Packs are named after what they hold, so that a plan never meets another's. */
int plan_changed_write(int state_fd, const struct plan *plan)
{
	char name[NAME_SIZE];
	char pack[NAME_SIZE];
	plan_name(plan->upper, name);
	file_name(&plan->pack, "pack", pack);
	int r = file_make_dir_at(state_fd, folder_name, 0700);
	if (r == 0 && plan_has_pack(plan) &&
	    faccessat(state_fd, pack, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		r = plan_link_pack(state_fd, plan_pack(plan), pack);
	if (r == 0)
		r = plan_write_file(state_fd, name, plan);
	if (r == 0)
		sweep_packs(state_fd);
	return r;
}

/* Are the rows of its upper over it? Where that cannot be told, another plan that is
 * known for them is no worse. */
static bool is_needed(int state_fd, const struct plan *plan)
{
	CLEANUP(plan_release) struct plan other = { .path = NULL };
	cleanup_buffer struct buffer base = BUFFER_INIT;
	if (!plan_has_rows(plan))
		return false;
	if (plan_read_base(plan, &base, NULL) == 0)
		return plan_is_base(plan, &base);
	return plan_changed_read(state_fd, plan->upper, &other) < 0;
}

int plan_changed_keep(int state_fd, const struct plan *next)
{
	CLEANUP(plan_release) struct plan now = { .path = NULL };
	if (plan_read(state_fd, &now) < 0 || !*now.upper || now.ephemeral ||
	    strcmp(now.upper, next->upper) == 0 || !is_needed(state_fd, &now))
		return 0;
	return plan_changed_write(state_fd, &now);
}
