/* Plain folders as layers of a tree: alone, below wheels, with hard links and owners. */
#include "tests/unit/tree_fixture.h"

#include <errno.h>

static void folders_are_united_at_the_root_the_first_on_top(void **state)
{
	struct fixture *f = *state;
	FOLDER(f, 1, "d/a=1", "site/x=1", "only/");
	FOLDER(f, 2, "d/a=2", "d/b=2", "root/y=2");
	assert_int_equal(unite_folders(f, false), 0);
	assert_content(f, "d/a", "1");
	assert_content(f, "d/b", "2");
	/* Names that mean something in a wheel's image mean nothing here. */
	assert_content(f, "site/x", "1");
	assert_content(f, "root/y", "2");
	assert_listing(f, "", "d only site root ");
	assert_listing(f, "d", "a b ");
}

static void folders_lie_below_wheels_and_meet_them_where_grafts_lead(void **state)
{
	struct fixture *f = *state;
	LAYER(f, 1, "root/lib/site/", "root/cfg=skeleton");
	LAYER(f, 2, "site/p/a=wheel", "site/p/in");
	FOLDER(f, 3, "lib/site/p/a=folder", "lib/site/p/b=folder", "lib/other=folder",
	       "cfg=folder", "site/z=folder");
	assert_int_equal(unite(f), 0);
	assert_content(f, "cfg", "skeleton");
	assert_content(f, "lib/site/p/a", "wheel");
	assert_content(f, "lib/site/p/b", "folder");
	assert_content(f, "lib/other", "folder");
	assert_content(f, "site/z", "folder");
	assert_listing(f, "lib/site/p", "a in b ");
}

static void a_file_of_a_higher_folder_hides_what_a_lower_has_at_a_graft(void **state)
{
	struct fixture *f = *state;
	struct node node;
	LAYER(f, 1, "root/lib/site/", "site/w=wheel");
	FOLDER(f, 2, "lib=file");
	FOLDER(f, 3, "lib/site/hidden=3", "shown=3");
	assert_int_equal(unite(f), 0);
	assert_int_equal(find(f, "lib/site/hidden", &node), -ENOENT);
	assert_listing(f, "lib/site", "w ");
	assert_content(f, "shown", "3");
}

static void absent_and_opaque_hide_in_folders_too(void **state)
{
	struct fixture *f = *state;
	struct node node;
	LAYER(f, 1, "root/lib/site/");
	FOLDER(f, 2, "gone=ABSENT", "!only/", "only/a", "!lib/", "lib/c=2");
	FOLDER(f, 3, "gone=3", "only/b", "lib/site/x=3", "lib/d=3");
	assert_int_equal(unite(f), 0);
	assert_int_equal(find(f, "gone", &node), -ENOENT);
	assert_listing(f, "only", "a ");
	assert_listing(f, "lib", "site c ");
	cleanup_buffer struct buffer names = BUFFER_INIT;
	assert_int_equal(find(f, "lib/site", &node), 0);
	assert_int_equal(tree_list(f->tree, node.id, 0, append_name, &names), 0);
	assert_int_equal(names.size, 0);
}

static void nodes_of_folders_are_found_by_their_number_and_know_the_way_up(void **state)
{
	struct fixture *f = *state;
	struct node deep;
	struct node node;
	uint64_t parent;
	FOLDER(f, 1, "p/q/a=1", "single/r/b=1");
	FOLDER(f, 2, "p/q/c=2");
	assert_int_equal(unite_folders(f, false), 0);
	assert_int_equal(find(f, "p/q", &deep), 0);
	assert_int_equal(unite_folders(f, false), 0);
	assert_int_equal(tree_lookup(f->tree, deep.id, "c", 1, &node), 0);
	assert_int_equal(tree_parent(f->tree, deep.id, &parent), 0);
	assert_int_equal(find(f, "p", &node), 0);
	assert_int_equal(parent, node.id);
	assert_int_equal(tree_parent(f->tree, node.id, &parent), 0);
	assert_int_equal(parent, TREE_ROOT);
	assert_int_equal(find(f, "single/r", &deep), 0);
	assert_int_equal(unite_folders(f, false), 0);
	assert_int_equal(tree_lookup(f->tree, deep.id, "b", 1, &node), 0);
	assert_int_equal(tree_parent(f->tree, deep.id, &parent), 0);
	assert_int_equal(find(f, "single", &node), 0);
	assert_int_equal(parent, node.id);
}

static void add_entry(struct image_writer *w, struct item item, uint32_t uid)
{
	item.own_mtime = true;
	item.mtime = 1000 + uid;
	item.mtime_nsec = 5;
	if (item.type == ENTRY_FILE)
		assert_int_equal(image_writer_add_file(w, &item, "x", 1, false), 0);
	else
		assert_int_equal(image_writer_add(w, &item), 0);
	assert_int_equal(image_writer_set_owner(w, uid, uid + 1), 0);
}

/* "d/one" and "d/two" and "three" are one file, "d/p" a fifo. */
static void add_rich_folder(struct fixture *f)
{
	CLEANUP(image_writer_freep) struct image_writer *w = NULL;
	assert_int_equal(image_writer_new(NULL, &w), 0);
	add_entry(w, (struct item){ .path = "", .type = ENTRY_DIRECTORY, .mode = 01755 },
		  10);
	add_entry(w, (struct item){ .path = "d", .type = ENTRY_DIRECTORY, .mode = 02750 },
		  20);
	static const char *const names[] = { "d/one", "d/two", "three" };
	for (size_t i = 0; i < 3; i++) {
		add_entry(
		    w,
		    (struct item){ .path = names[i], .type = ENTRY_FILE, .mode = 06755 },
		    30);
		assert_int_equal(image_writer_add_xattr(w, "user.k", "v", 1), 0);
		if (i > 0)
			assert_int_equal(image_writer_set_hard_link(w, names[0]), 0);
	}
	add_entry(w, (struct item){ .path = "d/p", .type = ENTRY_FIFO, .mode = 0600 },
		  40);
	add_image(f, 1, w);
	f->layers[f->count - 1].folder = true;
}

static void names_that_are_hard_links_are_one_node(void **state)
{
	struct fixture *f = *state;
	struct node one;
	struct node three;
	struct stat st;
	add_rich_folder(f);
	assert_int_equal(unite_folders(f, false), 0);
	assert_int_equal(find(f, "d/one", &one), 0);
	assert_int_equal(find(f, "three", &three), 0);
	assert_int_equal(one.id, three.id);
	assert_int_equal(three.id, three.name_id); /* the lowest entry names them */
	assert_int_not_equal(one.id, one.name_id);
	tree_stat(f->tree, &one, &st);
	assert_int_equal(st.st_nlink, 3);
	assert_int_equal(tree_node(f->tree, one.id, &one), 0);
	tree_stat(f->tree, &one, &st);
	assert_int_equal(st.st_nlink, 3);
	assert_int_equal(find(f, "d/p", &one), 0);
	assert_int_equal(one.links, 1);
}

/* Two of the three names lie in one directory: the cookies of both are their own. */
static void a_listing_with_hard_links_has_each_name_once(void **state)
{
	struct fixture *f = *state;
	struct node d;
	struct node one;
	add_rich_folder(f);
	FOLDER(f, 2, "e/x");
	assert_int_equal(unite_folders(f, false), 0);
	assert_listing(f, "d", "one p two ");
	assert_int_equal(find(f, "d", &d), 0);
	assert_int_equal(find(f, "d/one", &one), 0);
	cleanup_buffer struct buffer rest = BUFFER_INIT;
	assert_int_equal(
	    tree_list(f->tree, d.id, tree_cookie(one.name_id), append_name, &rest), 0);
	assert_string_equal(buffer_cstr(&rest), "p two ");
	FOLDER(f, 3, "d/more");
	assert_int_equal(unite_folders(f, false), 0);
	assert_listing(f, "d", "one p two more ");
}

static void folders_show_their_own_modes_times_and_owners(void **state)
{
	static const struct {
		const char *path;
		mode_t mode;
		uid_t uid;
	} expected[] = {
		{ "", S_IFDIR | 01755, 10 },
		{ "d", S_IFDIR | 02750, 20 },
		{ "d/two", S_IFREG | 06755, 30 },
		{ "d/p", S_IFIFO | 0600, 40 },
	};
	struct fixture *f = *state;
	add_rich_folder(f);
	for (int keep = 0; keep < 2; keep++) {
		assert_int_equal(unite_folders(f, keep), 0);
		for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
			struct node node;
			struct stat st;
			assert_int_equal(tree_node(f->tree, TREE_ROOT, &node), 0);
			assert_int_equal(find(f, expected[i].path, &node), 0);
			tree_stat(f->tree, &node, &st);
			assert_int_equal(st.st_mode, expected[i].mode);
			assert_int_equal(st.st_mtim.tv_sec, 1000 + expected[i].uid);
			assert_int_equal(st.st_mtim.tv_nsec, 5);
			assert_int_equal(st.st_uid, keep ? expected[i].uid : 7);
			assert_int_equal(st.st_gid, keep ? expected[i].uid + 1 : 8);
		}
	}
}

static void attributes_of_a_folder_are_listed_one_by_one(void **state)
{
	struct fixture *f = *state;
	struct node node;
	struct xattr x;
	add_rich_folder(f);
	assert_int_equal(unite_folders(f, false), 0);
	assert_int_equal(find(f, "d/two", &node), 0);
	assert_int_equal(tree_xattr(f->tree, &node, 0, &x), 0);
	assert_memory_equal(x.name, "user.k", x.name_size);
	assert_memory_equal(x.value, "v", x.value_size);
	assert_int_equal(tree_xattr(f->tree, &node, 1, &x), -ENODATA);
	assert_int_equal(find(f, "d", &node), 0);
	assert_int_equal(tree_xattr(f->tree, &node, 0, &x), -ENODATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(folders_are_united_at_the_root_the_first_on_top),
		TEST(folders_lie_below_wheels_and_meet_them_where_grafts_lead),
		TEST(a_file_of_a_higher_folder_hides_what_a_lower_has_at_a_graft),
		TEST(absent_and_opaque_hide_in_folders_too),
		TEST(nodes_of_folders_are_found_by_their_number_and_know_the_way_up),
		TEST(names_that_are_hard_links_are_one_node),
		TEST(a_listing_with_hard_links_has_each_name_once),
		TEST(folders_show_their_own_modes_times_and_owners),
		TEST(attributes_of_a_folder_are_listed_one_by_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
