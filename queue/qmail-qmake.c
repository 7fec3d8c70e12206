/*
 * qmail-qmake - make the queue: its folders, its format, their owners.
 *
 * started by  setup, or the administrator
 * runs as     root, or the one user of an instance that has one
 * exits       EXIT_DONE when everything is as it should be, EXIT_REJECT for
 *             misuse, EXIT_RETRY when something could not be made
 *
 * A second run repairs owners and modes, and changes nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/home.h"
#include "lib/ids.h"
#include "lib/qformat.h"

#define ROOT NULL

/* The owner is a name of users/ids; the group that of the second. */
static const struct place {
	const char *path;
	const char *owner;
	const char *group;
	mode_t mode;
	bool shards;
} places[] = {
	{ "queue", "qmailq", "qmailq", 0755, false },
	{ "queue/format", ROOT, ROOT, 0644, false },
	{ "queue/pid", "qmailq", "qmailq", 0700, true },
	{ "queue/new", "qmailq", "qmailq", 0770, true },
	{ "queue/mess", "qmailq", "qmailq", 0770, true },
	{ "queue/bounce", "qmails", "qmails", 0700, true },
	{ "queue/bad", "qmailq", "qmailq", 0770, false },
	{ "queue/log", "qmailq", "qmailq", 0770, false },
	{ "queue/socket", "qmailq", "qmailq", 0755, false },
	{ "queue/lock", ROOT, ROOT, 0711, false },
	{ "queue/lock/trigger", "qmails", "qmailq", 0620, false },
	{ "queue/lock/sendmutex", "qmails", "qmails", 0600, false },
	{ "queue/lock/tcpto", "qmailr", "qmailr", 0644, false },
};

static void resolve(const struct ids *ids, const char *name, uid_t *uid,
		    gid_t *gid)
{
	if (name == ROOT && !ids->single) {
		*uid = 0;
		*gid = 0;
		return;
	}
	if (ids_user(ids, name == ROOT ? "root" : name, uid, gid) == -1)
		die_errno(EXIT_RETRY, "users/ids: %s", name);
}

static void settle_one(int homefd, const char *path, uid_t uid, gid_t gid,
		       mode_t mode)
{
	struct stat st;

	if (fstatat(homefd, path, &st, AT_SYMLINK_NOFOLLOW) == -1)
		die_errno(EXIT_RETRY, "cannot look at %s", path);
	if (S_ISLNK(st.st_mode))
		die(EXIT_RETRY, "%s is a symbolic link", path);
	if ((st.st_uid != uid || st.st_gid != gid) &&
	    fchownat(homefd, path, uid, gid, AT_SYMLINK_NOFOLLOW) == -1)
		die_errno(EXIT_RETRY, "cannot give %s to uid %lu gid %lu", path,
			  (unsigned long)uid, (unsigned long)gid);
	if ((st.st_mode & 07777) != mode &&
	    fchmodat(homefd, path, mode, 0) == -1)
		die_errno(EXIT_RETRY, "cannot change the mode of %s", path);
}

static void settle(int homefd, const struct ids *ids, uint64_t split,
		   const struct place *place)
{
	struct str path = { 0 };
	uid_t uid;
	uid_t ignored_uid;
	gid_t gid;
	gid_t ignored_gid;

	resolve(ids, place->owner, &uid, &ignored_gid);
	resolve(ids, place->group, &ignored_uid, &gid);
	settle_one(homefd, place->path, uid, gid, place->mode);
	for (uint64_t shard = 0; place->shards && shard < split; shard++) {
		str_set_c(&path, place->path);
		str_append_byte(&path, '/');
		str_append_u64(&path, shard);
		settle_one(homefd, str_c(&path), uid, gid, place->mode);
	}
	str_free(&path);
}

static noreturn void usage(void)
{
	die(EXIT_REJECT, "usage: qmail-qmake [split]");
}

static void make(int homefd, uint64_t split, struct qformat *format)
{
	if (qformat_create(homefd, split) == -1) {
		if (errno == EPROTONOSUPPORT)
			die(EXIT_RETRY,
			    "queue/format is of a newer version than %d",
			    QFORMAT_VERSION);
		die_errno(EXIT_RETRY, "cannot make the queue");
	}
	if (qformat_load(homefd, format) != QFORMAT_OK)
		die_errno(EXIT_RETRY, "cannot read queue/format again");
}

int main(int argc, char **argv)
{
	uint64_t split = CONF_SPLIT;
	struct qformat format;
	struct ids ids;
	int homefd;

	die_name("qmail-qmake");
	if (argc > 2)
		usage();
	if (argc == 2 && (!view_u64(view_of(argv[1]), &split) || split == 0))
		usage();
	homefd = home_open();
	if (homefd == -1)
		die_errno(EXIT_RETRY, "cannot open the home directory");
	if (ids_load(&ids, homefd) == -1)
		die_errno(EXIT_RETRY, "cannot read users/ids");
	make(homefd, split, &format);
	for (size_t i = 0; i < COUNT_OF(places); i++)
		settle(homefd, &ids, format.split, &places[i]);
	ids_free(&ids);
	return EXIT_DONE;
}
