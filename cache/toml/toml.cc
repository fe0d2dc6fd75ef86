#include "cache/toml/toml.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <new>
#include <string>
#include <string_view>

/*
 * toml++ 3.3 asserts what bad documents do not keep to ("[=" is one), and without asserts
 * tells the compiler to rely on it. Neither is wanted: what follows reports an error.
 * Keys beyond ASCII are none of TOML 1.0.
 */
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#define TOML_ENABLE_UNRELEASED_FEATURES 0
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 64
#include <toml++/toml.h>

namespace
{

constexpr size_t largest_document = 64 << 20;
constexpr size_t longest_key = 64;

bool has_three(std::string_view text, size_t at)
{
	return at + 2 < text.size() && text[at] == text[at + 1] &&
	       text[at] == text[at + 2];
}

/* Where the text that begins with this quote ends; the end where it does not. */
size_t skip_text(std::string_view text, size_t at)
{
	const char quote = text[at];
	const bool lines = has_three(text, at);
	for (at += lines ? 3 : 1; at < text.size(); at++) {
		if (text[at] == '\\' && quote == '"')
			at++;
		else if (text[at] == '\n' && !lines)
			return at;
		else if (text[at] == quote && !lines)
			return at + 1;
		else if (text[at] == quote && has_three(text, at))
			break;
	}
	/* Two more quotes may stand before the three that end it. */
	for (int more = 0; at < text.size() && text[at] == quote && more < 5; more++)
		at++;
	return at;
}

/*
 * toml++ limits how deep values are nested, but not tables by "a.b.c.d", and frees what
 * it made by recursion: a key of a million parts would end the program.
 */
bool has_long_key(std::string_view text)
{
	size_t dots = 0;
	for (size_t at = 0; at < text.size();) {
		const char c = text[at];
		if (c == '"' || c == '\'') {
			at = skip_text(text, at);
			continue;
		}
		if (c == '#') {
			at = std::min(text.find('\n', at), text.size());
			continue;
		}
		if (c == '.' && ++dots > longest_key)
			return true;
		if (std::string_view("=,[]{}\n").find(c) != std::string_view::npos)
			dots = 0;
		at++;
	}
	return false;
}

/* Each returns a new reference, or NULL: without memory, or text with a NUL in it. */
json_t *convert(const toml::node &node);

json_t *convert_text(const std::string &text)
{
	if (text.find('\0') != std::string::npos)
		return nullptr;
	return json_stringn(text.data(), text.size());
}

json_t *convert_table(const toml::table &table)
{
	json_t *object = json_object();
	for (const auto &[key, value] : table) {
		if (key.str().find('\0') != std::string_view::npos ||
		    json_object_set_new(object, key.data(), convert(value)) < 0) {
			json_decref(object);
			return nullptr;
		}
	}
	return object;
}

json_t *convert_array(const toml::array &array)
{
	json_t *list = json_array();
	for (const auto &value : array) {
		if (json_array_append_new(list, convert(value)) < 0) {
			json_decref(list);
			return nullptr;
		}
	}
	return list;
}

json_t *convert(const toml::node &node)
{
	switch (node.type()) {
	case toml::node_type::table:
		return convert_table(*node.as_table());
	case toml::node_type::array:
		return convert_array(*node.as_array());
	case toml::node_type::string:
		return convert_text(node.as_string()->get());
	case toml::node_type::integer:
		return json_integer(node.as_integer()->get());
	case toml::node_type::boolean:
		return json_boolean(node.as_boolean()->get());
	case toml::node_type::floating_point:
		return std::isfinite(node.as_floating_point()->get())
			   ? json_real(node.as_floating_point()->get())
			   : json_null();
	case toml::node_type::none:
	case toml::node_type::date:
	case toml::node_type::time:
	case toml::node_type::date_time:
	default:
		return json_null();
	}
}

int parse(std::string_view text, json_t **ret_object, struct error *reterr)
{
	if (has_long_key(text))
		return error_set(reterr, -EBADMSG, "a key in it has too many parts");
	const toml::parse_result result = toml::parse(text);
	if (!result) {
		const toml::parse_error &error = result.error();
		return error_set(reterr, -EBADMSG, "line %u, column %u: %s",
				 static_cast<unsigned>(error.source().begin.line),
				 static_cast<unsigned>(error.source().begin.column),
				 std::string(error.description()).c_str());
	}
	json_t *object = convert_table(result.table());
	if (!object)
		return error_set(reterr, -EBADMSG, "a text in it has a NUL character");
	*ret_object = object;
	return 0;
}

} /* namespace */

int toml_parse(const void *bytes, size_t size, json_t **ret_object, struct error *reterr)
{
	if (size > largest_document)
		return error_set(reterr, -EBADMSG, "it is larger than 64 MiB");
	try {
		return parse({ static_cast<const char *>(bytes), size }, ret_object,
			     reterr);
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	} catch (...) {
		return error_set(reterr, -EBADMSG, "it cannot be read");
	}
}
