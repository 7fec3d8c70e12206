#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/job.h"
#include "lib/out.h"
#include "lib/packet.h"
#include "lib/record.h"

#define assert_view(v, literal)                                                \
	do {                                                                   \
		struct view got_ = (v);                                        \
		assert_true(view_eq(got_, VIEW(literal)));                     \
	} while (0)

static struct job sample(struct str *recipients)
{
	job_add_recipient(recipients, 3, VIEW("a@example.org"));
	job_add_recipient(recipients, 7, VIEW("b@example.org"));
	return (struct job){
		.number = 42,
		.queue = VIEW("0123456789abcdef0123456789abcdef"),
		.id = UINT64_C(1700000000123456),
		.sender = VIEW("s@example.net"),
		.host = VIEW("example.org"),
		.body = VIEW("8BITMIME"),
		.smtputf8 = true,
		.size = 6,
		.message = VIEW("hello\n"),
		.fd = -1,
		.recipients = str_view(recipients),
	};
}

static void test_job_comes_back_as_it_was(void **state)
{
	struct str recipients = { 0 };
	struct str packet = { 0 };
	struct job job = sample(&recipients);
	struct job_recipient rcpt;
	struct job got;
	struct view rest;

	(void)state;
	job_format(&packet, &job);
	assert_int_equal(job_parse(str_view(&packet), -1, &got), 0);
	assert_int_equal(got.number, 42);
	assert_int_equal(got.id, UINT64_C(1700000000123456));
	assert_view(got.queue, "0123456789abcdef0123456789abcdef");
	assert_view(got.sender, "s@example.net");
	assert_view(got.host, "example.org");
	assert_view(got.body, "8BITMIME");
	assert_true(got.smtputf8);
	assert_view(got.message, "hello\n");
	assert_int_equal(got.fd, -1);
	assert_null(got.user.p);
	rest = got.recipients;
	assert_true(job_next(&rest, &rcpt));
	assert_int_equal(rcpt.number, 3);
	assert_view(rcpt.address, "a@example.org");
	assert_true(job_next(&rest, &rcpt));
	assert_int_equal(rcpt.number, 7);
	assert_view(rcpt.address, "b@example.org");
	assert_false(job_next(&rest, &rcpt));
	str_free(&recipients);
	str_free(&packet);
}

static void test_local_fields_travel_even_when_empty(void **state)
{
	struct str recipients = { 0 };
	struct str packet = { 0 };
	struct job job = sample(&recipients);
	struct job got;

	(void)state;
	job.sender = VIEW("");
	job.user = VIEW("joe");
	job.home = VIEW("/home/joe");
	job.local = VIEW("joe-list");
	job.dash = VIEW("");
	job.ext = VIEW("list");
	job.domain = VIEW("example.org");
	job.default_delivery = VIEW("./Maildir/");
	job_format(&packet, &job);
	assert_int_equal(job_parse(str_view(&packet), -1, &got), 0);
	assert_view(got.sender, "");
	assert_view(got.user, "joe");
	assert_view(got.home, "/home/joe");
	assert_view(got.local, "joe-list");
	assert_non_null(got.dash.p);
	assert_int_equal(got.dash.len, 0);
	assert_view(got.ext, "list");
	assert_view(got.domain, "example.org");
	assert_view(got.default_delivery, "./Maildir/");
	str_free(&recipients);
	str_free(&packet);
}

static void test_unknown_records_are_skipped(void **state)
{
	struct str recipients = { 0 };
	struct str packet = { 0 };
	struct job job;
	struct job got;
	struct view rest;
	struct job_recipient rcpt;

	(void)state;
	job_add_recipient(&recipients, 0, VIEW("a"));
	record_append(&recipients, 9999, VIEW("from the future"));
	job = sample(&recipients);
	job_format(&packet, &job);
	record_append(&packet, 12345, VIEW("x"));
	assert_int_equal(job_parse(str_view(&packet), -1, &got), 0);
	rest = got.recipients;
	for (int i = 0; i < 3; i++)
		assert_true(job_next(&rest, &rcpt));
	assert_view(rcpt.address, "b@example.org");
	assert_false(job_next(&rest, &rcpt));
	str_free(&recipients);
	str_free(&packet);
}

static void test_jobs_that_are_none_are_refused(void **state)
{
	struct str recipients = { 0 };
	struct str packet = { 0 };
	struct job job = sample(&recipients);
	struct job got;

	(void)state;
	job_format(&packet, &job);
	/* Each prefix lacks something. */
	for (size_t len = 0; len < packet.len; len++)
		assert_int_equal(
			job_parse(view_first(str_view(&packet), len), -1, &got),
			-1);
	/* Both inline and in a descriptor. */
	assert_int_equal(job_parse(str_view(&packet), 5, &got), -1);

	job.size = 7;
	job_format(&packet, &job);
	assert_int_equal(job_parse(str_view(&packet), -1, &got), -1);

	job.size = 6;
	job.recipients = VIEW("");
	job_format(&packet, &job);
	assert_int_equal(job_parse(str_view(&packet), -1, &got), -1);

	str_reset(&packet);
	record_append(&packet, 1, VIEW("valija-job 2"));
	assert_int_equal(job_parse(str_view(&packet), -1, &got), -1);
	str_free(&recipients);
	str_free(&packet);
}

static void test_result_comes_back_as_it_was(void **state)
{
	struct str packet = { 0 };
	struct job_result result;
	struct job_report report;
	struct view rest;
	char longtext[3000];

	(void)state;
	memset(longtext, 'x', sizeof(longtext));
	job_result_begin(&packet, 9);
	job_result_add(&packet, 1, JOB_DELIVERED, VIEW("did 1+0+0\n"));
	job_result_add(&packet, 2, JOB_FAILED,
		       view_make(longtext, sizeof(longtext)));
	job_result_add(&packet, 3, (enum job_outcome)'?', VIEW(""));
	assert_int_equal(job_result_parse(str_view(&packet), &result), 0);
	assert_int_equal(result.number, 9);
	assert_false(result.stays || result.hop_failed);
	rest = result.outcomes;
	assert_true(job_next_outcome(&rest, &report));
	assert_int_equal(report.recipient, 1);
	assert_int_equal(report.outcome, JOB_DELIVERED);
	assert_view(report.text, "did 1+0+0\n");
	assert_true(job_next_outcome(&rest, &report));
	assert_int_equal(report.outcome, JOB_FAILED);
	assert_int_equal(report.text.len, JOB_TEXT_MAX);
	assert_true(job_next_outcome(&rest, &report));
	assert_int_equal(report.outcome, JOB_DEFERRED);
	assert_false(job_next_outcome(&rest, &report));
	for (size_t len = 0; len < 40; len++)
		assert_int_equal(
			job_result_parse(view_first(str_view(&packet), len),
					 &result),
			-1);
	str_free(&packet);
}

static void test_result_says_more_than_outcomes(void **state)
{
	struct str packet = { 0 };
	struct job_result result;

	(void)state;
	job_result_begin(&packet, 9);
	job_result_add(&packet, 1, JOB_DEFERRED, VIEW("no\n"));
	job_result_hop_failed(&packet);
	assert_int_equal(job_result_parse(str_view(&packet), &result), 0);
	assert_true(result.hop_failed && !result.stays);
	job_result_stays(&packet);
	assert_int_equal(job_result_parse(str_view(&packet), &result), 0);
	assert_true(result.hop_failed && result.stays);
	str_free(&packet);
}

static void test_result_without_outcomes_is_one(void **state)
{
	struct str packet = { 0 };
	struct job_result result;
	struct job_report report;

	(void)state;
	job_result_begin(&packet, 9);
	assert_int_equal(job_result_parse(str_view(&packet), &result), 0);
	assert_false(job_next_outcome(&result.outcomes, &report));
	str_free(&packet);
}

static void test_hello_says_the_capacity(void **state)
{
	struct str packet = { 0 };
	uint64_t capacity = 0;

	(void)state;
	job_hello_format(&packet, 120);
	assert_int_equal(job_hello_parse(str_view(&packet), &capacity), 0);
	assert_int_equal(capacity, 120);
	assert_int_equal(job_hello_parse(VIEW("hello"), &capacity), -1);
	str_free(&packet);
}

/* A memfd with these bytes, not sealed: stands for a queue file. */
static int file_with(struct view bytes)
{
	int fd = memfd_create("file", 0);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write_all(fd, bytes), 0);
	return fd;
}

static void test_memfd_holds_the_message_alone_and_is_sealed(void **state)
{
	int file = file_with(VIEW("hello\nenvelope"));
	int fd = job_memfd(file, 0, 6);
	char space[32];

	(void)state;
	assert_int_not_equal(fd, -1);
	assert_int_equal(pread(fd, space, sizeof(space), 0), 6);
	assert_memory_equal(space, "hello\n", 6);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(fcntl(fd, F_GET_SEALS) &
				 (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW),
			 F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
	close(fd);
	assert_int_equal(job_memfd(file, 0, 1000), -1);
	assert_int_equal(errno, EIO);
	close(file);
}

static void check_open(const struct job *job)
{
	char space[32];
	int one = job_message_open(job);
	int two = job_message_open(job);

	assert_int_not_equal(one, -1);
	assert_int_not_equal(two, -1);
	assert_int_equal(read(one, space, 3), 3);
	/* The other's offset did not move. */
	assert_int_equal(read(two, space, sizeof(space)), 6);
	assert_memory_equal(space, "hello\n", 6);
	assert_int_equal(write(one, "x", 1), -1);
	assert_int_equal(job_message_read(job, space, 2, 4), 2);
	assert_memory_equal(space, "o\n", 2);
	assert_int_equal(job_message_read(job, space, sizeof(space), 6), 0);
	assert_int_equal(job_message_read(job, space, sizeof(space), 99), 0);
	close(one);
	close(two);
}

static void test_programs_get_an_offset_of_their_own(void **state)
{
	struct job job = { .size = 6, .fd = -1, .message = VIEW("hello\n") };
	int file = file_with(VIEW("hello\nenvelope"));

	(void)state;
	check_open(&job);
	job.message = (struct view){ 0 };
	job.fd = job_memfd(file, 0, 6);
	check_open(&job);
	close(job.fd);
	close(file);
}

static void test_big_message_travels_beside_the_packet(void **state)
{
	struct str recipients = { 0 };
	struct str packet = { 0 };
	struct job job = sample(&recipients);
	int file = file_with(VIEW("hello\nenvelope"));
	struct job got;
	int socks[2];
	int fd;

	(void)state;
	job.fd = job_memfd(file, 0, 6);
	job_format(&packet, &job);
	assert_int_equal(packet_pair(socks), 0);
	assert_int_equal(packet_send(socks[0], str_view(&packet), job.fd),
			 PACKET_OK);
	assert_int_equal(packet_receive(socks[1], &packet, &fd), PACKET_OK);
	assert_int_equal(job_parse(str_view(&packet), fd, &got), 0);
	check_open(&got);
	assert_int_equal(job_parse(str_view(&packet), -1, &got), -1);
	close(fd);
	close(job.fd);
	close(file);
	close(socks[0]);
	close(socks[1]);
	str_free(&recipients);
	str_free(&packet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_job_comes_back_as_it_was),
		cmocka_unit_test(test_local_fields_travel_even_when_empty),
		cmocka_unit_test(test_unknown_records_are_skipped),
		cmocka_unit_test(test_jobs_that_are_none_are_refused),
		cmocka_unit_test(test_result_comes_back_as_it_was),
		cmocka_unit_test(test_result_says_more_than_outcomes),
		cmocka_unit_test(test_result_without_outcomes_is_one),
		cmocka_unit_test(test_hello_says_the_capacity),
		cmocka_unit_test(
			test_memfd_holds_the_message_alone_and_is_sealed),
		cmocka_unit_test(test_programs_get_an_offset_of_their_own),
		cmocka_unit_test(test_big_message_travels_beside_the_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
