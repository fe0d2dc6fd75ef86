/*
 * Mapped pages that the disk loses (a file cut short, an I/O error) raise SIGBUS. For
 * watched ranges the page is replaced by zeros and a flag is raised, so that a server
 * survives and its checks see that something is wrong. Any thread.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

/* `flag` must live until lost_page_unwatch(). -ENOMEM. */
int lost_page_watch(void *start, size_t size, atomic_bool *flag);
void lost_page_unwatch(const void *start);
