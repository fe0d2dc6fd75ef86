#include "cache/env/lock/fill.h"

#include "cache/base/file.h"
#include "cache/base/shown.h"
#include "cache/toml/toml.h"
#include "cache/wheel/wheel_name.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_WHEELS = 10000, MOST_HASHES = 10000 };

__attribute__((format(printf, 3, 0))) static int
set_text(const struct reading *r, int code, const char *format, va_list args)
{
	char text[768];
	(void)vsnprintf(text, sizeof(text), format, args);
	return error_set(r->reterr, code, "'%s': %s", r->file->path, text);
}

int fill_bad(const struct reading *r, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int code = set_text(r, -EBADMSG, format, args);
	va_end(args);
	return code;
}

int fill_refuse(const struct reading *r, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int code = set_text(r, -EINVAL, format, args);
	va_end(args);
	return code;
}

int fill_warn(const struct reading *r, const char *format, ...)
{
	char text[768];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return buffer_printf(&r->notes->warnings, "'%s': %s\n", r->file->path, text);
}

int fill_read_file(const struct reading *r, const char *path, struct buffer *out)
{
	int result = inputs_read(&r->notes->inputs, path, out);
	return result < 0 ? error_errno(r->reterr, result, "cannot read '%s'", path) : 0;
}

int fill_read_toml(const struct reading *r, const char *path, json_t **ret)
{
	cleanup_buffer struct buffer text = BUFFER_INIT;
	int result = fill_read_file(r, path, &text);
	if (result < 0)
		return result;
	result = toml_parse(text.data, text.size, ret, r->reterr);
	return result < 0 ? error_prefix(r->reterr, result, "'%s' is no TOML", path) : 0;
}

int fill_marker(const struct reading *r, const struct marker_environment *environment,
		const char *marker)
{
	bool holds = true;
	int result = marker ? marker_evaluate(marker, environment, &holds, r->reterr) : 0;
	return result < 0 ? error_prefix(r->reterr, result, "'%s'", r->file->path)
			  : holds;
}

static bool has_control(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

int fill_text(const struct reading *r, const char *text, char **ret)
{
	if (text && (has_control(text) || strlen(text) > WANTED_TEXT))
		return fill_bad(r, "a text in it is too long or has a control character");
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? -ENOMEM : 0;
}

int fill_name(const struct reading *r, const char *name, char **ret)
{
	size_t size = strlen(name);
	bool good = size > 0 && size <= WANTED_NAME;
	for (size_t i = 0; good && i < size; i++)
		good = isalnum((unsigned char)name[i]) ||
		       (i > 0 && i + 1 < size && strchr("._-", name[i]));
	if (!good)
		return fill_bad(r, "'%.100s' is no name of a package", name);
	*ret = malloc(size + 1);
	if (!*ret)
		return -ENOMEM;
	normalise_name(name, *ret, size + 1);
	return 0;
}

enum { HEX_MOST = 256, NAME_MOST_OF_HASH = 32, HASHES_MOST = 16 };

static bool is_hash(const char *algorithm, const char *hex)
{
	size_t size = strspn(hex, "0123456789abcdef");
	return size >= 32 && size <= HEX_MOST && hex[size] == '\0' && *algorithm &&
	       !has_control(algorithm) && strlen(algorithm) <= NAME_MOST_OF_HASH;
}

static int add_hash(const char *algorithm, const char *hex, struct wanted_bytes *to)
{
	struct wanted_hash *more =
	    realloc(to->others, (to->other_count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	to->others = more;
	struct wanted_hash *hash = &more[to->other_count++];
	*hash = (struct wanted_hash){ strdup(algorithm), strdup(hex) };
	return hash->algorithm && hash->hex ? 0 : -ENOMEM;
}

static void to_lower(const char *hex, char ret_lower[HEX_MOST + 1])
{
	size_t size = 0;
	for (; hex[size] && size < HEX_MOST; size++)
		ret_lower[size] =
		    (char)(hex[size] >= 'A' && hex[size] <= 'F' ? hex[size] | 0x20
								: hex[size]);
	ret_lower[size] = '\0';
}

int fill_hash(const struct reading *r, const char *algorithm, const char *hex,
	      struct wanted_bytes *to)
{
	char lower[HEX_MOST + 1];
	to_lower(hex ? hex : "", lower);
	if (strcmp(algorithm, "sha256") == 0) {
		to->has_sha256 = sha256_parse(lower, &to->sha256);
		return to->has_sha256 ? 0 : fill_bad(r, "a SHA-256 in it is none");
	}
	if (!is_hash(algorithm, lower) || to->other_count == HASHES_MOST)
		return fill_bad(r, "a hash in it is none");
	return add_hash(algorithm, lower, to);
}

int fill_hash_text(const struct reading *r, const char *text, struct wanted_bytes *to)
{
	char algorithm[33];
	size_t size = strcspn(text, ":");
	if (text[size] != ':' || size >= sizeof(algorithm))
		return fill_bad(r, "a hash in it is none");
	memcpy(algorithm, text, size);
	algorithm[size] = '\0';
	return fill_hash(r, algorithm, text + size + 1, to);
}

int fill_bytes(const struct reading *r, const json_t *table, struct wanted_bytes *to)
{
	const char *hash = json_get_text(table, "hash");
	const char *algorithm;
	json_t *hex;
	int result = hash ? fill_hash_text(r, hash, to) : 0;
	to->size = json_get_int(table, "size", -1);
	if (to->size < -1)
		return fill_bad(r, "a size in it is negative");
	json_object_foreach(json_object_get(table, "hashes"), algorithm, hex)
	{
		if (result == 0)
			result = fill_hash(r, algorithm, json_string_value(hex), to);
	}
	return result;
}

/* Takes the last component off, unless there is none. */
static void drop_last(struct buffer *path)
{
	while (path->size > 0 && path->data[--path->size] != '/')
		;
}

char *fill_clean_path(const char *base, const char *path)
{
	cleanup_buffer struct buffer out = BUFFER_INIT;
	cleanup_free char *all = path[0] == '/' ? strdup(path) : path_join(base, path);
	char *rest = all;
	const char *part;
	while (rest && (part = strsep(&rest, "/")) != NULL) {
		if (strcmp(part, "..") == 0)
			drop_last(&out);
		else if (*part && strcmp(part, ".") != 0 &&
			 buffer_printf(&out, "/%s", part) < 0)
			return NULL;
	}
	if (!all || (out.size == 0 && buffer_append_text(&out, "/") < 0) ||
	    !buffer_cstr(&out))
		return NULL;
	return buffer_steal(&out);
}

static int hex_value(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	return isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1;
}

/* Of `size` bytes; NULL without memory. A percent sign that means nothing stays. */
char *fill_decode(const char *text, size_t size)
{
	char *out = malloc(size + 1);
	size_t used = 0;
	for (size_t i = 0; out && i < size; i++) {
		int high = i + 2 < size && text[i] == '%' ? hex_value(text[i + 1]) : -1;
		int low = high >= 0 ? hex_value(text[i + 2]) : -1;
		bool escaped = low >= 0 && (high > 0 || low > 0);
		out[used++] = (char)(escaped ? high << 4 | low : text[i]);
		i += escaped ? 2 : 0;
	}
	if (out)
		out[used] = '\0';
	return out;
}

char *fill_file_name(const char *path_or_url)
{
	bool is_url = strstr(path_or_url, "://") != NULL;
	size_t size = is_url ? strcspn(path_or_url, "?#") : strlen(path_or_url);
	size_t start = size;
	while (start > 0 && path_or_url[start - 1] != '/')
		start--;
	return is_url ? fill_decode(path_or_url + start, size - start)
		      : strndup(path_or_url + start, size - start);
}

/* The path of "file:///a%20b" and of "file:/a b"; what stands before it may be a host. */
static const char *file_url_path(const char *url)
{
	if (strncasecmp(url, "file:", 5) != 0)
		return NULL;
	if (strncmp(url + 5, "//", 2) != 0)
		return url + 5;
	return url + 7 + strcspn(url + 7, "/");
}

static int bad_url(const struct reading *r, const char *text)
{
	cleanup_free char *shown = url_shown(text);
	return fill_bad(r, "'%.200s' in it is no URL", shown ? shown : "");
}

int fill_place(const struct reading *r, const char *base, const char *path,
	       const char *url, char **ret_path, char **ret_url)
{
	cleanup_free char *plain = url ? strndup(url, strcspn(url, "#")) : NULL;
	const char *of_file = plain ? file_url_path(plain) : NULL;
	cleanup_free char *decoded =
	    of_file ? fill_decode(of_file, strlen(of_file)) : NULL;
	if (!path && !url)
		return fill_bad(r, "a file in it has neither path nor URL");
	if ((url && !plain) || (of_file && !decoded))
		return -ENOMEM;
	if (plain && !of_file && !strstr(plain, "://"))
		return bad_url(r, plain);
	if (path || decoded) {
		cleanup_free char *clean = fill_clean_path(base, path ? path : decoded);
		int result = clean ? fill_text(r, clean, ret_path) : -ENOMEM;
		if (result < 0)
			return result;
	}
	return fill_text(r, plain, ret_url);
}

static int check_wheel(const struct reading *r, const struct wanted_dist *dist,
		       const struct wanted_wheel *wheel)
{
	struct wheel_name name;
	if (wheel_name_parse(wheel->file, &name, NULL) < 0)
		return fill_bad(r, "'%.200s' is no name of a wheel", wheel->file);
	if (!same_name(name.distribution, dist->name))
		return fill_bad(r, "the wheel '%.200s' is not one of %s", wheel->file,
				dist->name);
	if (dist->version && !pin_takes(dist->version, name.version))
		return fill_bad(r, "the wheel '%.200s' is not of %s %s", wheel->file,
				dist->name, dist->version);
	return 0;
}

static int complete_wheel(const struct reading *r, const struct wanted_dist *dist,
			  struct wanted_wheel *wheel)
{
	struct wheel_name name;
	if (!wheel->file)
		wheel->file = fill_file_name(wheel->path ? wheel->path : wheel->url);
	wheel->name = strdup(dist->name);
	int result = wheel->file && wheel->name ? check_wheel(r, dist, wheel) : -ENOMEM;
	if (result < 0)
		return result;
	(void)wheel_name_parse(wheel->file, &name, NULL);
	wheel->version = strdup(dist->version ? dist->version : name.version);
	return wheel->version ? 0 : -ENOMEM;
}

int fill_add_wheel(const struct reading *r, struct wanted_dist *dist,
		   struct wanted_wheel *take_wheel)
{
	CLEANUP(wanted_wheel_release) struct wanted_wheel wheel = *take_wheel;
	int result = complete_wheel(r, dist, &wheel);
	if (result < 0)
		return result;
	struct wheel_rank rank = target_rank(r->target, wheel.file);
	if (rank.tags < 0)
		return 0;
	if (dist->wheel_count == MOST_WHEELS)
		return fill_bad(r, "%s has too many wheels", dist->name);
	struct wanted_wheel *more =
	    realloc(dist->wheels, (dist->wheel_count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	dist->wheels = more;
	wheel.rank = rank;
	wheel.place = dist->wheel_count;
	more[dist->wheel_count++] = wheel;
	wheel = (struct wanted_wheel){ .name = NULL };
	return 0;
}

/* Of equal ones the first one stays first, as with uv and pip. */
static int compare_wheels(const void *a, const void *b)
{
	const struct wanted_wheel *x = a;
	const struct wanted_wheel *y = b;
	int r = wheel_rank_compare(&x->rank, &y->rank);
	return r != 0 ? r : (x->place > y->place) - (x->place < y->place);
}

int fill_dist_done(struct reading *r, struct wanted_dist *take_dist)
{
	struct wanted *w = r->wanted;
	CLEANUP(wanted_dist_release) struct wanted_dist dist = *take_dist;
	if (w->count == WANTED_MOST || dist.hash_count > MOST_HASHES)
		return fill_bad(r, "it wants too much");
	if (dist.wheel_count > 0) {
		qsort(dist.wheels, dist.wheel_count, sizeof(*dist.wheels),
		      compare_wheels);
		wanted_source_free(dist.source);
		dist.source = NULL;
	} else if (!dist.source && !dist.pinned) {
		return fill_refuse(
		    r, "%s%s%s has no wheel for Python %s on this machine, and no source",
		    dist.name, dist.version ? " " : "", dist.version ? dist.version : "",
		    r->target->interpreter->version);
	}
	struct wanted_dist *more = realloc(w->dists, (w->count + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	w->dists = more;
	more[w->count++] = dist;
	dist = (struct wanted_dist){ .name = NULL };
	return 0;
}

bool fill_is_commit(const char *text)
{
	size_t size = strspn(text, "0123456789abcdef");
	return text[size] == '\0' && (size == 40 || size == 64);
}

bool fill_is_wheel(const char *file)
{
	size_t size = strlen(file);
	return size > 4 && strcmp(file + size - 4, ".whl") == 0;
}

int fill_location(const struct reading *r, const char *base, const json_t *table,
		  char **ret)
{
	cleanup_free char *path = NULL;
	cleanup_free char *url = NULL;
	int result = fill_place(r, base, json_get_text(table, "path"),
				json_get_text(table, "url"), &path, &url);
	*ret = path ? steal_ptr(path) : steal_ptr(url);
	return result;
}

struct wanted_source *fill_new_source(struct wanted_dist *dist,
				      enum wanted_source_kind kind)
{
	struct wanted_source *source = calloc(1, sizeof(*source));
	if (!source)
		return NULL;
	wanted_source_free(dist->source);
	dist->source = source;
	*source = (struct wanted_source){ .kind = kind, .bytes = { .size = -1 } };
	source->name = strdup(dist->name);
	source->version = dist->version ? strdup(dist->version) : NULL;
	return source->name && (!dist->version || source->version) ? source : NULL;
}

int fill_check_target(const struct reading *r, const char *python,
		      const json_t *environments)
{
	size_t i;
	json_t *marker;
	int fits = python ? target_python_fits(r->target, python) : 1;
	if (fits < 0)
		return fill_bad(r, "its requires-python '%.100s' is none", python);
	if (fits == 0)
		return fill_refuse(r, "it is for Python %.100s, and this is %s", python,
				   r->target->interpreter->version);
	fits = json_array_size(environments) == 0;
	json_array_foreach(environments, i, marker)
	{
		int holds =
		    fill_marker(r, &r->target->markers, json_string_value(marker));
		if (holds < 0)
			return holds;
		fits = fits || holds;
	}
	return fits ? 0
		    : fill_refuse(r,
				  "none of its environments is this machine with "
				  "Python %s",
				  r->target->interpreter->version);
}
