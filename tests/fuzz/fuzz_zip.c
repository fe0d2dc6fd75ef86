/* Any bytes as a wheel: the checks of its zip structure, and of its dist-info. */
#include "tests/fuzz/fuzz.h"

#include "cache/wheel/wheel.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_fd int fd = memfd_create("wheel", MFD_CLOEXEC);
	struct zip_limits limits = ZIP_LIMITS_DEFAULT;
	struct wheel_options options = WHEEL_OPTIONS_DEFAULT;
	struct zip zip;
	struct wheel wheel;
	limits.total = 1 << 24;
	options.limits = limits;
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	if (zip_open(fd, size, &limits, &zip, NULL) == 0) {
		for (uint32_t i = 0; i < zip.count; i++) {
			const struct zip_member *found =
			    zip_find(&zip, zip.members[i].name);
			if (!found || strcmp(found->name, zip.members[i].name) != 0)
				__builtin_trap();
		}
		zip_release(&zip);
	}
	if (wheel_open(fd, size, "demo-1.0-py3-none-any.whl", &options, &wheel, NULL) ==
	    0)
		wheel_release(&wheel);
	return 0;
}
