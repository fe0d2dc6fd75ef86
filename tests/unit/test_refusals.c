#include "tests/unit/testing.h"

#include "fusefs/serve/refusals.h"

#include <errno.h>
#include <string.h>

static const char *remedy_of(const char *line, bool apparmor)
{
	const struct refusal refusal = { .line = line, .under_apparmor = apparmor };
	return refusal_remedy(&refusal);
}

/* The lines are those of libfuse 3.14 to 3.17. */
static void each_refusal_of_fusermount3_has_a_remedy(void **state)
{
	static const struct {
		const char *line, *helps;
	} known[] = {
		{ "mounting over filesystem type 0x01021997 is forbidden", "symlink" },
		{ "fuse device not found, try 'modprobe fuse' first",
		  "--device /dev/fuse" },
		{ "failed to open /dev/fuse: Permission denied", "chmod 666 /dev/fuse" },
		{ "option allow_other only allowed if 'user_allow_other' is set in "
		  "/etc/fuse.conf",
		  "write that line" },
		{ "too many FUSE filesystems mounted; mount_max=N can be set in "
		  "/etc/fuse.conf",
		  "raise it" },
		{ "mountpoint /srv/x not owned by user", "of your own" },
		{ "user has no write access to mountpoint /srv/x", "may write to" },
		{ "mount failed: Operation not permitted", "set-uid root" },
		{ "mount failed: Permission denied", "sudo venvfs mount" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		assert_non_null(strstr(remedy_of(known[i].line, false), known[i].helps));
	assert_string_equal(remedy_of("bad mount point x: No such file", false), "");
}

static void where_apparmor_has_a_profile_it_is_named(void **state)
{
	(void)state;
	assert_non_null(strstr(remedy_of("mount failed: Permission denied", true),
			       "/etc/apparmor.d/local/fusermount3"));
	assert_null(
	    strstr(remedy_of("mount failed: Operation not permitted", true), "AppArmor"));
}

static void shared_folders_are_named_by_their_kind(void **state)
{
	(void)state;
	assert_non_null(strstr(refusal_fs_name(0x01021997), "9p"));
	assert_non_null(strstr(refusal_fs_name(0x786f4256), "VirtualBox"));
	assert_non_null(strstr(refusal_fs_name((long)0xbacbacbcu), "VMware"));
	assert_non_null(strstr(refusal_fs_name(0x12345), "does not know"));
}

static void errors_of_the_system_calls_have_a_remedy(void **state)
{
	(void)state;
	assert_non_null(strstr(refusal_of_device(ENOENT), "modprobe fuse"));
	assert_non_null(strstr(refusal_of_device(EPERM), "--device /dev/fuse"));
	assert_non_null(strstr(refusal_of_device(EACCES), "chmod 666"));
	assert_non_null(strstr(refusal_of_mount(EPERM), "--cap-add SYS_ADMIN"));
	assert_non_null(strstr(refusal_of_mount(EACCES), "apparmor=unconfined"));
	assert_string_equal(refusal_of_mount(EIO), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_refusal_of_fusermount3_has_a_remedy),
		cmocka_unit_test(where_apparmor_has_a_profile_it_is_named),
		cmocka_unit_test(shared_folders_are_named_by_their_kind),
		cmocka_unit_test(errors_of_the_system_calls_have_a_remedy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
