#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/out.h"
#include "lib/rewrite.h"

/* A home in a scratch directory, holding nothing but control/. */
static char home_path[] = "/tmp/test_rewrite.XXXXXX";
static int home = -1;

static int make_home(void **state)
{
	(void)state;
	if (!mkdtemp(home_path))
		return -1;
	home = open(home_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return mkdirat(home, "control", 0755);
}

static const char *const files[] = { "me", "envnoathost", "locals",
				     "percenthack", "virtualdomains" };

static void clear_control(void)
{
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		struct str path = { 0 };

		str_appendf(&path, "control/%s", files[i]);
		unlinkat(home, str_c(&path), 0);
		unlinkat(home, str_c(&path), AT_REMOVEDIR);
		str_free(&path);
	}
}

static int remove_home(void **state)
{
	(void)state;
	clear_control();
	unlinkat(home, "control", AT_REMOVEDIR);
	close(home);
	return rmdir(home_path);
}

static void control(const char *name, const char *text)
{
	struct str path = { 0 };
	int fd;

	str_appendf(&path, "control/%s", name);
	fd = openat(home, str_c(&path), O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write_all(fd, view_of(text)), 0);
	close(fd);
	str_free(&path);
}

static void load(struct rewrite *rewrite)
{
	const char *file;

	assert_int_equal(rewrite_load(rewrite, home, &file), 0);
}

struct rewrite_case {
	const char *label;
	const char *address;
	enum rewrite_kind kind;
	const char *plain;
	const char *target;
};

static void check(const struct rewrite *rewrite, const struct rewrite_case *c)
{
	struct str plain = { 0 };
	struct str target = { 0 };
	enum rewrite_kind kind =
		rewrite_address(rewrite, view_of(c->address), &plain, &target);

	if (kind != c->kind || strcmp(str_c(&plain), c->plain) != 0 ||
	    strcmp(str_c(&target), c->target) != 0)
		fail_msg("%s: %s gave %s %s, plain %s", c->label, c->address,
			 kind == REWRITE_LOCAL ? "local" : "remote",
			 str_c(&target), str_c(&plain));
	str_free(&plain);
	str_free(&target);
}

#define L REWRITE_LOCAL
#define R REWRITE_REMOTE

static const struct rewrite_case cases[] = {
	{ "local domain", "joe@here.example", L, "joe@here.example",
	  "joe@here.example" },
	{ "case of the domain", "Joe@HERE.Example", L, "Joe@HERE.Example",
	  "Joe@HERE.Example" },
	{ "no at sign", "joe", L, "joe@here.example", "joe@here.example" },
	{ "empty", "", L, "@here.example", "@here.example" },
	{ "empty domain", "joe@", R, "joe@", "joe@" },
	{ "elsewhere", "joe@far.example", R, "joe@far.example",
	  "joe@far.example" },
	{ "subdomain of a local", "joe@sub.here.example", R,
	  "joe@sub.here.example", "joe@sub.here.example" },
	{ "last at sign counts", "a@here.example@far.example", R,
	  "a@here.example@far.example", "a@here.example@far.example" },
	{ "percent", "joe%far.example@hack.example", R, "joe@far.example",
	  "joe@far.example" },
	{ "percent twice", "joe%here.example%hack.example@HACK.example", L,
	  "joe@here.example", "joe@here.example" },
	{ "percent elsewhere", "joe%x@here.example", L, "joe%x@here.example",
	  "joe%x@here.example" },
	{ "hack without percent", "joe@hack.example", R, "joe@hack.example",
	  "joe@hack.example" },
	{ "percent, then at", "a%b@here.example@hack.example", L,
	  "a@b@here.example", "a@b@here.example" },
	{ "virtual domain", "joe@virt.example", L, "joe@virt.example",
	  "virt-owner-joe@virt.example" },
	{ "virtual user", "Sales@Firm.example", L, "Sales@Firm.example",
	  "bob-Sales@Firm.example" },
	{ "other user of that domain", "joe@firm.example", R,
	  "joe@firm.example", "joe@firm.example" },
	{ "suffix", "joe@a.b.wild.example", L, "joe@a.b.wild.example",
	  "wild-joe@a.b.wild.example" },
	{ "suffix needs its dot", "joe@wild.example", R, "joe@wild.example",
	  "joe@wild.example" },
	{ "exception below a suffix", "joe@not.wild.example", R,
	  "joe@not.wild.example", "joe@not.wild.example" },
	{ "longer suffix first", "joe@x.deep.wild.example", L,
	  "joe@x.deep.wild.example", "deep-joe@x.deep.wild.example" },
	{ "locals before virtualdomains", "joe@both.example", L,
	  "joe@both.example", "joe@both.example" },
	{ "later line rules", "joe@twice.example", L, "joe@twice.example",
	  "second-joe@twice.example" },
	{ "line without colon", "joe@nocolon.example", R, "joe@nocolon.example",
	  "joe@nocolon.example" },
	{ "colons in the value", "joe@colons.example", L, "joe@colons.example",
	  "a:b-joe@colons.example" },
};

#define VIRTUALDOMAINS                                                         \
	"# comment\n"                                                          \
	"virt.example:virt-owner\n"                                            \
	"sales@firm.example:bob\n"                                             \
	".wild.example:wild\n"                                                 \
	"not.wild.example:\n"                                                  \
	".DEEP.wild.example:deep\n"                                            \
	"both.example:virt\n"                                                  \
	"twice.example:first\n"                                                \
	"nocolon.example\n"                                                    \
	"TWICE.example:second\n"                                               \
	"colons.example:a:b  \n"

static void standard_control(void)
{
	clear_control();
	control("me", "here.example\n");
	control("locals", "here.example\nboth.example\n");
	control("percenthack", "hack.example\n");
	control("virtualdomains", VIRTUALDOMAINS);
}

static void test_addresses_go_where_qmail_sends_them(void **state)
{
	struct rewrite rewrite = { 0 };

	(void)state;
	standard_control();
	load(&rewrite);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(&rewrite, &cases[i]);
	rewrite_free(&rewrite);
}

static void test_empty_name_catches_the_rest(void **state)
{
	static const struct rewrite_case caught[] = {
		{ "any", "joe@any.example", L, "joe@any.example",
		  "all-joe@any.example" },
		{ "excepted", "joe@not.example", R, "joe@not.example",
		  "joe@not.example" },
		{ "empty domain", "joe@", L, "joe@", "all-joe@" },
	};
	struct rewrite rewrite = { 0 };

	(void)state;
	standard_control();
	control("virtualdomains", ":all\nnot.example:\n");
	load(&rewrite);
	for (size_t i = 0; i < COUNT_OF(caught); i++)
		check(&rewrite, &caught[i]);
	rewrite_free(&rewrite);
}

static void test_me_stands_for_what_is_absent(void **state)
{
	static const struct rewrite_case c = { "me", "joe", L,
					       "joe@here.example",
					       "joe@here.example" };
	static const struct rewrite_case e = { "empty locals", "joe", R,
					       "joe@other.example",
					       "joe@other.example" };
	struct rewrite rewrite = { 0 };

	(void)state;
	clear_control();
	control("me", "here.example\n");
	load(&rewrite);
	check(&rewrite, &c);
	rewrite_free(&rewrite);

	control("locals", "");
	control("envnoathost", "other.example\n");
	load(&rewrite);
	check(&rewrite, &e);
	rewrite_free(&rewrite);
}

static void test_without_locals_and_me_nothing_is_guessed(void **state)
{
	struct rewrite rewrite = { 0 };
	const char *file = NULL;

	(void)state;
	clear_control();
	assert_int_equal(rewrite_load(&rewrite, home, &file), -1);
	assert_string_equal(file, "locals");
	assert_int_equal(errno, ENOENT);
	rewrite_free(&rewrite);
}

static void test_failed_reload_keeps_the_old_lists(void **state)
{
	static const struct rewrite_case old = {
		"old", "joe@virt.example", L, "joe@virt.example",
		"virt-owner-joe@virt.example"
	};
	static const struct rewrite_case new = { "new", "joe@virt.example", R,
						 "joe@virt.example",
						 "joe@virt.example" };
	struct rewrite rewrite = { 0 };
	const char *file = NULL;

	(void)state;
	standard_control();
	load(&rewrite);
	clear_control();
	control("me", "here.example\n");
	assert_int_equal(mkdirat(home, "control/virtualdomains", 0755), 0);
	assert_int_equal(rewrite_reload(&rewrite, home, &file), -1);
	assert_string_equal(file, "virtualdomains");
	check(&rewrite, &old);

	clear_control();
	control("me", "here.example\n");
	assert_int_equal(rewrite_reload(&rewrite, home, &file), 0);
	check(&rewrite, &new);
	rewrite_free(&rewrite);
}

static void test_hundred_thousand_domains_are_found(void **state)
{
	struct rewrite rewrite = { 0 };
	struct str text = { 0 };
	struct str plain = { 0 };
	struct str target = { 0 };

	(void)state;
	standard_control();
	for (int i = 0; i < 100000; i++)
		str_appendf(&text, "d%d.example:u%d\n", i, i);
	control("virtualdomains", str_c(&text));
	load(&rewrite);
	for (int i = 0; i < 100000; i++) {
		str_reset(&text);
		str_appendf(&text, "joe@D%d.example", i);
		assert_int_equal(rewrite_address(&rewrite, str_view(&text),
						 &plain, &target),
				 REWRITE_LOCAL);
	}
	assert_string_equal(str_c(&target), "u99999-joe@D99999.example");
	str_free(&text);
	str_free(&plain);
	str_free(&target);
	rewrite_free(&rewrite);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_go_where_qmail_sends_them),
		cmocka_unit_test(test_empty_name_catches_the_rest),
		cmocka_unit_test(test_me_stands_for_what_is_absent),
		cmocka_unit_test(test_without_locals_and_me_nothing_is_guessed),
		cmocka_unit_test(test_failed_reload_keeps_the_old_lists),
		cmocka_unit_test(test_hundred_thousand_domains_are_found),
	};

	return cmocka_run_group_tests(tests, make_home, remove_home);
}
