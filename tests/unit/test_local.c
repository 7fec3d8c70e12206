#include "tests/unit/unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "local/envelope.h"
#include "local/maildrop.h"
#include "local/mbox.h"
#include "local/program.h"
#include "local/vline.h"

static void test_from_lines_are_quoted(void **state)
{
	static const struct {
		const char *message;
		const char *want;
	} cases[] = {
		{ "", "\n" },
		{ "a\n", "a\n\n" },
		{ "a", "a\n\n" },
		{ "From x\n", ">From x\n\n" },
		{ "From", "From\n\n" },
		{ "From ", ">From \n\n" },
		{ ">From x\n", ">>From x\n\n" },
		{ ">>>From x\n", ">>>>From x\n\n" },
		{ ">", ">\n\n" },
		{ ">>Fro", ">>Fro\n\n" },
		{ "FFrom x\n", "FFrom x\n\n" },
		{ "FroFrom \n", "FroFrom \n\n" },
		{ " From x\nFrom\tx\nfrom x\n",
		  " From x\nFrom\tx\nfrom x\n\n" },
		{ "> From x\n", "> From x\n\n" },
		{ "a\nFrom b\n\nFrom c", "a\n>From b\n\n>From c\n\n" },
		{ "Fro\nFrom \n", "Fro\n>From \n\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t piece = 1; piece < 8; piece++) {
			struct view rest = view_of(cases[i].message);
			struct mbox_quoter quoter = { 0 };
			struct str got = { 0 };

			for (; rest.len; rest = view_from(rest, piece))
				mbox_quote(&quoter, view_first(rest, piece),
					   &got);
			mbox_quote_end(&quoter, &got);
			assert_string_equal(str_c(&got), cases[i].want);
			str_free(&got);
		}
}

static void test_name_is_made_of_the_job(void **state)
{
	struct str recipients = { 0 };
	struct str name = { 0 };
	struct job job = {
		.queue = VIEW("00112233445566778899aabbccddeeff"),
		.id = 1700000000123456,
	};

	(void)state;
	job_add_recipient(&recipients, 12, VIEW("a@b"));
	job.recipients = str_view(&recipients);
	maildrop_name(&name, &job, 1, VIEW("host"));
	assert_string_equal(str_c(&name), "1700000000.Q0011223344556677"
					  "I1700000000123456R12.host");
	maildrop_name(&name, &job, 3, VIEW("h/:"));
	assert_string_equal(str_c(&name), "1700000000.Q0011223344556677"
					  "I1700000000123456R12L3.h\\057\\072");
	str_free(&name);
	str_free(&recipients);
}

static void test_name_without_a_queue_is_unique(void **state)
{
	static const char *const queues[] = { "", "0011", "../../../../../x",
					      "zzzzzzzzzzzzzzzzzzzzzzzzzzz" };
	struct str one = { 0 };
	struct str two = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(queues); i++) {
		struct job job = { .queue = view_of(queues[i]) };

		maildrop_name(&one, &job, 1, VIEW("host"));
		maildrop_name(&two, &job, 1, VIEW("host"));
		assert_false(view_eq(str_view(&one), str_view(&two)));
		assert_false(view_has(str_view(&one), '/'));
	}
	str_free(&one);
	str_free(&two);
}

static void test_lines_of_the_envelope(void **state)
{
	struct envelope envelope = { 0 };
	struct job job = {
		.sender = VIEW("a b\n@x"),
		.local = VIEW("u\nv"),
		.domain = VIEW("h"),
	};

	(void)state;
	envelope_format(&envelope, &job, 0);
	assert_string_equal(str_c(&envelope.dtline), "Delivered-To: u_v@h\n");
	assert_string_equal(str_c(&envelope.rpline),
			    "Return-Path: <\"a b?\"@x>\n");
	assert_string_equal(str_c(&envelope.ufline),
			    "From a-b-@x Thu Jan  1 00:00:00 1970\n");
	job.sender = VIEW("");
	envelope_format(&envelope, &job, 0);
	assert_string_equal(str_c(&envelope.rpline), "Return-Path: <>\n");
	assert_string_equal(str_c(&envelope.ufline),
			    "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n");
	envelope_free(&envelope);
}

static void test_no_variable_is_a_shell_function(void **state)
{
	struct envelope envelope = { 0 };
	struct job job = {
		.sender = VIEW("() { :;}; x"),
		.user = VIEW("()"),
		.home = VIEW("/h"),
		.local = VIEW("() {"),
		.ext = VIEW("a-() {"),
		.domain = VIEW("().b"),
	};

	(void)state;
	envelope_format(&envelope, &job, 0);
	envelope_export(&envelope, &job);
	assert_string_equal(getenv("SENDER"), "_) { :;}; x");
	assert_string_equal(getenv("USER"), "_)");
	assert_string_equal(getenv("LOCAL"), "_) {");
	assert_string_equal(getenv("EXT"), "a-() {");
	assert_string_equal(getenv("EXT2"), "_) {");
	assert_string_equal(getenv("EXT3"), "");
	assert_string_equal(getenv("HOST"), "_).b");
	assert_string_equal(getenv("HOST2"), "_)");
	assert_null(getenv("DEFAULT"));
	envelope_free(&envelope);
}

static void test_environment_is_as_before_afterwards(void **state)
{
	struct environment env = { 0 };
	char name[16];
	char **before;

	(void)state;
	assert_int_equal(setenv("OUTER", "outer", 1), 0);
	assert_int_equal(setenv("OUTER2", "outer 2", 1), 0);
	before = environ;
	for (int round = 0; round < 3; round++) {
		environment_begin(&env);
		assert_string_equal(getenv("OUTER"), "outer");
		environment_set(&env, "OUTER", VIEW("inner"));
		environment_set(&env, "NEW", VIEW(""));
		environment_set(&env, "NEW", VIEW("value"));
		environment_unset(&env, "OUTER2");
		environment_unset(&env, "NONE");
		assert_string_equal(getenv("OUTER"), "inner");
		assert_string_equal(getenv("NEW"), "value");
		assert_null(getenv("OUTER2"));
		for (int i = 0; i < 200; i++) {
			snprintf(name, sizeof(name), "N%d", i);
			environment_set(&env, name, VIEW("x"));
		}
		assert_string_equal(getenv("N0"), "x");
		assert_string_equal(getenv("N199"), "x");
		environment_end(&env);
		assert_ptr_equal(environ, before);
		assert_string_equal(getenv("OUTER"), "outer");
		assert_string_equal(getenv("OUTER2"), "outer 2");
		assert_null(getenv("NEW"));
	}
}

static void test_only_plain_words_are_no_business_of_a_shell(void **state)
{
	static const struct {
		const char *line;
		const char *path;
		const char *instruction;
	} cases[] = {
		{ " /v/bin/vdelivermail '' bounce-no-mailbox",
		  "/v/bin/vdelivermail", "bounce-no-mailbox" },
		{ "/v ''\t joe+x@a.b \t", "/v", "joe+x@a.b" },
		{ "/v '' /home/x/", "/v", "/home/x/" },
		{ "v '' delete", NULL, NULL },
		{ "./v '' delete", NULL, NULL },
		{ "/v \"\" delete", NULL, NULL },
		{ "/v delete", NULL, NULL },
		{ "/v ''", NULL, NULL },
		{ "/v '' delete more", NULL, NULL },
		{ "/v '' delete; true", NULL, NULL },
		{ "/v '' $EXT", NULL, NULL },
		{ "/v '' ~joe", NULL, NULL },
		{ "/v '' 'delete'", NULL, NULL },
		{ "/v '' a\\b", NULL, NULL },
		{ "/v '' a*", NULL, NULL },
		{ "/v '' #c", NULL, NULL },
		{ "/v '' x>y", NULL, NULL },
		{ "/v '' x 2>&1", NULL, NULL },
		{ "/v '' {a,b}", NULL, NULL },
		{ "/v '' \303\261", NULL, NULL },
		{ "A=b /v '' x", NULL, NULL },
		{ "/v=1 '' x", NULL, NULL },
		{ "/v '' x\rx", NULL, NULL },
		{ "exec /v '' x", NULL, NULL },
		{ "", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct view path;
		struct view instruction;
		bool is_one = vline_parse(view_of(cases[i].line), &path,
					  &instruction);

		assert_int_equal(is_one, cases[i].path != NULL);
		if (!is_one)
			continue;
		assert_true(view_eq(path, view_of(cases[i].path)));
		assert_true(
			view_eq(instruction, view_of(cases[i].instruction)));
	}
}

static void test_exit_codes_mean_what_qmail_says(void **state)
{
	static const int hard[] = { 64, 65, 70, 76, 77, 78, 100, 112 };
	struct verdict v = { 0 };

	(void)state;
	for (int code = -1; code < 256; code++) {
		enum program_result result = program_code(&v, code);
		bool is_hard = false;

		for (size_t i = 0; i < COUNT_OF(hard); i++)
			is_hard = is_hard || code == hard[i];
		if (code == 0)
			assert_int_equal(result, PROGRAM_DONE);
		else if (code == 99)
			assert_int_equal(result, PROGRAM_DONE_STOP);
		else
			assert_int_equal(result, PROGRAM_ENDED);
		if (result == PROGRAM_ENDED)
			assert_int_equal(v.outcome,
					 is_hard ? JOB_FAILED : JOB_DEFERRED);
	}
	str_free(&v.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_lines_are_quoted),
		cmocka_unit_test(test_name_is_made_of_the_job),
		cmocka_unit_test(test_name_without_a_queue_is_unique),
		cmocka_unit_test(test_lines_of_the_envelope),
		cmocka_unit_test(test_no_variable_is_a_shell_function),
		cmocka_unit_test(test_environment_is_as_before_afterwards),
		cmocka_unit_test(
			test_only_plain_words_are_no_business_of_a_shell),
		cmocka_unit_test(test_exit_codes_mean_what_qmail_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
