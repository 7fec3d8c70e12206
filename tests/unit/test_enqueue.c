#include "lib/enqueue.h"

/* cmocka.h wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/out.h"
#include "lib/qfile.h"
#include "lib/record.h"
#include "tests/unit/enqueuehome.h"

/*
 * Each test has a home of its own. A forked child plays qmail-queued: it
 * takes one connection and keeps what it got in `got`.
 */
static int listener = -1;
static pid_t server = -1;

static int make_listening_home(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (make_home(state) == -1)
		return -1;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", home_path_text,
		 ENQUEUE_SOCKET);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (const struct sockaddr *)&at, sizeof(at)) == -1)
		return -1;
	return listen(listener, 1);
}

static int remove_listening_home(void **state)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	server = -1;
	close(listener);
	return remove_home(state);
}

/* Read from conn into got until `bytes` have come, or end of file. */
static void take(int conn, int got, size_t bytes)
{
	char piece[65536];

	while (bytes) {
		size_t want = bytes < sizeof(piece) ? bytes : sizeof(piece);
		ssize_t n = read(conn, piece, want);

		if (n <= 0)
			return;
		keep(got, view_make(piece, (size_t)n));
		bytes -= (size_t)n;
	}
}

static void answer(int conn, uint64_t type, struct view value)
{
	struct str record = { 0 };

	record_append(&record, type, value);
	keep(conn, str_view(&record));
	str_free(&record);
}

static void answer_u64(int conn, uint64_t type, uint64_t number,
		       struct view text)
{
	struct str value = { 0 };
	char bytes[8];

	le64_write(bytes, number);
	str_append(&value, view_make(bytes, 8));
	str_append(&value, text);
	answer(conn, type, str_view(&value));
	str_free(&value);
}

/* Play a server; `play` gets the connection after HELLO has been read. */
static void serve(void (*play)(int conn, int got))
{
	server = fork();
	if (server == 0) {
		int got =
			openat(home, "got", O_WRONLY | O_CREAT | O_TRUNC, 0600);
		int conn = accept(listener, NULL, NULL);

		take(conn, got, RECORD_HEAD_BYTES + 16);
		play(conn, got);
		_exit(0);
	}
	assert_int_not_equal(server, -1);
}

static void wait_server(void)
{
	int status;

	assert_int_equal(waitpid(server, &status, 0), server);
	assert_int_equal(status, 0);
	server = -1;
}

static void assert_text(struct enqueue *q, const char *want)
{
	assert_string_equal(str_c(&q->text), want);
}

/* Read records up to END, keeping everything. */
static void take_message(int conn, int got)
{
	char head[RECORD_HEAD_BYTES];

	for (;;) {
		size_t have = 0;

		while (have < sizeof(head)) {
			ssize_t n =
				read(conn, head + have, sizeof(head) - have);

			if (n <= 0)
				_exit(3);
			have += (size_t)n;
		}
		keep(got, view_make(head, sizeof(head)));
		take(conn, got, le64_read(head + 8));
		if (le64_read(head) == ENQUEUE_END)
			break;
	}
}

static void play_good(int conn, int got)
{
	answer(conn, ENQUEUE_GO, VIEW(""));
	take_message(conn, got);
	answer_u64(conn, ENQUEUE_DONE_ID, 77, VIEW(""));
}

static void test_records_arrive_in_order(void **state)
{
	struct enqueue q;
	struct str want = { 0 };
	struct str envelope = { 0 };
	struct str got = { 0 };

	(void)state;
	serve(play_good);
	enqueue_open(&q, home);
	enqueue_put(&q, VIEW("Subject: t\n"));
	enqueue_put(&q, VIEW("\nx\n"));
	enqueue_from(&q, VIEW("a@b"));
	enqueue_param(&q, QFILE_BODY, VIEW("8BITMIME"));
	enqueue_to(&q, VIEW("c@d"));
	enqueue_to_param(&q, QFILE_NOTIFY, VIEW("NEVER"));
	enqueue_to(&q, VIEW(""));
	assert_int_equal(enqueue_close(&q), ENQUEUE_DONE);
	assert_int_equal(q.id, 77);
	assert_int_equal(q.pid, getpid());
	assert_text(&q, "");
	enqueue_free(&q);
	wait_server();

	record_append(&envelope, QFILE_SENDER, VIEW("a@b"));
	record_append(&envelope, QFILE_BODY, VIEW("8BITMIME"));
	record_append(&envelope, QFILE_RECIPIENT, VIEW("Wc@d"));
	record_append(&envelope, QFILE_NOTIFY, VIEW("NEVER"));
	record_append(&envelope, QFILE_RECIPIENT, VIEW("W"));
	record_append(&want, ENQUEUE_HELLO, VIEW("valija-enqueue 1"));
	record_append(&want, ENQUEUE_CHUNK, VIEW("Subject: t\n\nx\n"));
	record_append(&want, ENQUEUE_ENVELOPE, str_view(&envelope));
	record_append(&want, ENQUEUE_END, VIEW(""));
	read_got(&got);
	assert_true(view_eq(str_view(&got), str_view(&want)));
	str_free(&want);
	str_free(&envelope);
	str_free(&got);
}

static void append_done_and_go(struct str *to, uint64_t id)
{
	record_append_u64(to, ENQUEUE_DONE_ID, id);
	record_append(to, ENQUEUE_GO, VIEW(""));
}

/* Messages 1 and 2 on the first connection, and 3 on another. */
static void play_kept(int conn, int got)
{
	struct str both = { 0 };

	answer(conn, ENQUEUE_GO, VIEW(""));
	for (uint64_t id = 1; id <= 2; id++) {
		take_message(conn, got);
		take(conn, got, RECORD_HEAD_BYTES + 16); /* HELLO */
		str_reset(&both);
		append_done_and_go(&both, id);
		keep(conn, str_view(&both));
	}
	close(conn);
	conn = accept(listener, NULL, NULL);
	take(conn, got, RECORD_HEAD_BYTES + 16);
	answer(conn, ENQUEUE_GO, VIEW(""));
	take_message(conn, got);
	answer_u64(conn, ENQUEUE_DONE_ID, 3, VIEW(""));
	str_free(&both);
}

/* A small message, from its first byte on. */
static enum enqueue_result finish_one(struct enqueue *q)
{
	enqueue_put(q, VIEW("x\n"));
	enqueue_from(q, VIEW("a@b"));
	enqueue_to(q, VIEW("c@d"));
	return enqueue_close(q);
}

static uint64_t send_one(struct enqueue_link *link)
{
	struct enqueue q;
	uint64_t id;

	enqueue_open_by(&q, home, NULL, link);
	assert_int_equal(q.code, 0);
	assert_int_equal(finish_one(&q), ENQUEUE_DONE);
	id = q.id;
	enqueue_free(&q);
	return id;
}

static void test_a_connection_is_kept(void **state)
{
	struct enqueue_link link = { .sock = -1 };
	char byte;

	(void)state;
	serve(play_kept);
	assert_int_equal(send_one(&link), 1);
	assert_int_not_equal(link.sock, -1);
	assert_int_equal(send_one(&link), 2);
	assert_int_not_equal(link.sock, -1);
	/* The server closes it, and the next one without a GO behind DONE. */
	assert_int_equal(recv(link.sock, &byte, 1, MSG_PEEK), 0);
	assert_int_equal(send_one(&link), 3);
	assert_int_equal(link.sock, -1);
	wait_server();
}

/* Message 1, and the next one is let in. */
static void play_first(int conn, int got)
{
	struct str both = { 0 };

	append_done_and_go(&both, 1);
	answer(conn, ENQUEUE_GO, VIEW(""));
	take_message(conn, got);
	take(conn, got, RECORD_HEAD_BYTES + 16);
	keep(conn, str_view(&both));
	str_free(&both);
}

static void play_once_each(int conn, int got)
{
	play_first(conn, got);
	/* The old connection stays open, and nothing comes on it. */
	conn = accept(listener, NULL, NULL);
	take(conn, got, RECORD_HEAD_BYTES + 16);
	play_good(conn, got);
}

static void test_a_connection_is_not_kept_long(void **state)
{
	struct enqueue_link link = { .sock = -1 };

	(void)state;
	serve(play_once_each);
	assert_int_equal(send_one(&link), 1);
	assert_int_not_equal(link.sock, -1);
	link.sent_ms -= ENQUEUE_REUSE_MS + 1;
	assert_int_equal(send_one(&link), 77);
	enqueue_link_close(&link);
	wait_server();
}

/* It was young enough when the message began. */
static void test_a_slow_message_does_not_use_an_old_connection(void **state)
{
	struct enqueue_link link = { .sock = -1 };
	struct enqueue q;

	(void)state;
	serve(play_once_each);
	assert_int_equal(send_one(&link), 1);
	enqueue_open_by(&q, home, NULL, &link);
	assert_true(q.unused);
	link.sent_ms -= ENQUEUE_REUSE_MS + 1;
	assert_int_equal(finish_one(&q), ENQUEUE_DONE);
	assert_int_equal(q.id, 77);
	enqueue_free(&q);
	enqueue_link_close(&link);
	wait_server();
}

static void play_die_unsaid(int conn, int got)
{
	play_first(conn, got);
	take_message(conn, got); /* and goes without an answer */
}

static void test_who_may_have_the_message_is_not_asked_again(void **state)
{
	struct enqueue_link link = { .sock = -1 };
	struct enqueue q;

	(void)state;
	serve(play_die_unsaid);
	assert_int_equal(send_one(&link), 1);
	enqueue_open_by(&q, home, NULL, &link);
	assert_int_equal(finish_one(&q), ENQUEUE_TEMPORARY);
	assert_int_equal(q.code, ENQUEUE_CODE_LOST);
	assert_int_equal(link.sock, -1);
	enqueue_free(&q);
	wait_server();
}

static void test_large_message_and_envelope_go_in_pieces(void **state)
{
	struct enqueue q;
	struct str got = { 0 };
	struct str line = { 0 };
	struct view rest;
	struct record record;
	size_t message = 0;
	size_t recipients = 0;

	(void)state;
	serve(play_good);
	enqueue_open(&q, home);
	for (int i = 0; i < 5000; i++) {
		str_reset(&line);
		str_appendf(&line, "line %d with some text to fill it\n", i);
		enqueue_put(&q, str_view(&line));
	}
	enqueue_from(&q, VIEW(""));
	for (int i = 0; i < 5000; i++) {
		str_reset(&line);
		str_appendf(&line, "recipient%d@example.org", i);
		enqueue_to(&q, str_view(&line));
	}
	assert_int_equal(enqueue_close(&q), ENQUEUE_DONE);
	enqueue_free(&q);
	wait_server();
	read_got(&got);
	rest = str_view(&got);
	while (record_next(&rest, &record) == RECORD_OK) {
		struct view inner = record.value;
		struct record one;

		assert_true(record.value.len <= ENQUEUE_PIECE_MAX);
		if (record.type == ENQUEUE_CHUNK)
			message += record.value.len;
		if (record.type != ENQUEUE_ENVELOPE)
			continue;
		while (record_next(&inner, &one) == RECORD_OK)
			recipients += one.type == QFILE_RECIPIENT;
		assert_int_equal(inner.len, 0); /* whole records */
	}
	assert_int_equal(recipients, 5000);
	assert_int_equal(message, 5000 * 32 + 10 + 90 * 2 + 900 * 3 + 4000 * 4);
	str_free(&got);
	str_free(&line);
}

static void play_refuse_at_once(int conn, int got)
{
	(void)got;
	answer_u64(conn, ENQUEUE_REFUSED_CODE, 71, VIEW("no slot"));
}

static void test_refused_before_go(void **state)
{
	struct enqueue q;

	(void)state;
	serve(play_refuse_at_once);
	enqueue_open(&q, home);
	assert_int_equal(q.code, ENQUEUE_CODE_BUSY);
	enqueue_put(&q, VIEW("x"));
	enqueue_from(&q, VIEW("x"));
	enqueue_to(&q, VIEW("x"));
	assert_int_equal(enqueue_close(&q), ENQUEUE_TEMPORARY);
	assert_text(&q, "mail server temporarily rejected message (#4.3.0)");
	enqueue_free(&q);
	wait_server();
}

static void play_refuse_in_the_middle(int conn, int got)
{
	answer(conn, ENQUEUE_GO, VIEW(""));
	take(conn, got, 100000);
	answer_u64(conn, ENQUEUE_REFUSED_CODE, 53, VIEW("disk full"));
}

static void test_refusal_in_the_middle_is_found(void **state)
{
	static char piece[10000];
	struct enqueue q;

	(void)state;
	serve(play_refuse_in_the_middle);
	enqueue_open(&q, home);
	memset(piece, 'x', sizeof(piece));
	for (int i = 0; i < 1000; i++)
		enqueue_put(&q, view_make(piece, sizeof(piece)));
	enqueue_from(&q, VIEW("x"));
	enqueue_to(&q, VIEW("x"));
	assert_int_equal(enqueue_close(&q), ENQUEUE_TEMPORARY);
	assert_int_equal(q.code, ENQUEUE_CODE_WRITE);
	assert_text(&q, "qq write error or disk full (#4.3.0)");
	enqueue_free(&q);
	wait_server();
}

static void play_vanish(int conn, int got)
{
	answer(conn, ENQUEUE_GO, VIEW(""));
	take(conn, got, 16);
}

static void test_lost_server_is_temporary(void **state)
{
	struct enqueue q;

	(void)state;
	serve(play_vanish);
	enqueue_open(&q, home);
	enqueue_put(&q, VIEW("x"));
	enqueue_from(&q, VIEW("x"));
	enqueue_to(&q, VIEW("x"));
	assert_int_equal(enqueue_close(&q), ENQUEUE_TEMPORARY);
	assert_int_equal(q.code, ENQUEUE_CODE_LOST);
	enqueue_free(&q);
	wait_server();
}

static void play_nonsense(int conn, int got)
{
	(void)got;
	answer(conn, 4711, VIEW("what?"));
}

static void play_endless(int conn, int got)
{
	char junk[5000] = { 0 };

	(void)got;
	le64_write(junk, ENQUEUE_GO);
	le64_write(junk + 8, UINT64_MAX);
	keep(conn, view_make(junk, sizeof(junk)));
	take(conn, got, 1);
}

static void play_refuse_with_nonsense(int conn, int got)
{
	(void)got;
	answer_u64(conn, ENQUEUE_REFUSED_CODE, 0, VIEW(""));
}

static void test_nonsense_from_the_server_is_temporary(void **state)
{
	static void (*const plays[])(int, int) = { play_nonsense, play_endless,
						   play_refuse_with_nonsense };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(plays); i++) {
		struct enqueue q;

		serve(plays[i]);
		enqueue_open(&q, home);
		assert_int_not_equal(q.code, 0);
		assert_int_equal(enqueue_close(&q), ENQUEUE_TEMPORARY);
		enqueue_free(&q);
		wait_server();
	}
}

static void test_long_address_is_permanent(void **state)
{
	char address[QFILE_ADDRESS_MAX + 1];
	struct enqueue q;

	(void)state;
	memset(address, 'a', sizeof(address));
	serve(play_vanish);
	enqueue_open(&q, home);
	enqueue_from(&q, VIEW("x"));
	enqueue_to(&q, view_make(address, sizeof(address) - 1));
	assert_int_equal(q.code, 0);
	enqueue_to(&q, view_make(address, sizeof(address)));
	assert_int_equal(enqueue_close(&q), ENQUEUE_PERMANENT);
	assert_int_equal(q.code, ENQUEUE_CODE_ADDRESS_TOO_LONG);
	assert_text(&q, "envelope address too long for qq (#5.1.3)");
	enqueue_free(&q);
}

static void test_nul_in_an_address_is_refused_here(void **state)
{
	struct enqueue q;

	(void)state;
	serve(play_vanish);
	enqueue_open(&q, home);
	enqueue_from(&q, VIEW("x"));
	enqueue_to(&q, VIEW("a\0Tb"));
	assert_int_equal(enqueue_close(&q), ENQUEUE_TEMPORARY);
	assert_int_equal(q.code, ENQUEUE_CODE_ENVELOPE);
	enqueue_free(&q);
}

static void test_first_failure_counts(void **state)
{
	struct enqueue q;

	(void)state;
	serve(play_vanish);
	enqueue_open(&q, home);
	enqueue_fail(&q, ENQUEUE_CODE_READ);
	enqueue_fail(&q, ENQUEUE_CODE_BUG);
	assert_int_equal(enqueue_close(&q), ENQUEUE_TEMPORARY);
	assert_text(&q, "qq read error (#4.3.0)");
	enqueue_free(&q);
}

int main(void)
{
#define AT_HOME(test)                                                          \
	cmocka_unit_test_setup_teardown(test, make_listening_home,             \
					remove_listening_home)
	const struct CMUnitTest tests[] = {
		AT_HOME(test_records_arrive_in_order),
		AT_HOME(test_a_connection_is_kept),
		AT_HOME(test_a_connection_is_not_kept_long),
		AT_HOME(test_a_slow_message_does_not_use_an_old_connection),
		AT_HOME(test_who_may_have_the_message_is_not_asked_again),
		AT_HOME(test_large_message_and_envelope_go_in_pieces),
		AT_HOME(test_refused_before_go),
		AT_HOME(test_refusal_in_the_middle_is_found),
		AT_HOME(test_lost_server_is_temporary),
		AT_HOME(test_nonsense_from_the_server_is_temporary),
		AT_HOME(test_long_address_is_permanent),
		AT_HOME(test_nul_in_an_address_is_refused_here),
		AT_HOME(test_first_failure_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
