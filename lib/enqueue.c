#include "lib/enqueue.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/enqueue_ways.h"
#include "lib/qfile.h"
#include "lib/record.h"

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

void enqueue_close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

void enqueue_free(struct enqueue *q)
{
	enqueue_close_fd(&q->sock);
	enqueue_close_fd(&q->message);
	enqueue_close_fd(&q->envelope);
	enqueue_close_fd(&q->custom);
	launch_close(&q->launch);
	str_free(&q->buffer);
	str_free(&q->records);
	str_free(&q->out);
	str_free(&q->text);
}

/* ---- a message ---- */

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
	enqueue_open_by(q, homefd, NULL, NULL);
}

void enqueue_open_by(struct enqueue *q, int homefd,
		     const struct launcher *launcher, struct enqueue_link *link)
{
	const char *program = named_program();

	*q = (struct enqueue){
		.homefd = homefd,
		.sock = -1,
		.message = -1,
		.envelope = -1,
		.custom = -1,
		.launch.sock = -1,
		.pid = getpid(),
		.sent_ms = clock_mono_ms(),
		.link = link,
	};
	if (program)
		enqueue_program_open(q, program, launcher);
	else
		enqueue_socket_open(q);
}

/* Send what has gathered; with the end of it a program sees end of file. */
static void flush_message(struct enqueue *q)
{
	if (q->buffer.len == 0)
		return;
	if (q->program)
		enqueue_program_write(q, q->message, str_view(&q->buffer));
	else
		enqueue_socket_put(q, ENQUEUE_CHUNK, str_view(&q->buffer));
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
			view_first(bytes, ENQUEUE_BUFFER_BYTES - q->buffer.len);

		str_append(&q->buffer, piece);
		bytes = view_from(bytes, piece.len);
		if (q->buffer.len == ENQUEUE_BUFFER_BYTES || is_quiet(q))
			flush_message(q);
		if (q->out.len && is_quiet(q))
			enqueue_socket_flush(q);
	}
}

static void flush_records(struct enqueue *q)
{
	if (q->records.len == 0)
		return;
	if (q->program)
		enqueue_program_write(q, q->envelope, str_view(&q->records));
	else
		enqueue_socket_put(q, ENQUEUE_ENVELOPE, str_view(&q->records));
	str_reset(&q->records);
}

static void flush_full_records(struct enqueue *q)
{
	if (q->records.len >= ENQUEUE_BUFFER_BYTES)
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
		enqueue_close_fd(&q->message);
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
	enqueue_socket_finish(q);
}

static void finish_program(struct enqueue *q)
{
	if (q->code == 0) {
		str_append_byte(&q->records, '\0');
		flush_records(q);
	}
	enqueue_program_finish(q);
}

enum enqueue_result enqueue_close(struct enqueue *q)
{
	if (q->program)
		finish_program(q);
	else if (q->code == 0)
		finish_socket(q);
	enqueue_close_fd(&q->sock);
	if (q->code == ENQUEUE_CODE_CUSTOM)
		return enqueue_program_custom(q);
	str_set_c(&q->text, enqueue_code_text(q->code));
	return enqueue_code_result(q->code);
}
