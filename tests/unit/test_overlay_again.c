/* A server that follows one that was killed: what it was asked before, what is open. */
#include "tests/unit/overlay_fixture.h"

#include "fusefs/overlay/counts.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static bool was_done(void *context, uint64_t unique, uint64_t *ret_node)
{
	struct overlay_fixture *f = context;
	struct upper_record record;
	if (!upper_last_record(f->upper, &record) || record.unique != unique)
		return false;
	*ret_node = record.node;
	return true;
}

/* The next one, in the same mount. */
static void follow(struct overlay_fixture *f, void *counts)
{
	const struct upper_options options = {
		.path = f->path, .sync = true, .owner = "/m", .again = true
	};
	assert_int_equal(upper_open(&options, &f->upper, NULL), 0);
	const struct overlay_options over = { .tree = f->lower->tree,
					      .upper = f->upper,
					      .counts = counts,
					      .was_done = was_done,
					      .context = f };
	assert_int_equal(overlay_new(&over, &f->overlay), 0);
}

/* As if the last request came again, after a crash. */
static void resend(struct overlay_fixture *f)
{
	stop(f);
	follow(f, NULL);
	f->caller.again = true;
}

static void next(struct overlay_fixture *f)
{
	f->caller.again = false;
	f->caller.unique += 2;
}

static void what_was_made_is_not_made_again(void **state)
{
	struct overlay_fixture *f = *state;
	next(f);
	assert_int_equal(make(f, "d/new", S_IFDIR | 0755, NULL), 0);
	uint64_t node = node_of(f, "d/new");
	resend(f);
	assert_int_equal(make(f, "d/new", S_IFDIR | 0755, NULL), 0);
	assert_int_equal(node_of(f, "d/new"), node);
	next(f);
	assert_int_equal(make(f, "d/new", S_IFDIR | 0755, NULL), -EEXIST);
	next(f);
	assert_int_equal(join(f, node_of(f, "file"), "d/link"), 0);
	resend(f);
	assert_int_equal(join(f, node_of(f, "file"), "d/link"), 0);
	assert_int_equal(see(f, "file").st_nlink, 2);
	assert_names(f, "d", "h2 one sub two new link ");
}

static void what_was_removed_is_not_removed_again(void **state)
{
	struct overlay_fixture *f = *state;
	next(f);
	assert_int_equal(drop(f, "d/one", false), 0);
	resend(f);
	assert_int_equal(drop(f, "d/one", false), 0);
	next(f);
	assert_int_equal(drop(f, "d/one", false), -ENOENT);
	next(f);
	assert_int_equal(drop(f, "empty", true), 0);
	resend(f);
	assert_int_equal(drop(f, "empty", true), 0);
	next(f);
	assert_int_equal(move(f, "d/two", "d/h2", 0), 0);
	resend(f);
	assert_int_equal(move(f, "d/two", "d/h2", 0), 0);
	assert_names(f, "d", "h2 sub ");
	assert_text(f, node_of(f, "d/h2"), "two");
	assert_int_equal(see(f, "h1").st_nlink, 1);
}

static void what_was_set_is_not_set_again(void **state)
{
	struct overlay_fixture *f = *state;
	struct overlay_xattr x = {
		.name = "user.a", .value = "1", .size = 1, .flags = 1
	};
	uint64_t node = node_of(f, "file");
	next(f);
	assert_int_equal(overlay_set_xattr(f->overlay, &f->caller, node, &x), 0);
	overlay_release(f->overlay);
	resend(f);
	assert_int_equal(overlay_set_xattr(f->overlay, &f->caller, node, &x), 0);
	overlay_release(f->overlay);
	next(f);
	assert_int_equal(overlay_set_xattr(f->overlay, &f->caller, node, &x), -EEXIST);
	next(f);
	assert_int_equal(set_xattr(f, "file", "user.a", NULL), 0);
	resend(f);
	assert_int_equal(set_xattr(f, "file", "user.a", NULL), 0);
	assert_xattr(f, "file", "user.a", NULL);
}

static void what_was_not_done_is_done_when_it_comes_again(void **state)
{
	struct overlay_fixture *f = *state;
	next(f);
	assert_int_equal(make(f, "done", S_IFREG, NULL), 0);
	resend(f);
	f->caller.unique += 2;
	assert_int_equal(make(f, "new", S_IFREG, NULL), 0);
	f->caller.unique += 2;
	assert_int_equal(drop(f, "done", false), 0);
	f->caller.unique += 2;
	assert_int_equal(drop(f, "done", false), -ENOENT);
	assert_names(f, "", "big d empty fifo file h1 link new ");
}

/* In a process of its own, which is killed when it has done so. */
static void leave_open_and_die(struct overlay_fixture *f, void *counts)
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		follow(f, counts);
		uint64_t open = make_text(f, "open", "still open");
		(void)make_text(f, "closed", "not open");
		(void)overlay_remember(f->overlay, open);
		(void)overlay_remember(f->overlay, node_of(f, "file"));
		bool ok = drop(f, "open", false) == 0 && drop(f, "closed", false) == 0 &&
			  drop(f, "file", false) == 0;
		(void)raise(ok ? SIGKILL : SIGTERM);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void what_is_open_lives_on_in_the_next_server(void **state)
{
	struct overlay_fixture *f = *state;
	struct stat st;
	void *counts = mmap(NULL, COUNTS_SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(counts, MAP_FAILED);
	uint64_t lower = node_of(f, "file");
	stop(f);
	leave_open_and_die(f, counts);
	assert_int_equal(count_content(f, "files"), 2);
	follow(f, counts);
	(void)upper_reap_now(f->upper);
	assert_int_equal(count_content(f, "files"), 1);
	/* Its number is the first that was given. */
	uint64_t open = NODE_UPPER | 1;
	assert_text(f, open, "still open");
	assert_text(f, lower, "0123456789");
	overlay_forget(f->overlay, open, 1, NULL);
	overlay_forget(f->overlay, lower, 1, NULL);
	(void)upper_reap_now(f->upper);
	assert_int_equal(count_content(f, "files"), 0);
	assert_int_equal(overlay_stat(f->overlay, open, &st), -ENOENT);
	stop(f);
	assert_int_equal(munmap(counts, COUNTS_SIZE), 0);
}

/* In a process of its own, which is killed between the commit and its answer. */
static void link_nameless_and_die(struct overlay_fixture *f, void *counts)
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct stat st;
		follow(f, counts);
		f->caller.unique = 2;
		bool ok =
		    overlay_make_nameless(f->overlay, &f->caller, 1, 0644, &st) == 0;
		overlay_release(f->overlay);
		ok &= put_text(f, st.st_ino, 0, "text") == 4;
		f->caller.unique = 4;
		const struct overlay_options over = { .tree = f->lower->tree,
						      .upper = f->upper,
						      .counts = counts,
						      .die_after = 1 };
		ok &= overlay_new(&over, &f->overlay) == 0;
		if (ok)
			(void)overlay_link(f->overlay, &f->caller, st.st_ino, 1, "linked",
					   &st);
		(void)raise(SIGTERM);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void what_was_linked_is_no_orphan_any_more(void **state)
{
	struct overlay_fixture *f = *state;
	void *counts = mmap(NULL, COUNTS_SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(counts, MAP_FAILED);
	stop(f);
	link_nameless_and_die(f, counts);
	follow(f, counts);
	uint64_t node = node_of(f, "linked");
	f->caller = (struct caller){ .uid = 100, .gid = 200, .unique = 4, .again = true };
	assert_int_equal(join(f, node, "linked"), 0);
	overlay_forget(f->overlay, node, 1, NULL);
	assert_false(upper_reap_now(f->upper));
	assert_text(f, node_of(f, "linked"), "text");
	stop(f);
	assert_int_equal(munmap(counts, COUNTS_SIZE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		OVERLAY_TEST(what_was_made_is_not_made_again),
		OVERLAY_TEST(what_was_removed_is_not_removed_again),
		OVERLAY_TEST(what_was_set_is_not_set_again),
		OVERLAY_TEST(what_was_not_done_is_done_when_it_comes_again),
		OVERLAY_TEST(what_was_linked_is_no_orphan_any_more),
		OVERLAY_TEST(what_is_open_lives_on_in_the_next_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
