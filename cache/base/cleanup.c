#include "cache/base/cleanup.h"

#include <errno.h>

void cleanup_close_fn(const int *fd)
{
	int saved = errno;
	if (*fd >= 0)
		(void)close(*fd);
	errno = saved;
}

void cleanup_dir_fn(DIR **dir)
{
	int saved = errno;
	if (*dir)
		(void)closedir(*dir);
	errno = saved;
}

void cleanup_file_fn(FILE **file)
{
	int saved = errno;
	if (*file)
		(void)fclose(*file);
	errno = saved;
}
