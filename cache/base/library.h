/* Shared libraries that are loaded when they are first needed. Any thread. */
#pragma once

/*
 * Loads the library for ever and writes the addresses of the functions `names` (the last
 * is NULL) one behind the other to `ret_functions`, a struct of as many pointers. NULL,
 * or the name of what could not be found.
 */
const char *library_load(const char *soname, const char *const *names,
			 void *ret_functions);
