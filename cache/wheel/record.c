#include "cache/wheel/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int refuse(struct error *reterr, unsigned long line, const char *rule)
{
	return error_set(reterr, -EBADMSG, "RECORD line %lu: %s", line, rule);
}

/* Copies what stands between quotes, "" being one of them; false when it does not end. */
static bool unquote(char **in, const char *end, char **out)
{
	char *p = *in + 1;
	for (; p < end; p++) {
		if (*p == '"' && (p + 1 == end || p[1] != '"'))
			break;
		if (*p == '"')
			p++;
		*(*out)++ = *p;
	}
	*in = p + 1;
	return p < end;
}

/*
 * One field, unquoted in place (it only gets shorter). *p moves behind it and its
 * separator; *ret_last: the row ends here. False for a quote that is never closed or text
 * behind one.
 */
static bool take_field(char **p, const char *end, char **ret_field, bool *ret_last)
{
	char *in = *p;
	char *out = in;
	*ret_field = out;
	if (in < end && *in == '"') {
		if (!unquote(&in, end, &out))
			return false;
	} else {
		while (in < end && *in != ',' && *in != '\n' && *in != '\r')
			*out++ = *in++;
	}
	if (in < end && *in == '\r')
		in++;
	if (in < end && *in != ',' && *in != '\n')
		return false;
	*ret_last = in >= end || *in == '\n';
	*p = in < end ? in + 1 : in;
	*out = '\0'; /* `end` has room for one more */
	return true;
}

static bool is_sane_path(const char *path)
{
	if (!*path || *path == '/' || strchr(path, '\\'))
		return false;
	for (const char *p = path; *p;) {
		size_t size = strcspn(p, "/");
		if (size == 0 || (size == 1 && p[0] == '.') ||
		    (size == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += size + (p[size] == '/');
		if (*p == '\0' && p[-1] == '/')
			return false;
	}
	return true;
}

static int parse_hash(const char *text, struct record_row *row, unsigned long line,
		      struct error *reterr)
{
	if (!*text)
		return 0;
	if (strncmp(text, "sha256=", 7) != 0)
		return refuse(reterr, line, "its hash is no sha256");
	if (!sha256_parse_base64(text + 7, strlen(text + 7), &row->sha256))
		return refuse(reterr, line, "its sha256 is malformed");
	row->has_hash = true;
	return 0;
}

static int parse_size(const char *text, struct record_row *row, unsigned long line,
		      struct error *reterr)
{
	if (!*text)
		return 0;
	char *end;
	errno = 0;
	row->size = strtoull(text, &end, 10);
	if (*end || errno || *text < '0' || *text > '9')
		return refuse(reterr, line, "its size is no number");
	row->has_size = true;
	return 0;
}

static int parse_row(char **p, const char *end, struct record_row *row,
		     unsigned long line, struct error *reterr)
{
	char *path;
	char *hash;
	char *size;
	bool last = false;
	if (!take_field(p, end, &path, &last) || last ||
	    !take_field(p, end, &hash, &last) || last ||
	    !take_field(p, end, &size, &last) || !last)
		return refuse(reterr, line, "it is no CSV row of three fields");
	/* Some old wheels have absolute paths here; a leading slash means the same tree.
	 */
	path += strspn(path, "/");
	*row = (struct record_row){ .path = path };
	if (!is_sane_path(path))
		return refuse(reterr, line, "its path is no plain relative path");
	int r = parse_hash(hash, row, line, reterr);
	return r < 0 ? r : parse_size(size, row, line, reterr);
}

static int compare_rows(const void *a, const void *b)
{
	const struct record_row *x = a;
	const struct record_row *y = b;
	return strcmp(x->path, y->path);
}

static int parse_rows(struct record *record, size_t size, struct error *reterr)
{
	char *p = record->text;
	const char *end = p + size;
	uint32_t room = 0;
	for (unsigned long line = 1; p < end; line++) {
		if (*p == '\n' || *p == '\r') {
			p++;
			continue;
		}
		if (record->count == room) {
			room = room ? room * 2 : 64;
			struct record_row *rows =
			    reallocarray(record->rows, room, sizeof(*rows));
			if (!rows)
				return -ENOMEM;
			record->rows = rows;
		}
		int r = parse_row(&p, end, &record->rows[record->count], line, reterr);
		if (r < 0)
			return r;
		record->count++;
	}
	return 0;
}

int record_parse(const char *text, size_t size, struct record *ret, struct error *reterr)
{
	CLEANUP(record_release) struct record record = { .rows = NULL };
	if (size > UINT32_MAX - 1)
		return error_set(reterr, -EBADMSG, "RECORD is too large");
	if (size > 0 && memchr(text, '\0', size))
		return error_set(reterr, -EBADMSG, "RECORD has a NUL byte");
	record.text = malloc(size + 1);
	if (!record.text)
		return -ENOMEM;
	if (size > 0)
		memcpy(record.text, text, size);
	record.text[size] = '\0';
	int r = parse_rows(&record, size, reterr);
	if (r < 0)
		return r;
	if (record.count > 1)
		qsort(record.rows, record.count, sizeof(*record.rows), compare_rows);
	for (uint32_t i = 1; i < record.count; i++) {
		if (strcmp(record.rows[i - 1].path, record.rows[i].path) == 0)
			return error_set(reterr, -EBADMSG, "RECORD lists '%s' twice",
					 record.rows[i].path);
	}
	*ret = record;
	record = (struct record){ .rows = NULL };
	return 0;
}

void record_release(struct record *record)
{
	free(record->rows);
	free(record->text);
	*record = (struct record){ .rows = NULL };
}

struct record_row *record_find(struct record *record, const char *path)
{
	struct record_row key = { .path = path };
	if (record->count == 0)
		return NULL;
	return bsearch(&key, record->rows, record->count, sizeof(key), compare_rows);
}

static int append_field(struct buffer *out, const char *text)
{
	if (!strpbrk(text, ",\"\r\n"))
		return buffer_append_text(out, text);
	int r = buffer_append(out, "\"", 1);
	for (; r == 0 && *text; text++) {
		if (*text == '"')
			r = buffer_append(out, "\"", 1);
		if (r == 0)
			r = buffer_append(out, text, 1);
	}
	return r < 0 ? r : buffer_append(out, "\"", 1);
}

int record_append(struct buffer *out, const char *path, const struct sha256 *sha256,
		  uint64_t size)
{
	int r = append_field(out, path);
	if (r < 0)
		return r;
	if (!sha256)
		return buffer_append_text(out, ",,\n");
	char hash[SHA256_BASE64_SIZE];
	sha256_format_base64(sha256, hash);
	return buffer_printf(out, ",sha256=%s,%llu\n", hash, (unsigned long long)size);
}
