#include "lib/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "lib/out.h"
#include "lib/packet.h"
#include "lib/record.h"

#ifndef MFD_NOEXEC_SEAL /* since Linux 6.3 */
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define COPY_BYTES 65536

enum job_type { /* records of doc/delivery.md */
		TYPE_PROTOCOL = 1,
		TYPE_CAPACITY = 2,
		TYPE_NUMBER = 3,
		TYPE_QUEUE = 4,
		TYPE_ID = 5,
		TYPE_SENDER = 6,
		TYPE_HOST = 7,
		TYPE_SIZE = 8,
		TYPE_MESSAGE = 9,
		TYPE_BODY = 10,
		TYPE_SMTPUTF8 = 11,
		TYPE_RECIPIENT = 16,
		TYPE_USER = 24,
		TYPE_HOME = 25,
		TYPE_LOCAL = 26,
		TYPE_DASH = 27,
		TYPE_EXT = 28,
		TYPE_DOMAIN = 29,
		TYPE_DEFAULT = 30,
		TYPE_DISKS = 31,
		TYPE_OUTCOME = 32,
		TYPE_STAYS = 33,
		TYPE_HOP_FAILED = 34,
};

#define OUTCOME_HEAD_BYTES 9  /* recipient number, letter */
#define RESULT_HEAD_BYTES 256 /* protocol and number, and some to spare */

static void begin(struct str *packet)
{
	str_reset(packet);
	record_append(packet, TYPE_PROTOCOL, VIEW(JOB_PROTOCOL));
}

/* What is absent (p NULL) is left out; an empty value is written. */
static void append_if(struct str *packet, uint64_t type, struct view value)
{
	if (value.p)
		record_append(packet, type, value);
}

void job_format(struct str *packet, const struct job *job)
{
	begin(packet);
	record_append_u64(packet, TYPE_NUMBER, job->number);
	append_if(packet, TYPE_QUEUE, job->queue);
	record_append_u64(packet, TYPE_ID, job->id);
	record_append(packet, TYPE_SENDER, job->sender);
	append_if(packet, TYPE_HOST, job->host);
	record_append_u64(packet, TYPE_SIZE, job->size);
	append_if(packet, TYPE_BODY, job->body);
	if (job->smtputf8)
		record_append(packet, TYPE_SMTPUTF8, VIEW(""));
	append_if(packet, TYPE_USER, job->user);
	append_if(packet, TYPE_HOME, job->home);
	append_if(packet, TYPE_LOCAL, job->local);
	append_if(packet, TYPE_DASH, job->dash);
	append_if(packet, TYPE_EXT, job->ext);
	append_if(packet, TYPE_DOMAIN, job->domain);
	append_if(packet, TYPE_DEFAULT, job->default_delivery);
	append_if(packet, TYPE_DISKS, job->disks);
	str_append(packet, job->recipients);
	if (job->fd == -1)
		record_append(packet, TYPE_MESSAGE, job->message);
}

void job_add_recipient(struct str *recipients, uint64_t number,
		       struct view address)
{
	char bytes[8];
	struct str value = { 0 };

	le64_write(bytes, number);
	str_append(&value, view_make(bytes, sizeof(bytes)));
	str_append(&value, address);
	record_append(recipients, TYPE_RECIPIENT, str_view(&value));
	str_free(&value);
}

/* The next record of `type`, skipping others; false at the end. */
static bool next_of(struct view *rest, uint64_t type, struct record *record)
{
	while (record_next(rest, record) == RECORD_OK)
		if (record->type == type)
			return true;
	return false;
}

bool job_next(struct view *rest, struct job_recipient *rcpt)
{
	struct record record;

	if (!next_of(rest, TYPE_RECIPIENT, &record) || record.value.len < 8)
		return false;
	rcpt->number = le64_read(record.value.p);
	rcpt->address = view_from(record.value, 8);
	return true;
}

/* Let *span reach from where it began (or here) to the end of a record. */
static void extend(struct view *span, struct record record)
{
	const char *end = record.value.p + record.value.len;

	if (!span->p)
		span->p = record.value.p - RECORD_HEAD_BYTES;
	span->len = (size_t)(end - span->p);
}

/* The first record must say our version; *rest moves behind it. */
static bool take_protocol(struct view *rest)
{
	struct record record;

	return record_next(rest, &record) == RECORD_OK &&
	       record.type == TYPE_PROTOCOL &&
	       view_eq(record.value, VIEW(JOB_PROTOCOL));
}

struct needed { /* records that a job cannot do without */
	bool number;
	bool id;
	bool sender;
	bool size;
	bool message;
};

/* Note one record; false when it makes no sense. */
static bool take_record(struct job *job, const struct record *record,
			struct needed *seen)
{
	struct view value = record->value;

	switch (record->type) {
	case TYPE_NUMBER:
		return seen->number = record_u64(record, &job->number);
	case TYPE_QUEUE:
		job->queue = value;
		return true;
	case TYPE_ID:
		return seen->id = record_u64(record, &job->id);
	case TYPE_SENDER:
		job->sender = value;
		return seen->sender = true;
	case TYPE_HOST:
		job->host = value;
		return true;
	case TYPE_SIZE:
		return seen->size = record_u64(record, &job->size);
	case TYPE_MESSAGE:
		job->message = value;
		seen->message = true;
		return value.len <= JOB_INLINE_MAX;
	case TYPE_BODY:
		job->body = value;
		return true;
	case TYPE_SMTPUTF8:
		return job->smtputf8 = true;
	case TYPE_RECIPIENT:
		extend(&job->recipients, *record);
		return value.len >= 8;
	case TYPE_USER:
		job->user = value;
		return true;
	case TYPE_HOME:
		job->home = value;
		return true;
	case TYPE_LOCAL:
		job->local = value;
		return true;
	case TYPE_DASH:
		job->dash = value;
		return true;
	case TYPE_EXT:
		job->ext = value;
		return true;
	case TYPE_DOMAIN:
		job->domain = value;
		return true;
	case TYPE_DEFAULT:
		job->default_delivery = value;
		return true;
	case TYPE_DISKS:
		job->disks = value;
		return true;
	default:
		return true;
	}
}

/* The message is inline and as long as it says, or in a descriptor. */
static bool has_message(const struct job *job, const struct needed *seen)
{
	if (job->fd != -1)
		return !seen->message;
	return seen->message && job->message.len == job->size;
}

int job_parse(struct view packet, int fd, struct job *job)
{
	struct needed seen = { 0 };
	enum record_result result;
	struct record record;

	*job = (struct job){ .fd = fd };
	if (!take_protocol(&packet))
		return -1;
	while ((result = record_next(&packet, &record)) == RECORD_OK)
		if (!take_record(job, &record, &seen))
			return -1;
	if (result == RECORD_BAD || !seen.number || !seen.id || !seen.sender ||
	    !seen.size || !has_message(job, &seen) || !job->recipients.p)
		return -1;
	return 0;
}

bool job_number(struct view packet, uint64_t *number)
{
	struct record record;

	return next_of(&packet, TYPE_NUMBER, &record) &&
	       record_u64(&record, number);
}

void job_result_begin(struct str *packet, uint64_t number)
{
	begin(packet);
	record_append_u64(packet, TYPE_NUMBER, number);
}

size_t job_text_share(size_t recipients)
{
	size_t overhead = RECORD_HEAD_BYTES + OUTCOME_HEAD_BYTES;
	size_t share = (PACKET_MAX_BYTES - RESULT_HEAD_BYTES) /
		       (recipients ? recipients : 1);

	share = share > overhead ? share - overhead : 0;
	return share < JOB_TEXT_MAX ? share : JOB_TEXT_MAX;
}

void job_result_add(struct str *packet, uint64_t recipient,
		    enum job_outcome outcome, struct view text)
{
	char head[OUTCOME_HEAD_BYTES];
	struct str value = { 0 };

	le64_write(head, recipient);
	head[8] = (char)outcome;
	str_append(&value, view_make(head, sizeof(head)));
	str_append(&value, view_first(text, JOB_TEXT_MAX));
	record_append(packet, TYPE_OUTCOME, str_view(&value));
	str_free(&value);
}

void job_result_stays(struct str *packet)
{
	record_append(packet, TYPE_STAYS, VIEW(""));
}

void job_result_hop_failed(struct str *packet)
{
	record_append(packet, TYPE_HOP_FAILED, VIEW(""));
}

int job_result_parse(struct view packet, struct job_result *result)
{
	enum record_result parsed;
	struct record record;
	bool has_number = false;

	*result = (struct job_result){ 0 };
	if (!take_protocol(&packet))
		return -1;
	while ((parsed = record_next(&packet, &record)) == RECORD_OK) {
		if (record.type == TYPE_NUMBER)
			has_number = record_u64(&record, &result->number);
		if (record.type == TYPE_STAYS)
			result->stays = true;
		if (record.type == TYPE_HOP_FAILED)
			result->hop_failed = true;
		if (record.type != TYPE_OUTCOME)
			continue;
		if (record.value.len < OUTCOME_HEAD_BYTES)
			return -1;
		extend(&result->outcomes, record);
	}
	return parsed == RECORD_END && has_number ? 0 : -1;
}

static enum job_outcome outcome_of(char letter)
{
	if (letter == JOB_DELIVERED)
		return JOB_DELIVERED;
	if (letter == JOB_FAILED)
		return JOB_FAILED;
	return JOB_DEFERRED;
}

bool job_next_outcome(struct view *rest, struct job_report *report)
{
	struct record record;

	if (!next_of(rest, TYPE_OUTCOME, &record) ||
	    record.value.len < OUTCOME_HEAD_BYTES)
		return false;
	report->recipient = le64_read(record.value.p);
	report->outcome = outcome_of(record.value.p[8]);
	report->text = view_first(view_from(record.value, OUTCOME_HEAD_BYTES),
				  JOB_TEXT_MAX);
	return true;
}

void job_hello_format(struct str *packet, uint64_t capacity)
{
	begin(packet);
	record_append_u64(packet, TYPE_CAPACITY, capacity);
}

int job_hello_parse(struct view packet, uint64_t *capacity)
{
	struct record record;

	if (!take_protocol(&packet) ||
	    !next_of(&packet, TYPE_CAPACITY, &record) ||
	    !record_u64(&record, capacity))
		return -1;
	return 0;
}

static int close_keeping_errno(int fd)
{
	int error = errno;

	close(fd);
	errno = error;
	return -1;
}

/* An empty memfd that can be sealed. */
static int new_memfd(void)
{
	int fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING |
						 MFD_NOEXEC_SEAL);

	if (fd == -1 && errno == EINVAL)
		fd = memfd_create("message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

/* From here on nobody changes it; the offset goes to its beginning. */
static int seal(int fd)
{
	int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	if (fcntl(fd, F_ADD_SEALS, seals) == -1 || lseek(fd, 0, SEEK_SET) == -1)
		return close_keeping_errno(fd);
	return fd;
}

int job_memfd(int fd, uint64_t base, uint64_t size)
{
	int memfd = new_memfd();
	off_t at = (off_t)base;

	if (memfd == -1)
		return -1;
	while ((uint64_t)at < base + size) {
		uint64_t left = base + size - (uint64_t)at;
		ssize_t got = sendfile(memfd, fd, &at,
				       left < 1 << 30 ? left : 1 << 30);

		if (got == -1 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EIO; /* shorter than it should be */
		if (got <= 0)
			return close_keeping_errno(memfd);
	}
	return seal(memfd);
}

ssize_t job_message_read(const struct job *job, void *to, size_t size,
			 uint64_t offset)
{
	ssize_t got;

	if (offset >= job->size)
		return 0;
	if (size > job->size - offset)
		size = (size_t)(job->size - offset);
	if (job->fd == -1) {
		struct view piece =
			view_first(view_from(job->message, offset), size);

		if (piece.len)
			memcpy(to, piece.p, piece.len);
		return (ssize_t)piece.len;
	}
	do
		got = pread(job->fd, to, size, (off_t)offset);
	while (got == -1 && errno == EINTR);
	return got;
}

/* Another memfd with the same bytes. */
static int copy_message(const struct job *job)
{
	char space[COPY_BYTES];
	uint64_t at = 0;
	int fd = new_memfd();

	if (fd == -1)
		return -1;
	while (at < job->size) {
		ssize_t got = job_message_read(job, space, sizeof(space), at);

		if (got == 0)
			errno = EIO;
		if (got <= 0 ||
		    write_all(fd, view_make(space, (size_t)got)) == -1)
			return close_keeping_errno(fd);
		at += (uint64_t)got;
	}
	return seal(fd);
}

int job_message_open(const struct job *job)
{
	char path[64];
	int fd;

	if (job->fd == -1)
		return copy_message(job);
	/* Opening it again gives an offset of its own, without a copy. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", job->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd == -1 ? copy_message(job) : fd;
}
