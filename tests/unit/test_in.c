#include "lib/in.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "lib/clock.h"
#include "tests/unit/unit.h"

/* A source that gives out `text`, `step` bytes a read, then `last`. */
struct source {
	struct in in; /* first: read() finds the source by it */
	char space[8];
	struct view text;
	size_t step;
	int last_errno; /* 0: end of file */
	int waits;
};

static ssize_t source_read(struct in *in, void *to, size_t size)
{
	struct source *s = (struct source *)in;
	struct view piece = view_first(s->text, s->step);

	piece = view_first(piece, size);
	if (piece.len == 0 && s->last_errno) {
		errno = s->last_errno;
		return -1;
	}
	if (piece.len)
		memcpy(to, piece.p, piece.len);
	s->text = view_from(s->text, piece.len);
	return (ssize_t)piece.len;
}

static void source_init(struct source *s, struct view text, size_t step)
{
	*s = (struct source){ .text = text, .step = step };
	in_init(&s->in, -1, s->space, sizeof(s->space), -1);
	s->in.read = source_read;
}

static const char *const result_names[] = {
	[IN_OK] = "ok",           [IN_TOO_LONG] = "long", [IN_EOF] = "eof",
	[IN_TIMEOUT] = "timeout", [IN_ERROR] = "error",
};

/* All lines as `result[line]`, up to the first that ends reading. */
static void transcript(struct source *s, bool raw, size_t max, struct str *got)
{
	struct str line = { 0 };
	enum in_result result;

	str_reset(got);
	do {
		result = raw ? in_line_raw(&s->in, &line, max)
			     : in_line(&s->in, &line, max);
		str_appendf(got, "%s[", result_names[result]);
		str_append(got, str_view(&line));
		str_append_byte(got, ']');
	} while (result == IN_OK || result == IN_TOO_LONG);
	str_free(&line);
}

static void test_lines_come_whole_however_the_bytes_arrive(void **state)
{
	static const struct {
		const char *label;
		struct view text;
		bool raw;
		size_t max;
		const char *want;
	} cases[] = {
		{ "crlf and lf",
		  { "a\r\nb\n", 5 },
		  false,
		  9,
		  "ok[a]ok[b]eof[]" },
		{ "raw keeps CR",
		  { "a\r\n\n", 4 },
		  true,
		  9,
		  "ok[a\r]ok[]eof[]" },
		{ "only the last CR goes",
		  { "a\r\r\n", 4 },
		  false,
		  9,
		  "ok[a\r]eof[]" },
		{ "CR inside stays",
		  { "a\rb\n", 4 },
		  false,
		  9,
		  "ok[a\rb]eof[]" },
		{ "nothing", { "", 0 }, false, 9, "eof[]" },
		{ "unfinished", { "a\nbc", 4 }, false, 9, "ok[a]eof[bc]" },
		{ "exactly max",
		  { "abc\r\nd\n", 7 },
		  false,
		  3,
		  "ok[abc]ok[d]eof[]" },
		{ "one over",
		  { "abcd\r\nd\n", 8 },
		  false,
		  3,
		  "long[]ok[d]eof[]" },
		{ "one over with LF",
		  { "abcd\nd\n", 7 },
		  false,
		  3,
		  "long[]ok[d]eof[]" },
		{ "far over",
		  { "abcdefghijklmnopqrstuvwxyz\nd\n", 29 },
		  false,
		  3,
		  "long[]ok[d]eof[]" },
		{ "over and unfinished",
		  { "abcdefghijklmnopqrs", 19 },
		  false,
		  3,
		  "eof[]" },
		{ "max 0",
		  { "\n\r\na\n", 5 },
		  false,
		  0,
		  "ok[]ok[]long[]eof[]" },
		{ "no limit",
		  { "abcdefghijklmnop\n", 17 },
		  false,
		  SIZE_MAX,
		  "ok[abcdefghijklmnop]eof[]" },
		{ "no limit, raw",
		  { "abcdefghijklmnop\n", 17 },
		  true,
		  SIZE_MAX,
		  "ok[abcdefghijklmnop]eof[]" },
	};
	struct str got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		for (size_t step = 1; step < 10; step++) {
			struct source s;

			source_init(&s, cases[i].text, step);
			transcript(&s, cases[i].raw, cases[i].max, &got);
			if (!view_eq(str_view(&got), view_of(cases[i].want)))
				print_error("case: %s\n", cases[i].label);
			assert_str(&got, cases[i].want);
		}
	}
	str_free(&got);
}

static void test_nuls_are_bytes_like_others(void **state)
{
	struct str line = { 0 };
	struct source s;

	(void)state;
	source_init(&s, VIEW("a\0b\n"), 9);
	assert_int_equal(in_line(&s.in, &line, 9), IN_OK);
	assert_int_equal(line.len, 3);
	assert_memory_equal(line.p, "a\0b", 3);
	str_free(&line);
}

static void test_a_failed_read_empties_the_line(void **state)
{
	struct str got = { 0 };
	struct source s;

	(void)state;
	source_init(&s, VIEW("a\nbc"), 9);
	s.last_errno = EIO;
	transcript(&s, false, 9, &got);
	assert_str(&got, "ok[a]error[]");
	source_init(&s, VIEW("a\nbc"), 9);
	s.last_errno = ETIMEDOUT;
	transcript(&s, false, 9, &got);
	assert_str(&got, "ok[a]timeout[]");
	str_free(&got);
}

static void count_wait(void *arg)
{
	((struct source *)arg)->waits++;
}

static void test_chunks_and_exact_pieces_share_the_buffer(void **state)
{
	struct view chunk;
	struct source s;
	char bytes[6];

	(void)state;
	source_init(&s, VIEW("abcdefghij"), 4);
	s.in.before_wait = count_wait;
	s.in.before_wait_arg = &s;
	assert_int_equal(in_chunk(&s.in, &chunk), IN_OK);
	assert_view(chunk, "abcd");
	in_consume(&s.in, 1);
	assert_int_equal(in_buffered(&s.in), 3);
	assert_int_equal(s.waits, 1);
	assert_int_equal(in_exact(&s.in, bytes, 6), IN_OK);
	assert_memory_equal(bytes, "bcdefg", 6);
	assert_int_equal(s.waits, 2);
	assert_int_equal(in_exact(&s.in, bytes, 0), IN_OK);
	assert_int_equal(in_exact(&s.in, bytes, 4), IN_EOF);
	assert_int_equal(in_chunk(&s.in, &chunk), IN_EOF);
	assert_int_equal(chunk.len, 0);
}

static void pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
}

static void test_silence_ends_in_a_timeout(void **state)
{
	struct str line = { 0 };
	char space[16];
	struct in in;
	int fds[2];

	(void)state;
	pair(fds);
	in_init(&in, fds[0], space, sizeof(space), 20);
	assert_int_equal(write(fds[1], "half", 4), 4);
	assert_int_equal(in_line(&in, &line, 100), IN_TIMEOUT);
	assert_int_equal(line.len, 0);
	in_init(&in, fds[0], space, sizeof(space), -1);
	in.deadline_ms = clock_mono_ms() + 20;
	assert_int_equal(in_line(&in, &line, 100), IN_TIMEOUT);
	close(fds[0]);
	close(fds[1]);
	str_free(&line);
}

static void test_behind_the_deadline_ready_bytes_do_not_count(void **state)
{
	char space[16];
	struct view chunk;
	struct in in;
	int fds[2];

	(void)state;
	pair(fds);
	assert_int_equal(write(fds[1], "a", 1), 1);
	in_init(&in, fds[0], space, sizeof(space), 1000);
	in.deadline_ms = clock_mono_ms() - 1;
	assert_int_equal(in_chunk(&in, &chunk), IN_TIMEOUT);
	in.deadline_ms = 0;
	assert_int_equal(in_chunk(&in, &chunk), IN_OK);
	close(fds[0]);
	close(fds[1]);
}

/* Without limits a non-blocking descriptor once was asked without a pause. */
static void test_a_nonblocking_descriptor_is_waited_for(void **state)
{
	char space[16];
	struct view chunk;
	struct in in;
	int fds[2];
	int status;
	pid_t pid;

	(void)state;
	pair(fds);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		poll(NULL, 0, 50);
		_exit(write(fds[1], "x", 1) == 1 ? 0 : 1);
	}
	close(fds[1]);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	in_init(&in, fds[0], space, sizeof(space), -1);
	assert_int_equal(in_chunk(&in, &chunk), IN_OK);
	assert_view(chunk, "x");
	in_consume(&in, 1);
	assert_int_equal(in_chunk(&in, &chunk), IN_EOF);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(fds[0]);
	in_init(&in, -1, space, sizeof(space), 10);
	assert_int_equal(in_chunk(&in, &chunk), IN_TIMEOUT);
	in_init(&in, fds[0], space, sizeof(space), 10);
	assert_int_equal(in_chunk(&in, &chunk), IN_ERROR);
	assert_int_equal(errno, EBADF);
}

static int64_t kernel_limit_s(int fd)
{
	struct timeval limit;
	socklen_t size = sizeof(limit);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &size),
			 0);
	return limit.tv_sec;
}

static void test_only_a_socket_of_ours_gets_a_limit_of_its_own(void **state)
{
	char space[16];
	struct view chunk;
	struct in in;
	int fds[2];

	(void)state;
	for (int ours = 0; ours < 2; ours++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		in_init(&in, fds[0], space, sizeof(space), 60000);
		in.is_ours = ours;
		assert_int_equal(write(fds[1], "x", 1), 1);
		assert_int_equal(in_chunk(&in, &chunk), IN_OK);
		assert_view(chunk, "x");
		in_consume(&in, 1);
		assert_int_equal(kernel_limit_s(fds[0]) != 0, ours);
		/* The limits of `in` hold all the same. */
		in.timeout_ms = 30;
		assert_int_equal(in_chunk(&in, &chunk), IN_TIMEOUT);
		in.timeout_ms = 60000;
		in.deadline_ms = clock_mono_ms() + 30;
		assert_int_equal(in_chunk(&in, &chunk), IN_TIMEOUT);
		in.deadline_ms = 0;
		close(fds[1]);
		assert_int_equal(in_chunk(&in, &chunk), IN_EOF);
		close(fds[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_lines_come_whole_however_the_bytes_arrive),
		cmocka_unit_test(test_nuls_are_bytes_like_others),
		cmocka_unit_test(test_a_failed_read_empties_the_line),
		cmocka_unit_test(test_chunks_and_exact_pieces_share_the_buffer),
		cmocka_unit_test(test_silence_ends_in_a_timeout),
		cmocka_unit_test(
			test_behind_the_deadline_ready_bytes_do_not_count),
		cmocka_unit_test(test_a_nonblocking_descriptor_is_waited_for),
		cmocka_unit_test(
			test_only_a_socket_of_ours_gets_a_limit_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
