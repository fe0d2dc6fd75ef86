/* Any bytes as requirements.txt. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/lock_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lock_input_try(LOCK_REQUIREMENTS, "requirements.txt", data, size);
	return 0;
}
