#include "send/take.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/lock.h"
#include "lib/memory.h"
#include "lib/mutant.h"
#include "lib/qfile.h"
#include "lib/record.h"
#include "send/message.h"
#include "send/names.h"
#include "send/send.h"

#define RESCAN_MS 60000
#define TAKES_A_TURN 64
#define MUTEX_WAIT_MS 1000

/* ---- opening ---- */

/*
 * One that was killed leaves the mutex free at once, unless it had just
 * forked: its children close it, or die, a moment later.
 */
static int try_mutex(int fd)
{
	int64_t until = clock_mono_ms() + MUTEX_WAIT_MS;

	while (lock_try(fd) == -1) {
		if (errno != EWOULDBLOCK || clock_mono_ms() >= until)
			return -1;
		poll(NULL, 0, 20);
	}
	return 0;
}

static int open_mutex(struct send *s)
{
	int fd = openat(s->homefd, "queue/lock/sendmutex",
			O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
			0600);

	if (fd == -1) {
		log_errno(&s->log, "alert: cannot start: unable to open "
				   "mutex queue/lock/sendmutex");
		return -1;
	}
	if (try_mutex(fd) == -1) {
		if (errno == EWOULDBLOCK)
			log_line(&s->log, "alert: cannot start: qmail-send is "
					  "already running");
		else
			log_errno(&s->log, "alert: cannot start: unable to "
					   "lock queue/lock/sendmutex");
		close(fd);
		return -1;
	}
	s->take.mutex = fd;
	return 0;
}

static int open_trigger(struct send *s)
{
	struct stat st;
	int fd = openat(s->homefd, "queue/lock/trigger",
			O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);

	s->take.trigger = fd;
	if (fd == -1 || fstat(fd, &st) == -1) {
		log_errno(&s->log, "alert: cannot start: unable to open "
				   "queue/lock/trigger");
		return -1;
	}
	if (!S_ISFIFO(st.st_mode)) {
		log_line(&s->log, "alert: cannot start: queue/lock/trigger is "
				  "not a FIFO");
		return -1;
	}
	s->take.trigger_hold =
		openat(s->homefd, "queue/lock/trigger",
		       O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (s->take.trigger_hold == -1) {
		log_errno(&s->log, "alert: cannot start: unable to write to "
				   "queue/lock/trigger");
		return -1;
	}
	return 0;
}

int take_open(struct send *s)
{
	s->take.pulled = true;
	s->take.rescan_ms = clock_mono_ms() + RESCAN_MS;
	return open_mutex(s) == -1 || open_trigger(s) == -1 ? -1 : 0;
}

void take_close(struct take *take)
{
	close(take->mutex);
	close(take->trigger);
	close(take->trigger_hold);
}

/* ---- reading directories ---- */

static void add_name(struct take_names *names, uint64_t id, uint64_t shard)
{
	if (names->count == names->cap) {
		names->cap = names->cap * 2 + 64;
		names->names = memory_resize(names->names, names->cap,
					     sizeof(*names->names));
	}
	names->names[names->count++] = (struct take_name){ id, shard };
}

static int oldest_first(const void *a, const void *b)
{
	const struct take_name *x = a;
	const struct take_name *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int youngest_first(const void *a, const void *b)
{
	return oldest_first(b, a);
}

static DIR *open_dir(int homefd, const char *path)
{
	int fd = openat(homefd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir;

	if (fd == -1)
		return NULL;
	dir = fdopendir(fd);
	if (!dir)
		close(fd);
	return dir;
}

static int read_shard(struct send *s, const char *folder, uint64_t shard,
		      struct take_names *names)
{
	struct str path = { 0 };
	struct dirent *entry;
	int result = 0;
	uint64_t id;
	DIR *dir;

	str_appendf(&path, "queue/%s/%lu", folder, (unsigned long)shard);
	dir = open_dir(s->homefd, str_c(&path));
	if (!dir) {
		log_errno(&s->log, "warning: unable to read %s", str_c(&path));
		str_free(&path);
		return -1;
	}
	while (errno = 0, (entry = readdir(dir)))
		if (names_parse_id(entry->d_name, &id))
			add_name(names, id, shard);
	if (errno) {
		log_errno(&s->log, "warning: unable to read %s", str_c(&path));
		result = -1;
	}
	str_free(&path);
	closedir(dir);
	return result;
}

/* Shards that are there although the split knows no such number. */
static void read_other_shards(struct send *s, const char *folder,
			      struct take_names *names)
{
	struct str path = { 0 };
	struct dirent *entry;
	uint64_t shard;
	DIR *dir;

	str_appendf(&path, "queue/%s", folder);
	dir = open_dir(s->homefd, str_c(&path));
	str_free(&path);
	if (!dir)
		return; /* its shards have been complained of */
	while (errno = 0, (entry = readdir(dir)))
		if (names_parse_id(entry->d_name, &shard) &&
		    shard >= s->format.split)
			(void)!read_shard(s, folder, shard, names);
	if (errno)
		log_errno(&s->log, "warning: unable to read queue/%s", folder);
	closedir(dir);
}

static int read_shards(struct send *s, const char *folder,
		       struct take_names *names)
{
	int result = 0;

	names->count = 0;
	for (uint64_t shard = 0; shard < s->format.split; shard++)
		if (read_shard(s, folder, shard, names) == -1)
			result = -1;
	return result;
}

static void format_found(struct str *path, const char *folder,
			 const struct take_name *name)
{
	str_reset(path);
	str_appendf(path, "queue/%s/%lu/%lu", folder,
		    (unsigned long)name->shard, (unsigned long)name->id);
}

/* 1: `to` was this very file already, and has been seen. */
static int move_file(struct send *s, const char *from, const char *to)
{
	if (s->format.sync == QSYNC_POSIX && !MUTANT(mess_no_dir_sync))
		return names_move_durably(s->homefd, from, to);
	return names_move(s->homefd, from, to);
}

/* ---- mess/ at the start ---- */

/* A file in another shard than its own is moved there. */
static bool is_in_place(struct send *s, const struct take_name *name)
{
	struct str from = { 0 };
	struct str to = { 0 };
	int result;

	if (name->id % s->format.split == name->shard)
		return true;
	format_found(&from, "mess", name);
	qformat_path(&s->format, &to, "mess", name->id);
	result = move_file(s, str_c(&from), str_c(&to));
	if (result == -1)
		log_errno(&s->log, "alert: unable to move %s to its shard",
			  str_c(&from));
	str_free(&from);
	str_free(&to);
	return result == 0;
}

int take_start(struct send *s)
{
	struct take_names names = { 0 };

	if (read_shards(s, "mess", &names) == -1) {
		free(names.names);
		log_line(&s->log,
			 "alert: cannot start: unable to read queue/mess");
		return -1;
	}
	read_other_shards(s, "mess", &names);
	if (names.count)
		qsort(names.names, names.count, sizeof(*names.names),
		      youngest_first);
	for (size_t i = 0; i < names.count; i++)
		if (is_in_place(s, &names.names[i]))
			work_found(s, names.names[i].id);
	free(names.names);
	return 0;
}

/* ---- new/ ---- */

/* Has the log heard of this file already? */
static bool is_known_odd(struct take *take, uint64_t id)
{
	for (size_t i = 0; i < take->odd_count; i++)
		if (take->odd[i] == id)
			return true;
	if (take->odd_count == TAKE_ODD_MAX)
		take->odd_count = 0;
	take->odd[take->odd_count++] = id;
	return false;
}

/*
 * Is the file accepted? Its writer holds it locked until then, and unlinks
 * it before unlocking when something failed.
 */
static bool is_accepted(int fd)
{
	struct stat st;

	return lock_try(fd) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0;
}

static uint64_t find_number(const struct qfile *file, uint64_t type)
{
	struct view value;

	if (!qfile_find(file, type, &value) || value.len != 8)
		return 0;
	return le64_read(value.p);
}

void take_log_new(struct send *s, const struct qfile *file)
{
	unsigned long id = (unsigned long)file->id;

	log_line(&s->log, "new msg %lu", id);
	log_put(&s->log, "info msg %lu: bytes %lu from <", id,
		(unsigned long)file->message_len);
	log_safe(&s->log, file->sender);
	log_put(&s->log, "> qp %lu uid %lu",
		(unsigned long)find_number(file, QFILE_PID),
		(unsigned long)find_number(file, QFILE_UID));
	log_end(&s->log);
}

/* A sound file: it becomes ours. */
static void take_over(struct send *s, const struct take_name *name,
		      const char *path, struct qfile *file)
{
	struct str to = { 0 };
	int result;

	qformat_path(&s->format, &to, "mess", name->id);
	result = move_file(s, path, str_c(&to));
	if (result != 0) {
		if (result == -1 && !is_known_odd(&s->take, name->id))
			log_errno(&s->log, "alert: unable to move %s to %s",
				  path, str_c(&to));
		qfile_close(file);
	} else {
		take_log_new(s, file);
		work_take(s, file);
	}
	str_free(&to);
}

static void take_file(struct send *s, const struct take_name *name,
		      const char *path)
{
	struct qfile file;
	enum qfile_result result = qfile_open(&file, s->homefd, path);

	if (result == QFILE_OK && file.id != name->id) {
		qfile_close(&file);
		result = QFILE_BAD;
	}
	switch (result) {
	case QFILE_OK:
		take_over(s, name, path, &file);
		break;
	case QFILE_EMPTY:
		log_line(&s->log, "warning: %s is empty; removed", path);
		unlinkat(s->homefd, path, 0);
		break;
	case QFILE_ABSENT:
		break;
	case QFILE_NEWER:
		if (!is_known_odd(&s->take, name->id))
			log_line(&s->log,
				 "alert: %s has a later format; left alone",
				 path);
		break;
	case QFILE_BAD:
		message_rename_bad(s, path, name->id,
				   is_known_odd(&s->take, name->id));
		break;
	case QFILE_ERROR:
		log_errno(&s->log,
			  "warning: unable to read %s; will try again later",
			  path);
		break;
	}
}

static void take_one(struct send *s, const struct take_name *name)
{
	struct str path = { 0 };
	int fd;

	format_found(&path, "new", name);
	fd = openat(s->homefd, str_c(&path),
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd != -1) {
		if (is_accepted(fd))
			take_file(s, name, str_c(&path));
		close(fd);
	} else if (errno == ELOOP || errno == ENXIO) {
		/* A link or a socket is no queue file. */
		message_rename_bad(s, str_c(&path), name->id,
				   is_known_odd(&s->take, name->id));
	} else if (errno != ENOENT && !is_known_odd(&s->take, name->id)) {
		log_errno(&s->log, "warning: unable to open %s", str_c(&path));
	}
	str_free(&path);
}

void take_announced(struct send *s, uint64_t id)
{
	const struct take_name name = {
		.id = id,
		.shard = id % s->format.split,
	};

	take_one(s, &name);
}

void take_look(struct send *s)
{
	s->take.pulled = true;
}

/* ---- the loop ---- */

static void scan(struct send *s)
{
	struct take *take = &s->take;
	take->pulled = false;
	take->rescan_ms = clock_mono_ms() + RESCAN_MS;
	take->next = 0;
	(void)!read_shards(s, "new", &take->found);
	if (!take->scanned)
		read_other_shards(s, "new", &take->found);
	take->scanned = true;
	if (take->found.count)
		qsort(take->found.names, take->found.count,
		      sizeof(*take->found.names), oldest_first);
}

void take_run(struct send *s)
{
	struct take *take = &s->take;

	if (s->exiting)
		return;
	if (take->next == take->found.count &&
	    (take->pulled || clock_mono_ms() >= take->rescan_ms))
		scan(s);
	for (int i = 0; i < TAKES_A_TURN && take->next < take->found.count; i++)
		take_one(s, &take->found.names[take->next++]);
	if (take->next < take->found.count)
		s->again = true;
}

void take_prepare(struct send *s, struct polls *polls, int64_t *deadline)
{
	s->take.poll_no = polls_add(polls, s->take.trigger, POLLIN);
	if (!s->exiting)
		polls_until(deadline, s->take.rescan_ms);
}

void take_act(struct send *s, const struct polls *polls)
{
	char space[1024];

	if (!polls_ready(polls, s->take.poll_no))
		return;
	/* First the bytes, then the scan: a later pull is not missed. */
	while (read(s->take.trigger, space, sizeof(space)) ==
	       (ssize_t)sizeof(space))
		;
	s->take.pulled = true;
}
