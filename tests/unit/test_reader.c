#include "tests/unit/unit.h"

#include "tools/inject/reader.h"

/* Read text, given in pieces of at most `step` bytes, through a pipe. */
static void read_all(struct view text, size_t step, struct str *header,
		     struct str *body)
{
	struct reader *r = calloc(1, sizeof(*r));
	struct str piece = { 0 };
	int ends[2];
	pid_t pid;

	assert_non_null(r);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		while (text.len) {
			struct view part = view_first(text, step);

			if (write(ends[1], part.p, part.len) !=
			    (ssize_t)part.len)
				_exit(1);
			text = view_from(text, part.len);
			usleep(200);
		}
		_exit(0);
	}
	close(ends[1]);
	reader_init(r, ends[0]);
	assert_int_equal(reader_header(r, header), READER_OK);
	while (reader_body(r, &piece) == READER_OK)
		str_append(body, str_view(&piece));
	reader_free(r);
	str_free(&piece);
	close(ends[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	free(r);
}

static void test_messages(void **state)
{
	static const struct {
		const char *text;
		const char *header;
		const char *body;
	} cases[] = {
		{ "", "", "" },
		{ "\n", "", "" },
		{ "A: b\n\nbody\n", "A: b\n", "body\n" },
		{ "A: b\n\nbody", "A: b\n", "body\n" },
		{ "A: b\n\nx\n\n", "A: b\n", "x\n\n" },
		{ "A: b", "A: b\n", "" },
		{ "A: b\n c\n\td\n\n", "A: b\n c\n\td\n", "" },
		{ "A: b\nno field\nB: c\n", "A: b\n", "no field\nB: c\n" },
		{ "no field", "", "no field\n" },
		{ " x\nA: b\n", "", " x\nA: b\n" },
		{ "From a b\nA: c\n\n", "MBOX-Line: From a b\nA: c\n", "" },
		{ "A: b\r\n\r\nc\r\nd\re\r\r\n", "A: b\n", "c\nd\re\r\n" },
		{ "A: b\r\nC: d\n\nx\r\n", "A: b\nC: d\n", "x\n" },
		{ "A: b\r\n\r\nx\r", "A: b\n", "x\r\n" },
		{ "A: b\n\nx\r\n", "A: b\n", "x\r\n" },
		{ "A: b\nC: d\r\n\n", "A: b\nC: d\r\n", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t step = 1; step < 200; step += 99) {
			struct str header = { 0 };
			struct str body = { 0 };

			read_all(view_of(cases[i].text), step, &header, &body);
			assert_str(&header, cases[i].header);
			assert_str(&body, cases[i].body);
			str_free(&header);
			str_free(&body);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
