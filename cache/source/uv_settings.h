/*
 * What uv.toml, or [tool.uv] in pyproject.toml, says of where packages and Pythons come
 * from: filled by who reads TOML, a file of less weight after one of more. All strings
 * belong to the struct; all NULL and 0 is nothing said.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct uv_index {
	char *name, *url; /* name may be NULL; a URL, or the path of a folder */
	bool is_default, explicit_only;
	bool flat; /* format = "flat": a page or a folder of links */
};

struct uv_settings {
	struct uv_index *indexes; /* [[index]], the weightiest first */
	size_t index_count;
	char *index_url;
	char **extra_urls, **find_links, **insecure_hosts;
	size_t extra_count, find_count, insecure_count;
	char *cache_dir, *index_strategy;
	char *
	    python_preference; /* "only-managed", "system", ...: whatever the file says */
	bool no_index, offline, no_cache;
};

/* Append a copy; -ENOMEM. */
int uv_settings_add_index(struct uv_settings *settings, const struct uv_index *index);
int uv_settings_add_extra_url(struct uv_settings *settings, const char *url);
int uv_settings_add_find_links(struct uv_settings *settings, const char *place);
int uv_settings_add_insecure_host(struct uv_settings *settings, const char *host);

/* What UV_* of the environment say, in place of or before what is there. -ENOMEM. */
int uv_settings_add_environment(struct uv_settings *settings);

void uv_settings_release(struct uv_settings *settings);
