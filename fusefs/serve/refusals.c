#include "fusefs/serve/refusals.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define BY_ROOT "use: sudo venvfs mount"
#define DEVICE_MISSING                                                                  \
	"load the kernel's module (modprobe fuse), in a container pass the device in: " \
	"--device /dev/fuse" REFUSAL_WITHOUT_FUSE

/* Kernel file systems that people have projects on, and that fusermount3 does not know.
 */
static const struct {
	long type;
	const char *name;
} fs_names[] = {
	{ 0x01021997, "9p (a folder shared into a virtual machine or WSL)" },
	{ 0x786f4256, "vboxsf (a folder shared by VirtualBox)" },
	{ (long)0xbacbacbcu, "vmhgfs (a folder shared by VMware)" },
	{ 0x7c7c6673, "prl_fs (a folder shared by Parallels)" },
	{ 0x19830326, "BeeGFS" },
	{ (long)0xe0f5e1e2u, "EROFS" },
	{ 0x9fa0, "proc" },
};

/* Each of these is a line of fusermount3's, or a part of it. */
static const struct {
	const char *part, *remedy;
} remedies[] = {
	{ "is forbidden",
	  BY_ROOT ", or mount in the home directory and make a symlink to "
		  "it here" },
	{ "fuse device not found", DEVICE_MISSING },
	{ "failed to open /dev/fuse: No such", DEVICE_MISSING },
	{ "failed to open /dev/fuse",
	  "root can let all users open it (chmod 666 /dev/fuse), or " BY_ROOT
	      REFUSAL_WITHOUT_FUSE },
	{ "user_allow_other", "root must write that line there, or " BY_ROOT },
	{ "mount_max", "root can raise it there, or end mounts that nobody needs: venvfs "
		       "list" },
	{ "not owned by user", "choose a directory of your own" },
	{ "no write access", "choose a directory that you may write to" },
	{ "mount failed: Operation not permitted",
	  "fusermount3 must be set-uid root (chmod u+s), in a container with --cap-add "
	  "SYS_ADMIN" REFUSAL_WITHOUT_FUSE },
	{ "mount failed: Permission denied",
	  "in a container: --security-opt apparmor=unconfined, else " BY_ROOT
	      REFUSAL_WITHOUT_FUSE },
};

static const char apparmor_remedy[] =
    "AppArmor lets fusermount3 mount only in the home directory, /tmp, /mnt and /media: "
    "mount there and make a symlink to it here, allow more in "
    "/etc/apparmor.d/local/fusermount3, or " BY_ROOT;

const char *refusal_remedy(const struct refusal *refusal)
{
	if (refusal->under_apparmor &&
	    strstr(refusal->line, "mount failed: Permission denied"))
		return apparmor_remedy;
	for (size_t i = 0; i < sizeof(remedies) / sizeof(*remedies); i++) {
		if (strstr(refusal->line, remedies[i].part))
			return remedies[i].remedy;
	}
	return "";
}

const char *refusal_fs_name(long fs_type)
{
	for (size_t i = 0; i < sizeof(fs_names) / sizeof(*fs_names); i++) {
		/* vmhgfs and EROFS: where long has 32 bits they are negative. */
		if ((unsigned)fs_names[i].type == (unsigned)fs_type)
			return fs_names[i].name;
	}
	return "a file system of a kind that it does not know";
}

const char *refusal_of_device(int error)
{
	if (error == ENOENT || error == ENODEV || error == ENXIO)
		return DEVICE_MISSING;
	if (error == EACCES)
		return "root can let all users open it: chmod 666 "
		       "/dev/fuse" REFUSAL_WITHOUT_FUSE;
	return error == EPERM ? "in a container it must be passed in: --device "
				"/dev/fuse" REFUSAL_WITHOUT_FUSE
			      : "";
}

const char *refusal_of_mount(int error)
{
	if (error == EPERM)
		return "mounting needs CAP_SYS_ADMIN; in a container: --cap-add "
		       "SYS_ADMIN; in a user namespace: a mount namespace too (unshare "
		       "-Urm)" REFUSAL_WITHOUT_FUSE;
	if (error == EACCES)
		return "in a container: --security-opt "
		       "apparmor=unconfined" REFUSAL_WITHOUT_FUSE;
	return error == ENODEV ? DEVICE_MISSING : "";
}
