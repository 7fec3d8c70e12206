/*
 * sendmail - what programs call that know only sendmail.
 *
 * started by  cron, PHP, mutt, git send-email ...
 * runs as     whoever calls it
 * fds         0 the message
 * exits       as qmail-inject does, which it becomes; EXIT_REJECT for what
 *             it does not understand
 */
#include <stdlib.h>
#include <unistd.h>

#include "lib/addrlist.h"
#include "lib/die.h"
#include "lib/home.h"

struct sendmail {
	char mode;          /* of -b */
	bool from_header;   /* -t */
	bool run_queue;     /* -q */
	const char *sender; /* -f, or NULL */
	const char *name;   /* -F, or NULL */
};

static noreturn void usage(void)
{
	die(EXIT_REJECT, "usage: sendmail [ -t ] [ -i ] [ -f sender ] "
			 "[ -F name ] [ -bm | -bp | -bs ] [ recipient ... ]");
}

static noreturn void cannot_run(const char *path)
{
	die_errno(EXIT_RETRY, "fatal: unable to run %s", path);
}

static void set(const char *variable, const char *value)
{
	if (setenv(variable, value, 1) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to set $%s", variable);
}

/* Become one of our own programs. */
static noreturn void become(const char *program, const char **argv)
{
	struct str path = { 0 };

	home_program(&path, program);
	argv[0] = program;
	execv(str_c(&path), (char *const *)(uintptr_t)argv);
	cannot_run(str_c(&path));
}

/*
 * -f also names the From field of a message without one; what the user's own
 * QMAILUSER and QMAILHOST say still comes first.
 */
static void set_from(const char *sender)
{
	struct view v = view_of(sender);
	size_t at = view_find_last(v, '@');
	struct str user = { 0 };

	str_set(&user, view_first(v, at));
	if (user.len)
		set("MAILUSER", str_c(&user));
	if (at < v.len)
		set("MAILHOST", sender + at + 1);
	str_free(&user);
}

/* The address in `<a@b>` or `Name <a@b>`, as qmail-inject takes it. */
static const char *one_address(const char *text)
{
	struct addrlist list = { .text = view_of(text) };
	struct addrlist_item item = { 0 };

	if (addrlist_next(&list, &item) != ADDRLIST_ADDRESS)
		return text;
	return str_c(&item.address);
}

static void add_recipients(const char **argv, size_t *count, size_t max,
			   const char *text)
{
	struct addrlist list = { .text = view_of(text) };
	enum addrlist_result result;

	for (;;) {
		struct addrlist_item item = { 0 };

		result = addrlist_next(&list, &item);
		if (result != ADDRLIST_ADDRESS)
			break;
		if (*count == max || item.address.len == 0)
			break;
		/* Its memory goes with us. */
		argv[(*count)++] = str_c(&item.address);
	}
	if (result != ADDRLIST_END)
		die(EXIT_REJECT, "fatal: unable to parse this address: %s",
		    text);
}

/* A list of addresses has fewer of them than bytes. */
static size_t count_bytes(char *const *arguments)
{
	size_t count = 0;

	for (; *arguments; arguments++)
		count += strlen(*arguments);
	return count;
}

static noreturn void inject(const struct sendmail *s, char *const *arguments)
{
	size_t max = count_bytes(arguments) + 8;
	const char **argv = calloc(max + 1, sizeof(*argv));
	size_t count = 1;

	if (!argv)
		die(EXIT_RETRY, "fatal: out of memory");
	argv[count++] = s->from_header ? "-H" : "-a";
	if (s->name)
		set("QMAILNAME", s->name);
	if (s->sender) {
		const char *sender = one_address(s->sender);

		set_from(sender);
		argv[count++] = "-f";
		argv[count++] = sender;
	}
	argv[count++] = "--";
	for (; *arguments; arguments++)
		add_recipients(argv, &count, max, *arguments);
	become("qmail-inject", argv);
}

/* An SMTP session with the caller, who may send anywhere. */
static noreturn void serve_smtp(void)
{
	const char *argv[] = { NULL, NULL };

	set("RELAYCLIENT", "");
	set("DATABYTES", "0");
	set("PROTO", "TCP");
	set("TCPLOCALIP", "127.0.0.1");
	set("TCPLOCALHOST", "localhost");
	set("TCPREMOTEIP", "127.0.0.1");
	set("TCPREMOTEHOST", "localhost");
	set("TCPREMOTEINFO", "sendmail-bs");
	become("qmail-smtpd", argv);
}

static noreturn void list_queue(void)
{
	const char *argv[] = { NULL, NULL };

	become("qmail-qread", argv);
}

/* Options with a value that mean nothing here: -B -C -L -N -O -R -V ... */
#define OPTIONS "+A:B:b:C:d::e:EF:f:Gh:IiJL:mN:nO:o:p:q::R:r:sTtUV:vX:x"

static void parse_options(struct sendmail *s, int argc, char **argv)
{
	int option;

	opterr = 0;
	while ((option = getopt(argc, argv, OPTIONS)) != -1)
		switch (option) {
		case 'b':
			s->mode = optarg[0];
			break;
		case 'F':
			s->name = optarg;
			break;
		case 'f':
		case 'r':
			s->sender = optarg;
			break;
		case 'q':
			s->run_queue = true;
			break;
		case 't':
			s->from_header = true;
			break;
		case '?':
			usage();
		default:
			break;
		}
}

static char mode_of_name(const char *name)
{
	struct view v = view_of(name);

	if (view_ends(v, VIEW("mailq")))
		return 'p';
	if (view_ends(v, VIEW("newaliases")))
		return 'i';
	return 'm';
}

int main(int argc, char **argv)
{
	struct sendmail s = { .mode = mode_of_name(argc ? argv[0] : "") };

	die_name("sendmail");
	parse_options(&s, argc, argv);
	switch (s.mode) {
	case 'm':
		break;
	case 'p':
		list_queue();
	case 's':
		serve_smtp();
	default:
		die(EXIT_REJECT, "fatal: -b%c is not supported", s.mode);
	}
	/* qmail-send tries everything when it is due; nothing to be done. */
	if (s.run_queue)
		return EXIT_DONE;
	inject(&s, argv + optind);
}
