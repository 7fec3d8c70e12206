#include "queue/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/enqueue.h"
#include "lib/memory.h"
#include "lib/record.h"
#include "queue/received.h"
#include "queue/server.h"

/* Clients' misbehaviour is logged this often at most. */
#define NOTE_EVERY_MS 1000
/* Of an image: the footer, and the records that are ours. */
#define LOGGED_OTHER_BYTES 256

/* ---- answers ---- */

/*
 * Answers are so few and short that they always fit into the socket; where
 * not, the client is not listening.
 */
static bool answer(int sock, const struct str *records)
{
	ssize_t sent;

	do
		sent = send(sock, records->p, records->len,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent == -1 && errno == EINTR);
	return sent == (ssize_t)records->len;
}

static void answer_refused(int sock, int code, const char *text)
{
	struct str records = { 0 };
	struct str value = { 0 };
	char bytes[8];

	le64_write(bytes, (uint64_t)code);
	str_append(&value, view_make(bytes, sizeof(bytes)));
	str_append_c(&value, text);
	record_append(&records, ENQUEUE_REFUSED_CODE, str_view(&value));
	/* Who is not there any more need not know. */
	(void)answer(sock, &records);
	str_free(&records);
	str_free(&value);
}

static void note(struct server *server, uid_t uid, pid_t pid, int code,
		 const char *text)
{
	int64_t now = clock_mono_ms();

	if (now - server->noted_ms < NOTE_EVERY_MS)
		return;
	server->noted_ms = now;
	warn("refused uid %lu pid %ld: %s (%d)", (unsigned long)uid, (long)pid,
	     text, code);
}

static void leave(struct client *client)
{
	spool_remove(&client->server->spool, &client->file);
	close(client->sock);
	client->sock = -1;
	client->phase = CLIENT_GONE;
}

void client_refuse(struct client *client, int code, const char *text)
{
	assert(client->phase == CLIENT_TALKING);
	/* Removed before it is said: what fails leaves nothing. */
	spool_remove(&client->server->spool, &client->file);
	answer_refused(client->sock, code, text);
	leave(client);
}

/* Something of ours failed; errno says what. */
static void fail(struct client *client, int usual_code, const char *what)
{
	int code = usual_code;

	warn_errno("cannot %s for uid %lu pid %ld", what,
		   (unsigned long)client->uid, (long)client->pid);
	switch (errno) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
	case EROFS:
	case EIO:
		code = ENQUEUE_CODE_WRITE;
		break;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		code = ENQUEUE_CODE_BUSY;
		break;
	}
	client_refuse(client, code, what);
}

/* ---- coming ---- */

static struct client *refuse_stranger(struct server *server, int sock,
				      const struct ucred *peer)
{
	answer_refused(sock, ENQUEUE_CODE_BUSY, "too many clients");
	close(sock);
	note(server, peer->uid, peer->pid, ENQUEUE_CODE_BUSY,
	     "too many clients");
	return NULL;
}

struct client *client_open(struct server *server, int sock)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	enum slots_kind kind;
	struct client *client;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1) {
		warn_errno("cannot tell who a client is");
		close(sock);
		return NULL;
	}
	if (!slots_take(&server->slots, peer.uid, &kind))
		return refuse_stranger(server, sock, &peer);
	client = memory_zeroed(1, sizeof(*client));
	*client = (struct client){
		.server = server,
		.sock = sock,
		.uid = peer.uid,
		.pid = peer.pid,
		.kind = kind,
		.start_ms = clock_mono_ms(),
		.heard_ms = clock_mono_ms(),
	};
	return client;
}

void client_free(struct client *client)
{
	assert(client->phase == CLIENT_GONE);
	slots_give(&client->server->slots, client->uid, client->kind);
	request_free(&client->request);
	free(client);
}

/* ---- what it says ---- */

static void write_received(struct client *client)
{
	struct str line = { 0 };
	int result;

	received_format(&line, client->server->ids, client->uid, client->pid,
			clock_wall_s());
	result = qfile_write_message(&client->file.writer, str_view(&line));
	str_free(&line);
	if (result == -1)
		fail(client, ENQUEUE_CODE_WRITE, "write a message");
}

static bool may_be_logged(struct server *server)
{
	return appender_is_usable(&server->appender) &&
	       !server->spool.format.files_only &&
	       handover_takes_records(&server->handover);
}

/* What has come so far goes to a file from here on. False: it has failed. */
static bool become_file(struct client *client)
{
	if (spool_create(&client->server->spool, &client->file) == 0)
		return true;
	fail(client, ENQUEUE_CODE_CREATE, "create a file in queue/pid");
	return false;
}

/* In memory as long as it fits a record of the log. False: it has failed. */
static bool make_room(struct client *client, size_t more)
{
	const struct spool_file *file = &client->file;

	return file->exists ||
	       file->writer.buffer.len + more + LOGGED_OTHER_BYTES <=
		       QLOG_IMAGE_MAX ||
	       become_file(client);
}

/* A message, as yet without what the client has to say. */
static void begin(struct client *client)
{
	client->begun = true;
	spool_begin(&client->file);
	if (may_be_logged(client->server) || become_file(client))
		write_received(client);
}

static void greet(struct client *client)
{
	struct str go = { 0 };

	if (spool_check_space(&client->server->spool) == -1) {
		fail(client, ENQUEUE_CODE_QUEUE_DIR, "find space in the queue");
		return;
	}
	begin(client);
	record_append(&go, ENQUEUE_GO, VIEW(""));
	if (client->phase == CLIENT_TALKING && !answer(client->sock, &go))
		leave(client);
	str_free(&go);
}

static void take_message(struct client *client, struct view bytes)
{
	if (!client->begun)
		begin(client);
	if (client->phase == CLIENT_TALKING && make_room(client, bytes.len) &&
	    qfile_write_message(&client->file.writer, bytes) == -1)
		fail(client, ENQUEUE_CODE_WRITE, "write a message");
}

/* Behind the sender come the records that only we may write. */
static int write_first_records(struct client *client, struct view records)
{
	struct qfile_writer *writer = &client->file.writer;
	struct str ours = { 0 };
	struct view rest = records;
	struct record sender;
	int result;

	if (record_next(&rest, &sender) != RECORD_OK)
		return 0; /* an empty piece: the sender is to come */
	client->sender_written = true;
	record_append(&ours, QFILE_SENDER, sender.value);
	record_append_u64(&ours, QFILE_UID, client->uid);
	record_append_u64(&ours, QFILE_PID, (uint64_t)client->pid);
	result = qfile_write_records(writer, str_view(&ours));
	str_free(&ours);
	if (result == -1)
		return -1;
	return qfile_write_records(writer, rest);
}

static void take_records(struct client *client, struct view records)
{
	int result;

	if (!client->begun)
		begin(client);
	if (client->phase != CLIENT_TALKING || !make_room(client, records.len))
		return;
	if (client->sender_written)
		result = qfile_write_records(&client->file.writer, records);
	else
		result = write_first_records(client, records);
	if (result == -1)
		fail(client, ENQUEUE_CODE_ENVELOPE_FILE, "write an envelope");
}

/* ---- when it is durable ---- */

/* The next one begins when its first bytes come. */
static void renew(struct client *client)
{
	spool_remove(&client->server->spool, &client->file);
	client->begun = false;
	client->sender_written = false;
	client->again = false;
	client->start_ms = client->heard_ms = clock_mono_ms();
}

static bool may_go_on(struct client *client)
{
	struct server *server = client->server;

	return client->again && !client->spoiled && server->listener != -1 &&
	       spool_check_space(&server->spool) == 0;
}

/* Returns whether it goes on. */
static bool answer_done(struct client *client)
{
	bool again = may_go_on(client);
	struct str records = { 0 };

	record_append_u64(&records, ENQUEUE_DONE_ID, client->file.id);
	if (again)
		record_append(&records, ENQUEUE_GO, VIEW(""));
	again &= answer(client->sock, &records);
	str_free(&records);
	return again;
}

/* The file is as durable as it gets, or never will be. */
static void committed(struct commit *commit, int error)
{
	struct client *client = commit->owner;
	bool again;

	client->phase = CLIENT_TALKING;
	if (error) {
		errno = error;
		fail(client, ENQUEUE_CODE_WRITE, "sync a message");
		return;
	}
	spool_accept(&client->file);
	again = answer_done(client);
	server_tell_file(client->server, client->file.id);
	if (again)
		renew(client);
	else
		leave(client);
}

/* The same for a record of the log. */
static void logged(struct append *append, int error)
{
	struct client *client = append->owner;
	bool again;

	client->phase = CLIENT_TALKING;
	if (error) {
		errno = error;
		fail(client, ENQUEUE_CODE_WRITE, "sync a message");
		return;
	}
	again = answer_done(client);
	handover_record(&client->server->handover, append);
	if (again)
		renew(client);
	else
		leave(client);
}

/* False: the log does not take it, and nothing has happened. */
static bool append_to_log(struct client *client)
{
	struct server *server = client->server;
	struct spool_file *file = &client->file;

	if (!may_be_logged(server))
		return false;
	file->id = spool_id(&server->spool);
	if (file->id == 0 ||
	    qfile_rewrite_footer(&file->writer, file->id) == -1)
		return false;
	client->append.done = logged;
	client->append.owner = client;
	if (appender_append(&server->appender, str_view(&file->writer.buffer),
			    file->id, &client->append) == -1) {
		str_truncate(&file->writer.buffer,
			     file->writer.buffer.len - QFILE_FOOTER_BYTES);
		return false;
	}
	client->phase = CLIENT_COMMITTING;
	return true;
}

static void take_end(struct client *client)
{
	struct server *server = client->server;

	if (!client->file.exists &&
	    (append_to_log(client) || !become_file(client)))
		return;
	if (spool_publish(&server->spool, &client->file) == -1) {
		fail(client, ENQUEUE_CODE_LINK,
		     "move a message into queue/new");
		return;
	}
	client->phase = CLIENT_COMMITTING;
	client->commit = (struct commit){
		.kind = COMMIT_FILE,
		.fd = client->file.writer.fd,
		.shard = client->file.id % server->spool.format.split,
		.done = committed,
		.owner = client,
	};
	committers_submit(&server->committers, &client->commit);
}

/* Behind END only a HELLO is of use, once. */
static void overhear(struct client *client, enum request_kind kind)
{
	if (kind == REQUEST_HELLO && !client->again)
		client->again = true;
	else
		client->spoiled = true;
}

static void obey(struct client *client, struct view input)
{
	while (client->phase != CLIENT_GONE) {
		struct request_event event;
		enum request_kind kind =
			request_next(&client->request, &input, &event);

		if (kind == REQUEST_MORE)
			return;
		if (client->phase == CLIENT_COMMITTING) {
			overhear(client, kind);
			continue;
		}
		switch (kind) {
		case REQUEST_MORE:
			return;
		case REQUEST_HELLO:
			greet(client);
			break;
		case REQUEST_MESSAGE:
			take_message(client, event.bytes);
			break;
		case REQUEST_RECORDS:
			take_records(client, event.bytes);
			break;
		case REQUEST_END:
			take_end(client);
			break;
		case REQUEST_BAD:
			note(client->server, client->uid, client->pid,
			     event.code, event.text);
			client_refuse(client, event.code, event.text);
			break;
		}
	}
}

static void hear(struct client *client)
{
	struct server *server = client->server;
	ssize_t got = recv(client->sock, server->space, sizeof(server->space),
			   MSG_DONTWAIT);

	if (got == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		leave(client);
		return;
	}
	client->heard_ms = clock_mono_ms();
	obey(client, view_make(server->space, (size_t)got));
}

/* ---- the loop's side ---- */

/* Let in with the end of the message before, and silent since. */
static bool is_waiting(const struct client *client)
{
	return !client->begun && client->request.phase == REQUEST_IN_MESSAGE;
}

static int64_t deadline_of(const struct client *client)
{
	int64_t idle = client->heard_ms + client->server->idle_ms;
	int64_t total = client->start_ms + client->server->total_ms;

	if (is_waiting(client))
		total = client->start_ms + INT64_C(2) * ENQUEUE_REUSE_MS;
	return idle < total ? idle : total;
}

void client_prepare(struct client *client, struct polls *polls,
		    int64_t *deadline)
{
	/* While committing, even a hang-up is of no interest. */
	client->polled = client->phase == CLIENT_TALKING;
	if (!client->polled)
		return;
	client->poll_no = polls_add(polls, client->sock, POLLIN);
	polls_until(deadline, deadline_of(client));
}

void client_act(struct client *client, const struct polls *polls)
{
	if (!client->polled || client->phase != CLIENT_TALKING)
		return;
	if (polls_ready(polls, client->poll_no))
		hear(client);
	else if (clock_mono_ms() < deadline_of(client))
		return;
	else if (is_waiting(client))
		leave(client);
	else
		client_refuse(client, ENQUEUE_CODE_TIMEOUT, "too slow");
}
