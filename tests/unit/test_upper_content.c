/* Content by node id: made, found, published whole, removed; the cache of descriptors. */
#include "tests/unit/upper_fixture.h"

#include "cache/base/file.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CACHED = 256, MANY = 1000, THREADS = 8, ROUNDS = 4000 };

static void start_with_a_row(struct upper_fixture *f)
{
	upper_start(f);
	assert_true(upper_add_file(f->upper, ROOT, "a") != 0);
}

static uint64_t id_of(unsigned i)
{
	return NODE_UPPER | (1000 + i);
}

/* Each file holds its own number. */
static int write_number(struct upper *u, uint64_t id)
{
	cleanup_content struct content_ref ref = CONTENT_NONE;
	bool made;
	int r = content_make(u, id, &ref, &made);
	return r < 0 ? r : file_pwrite_all(ref.fd, &id, sizeof(id), 0);
}

static int read_number(struct upper *u, uint64_t id, uint64_t *ret)
{
	cleanup_content struct content_ref ref = CONTENT_NONE;
	int r = content_open(u, id, &ref);
	return r < 0 ? r : file_pread_all(ref.fd, ret, sizeof(*ret), 0);
}

static void without_descriptors_those_that_are_kept_are_given_up(void **state)
{
	enum { LEFT = 8 };
	struct upper_fixture *f = *state;
	struct rlimit limit;
	uint64_t found;
	start_with_a_row(f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	const struct rlimit few = { .rlim_cur = count_descriptors() + LEFT,
				    .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	int r = 0;
	for (unsigned i = 0; r == 0 && i < CACHED; i++)
		r = write_number(f->upper, id_of(i));
	for (unsigned i = 0; r == 0 && i < CACHED; i++)
		r = read_number(f->upper, id_of(i), &found);
	int fds[LEFT];
	for (unsigned i = 0; i < LEFT; i++)
		fds[i] = r == 0 ? content_stage(f->upper, id_of(i)) : r;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(r, 0);
	for (unsigned i = 0; i < LEFT; i++) {
		assert_true(fds[i] >= 0);
		(void)close(fds[i]);
	}
}

static void there_is_no_content_before_it_is_made(void **state)
{
	struct upper_fixture *f = *state;
	struct content_ref ref;
	struct stat st;
	upper_start(f);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(content_open(f->upper, id_of(0), &ref), -ENOENT);
		assert_int_equal(content_stat(f->upper, id_of(0), &st), -ENOENT);
		assert_int_equal(content_remove(f->upper, id_of(0)), 0);
		assert_int_equal(content_sync(f->upper, id_of(0), true), 0);
		/* Once before there is a row of anything, once after. */
		(void)upper_add_file(f->upper, ROOT, "a");
	}
}

static void content_is_found_by_its_number_until_it_is_removed(void **state)
{
	struct upper_fixture *f = *state;
	struct content_ref ref;
	struct stat st;
	uint64_t found;
	bool made;
	start_with_a_row(f);
	assert_int_equal(content_make(f->upper, id_of(1), &ref, &made), 0);
	assert_true(made);
	content_put(&ref);
	assert_int_equal(content_make(f->upper, id_of(1), &ref, &made), 0);
	assert_false(made);
	content_put(&ref);
	assert_int_equal(write_number(f->upper, id_of(1)), 0);
	assert_int_equal(content_sync(f->upper, id_of(1), false), 0);
	assert_int_equal(content_stat(f->upper, id_of(1), &st), 0);
	assert_int_equal(st.st_size, sizeof(uint64_t));
	/* Sticky: systemd-tmpfiles lets it be. */
	assert_int_equal(st.st_mode, S_IFREG | 01600);
	assert_int_equal(read_number(f->upper, id_of(1), &found), 0);
	assert_int_equal(found, id_of(1));
	assert_int_equal(content_remove(f->upper, id_of(1)), 0);
	assert_int_equal(content_open(f->upper, id_of(1), &ref), -ENOENT);
	assert_int_equal(content_stat(f->upper, id_of(1), &st), -ENOENT);
}

static void what_is_staged_appears_whole_or_not_at_all(void **state)
{
	struct upper_fixture *f = *state;
	uint64_t found;
	start_with_a_row(f);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t id = id_of(i);
		cleanup_fd int fd = content_stage(f->upper, id);
		assert_true(fd >= 0);
		assert_int_equal(file_pwrite_all(fd, &id, sizeof(id), 0), 0);
		assert_int_equal(read_number(f->upper, id, &found), -ENOENT);
		assert_int_equal(upper_count_files(f, "staging"), 1);
		if (i == 0)
			assert_int_equal(content_publish(f->upper, id, fd, true), 0);
		else
			content_drop(f->upper, id);
		assert_int_equal(upper_count_files(f, "staging"), 0);
	}
	assert_int_equal(read_number(f->upper, id_of(0), &found), 0);
	assert_int_equal(found, id_of(0));
	assert_int_equal(read_number(f->upper, id_of(1), &found), -ENOENT);
}

static void more_files_than_are_cached_are_all_found(void **state)
{
	struct upper_fixture *f = *state;
	start_with_a_row(f);
	unsigned before = count_descriptors();
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(write_number(f->upper, id_of(i)), 0);
	assert_in_range(count_descriptors(), before + CACHED / 2, before + CACHED);
	for (unsigned k = 0; k < MANY; k++) {
		uint64_t found;
		unsigned i = (k * 617) % MANY;
		assert_int_equal(read_number(f->upper, id_of(i), &found), 0);
		assert_int_equal(found, id_of(i));
	}
	assert_in_range(count_descriptors(), before + CACHED / 2, before + CACHED);
}

static void more_files_in_use_than_are_cached_work_too(void **state)
{
	struct upper_fixture *f = *state;
	struct content_ref refs[MANY];
	bool made;
	start_with_a_row(f);
	unsigned before = count_descriptors();
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(content_make(f->upper, id_of(i), &refs[i], &made), 0);
		uint64_t id = id_of(i);
		assert_int_equal(file_pwrite_all(refs[i].fd, &id, sizeof(id), 0), 0);
	}
	for (unsigned i = 0; i < MANY; i++) {
		uint64_t found;
		assert_int_equal(file_pread_all(refs[i].fd, &found, sizeof(found), 0), 0);
		assert_int_equal(found, id_of(i));
		content_put(&refs[i]);
	}
	assert_in_range(count_descriptors(), before, before + CACHED);
}

static void a_file_in_use_is_still_read_after_it_was_removed(void **state)
{
	struct upper_fixture *f = *state;
	struct content_ref ref;
	uint64_t found;
	start_with_a_row(f);
	assert_int_equal(write_number(f->upper, id_of(1)), 0);
	assert_int_equal(content_open(f->upper, id_of(1), &ref), 0);
	assert_int_equal(content_remove(f->upper, id_of(1)), 0);
	assert_int_equal(file_pread_all(ref.fd, &found, sizeof(found), 0), 0);
	assert_int_equal(found, id_of(1));
	content_put(&ref);
	/* And is not found for ever: the number may be that of a lower file. */
	assert_int_equal(content_open(f->upper, id_of(1), &ref), -ENOENT);
}

struct worker {
	struct upper *upper;
	unsigned number, wrong;
};

static void *read_and_write(void *argument)
{
	struct worker *w = argument;
	unsigned at = w->number;
	for (unsigned k = 0; k < ROUNDS; k++) {
		uint64_t found = 0;
		at = at * 1103515245u + 12345u;
		uint64_t id = id_of((at >> 8) % MANY);
		if (write_number(w->upper, id) < 0 ||
		    read_number(w->upper, id, &found) < 0 || found != id)
			w->wrong++;
	}
	return NULL;
}

static void threads_share_the_cache(void **state)
{
	struct upper_fixture *f = *state;
	pthread_t threads[THREADS];
	struct worker workers[THREADS];
	start_with_a_row(f);
	unsigned before = count_descriptors();
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .upper = f->upper, .number = i };
		assert_int_equal(
		    pthread_create(&threads[i], NULL, read_and_write, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(workers[i].wrong, 0);
	}
	assert_in_range(count_descriptors(), before, before + CACHED);
}

static void *add_and_look(void *argument)
{
	struct worker *w = argument;
	for (unsigned k = 0; k < ROUNDS / 20; k++) {
		struct upper_dentry dentry;
		struct upper_node node;
		char name[32];
		(void)snprintf(name, sizeof(name), "%u-%u", w->number, k);
		uint64_t id = upper_add_file(w->upper, ROOT, name);
		if (id == 0 || upper_lookup(w->upper, ROOT, name, &dentry, &node) < 0 ||
		    node.id != id)
			w->wrong++;
	}
	return NULL;
}

static int count_row(void *context, const struct upper_dentry *dentry,
		     const struct upper_node *node)
{
	unsigned *count = context;
	(void)dentry;
	(void)node;
	++*count;
	return 0;
}

static void threads_change_and_read_side_by_side(void **state)
{
	struct upper_fixture *f = *state;
	pthread_t threads[THREADS];
	struct worker workers[THREADS];
	upper_start(f);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .upper = f->upper, .number = i };
		assert_int_equal(
		    pthread_create(&threads[i], NULL, add_and_look, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(workers[i].wrong, 0);
	}
	unsigned count = 0;
	struct upper_reader *reader = upper_read_list(f->upper);
	assert_int_equal(upper_list(reader, ROOT, 0, count_row, &count), 0);
	upper_read_end(f->upper, reader);
	assert_int_equal(count, THREADS * (ROUNDS / 20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UPPER_TEST(without_descriptors_those_that_are_kept_are_given_up),
		UPPER_TEST(there_is_no_content_before_it_is_made),
		UPPER_TEST(content_is_found_by_its_number_until_it_is_removed),
		UPPER_TEST(what_is_staged_appears_whole_or_not_at_all),
		UPPER_TEST(more_files_than_are_cached_are_all_found),
		UPPER_TEST(more_files_in_use_than_are_cached_work_too),
		UPPER_TEST(a_file_in_use_is_still_read_after_it_was_removed),
		UPPER_TEST(threads_share_the_cache),
		UPPER_TEST(threads_change_and_read_side_by_side),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
