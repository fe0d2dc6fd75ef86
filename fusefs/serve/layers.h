/*
 * The file `layers` of a state directory: which image is layer 7. Numbers stand in node
 * ids, so none is ever given to another image, and the same image keeps its own. It must
 * be on disk before the first row of a writable layer names an id; a read-only mount has
 * no rows, and writes it without a flush. One thread, under the state's lock.
 */
#pragma once

#include "fusefs/serve/plan.h"

/*
 * Gives each layer of the plan its number; writes nothing. *ret_changed: the plan's
 * layers are not those of the file. -EOVERFLOW: all 2^19 numbers were used.
 */
int layers_number(int state_fd, struct plan *plan, bool *ret_changed);
/* Writes them. Those of other images stay when `keep`: rows may name nodes of them. */
int layers_write(int state_fd, const struct plan *plan, bool keep);
