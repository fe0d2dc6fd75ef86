/* Hard links inside a folder's image. Private to fusefs/tree. Any thread. */
#pragma once

#include "fusefs/tree/tree.h"

/*
 * The first of the entries that are one file with entry `number`, which may be itself,
 * and how many they are. Memory: four bytes for each name beyond the first of a file that
 * has several in the folder, from the first call for that layer on. -ENOMEM.
 */
int links_find(struct tree *tree, size_t layer, uint32_t number, uint32_t *ret_first,
	       uint32_t *ret_count);
