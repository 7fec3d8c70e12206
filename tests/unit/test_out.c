#include "lib/out.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "lib/clock.h"
#include "tests/unit/unit.h"

/* A sink that takes `step` bytes a write, and fails behind `room`. */
struct sink {
	struct out out; /* first: write() finds the sink by it */
	char space[8];
	struct str taken;
	size_t step;
	size_t room;
	int fail_errno; /* 0: writes return 0 */
	int writes;
};

static ssize_t sink_write(struct out *out, const void *from, size_t size)
{
	struct sink *s = (struct sink *)out;

	s->writes++;
	if (size > s->step)
		size = s->step;
	if (s->taken.len + size > s->room) {
		errno = s->fail_errno;
		return s->fail_errno ? -1 : 0;
	}
	str_append(&s->taken, view_make(from, size));
	return (ssize_t)size;
}

static void sink_init(struct sink *s, size_t step)
{
	*s = (struct sink){ .step = step, .room = 1000 };
	out_init(&s->out, -1, s->space, sizeof(s->space), -1);
	s->out.write = sink_write;
}

static void test_pieces_arrive_in_order_whatever_their_size(void **state)
{
	(void)state;
	for (size_t step = 1; step < 20; step++) {
		struct sink s;

		sink_init(&s, step);
		assert_int_equal(out_put_c(&s.out, "ab"), 0);
		assert_int_equal(out_put(&s.out, VIEW("")), 0);
		assert_int_equal(out_put(&s.out, view_make(NULL, 0)), 0);
		assert_int_equal(s.writes, 0);
		assert_int_equal(out_put_c(&s.out, "0123456789abcdef"), 0);
		assert_int_equal(out_put_c(&s.out, "1234567"), 0);
		assert_int_equal(out_byte(&s.out, '!'), 0);
		assert_int_equal(out_put_c(&s.out, "12345678"), 0);
		assert_int_equal(out_u64(&s.out, UINT64_MAX), 0);
		assert_int_equal(out_u64(&s.out, 0), 0);
		assert_int_equal(out_flush(&s.out), 0);
		assert_int_equal(out_flush(&s.out), 0);
		assert_str(&s.taken, "ab0123456789abcdef1234567!12345678"
				     "184467440737095516150");
		str_free(&s.taken);
	}
}

static void test_the_first_failure_sticks_with_its_errno(void **state)
{
	struct sink s;

	(void)state;
	sink_init(&s, 4);
	s.room = 4;
	s.fail_errno = ENOSPC;
	assert_int_equal(out_put_c(&s.out, "0123456789"), -1);
	assert_int_equal(errno, ENOSPC);
	s.room = 1000;
	s.writes = 0;
	errno = 0;
	assert_int_equal(out_byte(&s.out, 'x'), -1);
	assert_int_equal(errno, ENOSPC);
	errno = 0;
	assert_int_equal(out_flush(&s.out), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(s.writes, 0);
	assert_str(&s.taken, "0123");
	str_free(&s.taken);
}

static void test_a_write_that_takes_nothing_is_a_failure(void **state)
{
	struct sink s;

	(void)state;
	sink_init(&s, 4);
	s.room = 0;
	assert_int_equal(out_put_c(&s.out, "abc"), 0);
	assert_int_equal(out_flush(&s.out), -1);
	assert_int_equal(errno, EIO);
	str_free(&s.taken);
}

/* The descriptor blocks, and is ready for a few bytes, but not for all. */
static void test_a_peer_that_stops_reading_is_a_timeout(void **state)
{
	static char many[4 << 20];
	char space[64];
	struct out out;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	out_init(&out, fds[0], space, sizeof(space), 50);
	assert_int_equal(out_put(&out, view_make(many, sizeof(many))), -1);
	assert_int_equal(errno, ETIMEDOUT);
	close(fds[0]);
	close(fds[1]);

	assert_int_equal(pipe(fds), 0);
	out_init(&out, fds[1], space, sizeof(space), -1);
	out.deadline_ms = clock_mono_ms() + 50;
	assert_int_equal(out_put(&out, view_make(many, sizeof(many))), -1);
	assert_int_equal(errno, ETIMEDOUT);
	close(fds[0]);
	close(fds[1]);
}

static void test_limits_do_not_change_what_a_file_gets(void **state)
{
	static char many[100000];
	struct str got = { 0 };
	struct scratch scratch;
	char space[64];
	struct out out;
	int fd;

	(void)state;
	memset(many, 'x', sizeof(many));
	scratch_open(&scratch);
	fd = openat(scratch.fd, "f", O_WRONLY | O_CREAT, 0600);
	out_init(&out, fd, space, sizeof(space), 1000);
	assert_int_equal(out_put_c(&out, "head"), 0);
	assert_int_equal(out_put(&out, view_make(many, sizeof(many))), 0);
	assert_int_equal(out_flush(&out), 0);
	close(fd);
	scratch_read(&scratch, "f", &got);
	assert_int_equal(got.len, 4 + sizeof(many));
	str_free(&got);
	scratch_close(&scratch);
}

static ssize_t count_bytes(struct out *out, const void *from, size_t size)
{
	(void)from;
	/* The descriptor's place serves as a counter of mebibytes. */
	if (size > 1 << 20)
		size = 1 << 20;
	out->fd++;
	return (ssize_t)size;
}

/* IM1 (CVE-2005-1515): a length that does not fit an int. */
static void test_more_than_an_int_can_count_goes_out_whole(void **state)
{
	size_t size = (size_t)INT32_MAX + 1;
	void *many = mmap(NULL, size, PROT_READ,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char space[64];
	struct out out;

	(void)state;
	if (many == MAP_FAILED)
		skip();
	out_init(&out, 0, space, sizeof(space), -1);
	out.write = count_bytes;
	assert_int_equal(out_put(&out, view_make(many, size)), 0);
	assert_int_equal(out_flush(&out), 0);
	assert_int_equal(out.fd, 2048);
	munmap(many, size);
}

static void test_write_all_reports_a_peer_that_left(void **state)
{
	char byte;
	int fds[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write_all(fds[1], VIEW("x")), 0);
	assert_int_equal(write_all(fds[1], VIEW("")), 0);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	assert_int_equal(write_all(fds[1], VIEW("x")), -1);
	assert_int_equal(errno, EPIPE);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_pieces_arrive_in_order_whatever_their_size),
		cmocka_unit_test(test_the_first_failure_sticks_with_its_errno),
		cmocka_unit_test(test_a_write_that_takes_nothing_is_a_failure),
		cmocka_unit_test(test_a_peer_that_stops_reading_is_a_timeout),
		cmocka_unit_test(test_limits_do_not_change_what_a_file_gets),
		cmocka_unit_test(
			test_more_than_an_int_can_count_goes_out_whole),
		cmocka_unit_test(test_write_all_reports_a_peer_that_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
