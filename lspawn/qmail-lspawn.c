/*
 * qmail-lspawn - find the user of each local address and deliver as him.
 *
 * started by  qmail-start, with the default delivery instruction
 * runs as     root; as the one user of an instance, if there is only one
 * fds         0 the socket of jobs and results (doc/delivery.md), 2 the log
 * exits       EXIT_DONE when qmail-send has closed and all is delivered,
 *             EXIT_RETRY when the socket fails
 *
 * Root never looks into a message, and takes an address only as counted
 * bytes: a key of users/cdb, the input of qmail-getpw, a record of a job.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/allow.h"
#include "lib/control.h"
#include "lib/die.h"
#include "lib/disks.h"
#include "lib/home.h"
#include "lib/ids.h"
#include "lib/sandbox.h"
#include "lib/spawner.h"
#include "lspawn/assign.h"
#include "lspawn/getpw.h"

struct lspawn {
	int homefd;
	struct ids ids;
	struct assign_table users;
	struct allow_table allowed;
	struct str local_path; /* of the programs */
	struct str getpw_path;
	struct view default_delivery;
	bool is_careful;  /* control/homesync: sync as if disks were unknown */
	struct str disks; /* where one fsync is enough (lib/disks.h) */
};

static void defer(struct spawner *s, struct spawner_slot *slot,
		  struct view text)
{
	spawner_answer(s, slot, JOB_DEFERRED, text);
}

/* ---- what is mounted ---- */

static void list_disks(struct spawner *s)
{
	struct lspawn *my = s->arg;

	if (!my->is_careful && s->watched != -1 &&
	    disks_list(s->watched, &my->disks) == -1)
		warn_errno("cannot read what is mounted: all syncs are made");
}

static void open_disks(struct spawner *s)
{
	struct lspawn *my = s->arg;
	struct str value = { 0 };

	switch (control_line(my->homefd, "homesync", &value)) {
	case CONTROL_OK:
		my->is_careful = view_eq(str_view(&value), VIEW("posix"));
		break;
	case CONTROL_ABSENT:
		break;
	case CONTROL_ERROR:
		die_errno(EXIT_RETRY, "cannot read control/homesync");
	}
	str_free(&value);
	s->watched = my->is_careful ? -1 : disks_open();
	if (s->watched == -1 && !my->is_careful)
		warn_errno("cannot see what is mounted: all syncs are made");
	list_disks(s);
}

/* None at all, unless there is something to choose from. */
static struct view known_disks(const struct lspawn *my)
{
	struct view none = { 0 };

	if (my->is_careful)
		return none;
	return my->disks.len ? str_view(&my->disks) : VIEW("");
}

/* ---- becoming the user ---- */

/*
 * Whether root's list lets us deliver as this user. Answers the job and
 * returns false when not: mail waits until somebody has looked.
 */
static bool may_deliver(struct spawner *s, struct spawner_slot *slot,
			const struct assign *who)
{
	struct lspawn *my = s->arg;
	struct view text = { 0 };

	if (who->uid == 0) {
		defer(s, slot,
		      VIEW("Not allowed to perform deliveries as root.\n"));
		return false;
	}
	if (my->ids.single) {
		if (who->uid == my->ids.single_uid)
			return true;
		defer(s, slot,
		      VIEW("This instance delivers for one user only. "
			   "(#4.3.0)\n"));
		return false;
	}
	switch (allow_renew(&my->allowed, my->homefd)) {
	case CONTROL_OK:
		if (!allow_ids(&my->allowed.list, who->uid, who->gid))
			text = VIEW("This uid and gid are not in "
				    "control/deliveryids. (#4.3.0)\n");
		else if (!allow_home(&my->allowed.list, who->home))
			text = VIEW("This home lies below no folder listed in "
				    "control/deliveryids. (#4.3.0)\n");
		break;
	case CONTROL_ABSENT:
		text = VIEW("control/deliveryids is missing: it lists whom "
			    "mail may be delivered as. (#4.3.0)\n");
		break;
	case CONTROL_ERROR:
		warn_errno("cannot use control/deliveryids");
		text = VIEW("Unable to read control/deliveryids. (#4.3.0)\n");
		break;
	}
	if (text.p) {
		warn("uid %ld gid %ld may not get mail", (long)who->uid,
		     (long)who->gid);
		defer(s, slot, text);
	}
	return !text.p;
}

static struct view address_of(const struct spawner_slot *slot)
{
	struct view rest = slot->job.recipients;
	struct job_recipient rcpt = { 0 };

	return job_next(&rest, &rcpt) ? rcpt.address : VIEW("");
}

static void deliver_as(struct spawner *s, struct spawner_slot *slot,
		       struct view record)
{
	struct lspawn *my = s->arg;
	const char *argv[] = { str_c(&my->local_path), "--jobs", NULL };
	struct spawn how = { .argv = argv };
	struct job job = slot->job;
	struct assign who;
	uint32_t key[2];

	if (!assign_parse(record, &who)) {
		warn("an entry of users/cdb or an answer of qmail-getpw is "
		     "damaged");
		defer(s, slot, VIEW("Internal qmail-lspawn bug.\n"));
		return;
	}
	if (!may_deliver(s, slot, &who))
		return;
	job.user = who.user;
	job.home = who.home;
	job.dash = who.dash;
	job.ext = who.ext;
	job.local = address_local(address_of(slot));
	job.domain = address_domain(address_of(slot));
	job.default_delivery = my->default_delivery;
	job.disks = known_disks(my);
	how.change_ids = true;
	how.uid = who.uid;
	how.gid = my->ids.single ? my->ids.single_gid : who.gid;
	/* Whoever was this user before may be him again. */
	key[0] = how.uid;
	key[1] = how.gid;
	spawner_worker(s, slot, &how, &job, view_make(key, sizeof(key)));
}

/* ---- finding the user ---- */

static void looked_up(struct spawner *s, struct spawner_slot *slot, int code)
{
	struct str record = slot->output;

	slot->output = (struct str){ 0 };
	switch (code) {
	case EXIT_DONE:
		deliver_as(s, slot, str_view(&record));
		break;
	case GETPW_NFS:
		defer(s, slot, VIEW("NFS failure in qmail-local.\n"));
		break;
	case GETPW_NOALIAS:
		defer(s, slot, VIEW("Unable to find alias user!\n"));
		break;
	case EXIT_REJECT:
		defer(s, slot, VIEW("Unable to run qmail-getpw.\n"));
		break;
	default:
		defer(s, slot, VIEW("Temporary failure in qmail-lspawn.\n"));
		break;
	}
	str_free(&record);
}

/* Bytes that a program reads from its beginning. -1 with errno. */
static int descriptor_of(struct view bytes)
{
	const struct job job = {
		.message = bytes,
		.size = bytes.len,
		.fd = -1,
	};

	return job_message_open(&job);
}

static void run_getpw(struct spawner *s, struct spawner_slot *slot,
		      struct view local)
{
	struct lspawn *my = s->arg;
	const char *argv[] = { str_c(&my->getpw_path), NULL };
	struct spawn how = { .argv = argv, .change_ids = true };
	/* Not as an argument, which everybody on this machine could read. */
	int fd = descriptor_of(local);

	if (fd == -1) {
		warn_errno("cannot hand an address to qmail-getpw");
		defer(s, slot, VIEW("Unable to run qmail-getpw.\n"));
		return;
	}
	spawn_fd(&how, fd, STDIN_FILENO);
	if (ids_user(&my->ids, "qmailp", &how.uid, &how.gid) == -1) {
		warn_errno("cannot find qmailp in users/ids");
		defer(s, slot, VIEW("Unable to run qmail-getpw.\n"));
	} else if (spawner_lookup(s, slot, &how) == -1) {
		warn_errno("cannot start qmail-getpw");
		defer(s, slot, VIEW("Unable to run qmail-getpw.\n"));
	}
	close(fd);
}

static void start(struct spawner *s, struct spawner_slot *slot)
{
	struct lspawn *my = s->arg;
	struct view address = address_of(slot);
	struct view local = address_local(address);
	struct str record = { 0 };

	if (!view_has(address, '@') || view_has(address, '\0')) {
		defer(s, slot, VIEW("Internal qmail-lspawn bug.\n"));
		return;
	}
	if (local.len == 0) {
		/* As in qmail: such mail is meant for nobody. */
		spawner_answer(s, slot, JOB_DELIVERED, VIEW("did 0+0+0\n"));
		return;
	}
	switch (assign_find(&my->users, my->homefd, local, &record)) {
	case ASSIGN_FOUND:
		deliver_as(s, slot, str_view(&record));
		break;
	case ASSIGN_MISSING:
		run_getpw(s, slot, local);
		break;
	case ASSIGN_ERROR:
		warn_errno("cannot read users/cdb");
		defer(s, slot,
		      VIEW("Trouble reading users/cdb in qmail-lspawn.\n"));
		break;
	}
	str_free(&record);
}

static void open_house(struct lspawn *my)
{
	home_path(&my->local_path);
	str_append_c(&my->local_path, "/bin/qmail-local");
	home_path(&my->getpw_path);
	str_append_c(&my->getpw_path, "/bin/qmail-getpw");
	my->homefd = home_open();
	if (my->homefd == -1)
		die_errno(EXIT_RETRY, "cannot open the home");
	if (ids_load(&my->ids, my->homefd) == -1)
		die_errno(EXIT_RETRY, "cannot read users/ids");
}

/* It becomes others, and ends those that take too long. No more. */
static int give_up_capabilities(void)
{
	return sandbox_root(UINT64_C(1) << CAP_SETUID |
			    UINT64_C(1) << CAP_SETGID |
			    UINT64_C(1) << CAP_KILL);
}

static void close_house(struct lspawn *my)
{
	str_free(&my->local_path);
	str_free(&my->getpw_path);
	ids_free(&my->ids);
	assign_close(&my->users);
	allow_free(&my->allowed);
	str_free(&my->disks);
	close(my->homefd);
}

int main(int argc, char **argv)
{
	static const struct spawner_ops ops = {
		.worker = "qmail-local",
		.start = start,
		.looked_up = looked_up,
		.noticed = list_disks,
	};
	struct lspawn my = { 0 };
	struct spawner s = { .ops = &ops, .arg = &my };
	int code;

	die_name("qmail-lspawn");
	if (argc != 2)
		die(EXIT_REJECT, "usage: qmail-lspawn defaultdelivery");
	my.default_delivery = view_of(argv[1]);
	if (give_up_capabilities() == -1)
		die_errno(EXIT_RETRY, "cannot give up capabilities");
	open_house(&my);
	if (spawner_timeout(my.homefd, &s.timeout_ms) == -1)
		die_errno(EXIT_RETRY, "cannot read control/timeoutdelivery");
	open_disks(&s);
	if (spawner_init(&s) == -1)
		die_errno(EXIT_RETRY, "cannot say hello to qmail-send");
	code = spawner_run(&s);
	close_house(&my);
	return code;
}
