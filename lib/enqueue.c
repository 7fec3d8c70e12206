#include "lib/enqueue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/qfile.h"
#include "lib/record.h"
#include "lib/spawn.h"
#include "lib/usock.h"

/* Bytes are sent when this many have gathered. */
#define BUFFER_BYTES 32768
/* How long a peer may take no byte, or keep us waiting for its verdict. */
#define STALL_MS (INT64_C(60) * 60 * 1000)
/* While nobody listens: how often we look. */
#define RETRY_MS 100
/* No answer is longer: a record head, a code and a text. */
#define ANSWER_MAX_BYTES 1024
#define NO_ANSWER 0 /* no type of a record: only a refusal is expected */
#define CUSTOM_MAX_BYTES 512
/* Above the descriptors that a child of lib/spawn.h rearranges. */
#define CHILD_HOME_FD 16
/* qmail-queued drops clients that are silent for longer than 20 minutes. */
#define QUIET_MS INT64_C(60000)
/* RFC 3461: ENVID 100, ORCPT 500 characters. */
#define PARAM_MAX_BYTES 4096

/* ---- codes ---- */

static const struct {
	int code;
	enum enqueue_result result;
	const char *text;
} codes[] = {
	{ -1, ENQUEUE_TEMPORARY, "qq crashed (#4.3.0)" },
	{ ENQUEUE_CODE_DONE, ENQUEUE_DONE, "" },
	{ ENQUEUE_CODE_ADDRESS_TOO_LONG, ENQUEUE_PERMANENT,
	  "envelope address too long for qq (#5.1.3)" },
	{ ENQUEUE_CODE_REFUSED, ENQUEUE_PERMANENT,
	  "mail server permanently rejected message (#5.3.0)" },
	{ ENQUEUE_CODE_MEMORY, ENQUEUE_TEMPORARY, "qq out of memory (#4.3.0)" },
	{ ENQUEUE_CODE_TIMEOUT, ENQUEUE_TEMPORARY, "qq timeout (#4.3.0)" },
	{ ENQUEUE_CODE_WRITE, ENQUEUE_TEMPORARY,
	  "qq write error or disk full (#4.3.0)" },
	{ ENQUEUE_CODE_READ, ENQUEUE_TEMPORARY, "qq read error (#4.3.0)" },
	{ ENQUEUE_CODE_CONFIG, ENQUEUE_TEMPORARY,
	  "qq unable to read configuration (#4.3.0)" },
	{ ENQUEUE_CODE_NETWORK, ENQUEUE_TEMPORARY,
	  "qq trouble making network connection (#4.3.0)" },
	{ ENQUEUE_CODE_HOME, ENQUEUE_TEMPORARY,
	  "qq trouble in home directory (#4.3.0)" },
	{ ENQUEUE_CODE_QUEUE_DIR, ENQUEUE_TEMPORARY,
	  "qq trouble creating files in queue (#4.3.0)" },
	{ ENQUEUE_CODE_CREATE, ENQUEUE_TEMPORARY,
	  "qq trouble creating files in queue (#4.3.0)" },
	{ ENQUEUE_CODE_TRIGGER, ENQUEUE_TEMPORARY,
	  "qq trouble creating files in queue (#4.3.0)" },
	{ ENQUEUE_CODE_LINK, ENQUEUE_TEMPORARY,
	  "qq trouble creating files in queue (#4.3.0)" },
	{ ENQUEUE_CODE_ENVELOPE_FILE, ENQUEUE_TEMPORARY,
	  "qq trouble creating files in queue (#4.3.0)" },
	{ ENQUEUE_CODE_BUSY, ENQUEUE_TEMPORARY,
	  "mail server temporarily rejected message (#4.3.0)" },
	{ ENQUEUE_CODE_CONNECT_TIMEOUT, ENQUEUE_TEMPORARY,
	  "connection to mail server timed out (#4.4.1)" },
	{ ENQUEUE_CODE_CONNECT_REFUSED, ENQUEUE_TEMPORARY,
	  "connection to mail server rejected (#4.4.1)" },
	{ ENQUEUE_CODE_LOST, ENQUEUE_TEMPORARY,
	  "communication with mail server failed (#4.4.2)" },
	{ ENQUEUE_CODE_BUG, ENQUEUE_TEMPORARY, "qq internal bug (#4.3.0)" },
	{ ENQUEUE_CODE_ENVELOPE, ENQUEUE_TEMPORARY,
	  "qq internal bug (#4.3.0)" },
	{ ENQUEUE_CODE_EXEC, ENQUEUE_TEMPORARY, "unable to exec qq (#4.3.0)" },
};

enum enqueue_result enqueue_code_result(int code)
{
	for (size_t i = 0; i < COUNT_OF(codes); i++)
		if (codes[i].code == code)
			return codes[i].result;
	return code >= 11 && code <= 40 ? ENQUEUE_PERMANENT : ENQUEUE_TEMPORARY;
}

const char *enqueue_code_text(int code)
{
	for (size_t i = 0; i < COUNT_OF(codes); i++)
		if (codes[i].code == code)
			return codes[i].text;
	return enqueue_code_result(code) == ENQUEUE_PERMANENT
		       ? "qq permanent problem (#5.3.0)"
		       : "qq temporary problem (#4.3.0)";
}

/* ---- failing, closing ---- */

void enqueue_fail(struct enqueue *q, int code)
{
	if (q->code == 0)
		q->code = code;
}

static void close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

void enqueue_free(struct enqueue *q)
{
	close_fd(&q->sock);
	close_fd(&q->message);
	close_fd(&q->envelope);
	close_fd(&q->custom);
	launch_close(&q->launch);
	str_free(&q->buffer);
	str_free(&q->records);
	str_free(&q->out);
	str_free(&q->text);
}

/* ---- talking to qmail-queued ---- */

/* Wait for events on fd; false when the time is over or poll fails. */
static bool wait_for(int fd, short events, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd ready = { .fd = fd, .events = events };
		int64_t left = deadline_ms - clock_mono_ms();
		int n;

		if (left <= 0)
			return false;
		n = poll(&ready, 1, left > 1000000 ? 1000000 : (int)left);
		if (n > 0)
			return true;
		if (n == -1 && errno != EINTR)
			return false;
	}
}

/* Nobody listens yet (a restart), or everybody does at once. */
static bool may_come_back(int error)
{
	return error == ENOENT || error == ECONNREFUSED || error == EAGAIN ||
	       error == EINTR;
}

static int connect_code(int error)
{
	if (may_come_back(error))
		return ENQUEUE_CODE_BUSY;
	if (error == EACCES || error == EPERM)
		return ENQUEUE_CODE_CONNECT_REFUSED;
	return ENQUEUE_CODE_NETWORK;
}

static void connect_to_queue(struct enqueue *q, int homefd, int64_t deadline_ms)
{
	while ((q->sock = usock_connect(homefd, ENQUEUE_SOCKET, SOCK_STREAM)) ==
	       -1) {
		if (!may_come_back(errno) || clock_mono_ms() >= deadline_ms) {
			enqueue_fail(q, connect_code(errno));
			return;
		}
		poll(NULL, 0, RETRY_MS);
	}
}

/*
 * Read one record of the server's into `answer`. false: the connection is
 * lost, and q has failed.
 */
static bool read_answer(struct enqueue *q, int64_t deadline_ms, int late_code,
			struct str *answer, struct record *record)
{
	for (;;) {
		struct view rest = str_view(answer);
		char piece[ANSWER_MAX_BYTES];
		ssize_t got;

		if (record_next(&rest, record) == RECORD_OK)
			return true;
		if (answer->len > sizeof(piece) ||
		    !wait_for(q->sock, POLLIN, deadline_ms)) {
			enqueue_fail(q, answer->len > sizeof(piece)
						? ENQUEUE_CODE_LOST
						: late_code);
			return false;
		}
		got = recv(q->sock, piece, sizeof(piece), MSG_DONTWAIT);
		if (got == -1 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0) {
			enqueue_fail(q, ENQUEUE_CODE_LOST);
			return false;
		}
		str_append(answer, view_make(piece, (size_t)got));
	}
}

/* REFUSED: the exit code of qmail-queue, then a text for the log. */
static void take_refusal(struct enqueue *q, const struct record *record)
{
	uint64_t code;

	if (record->type != ENQUEUE_REFUSED_CODE || record->value.len < 8) {
		enqueue_fail(q, ENQUEUE_CODE_LOST);
		return;
	}
	code = le64_read(record->value.p);
	enqueue_fail(q, code > 0 && code < 256 ? (int)code : ENQUEUE_CODE_BUG);
}

/*
 * Wait for the answer `want`. Anything else is a failure, and the rest of
 * the conversation with it.
 */
static void await(struct enqueue *q, uint64_t want, int64_t deadline_ms,
		  int late_code)
{
	struct str answer = { 0 };
	struct record record;

	if (!read_answer(q, deadline_ms, late_code, &answer, &record)) {
		str_free(&answer);
		return;
	}
	if (record.type != want)
		take_refusal(q, &record);
	else if (want == ENQUEUE_DONE_ID && !record_u64(&record, &q->id))
		enqueue_fail(q, ENQUEUE_CODE_LOST);
	str_free(&answer);
}

/* The server has closed: did it say why? */
static void fail_sending(struct enqueue *q)
{
	await(q, NO_ANSWER, clock_mono_ms() + RETRY_MS, ENQUEUE_CODE_LOST);
	enqueue_fail(q, ENQUEUE_CODE_LOST);
}

static void send_bytes(struct enqueue *q, struct view v)
{
	while (v.len && q->code == 0) {
		ssize_t put =
			send(q->sock, v.p, v.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (put > 0) {
			v = view_from(v, (size_t)put);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			fail_sending(q);
		else if (!wait_for(q->sock, POLLOUT,
				   clock_mono_ms() + STALL_MS))
			enqueue_fail(q, ENQUEUE_CODE_TIMEOUT);
	}
}

static void flush_out(struct enqueue *q)
{
	send_bytes(q, str_view(&q->out));
	str_reset(&q->out);
	q->sent_ms = clock_mono_ms();
}

/* Small records travel together: a small message is one send. */
static void send_record(struct enqueue *q, uint64_t type, struct view value)
{
	if (q->code)
		return;
	record_append(&q->out, type, value);
	if (q->out.len >= BUFFER_BYTES)
		flush_out(q);
}

static void greet(struct enqueue *q, int64_t deadline_ms)
{
	send_record(q, ENQUEUE_HELLO, VIEW(ENQUEUE_PROTOCOL));
	flush_out(q);
	if (q->code == 0)
		await(q, ENQUEUE_GO, deadline_ms, ENQUEUE_CODE_CONNECT_TIMEOUT);
}

/* ---- talking to the program of QMAILQUEUE ---- */

static int open_pipes(int message[2], int envelope[2], int custom[2])
{
	message[0] = message[1] = -1;
	envelope[0] = envelope[1] = -1;
	custom[0] = custom[1] = -1;
	if (pipe2(message, O_CLOEXEC) == -1 ||
	    pipe2(envelope, O_CLOEXEC) == -1 || pipe2(custom, O_CLOEXEC) == -1)
		return -1;
	/* Our ends only: a program that does not read must not hang us. */
	if (fcntl(message[1], F_SETFL, O_NONBLOCK) == -1 ||
	    fcntl(envelope[1], F_SETFL, O_NONBLOCK) == -1 ||
	    fcntl(custom[0], F_SETFL, O_NONBLOCK) == -1)
		return -1;
	return 0;
}

/* It runs in the home, which is reached through a descriptor of ours. */
static pid_t start_program(int homefd, const char *program, int message,
			   int envelope, int custom)
{
	const char *argv[] = { program, NULL };
	struct spawn s = { .argv = argv };
	char cwd[64];
	pid_t pid;
	int home = fcntl(homefd, F_DUPFD_CLOEXEC, CHILD_HOME_FD);

	if (home == -1)
		return -1;
	snprintf(cwd, sizeof(cwd), "/proc/self/fd/%d", home);
	s.cwd = cwd;
	spawn_fd(&s, message, 0);
	spawn_fd(&s, envelope, 1);
	spawn_fd(&s, custom, 4);
	spawn_fd(&s, custom, 6);
	pid = spawn_start(&s);
	close(home);
	return pid;
}

/* As start_program(), by one who may do that. */
static pid_t have_program_started(struct enqueue *q,
				  const struct launcher *launcher, int message,
				  int envelope, int custom)
{
	if (launch_begin(&q->launch, launcher) == 0 &&
	    launch_fd(&q->launch, message, view_make("\0", 1)) == 0 &&
	    launch_fd(&q->launch, envelope, VIEW("\1")) == 0 &&
	    launch_fd(&q->launch, custom, VIEW("\4\6")) == 0 &&
	    launch_start(&q->launch) == 0)
		return q->launch.pid;
	enqueue_fail(q, ENQUEUE_CODE_EXEC);
	return -1;
}

static void open_program(struct enqueue *q, int homefd, const char *program,
			 const struct launcher *launcher)
{
	int message[2];
	int envelope[2];
	int custom[2];
	pid_t pid = -1;

	/* Looked at first: a child that cannot exec says so to nobody. */
	if (!launcher && faccessat(homefd, program, X_OK, AT_EACCESS) == -1) {
		enqueue_fail(q, ENQUEUE_CODE_EXEC);
		return;
	}
	if (open_pipes(message, envelope, custom) == 0)
		pid = launcher ? have_program_started(q, launcher, message[0],
						      envelope[0], custom[1])
			       : start_program(homefd, program, message[0],
					       envelope[0], custom[1]);
	q->message = message[1];
	q->envelope = envelope[1];
	q->custom = custom[0];
	close_fd(&message[0]);
	close_fd(&envelope[0]);
	close_fd(&custom[1]);
	if (pid == -1) {
		enqueue_fail(q, ENQUEUE_CODE_MEMORY);
		return;
	}
	q->pid = pid;
	q->program = true;
}

/* What it says on 4 or 6; more than we keep is read and dropped. */
static void read_custom(struct enqueue *q)
{
	char piece[CUSTOM_MAX_BYTES];
	ssize_t got;

	while ((got = read(q->custom, piece, sizeof(piece))) > 0)
		if (q->text.len < CUSTOM_MAX_BYTES)
			str_append(&q->text, view_make(piece, (size_t)got));
	if (got == 0)
		close_fd(&q->custom);
}

/* Wait until the program takes bytes on fd, listening to it meanwhile. */
static bool wait_for_program(struct enqueue *q, int fd)
{
	int64_t deadline = clock_mono_ms() + STALL_MS;

	for (;;) {
		struct pollfd ready[2] = {
			{ .fd = fd, .events = POLLOUT },
			{ .fd = q->custom, .events = POLLIN },
		};
		int64_t left = deadline - clock_mono_ms();

		if (left <= 0)
			return false;
		if (poll(ready, 2, left > 1000000 ? 1000000 : (int)left) ==
			    -1 &&
		    errno != EINTR)
			return false;
		if (q->custom != -1 && ready[1].revents)
			read_custom(q);
		if (ready[0].revents)
			return true;
	}
}

static void write_program(struct enqueue *q, int fd, struct view v)
{
	while (v.len && q->code == 0) {
		ssize_t put = write(fd, v.p, v.len);

		if (put > 0)
			v = view_from(v, (size_t)put);
		else if (errno == EAGAIN) {
			if (!wait_for_program(q, fd))
				enqueue_fail(q, ENQUEUE_CODE_TIMEOUT);
		} else if (errno != EINTR)
			enqueue_fail(q, ENQUEUE_CODE_WRITE);
	}
}

static int wait_for_end(struct enqueue *q, int *status)
{
	if (q->launch.sock != -1)
		return launch_wait(&q->launch, status);
	return spawn_wait(q->pid, status);
}

/*
 * Its verdict. One who refused without reading everything is believed; one
 * who exits 0 without having read everything is not.
 */
static void await_program(struct enqueue *q)
{
	int status;
	int code;

	while (q->custom != -1 &&
	       wait_for(q->custom, POLLIN, clock_mono_ms() + STALL_MS))
		read_custom(q);
	if (wait_for_end(q, &status) == -1) {
		enqueue_fail(q, ENQUEUE_CODE_BUG);
		return;
	}
	code = spawn_exit_code(status);
	if (code != 0 && (q->code == 0 || q->code == ENQUEUE_CODE_WRITE))
		q->code = code;
}

/* What it said, as far as it is fit for a reply: D or Z, then one line. */
static enum enqueue_result custom_result(struct enqueue *q)
{
	bool permanent = q->text.len && q->text.p[0] == 'D';
	size_t end = 0;

	if (q->text.len && (permanent || q->text.p[0] == 'Z'))
		str_remove(&q->text, 0, 1);
	while (end < q->text.len && q->text.p[end] >= ' ' &&
	       q->text.p[end] <= '~')
		end++;
	str_truncate(&q->text, end);
	if (end)
		return permanent ? ENQUEUE_PERMANENT : ENQUEUE_TEMPORARY;
	str_set_c(&q->text, enqueue_code_text(q->code));
	return ENQUEUE_TEMPORARY;
}

/* ---- the caller's side ---- */

/* How long to wait for a queue that is not there; tests are impatient. */
static int64_t patience_ms(void)
{
#ifdef VALIJA_TEST
	uint64_t ms;

	if (view_u64(view_of(getenv("VALIJA_TEST_ENQUEUE_WAIT_MS")), &ms) &&
	    ms <= ENQUEUE_WAIT_MS)
		return (int64_t)ms;
#endif
	return ENQUEUE_WAIT_MS;
}

static const char *named_program(void)
{
	const char *program = getenv("QMAILQUEUE");

	return program && *program ? program : NULL;
}

int enqueue_launcher(struct launcher *launcher, int homefd)
{
	const char *program = named_program();

	launcher->sock = -1;
	return program ? launcher_open(launcher, homefd, program) : 0;
}

void enqueue_open(struct enqueue *q, int homefd)
{
	enqueue_open_by(q, homefd, NULL);
}

void enqueue_open_by(struct enqueue *q, int homefd,
		     const struct launcher *launcher)
{
	const char *program = named_program();

	*q = (struct enqueue){
		.sock = -1,
		.message = -1,
		.envelope = -1,
		.custom = -1,
		.launch.sock = -1,
		.pid = getpid(),
		.sent_ms = clock_mono_ms(),
	};
	if (program) {
		open_program(q, homefd, program, launcher);
	} else {
		int64_t deadline_ms = q->sent_ms + patience_ms();

		connect_to_queue(q, homefd, deadline_ms);
		if (q->code == 0)
			greet(q, deadline_ms);
	}
}

/* Send what has gathered; with the end of it a program sees end of file. */
static void flush_message(struct enqueue *q)
{
	if (q->buffer.len == 0)
		return;
	if (q->program)
		write_program(q, q->message, str_view(&q->buffer));
	else
		send_record(q, ENQUEUE_CHUNK, str_view(&q->buffer));
	str_reset(&q->buffer);
}

/* A slow caller must be heard from all the same. */
static bool is_quiet(const struct enqueue *q)
{
	return !q->program && clock_mono_ms() - q->sent_ms > QUIET_MS;
}

void enqueue_put(struct enqueue *q, struct view bytes)
{
	while (bytes.len && q->code == 0) {
		struct view piece =
			view_first(bytes, BUFFER_BYTES - q->buffer.len);

		str_append(&q->buffer, piece);
		bytes = view_from(bytes, piece.len);
		if (q->buffer.len == BUFFER_BYTES || is_quiet(q))
			flush_message(q);
		if (q->out.len && is_quiet(q))
			flush_out(q);
	}
}

static void flush_records(struct enqueue *q)
{
	if (q->records.len == 0)
		return;
	if (q->program)
		write_program(q, q->envelope, str_view(&q->records));
	else
		send_record(q, ENQUEUE_ENVELOPE, str_view(&q->records));
	str_reset(&q->records);
}

static void flush_full_records(struct enqueue *q)
{
	if (q->records.len >= BUFFER_BYTES)
		flush_records(q);
}

/* An address as the program wants it: a letter, the address, a NUL. */
static void append_lettered(struct enqueue *q, char letter, struct view address)
{
	str_append_byte(&q->records, letter);
	str_append(&q->records, address);
	str_append_byte(&q->records, '\0');
}

static bool address_is_fit(struct enqueue *q, struct view address)
{
	if (address.len > QFILE_ADDRESS_MAX)
		enqueue_fail(q, ENQUEUE_CODE_ADDRESS_TOO_LONG);
	if (view_has(address, '\0'))
		enqueue_fail(q, ENQUEUE_CODE_ENVELOPE);
	return q->code == 0;
}

void enqueue_from(struct enqueue *q, struct view sender)
{
	if (q->code == 0)
		flush_message(q);
	if (!address_is_fit(q, sender))
		return;
	if (q->program) {
		close_fd(&q->message);
		append_lettered(q, 'F', sender);
	} else {
		record_append(&q->records, QFILE_SENDER, sender);
	}
}

void enqueue_to(struct enqueue *q, struct view recipient)
{
	struct str value = { 0 };

	if (!address_is_fit(q, recipient))
		return;
	if (q->program) {
		append_lettered(q, 'T', recipient);
	} else {
		str_append_byte(&value, QFILE_WAITING);
		str_append(&value, recipient);
		record_append(&q->records, QFILE_RECIPIENT, str_view(&value));
		str_free(&value);
	}
	flush_full_records(q);
}

/* qmail-queue's interface has no place for parameters: they are lost. */
static void append_param(struct enqueue *q, uint64_t type, struct view value)
{
	if (q->code || q->program)
		return;
	if (value.len > PARAM_MAX_BYTES || view_has(value, '\0')) {
		enqueue_fail(q, ENQUEUE_CODE_ENVELOPE);
		return;
	}
	record_append(&q->records, type, value);
	flush_full_records(q);
}

void enqueue_param(struct enqueue *q, uint64_t type, struct view value)
{
	append_param(q, type, value);
}

void enqueue_to_param(struct enqueue *q, uint64_t type, struct view value)
{
	append_param(q, type, value);
}

static void finish_socket(struct enqueue *q)
{
	flush_records(q);
	send_record(q, ENQUEUE_END, VIEW(""));
	flush_out(q);
	if (q->code == 0)
		await(q, ENQUEUE_DONE_ID, clock_mono_ms() + STALL_MS,
		      ENQUEUE_CODE_TIMEOUT);
}

static void finish_program(struct enqueue *q)
{
	if (q->code == 0) {
		str_append_byte(&q->records, '\0');
		flush_records(q);
	}
	close_fd(&q->message);
	close_fd(&q->envelope);
	await_program(q);
}

enum enqueue_result enqueue_close(struct enqueue *q)
{
	if (q->program)
		finish_program(q);
	else if (q->code == 0)
		finish_socket(q);
	close_fd(&q->sock);
	if (q->code == ENQUEUE_CODE_CUSTOM)
		return custom_result(q);
	str_set_c(&q->text, enqueue_code_text(q->code));
	return enqueue_code_result(q->code);
}
