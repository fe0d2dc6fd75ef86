/* Images united: priorities, grafts, node ids, listings and clashes, without a mount. */
#include "tests/unit/tree_fixture.h"

#include <errno.h>

static void the_first_layer_that_has_a_name_shows_it(void **state)
{
	struct fixture *f = *state;
	LAYER(f, 1, "root/lib/site/", "site/a=first");
	LAYER(f, 2, "site/a=second", "site/b=second");
	assert_int_equal(unite(f), 0);
	assert_content(f, "lib/site/a", "first");
	assert_content(f, "lib/site/b", "second");
	assert_listing(f, "lib/site", "a b ");
}

static void directories_of_several_layers_are_one(void **state)
{
	struct fixture *f = *state;
	LAYER(f, 5, "root/lib/site/", "site/p/q/a=5");
	LAYER(f, 3, "site/p/q/b=3", "site/p/q/r/x=3");
	LAYER(f, 9, "site/p/q/c=9", "site/p/q/r/y=9", "root/lib/site/p/q/d=9");
	assert_int_equal(unite(f), 0);
	/* In the order of node ids: layers 3, 5 and 9. */
	assert_listing(f, "lib/site/p/q", "b r a c d ");
	assert_listing(f, "lib/site/p/q/r", "x y ");
	assert_content(f, "lib/site/p/q/d", "9");
}

static void a_node_that_nobody_looked_up_is_found_by_its_number(void **state)
{
	struct fixture *f = *state;
	struct node deep;
	struct node again;
	LAYER(f, 1, "root/lib/site/", "site/p/q/a=1");
	LAYER(f, 2, "site/p/q/b=2", "site/p/single/c=2");
	assert_int_equal(unite(f), 0);
	assert_int_equal(find(f, "lib/site/p/q", &deep), 0);
	assert_int_equal(unite(f), 0); /* as a server that was started again */
	cleanup_buffer struct buffer names = BUFFER_INIT;
	assert_int_equal(tree_list(f->tree, deep.id, 0, append_name, &names), 0);
	assert_string_equal(buffer_cstr(&names), "a b ");
	assert_int_equal(tree_lookup(f->tree, deep.id, "b", 1, &again), 0);
	uint64_t parent;
	assert_int_equal(tree_parent(f->tree, deep.id, &parent), 0);
	assert_int_equal(find(f, "lib/site/p", &again), 0);
	assert_int_equal(parent, again.id);
}

static void a_file_hides_a_directory_and_the_other_way_round(void **state)
{
	struct fixture *f = *state;
	LAYER(f, 1, "root/lib/site/", "site/x=file", "site/y/in=1");
	LAYER(f, 2, "site/x/in=2", "site/y=file");
	LAYER(f, 3, "site/y/more=3");
	assert_int_equal(unite(f), 0);
	assert_content(f, "lib/site/x", "file");
	/* A directory that another layer hides with a file ends there. */
	assert_listing(f, "lib/site/y", "in ");
}

static void absent_and_opaque_hide_what_lies_below(void **state)
{
	struct fixture *f = *state;
	struct node node;
	LAYER(f, 1, "root/lib/site/", "site/gone=ABSENT", "!site/only/", "site/only/a");
	LAYER(f, 2, "site/gone=2", "site/only/b=2", "site/kept=2");
	assert_int_equal(unite(f), 0);
	assert_int_equal(find(f, "lib/site/gone", &node), -ENOENT);
	assert_listing(f, "lib/site", "only kept ");
	assert_listing(f, "lib/site/only", "a ");
}

static void a_listing_goes_on_behind_any_cookie(void **state)
{
	struct fixture *f = *state;
	struct node site;
	LAYER(f, 1, "root/lib/site/", "site/a", "site/b", "site/c");
	LAYER(f, 2, "site/d", "site/e", "site/a=other");
	assert_int_equal(unite(f), 0);
	assert_int_equal(find(f, "lib/site", &site), 0);
	const char *names[] = { "a", "b", "c", "d", "e" };
	for (size_t i = 0; i < 5; i++) {
		struct node node;
		cleanup_buffer struct buffer rest = BUFFER_INIT;
		assert_int_equal(tree_lookup(f->tree, site.id, names[i], 1, &node), 0);
		assert_int_equal(
		    tree_list(f->tree, site.id, tree_cookie(node.id), append_name, &rest),
		    0);
		assert_string_equal(rest.size ? buffer_cstr(&rest) : "",
				    &"b c d e "[i * 2]);
	}
}

static void a_directory_of_one_layer_is_listed_from_any_cookie_too(void **state)
{
	struct fixture *f = *state;
	struct node dir;
	struct node b;
	cleanup_buffer struct buffer rest = BUFFER_INIT;
	LAYER(f, 1, "root/lib/site/", "site/p/a", "site/p/b", "site/p/c");
	assert_int_equal(unite(f), 0);
	assert_int_equal(find(f, "lib/site/p", &dir), 0);
	assert_int_equal(find(f, "lib/site/p/b", &b), 0);
	assert_int_equal(
	    tree_list(f->tree, dir.id, tree_cookie(b.id), append_name, &rest), 0);
	assert_string_equal(buffer_cstr(&rest), "c ");
}

static void a_graft_to_a_directory_that_is_not_there_is_refused(void **state)
{
	struct fixture *f = *state;
	LAYER(f, 1, "root/bin/x", "site/a");
	assert_int_equal(unite(f), -EBADMSG);
}

static void layer_numbers_must_differ(void **state)
{
	struct fixture *f = *state;
	LAYER(f, 4, "root/lib/site/");
	LAYER(f, 4, "site/a");
	assert_int_equal(unite(f), -EBADMSG);
}

static void unknown_numbers_are_ENOENT(void **state)
{
	struct fixture *f = *state;
	struct node node;
	LAYER(f, 1, "root/lib/site/a");
	assert_int_equal(unite(f), 0);
	const uint64_t ids[] = { 0, 2, UINT64_C(7) << 32, (UINT64_C(1) << 32) + 1000,
				 UINT64_MAX };
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		assert_int_equal(tree_node(f->tree, ids[i], &node), -ENOENT);
		assert_int_equal(tree_lookup(f->tree, ids[i], "a", 1, &node), -ENOENT);
	}
}

static void attributes_are_those_of_an_installed_file(void **state)
{
	struct fixture *f = *state;
	struct node node;
	struct stat st;
	LAYER(f, 1, "root/lib/site/", "site/a=hello");
	assert_int_equal(unite(f), 0);
	assert_int_equal(find(f, "lib/site/a", &node), 0);
	tree_stat(f->tree, &node, &st);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(st.st_ino, node.id);
	assert_int_equal(st.st_mtime, content_mtime(&node.entry.digest));
	assert_int_equal(find(f, "lib/site", &node), 0);
	tree_stat(f->tree, &node, &st);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(st.st_mtime, 77);
}

static int append_clash(void *context, const struct tree_clash *clash)
{
	return buffer_printf(context, "%s %zu>%zu ", clash->path, clash->winner,
			     clash->loser);
}

static void clashes_are_files_that_differ(void **state)
{
	struct fixture *f = *state;
	cleanup_buffer struct buffer found = BUFFER_INIT;
	LAYER(f, 1, "root/lib/site/", "site/x=skeleton", "root/bin/tool=s");
	f->layers[0].quiet = true;
	LAYER(f, 2, "site/x=a", "site/same=1", "site/p/differs=a", "site/kind=file");
	LAYER(f, 3, "site/x=b", "site/same=1", "site/p/differs=b", "site/kind/in",
	      "root/bin/tool=3");
	LAYER(f, 4, "site/p/differs=c", "root/bin/tool=4");
	assert_int_equal(unite(f), 0);
	assert_int_equal(tree_clashes(f->tree, append_clash, &found), 0);
	assert_string_equal(
	    buffer_cstr(&found),
	    "lib/site/kind 1>2 lib/site/p/differs 1>2 lib/site/p/differs 1>3 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_layer_that_has_a_name_shows_it),
		TEST(directories_of_several_layers_are_one),
		TEST(a_node_that_nobody_looked_up_is_found_by_its_number),
		TEST(a_file_hides_a_directory_and_the_other_way_round),
		TEST(absent_and_opaque_hide_what_lies_below),
		TEST(a_listing_goes_on_behind_any_cookie),
		TEST(a_directory_of_one_layer_is_listed_from_any_cookie_too),
		TEST(a_graft_to_a_directory_that_is_not_there_is_refused),
		TEST(layer_numbers_must_differ),
		TEST(unknown_numbers_are_ENOENT),
		TEST(attributes_are_those_of_an_installed_file),
		TEST(clashes_are_files_that_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
