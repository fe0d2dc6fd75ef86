#include "cache/base/remote.h"

#include "cache/base/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

enum { LARGEST_MOUNTINFO = 16 << 20 };

/* Networks, clusters, and folders that a hypervisor shares. */
static const char *const remote_types[] = {
	"9p",
	"acfs",
	"afs",
	"beegfs",
	"ceph",
	"cifs",
	"coda",
	"fuse.ceph",
	"fuse.glusterfs",
	"fuse.rclone",
	"fuse.s3fs",
	"fuse.sshfs",
	"fuse.vmhgfs-fuse",
	"gfs2",
	"gpfs",
	"lustre",
	"ncpfs",
	"nfs",
	"nfs4",
	"ocfs2",
	"orangefs",
	"panfs",
	"prl_fs",
	"pvfs2",
	"smb3",
	"smbfs",
	"vboxsf",
	"virtiofs",
	"vmhgfs",
	"wekafs",
};

bool fs_type_is_remote(const char *type)
{
	for (size_t i = 0; i < sizeof(remote_types) / sizeof(*remote_types); i++) {
		if (strcmp(type, remote_types[i]) == 0)
			return true;
	}
	return false;
}

/* "36 35 98:0 /root /point options [tags...] - type source options" */
static bool type_of_line(const char *line, size_t size, dev_t device,
			 char ret_type[FS_TYPE_SIZE])
{
	char *at;
	const char *end = memmem(line, size, " - ", 3);
	(void)strtoul(line, &at, 10);
	(void)strtoul(at, &at, 10);
	unsigned long major_number = strtoul(at, &at, 10);
	if (!end || *at != ':')
		return false;
	unsigned long minor_number = strtoul(at + 1, &at, 10);
	if (*at != ' ' ||
	    makedev((unsigned)major_number, (unsigned)minor_number) != device)
		return false;
	end += strlen(" - ");
	size_t length = strcspn(end, " \n");
	if (length == 0 || length >= FS_TYPE_SIZE)
		return false;
	memcpy(ret_type, end, length);
	ret_type[length] = '\0';
	return true;
}

bool mountinfo_type(const char *text, dev_t device, char ret_type[FS_TYPE_SIZE])
{
	while (*text) {
		size_t size = strcspn(text, "\n");
		if (type_of_line(text, size, device, ret_type))
			return true;
		text += size + (text[size] == '\n');
	}
	return false;
}

bool file_is_remote(int fd, char ret_type[FS_TYPE_SIZE])
{
	struct stat st;
	cleanup_buffer struct buffer text = BUFFER_INIT;
	*ret_type = '\0';
	if (fstat(fd, &st) < 0 ||
	    file_read_at(AT_FDCWD, "/proc/self/mountinfo", LARGEST_MOUNTINFO, &text) < 0)
		return false;
	const char *lines = buffer_cstr(&text);
	return lines && mountinfo_type(lines, st.st_dev, ret_type) &&
	       fs_type_is_remote(ret_type);
}
