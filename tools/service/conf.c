/*
 * qmail-smtpd-conf and its kin - make a service directory for svscan.
 *
 * started by  an administrator, or ./setup; its name says which service
 * runs as     root; an ordinary user for services of his own
 * exits       EXIT_DONE when the directory is there, complete and durable,
 *             EXIT_REJECT for misuse, EXIT_RETRY if it cannot be made: then
 *             nothing is left of it
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/die.h"
#include "lib/home.h"
#include "lib/ids.h"
#include "lib/inherit.h"
#include "lib/spawn.h"
#include "tools/daemontools/account.h"
#include "tools/service/maker.h"
#include "tools/service/scripts.h"

#define RELAY_PURPOSE "let these clients send mail anywhere."
#define CLIENT_PURPOSE "let these clients connect."

/* What tcpserver's own defaults are too small for. */
#define CONCURRENCY "100"
#define BACKLOG "500"
#define MAX_FILE_SIZE "1000000"

struct conf {
	const struct service *service;
	const char *account; /* NULL: qmail-delivery-conf has none */
	const char *logaccount;
	const char *directory;
	const char *ip;
	uid_t log_uid;
	gid_t log_gid;
	int homefd;
	struct str home;
	struct str control;
	struct str localname;
	struct setting setting;
	struct maker maker;
};

static noreturn void usage(const struct service *service)
{
	if (!service->port)
		die(EXIT_REJECT, "usage: %s logaccount directory",
		    service->name);
	if (service->logs_in)
		die(EXIT_REJECT,
		    "usage: %s account|checkpassword logaccount directory "
		    "[ ip ]",
		    service->name);
	die(EXIT_REJECT, "usage: %s account logaccount directory [ ip ]",
	    service->name);
}

static bool is_word(const char *text)
{
	return text[0] != '\0' && text[0] != '-' &&
	       script_is_plain(view_of(text));
}

/* Something that can be made: `/`, `.` and `..` are there. */
static bool is_directory_name(const char *text)
{
	struct view path = view_of(text);
	struct view name = path;
	size_t slash = view_find_last(path, '/');

	if (slash < path.len)
		name = view_from(path, slash + 1);
	return name.len && !view_eq(name, VIEW(".")) &&
	       !view_eq(name, VIEW(".."));
}

static void cut_slashes(char *text)
{
	size_t len = strlen(text);

	while (len > 1 && text[len - 1] == '/')
		text[--len] = '\0';
}

static void parse_arguments(struct conf *c, int argc, char **argv)
{
	int at = 1;
	int most = c->service->port ? 5 : 3;

	if (argc < (c->service->port ? 4 : 3) || argc > most)
		usage(c->service);
	if (c->service->port)
		c->account = argv[at++];
	c->logaccount = argv[at++];
	cut_slashes(argv[at]);
	c->directory = argv[at++];
	c->ip = at < argc ? argv[at] : "";
	if ((c->account && !is_word(c->account)) || !is_word(c->logaccount) ||
	    !is_directory_name(c->directory) ||
	    (c->ip[0] != '\0' && !is_word(c->ip)))
		usage(c->service);
}

static void find_home(struct conf *c)
{
	home_path(&c->home);
	c->homefd = home_open();
	if (c->homefd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to open %s",
			  str_c(&c->home));
	if (!script_is_plain(str_view(&c->home)))
		die(EXIT_RETRY,
		    "fatal: a shell would not read %s as it is written",
		    str_c(&c->home));
	c->setting.home = str_view(&c->home);
}

/* A path, or the name of a program of the house. */
static bool is_installed(const struct conf *c, const char *program)
{
	struct str path = { 0 };
	bool found;

	if (program[0] != '/')
		str_append(&path, VIEW("bin/"));
	str_append_c(&path, program);
	found = faccessat(c->homefd, str_c(&path), X_OK, 0) == 0;
	str_free(&path);
	return found;
}

static bool is_qmaild(const struct conf *c, uid_t uid)
{
	struct ids ids = { 0 };
	uid_t qmaild;
	gid_t gid;
	bool same = ids_load(&ids, c->homefd) == 0 &&
		    ids_user(&ids, "qmaild", &qmaild, &gid) == 0 &&
		    qmaild == uid;

	ids_free(&ids);
	return same;
}

/*
 * Who logs people in has to become each of them: that is root's. For these,
 * root and qmaild mean the house's own way, in which qmail-popup reads the
 * client's bytes as qmaild.
 */
static void use_account(struct conf *c, uid_t uid)
{
	if (c->service->logs_in && (uid == 0 || is_qmaild(c, uid)))
		return;
	c->setting.account = view_of(c->account);
}

static void find_account(struct conf *c)
{
	uid_t uid;
	gid_t gid;

	c->setting.check = VIEW("vchkpw");
	switch (account_find(c->account, &uid, &gid)) {
	case ACCOUNT_OK:
		use_account(c, uid);
		return;
	case ACCOUNT_ERROR:
		die_errno(EXIT_RETRY, "fatal: unable to look up account %s",
			  c->account);
	case ACCOUNT_UNKNOWN:
		break;
	}
	if (c->service->logs_in &&
	    (c->account[0] == '/' || is_installed(c, c->account))) {
		c->setting.check = view_of(c->account);
		return;
	}
	die(EXIT_RETRY, "fatal: unknown account %s", c->account);
}

static void find_accounts(struct conf *c)
{
	if (c->account)
		find_account(c);
	account_must(c->logaccount, &c->log_uid, &c->log_gid);
	c->setting.logaccount = view_of(c->logaccount);
}

/* The house's own services find it where they are, wherever that is. */
static void find_control(struct conf *c)
{
	struct stat parent;
	struct stat services;

	if (fstat(c->maker.parentfd, &parent) == 0 &&
	    fstatat(c->homefd, "service", &services, 0) == 0 &&
	    parent.st_dev == services.st_dev &&
	    parent.st_ino == services.st_ino)
		str_set_c(&c->control, "../../control");
	else
		str_appendf(&c->control, "%s/control", str_c(&c->home));
	c->setting.control = str_view(&c->control);
}

/* What tcpserver calls this host, so that it asks no DNS server. */
static void find_localname(struct conf *c)
{
	if (c->service->logs_in ||
	    control_line(c->homefd, "me", &c->localname) != CONTROL_OK ||
	    c->localname.len == 0)
		str_set_c(&c->localname, "0");
}

/* An empty file is a variable that is not set. */
static void variable(struct conf *c, const char *name, const char *value)
{
	struct str line = { 0 };

	if (value && value[0] != '\0')
		str_appendf(&line, "%s\n", value);
	maker_file(&c->maker, name, 0644, str_view(&line));
	str_free(&line);
}

static void write_log(struct conf *c)
{
	struct str text = { 0 };

	maker_folder(&c->maker, "log", 0755);
	script_log(&text, &c->setting);
	maker_file(&c->maker, "log/run", 0755, str_view(&text));
	maker_folder(&c->maker, "log/env", 0755);
	variable(c, "log/env/MAXFILESIZE", MAX_FILE_SIZE);
	variable(c, "log/env/MAXLOGFILES", NULL);
	variable(c, "log/env/MAXLOGSIZES", NULL);
	variable(c, "log/env/PROCESSOR", NULL);
	/* Logs name every recipient: nobody else reads them. */
	maker_folder(&c->maker, "log/main", 0700);
	maker_own(&c->maker, "log/main", c->log_uid, c->log_gid);
	str_free(&text);
}

static void write_server_variables(struct conf *c)
{
	variable(c, "env/IP", c->ip);
	variable(c, "env/PORT", c->service->port);
	variable(c, "env/CONCURRENCY", CONCURRENCY);
	variable(c, "env/BACKLOG", BACKLOG);
	variable(c, "env/LOCALNAME", str_c(&c->localname));
	variable(c, "env/REMOTENAME", NULL);
	variable(c, "env/REMOTEINFO", NULL);
}

static void write_variables(struct conf *c)
{
	maker_folder(&c->maker, "env", 0755);
	variable(c, "env/DATALIMIT", NULL);
	variable(c, "env/LOGLEVEL", NULL);
	if (c->service->port)
		write_server_variables(c);
	/* Those of one service alone. */
	for (size_t i = 0; i < SERVICE_VARIABLES; i++)
		if (c->service->variables[i])
			variable(c, c->service->variables[i], NULL);
}

static void compile_rules(struct conf *c)
{
	struct str program = { 0 };
	const char *argv[] = { NULL, "tcp.cdb", "tcp.tmp", NULL };
	struct spawn s = { .argv = argv, .cwd = str_c(&c->maker.path) };
	int fd = openat(c->maker.fd, "tcp", O_RDONLY | O_CLOEXEC);
	int status = -1;
	pid_t pid;

	home_program(&program, "tcprules");
	argv[0] = str_c(&program);
	if (fd == -1)
		maker_fail(&c->maker, "read tcp");
	maker_expect(&c->maker, "tcp.cdb");
	maker_expect(&c->maker, "tcp.tmp"); /* of one that was killed */
	spawn_fd(&s, fd, STDIN_FILENO);
	pid = spawn_start(&s);
	if (pid == -1 || spawn_wait(pid, &status) == -1)
		maker_fail(&c->maker, "run tcprules");
	if (spawn_exit_code(status) != EXIT_DONE) {
		errno = ECHILD;
		maker_fail(&c->maker, "compile tcp with tcprules");
	}
	close(fd);
	str_free(&program);
}

static void write_rules(struct conf *c)
{
	struct str text = { 0 };

	maker_file(&c->maker, "tcp", 0644, view_of(c->service->rules));
	compile_rules(c);
	script_makefile(&text, &c->setting);
	maker_file(&c->maker, "Makefile", 0644, str_view(&text));
	script_add(&text, &c->setting, "add-relayclient", RELAY_PURPOSE,
		   "allow,RELAYCLIENT=\"\"");
	maker_file(&c->maker, "add-relayclient", 0755, str_view(&text));
	script_add(&text, &c->setting, "add-client", CLIENT_PURPOSE, "allow");
	maker_file(&c->maker, "add-client", 0755, str_view(&text));
	str_free(&text);
}

static void add_missing(const struct conf *c, const char *program,
			struct str *missing)
{
	if (!is_installed(c, program))
		str_appendf(missing, "%s%s", missing->len ? ", " : "", program);
}

/* supervise would start again and again what is not there. */
static void write_down(struct conf *c)
{
	struct str missing = { 0 };

	if (c->service->logs_in)
		add_missing(c, c->setting.check.p, &missing);
	for (size_t i = 0; i < SERVICE_NEEDS && c->service->needs[i]; i++)
		add_missing(c, c->service->needs[i], &missing);
	if (missing.len) {
		maker_file(&c->maker, "down", 0644, VIEW(""));
		warn("warning: not installed: %s; as long as there is %s/down "
		     "nothing is started",
		     str_c(&missing), c->directory);
	}
	str_free(&missing);
}

static void make(struct conf *c)
{
	struct str run = { 0 };

	maker_begin(&c->maker, c->directory);
	find_control(c);
	script_run(&run, c->service, &c->setting);
	maker_file(&c->maker, "run", 0755, str_view(&run));
	write_variables(c);
	write_log(c);
	if (c->service->port)
		write_rules(c);
	write_down(c);
	maker_commit(&c->maker);
	str_free(&run);
}

int main(int argc, char **argv)
{
	struct conf c = { 0 };
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const char *name = argc ? argv[0] : "";

	if (slash)
		name = slash + 1;
	die_name(name);
	c.service = service_find(name);
	if (!c.service)
		die(EXIT_REJECT, "fatal: no service is made under this name");
	parse_arguments(&c, argc, argv);
	inherit_reset();
	umask(022);
	find_home(&c);
	find_accounts(&c);
	find_localname(&c);
	make(&c);
	return EXIT_DONE;
}
