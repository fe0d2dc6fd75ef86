#include "fusefs/serve/ops.h"

#include "cache/store/image.h"

#include <errno.h>
#include <stdlib.h>

int scratches_make(struct ops *ops, unsigned count)
{
	ops->scratches = calloc(count, sizeof(*ops->scratches));
	if (!ops->scratches)
		return -ENOMEM;
	ops->scratch_count = count;
	for (unsigned i = 0; i < count; i++) {
		atomic_flag_clear(&ops->scratches[i].busy);
		ops->scratches[i].bytes = malloc(IMAGE_SCRATCH(READ_MOST));
		if (!ops->scratches[i].bytes)
			return -ENOMEM;
	}
	return 0;
}

void scratches_free(struct ops *ops)
{
	for (unsigned i = 0; i < ops->scratch_count; i++)
		free(ops->scratches[i].bytes);
	free(ops->scratches);
}

struct scratch *scratch_take(struct ops *ops)
{
	for (unsigned i = 0;; i = (i + 1) % ops->scratch_count) {
		if (!atomic_flag_test_and_set(&ops->scratches[i].busy))
			return &ops->scratches[i];
	}
}

void scratch_give(struct scratch *scratch)
{
	atomic_flag_clear(&scratch->busy);
}
