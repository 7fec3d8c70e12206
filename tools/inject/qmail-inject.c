/*
 * qmail-inject - complete a message's header and queue the message.
 *
 * started by  users and their programs, sendmail
 * runs as     whoever calls it
 * fds         0 the message, 1 the result with -n, 2 complaints
 * exits       EXIT_DONE when the message is queued, EXIT_REJECT for misuse, a
 *             header that cannot be parsed or a message that is refused,
 *             EXIT_RETRY when it may work later
 */
#include <unistd.h>

#include "lib/address.h"
#include "lib/clock.h"
#include "lib/die.h"
#include "lib/enqueue.h"
#include "lib/home.h"
#include "lib/out.h"
#include "lib/qfile.h"
#include "lib/sig.h"
#include "tools/inject/compose.h"
#include "tools/inject/reader.h"

/* -A, -a, -h, -H: whose recipients count. */
enum whose {
	ARGUMENTS_OR_HEADER,
	ARGUMENTS,
	HEADER,
	BOTH,
};

struct inject {
	enum whose whose;
	bool print;         /* -n */
	const char *sender; /* -f, or NULL */
	char *const *arguments;
	int homefd;
	struct config config;
	struct compose compose;
	struct reader reader;
	struct str from;       /* the envelope sender */
	struct str recipients; /* each ends in a NUL */
	struct enqueue queue;
	struct out out;
	char out_space[16384];
};

static noreturn void usage(void)
{
	die(EXIT_REJECT, "usage: qmail-inject [ -nNaAhH ] [ -f sender ] "
			 "[ recipient ... ]");
}

static void parse_options(struct inject *i, int argc, char **argv)
{
	int option;

	opterr = 0;
	while ((option = getopt(argc, argv, "+aAhHnNf:")) != -1)
		switch (option) {
		case 'a':
			i->whose = ARGUMENTS;
			break;
		case 'A':
			i->whose = ARGUMENTS_OR_HEADER;
			break;
		case 'h':
			i->whose = HEADER;
			break;
		case 'H':
			i->whose = BOTH;
			break;
		case 'n':
			i->print = true;
			break;
		case 'N':
			i->print = false;
			break;
		case 'f':
			i->sender = optarg;
			break;
		default:
			usage();
		}
	i->arguments = argv + optind;
}

/* An address from the command line: the domain is behind the last @. */
static void append_argument(const struct inject *i, struct str *to,
			    const char *argument)
{
	struct str address = { 0 };

	for (const char *p = argument; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			die(EXIT_REJECT,
			    "fatal: control character in address: %s",
			    argument);
	str_set_c(&address, argument);
	config_complete(&i->config, &address,
			view_has(str_view(&address), '@'));
	str_append(to, str_view(&address));
	str_free(&address);
}

static void find_sender(struct inject *i, int64_t now_s)
{
	if (i->sender)
		append_argument(i, &i->from, i->sender);
	else if (i->compose.has_return_path)
		str_set(&i->from, str_view(&i->compose.return_path));
	else
		config_sender(&i->config, &i->from, now_s, (long)getpid());
}

static void find_recipients(struct inject *i)
{
	bool arguments = i->whose != HEADER;
	bool header = i->whose == HEADER || i->whose == BOTH ||
		      (i->whose == ARGUMENTS_OR_HEADER && !*i->arguments);

	if (header)
		str_append(&i->recipients,
			   str_view(compose_recipients(&i->compose)));
	for (char *const *a = i->arguments; arguments && *a; a++) {
		if (!**a)
			die(EXIT_REJECT, "fatal: empty recipient address");
		append_argument(i, &i->recipients, *a);
		str_append_byte(&i->recipients, '\0');
	}
	if (i->recipients.len == 0 && !i->print)
		die(EXIT_REJECT, "fatal: no recipients");
}

static void read_header(struct inject *i)
{
	struct str header = { 0 };

	switch (reader_header(&i->reader, &header)) {
	case READER_OK:
	case READER_END:
		break;
	case READER_TOO_LONG:
		die(EXIT_REJECT, "fatal: header longer than %zu bytes",
		    READER_HEADER_MAX);
	case READER_ERROR:
		die_errno(EXIT_RETRY, "fatal: unable to read the message");
	}
	if (!compose_header(&i->compose, str_view(&header))) {
		struct view bad = i->compose.bad;

		bad = view_first(bad, view_find(bad, '\n'));
		die(EXIT_REJECT, "fatal: unable to parse this line: %.*s",
		    (int)(bad.len > 500 ? 500 : bad.len), bad.p);
	}
	str_free(&header);
}

static void put(struct inject *i, struct view bytes)
{
	if (!i->print)
		enqueue_put(&i->queue, bytes);
	else if (out_put(&i->out, bytes) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to write the message");
}

static void put_header(struct inject *i, int64_t now_s)
{
	struct str header = { 0 };

	compose_finish(&i->compose, now_s, (long)getpid(), &header);
	str_append_byte(&header, '\n');
	put(i, str_view(&header));
	str_free(&header);
}

static void put_body(struct inject *i)
{
	struct str piece = { 0 };
	enum reader_result result;

	while ((result = reader_body(&i->reader, &piece)) == READER_OK)
		put(i, str_view(&piece));
	if (result == READER_ERROR)
		die_errno(EXIT_RETRY, "fatal: unable to read the message");
	str_free(&piece);
}

/* Any address that only SMTPUTF8 can carry? */
static bool needs_utf8(const struct inject *i)
{
	return !address_is_ascii(str_view(&i->from)) ||
	       !address_is_ascii(str_view(&i->recipients));
}

static void put_envelope(struct inject *i)
{
	struct view rest = str_view(&i->recipients);

	enqueue_from(&i->queue, str_view(&i->from));
	if (needs_utf8(i))
		enqueue_param(&i->queue, QFILE_SMTPUTF8, VIEW(""));
	while (rest.len)
		enqueue_to(&i->queue, view_cut(&rest, '\0'));
}

static int finish(struct inject *i)
{
	int code = EXIT_DONE;

	if (i->print) {
		if (out_flush(&i->out) == -1)
			die_errno(EXIT_RETRY,
				  "fatal: unable to write the message");
		return EXIT_DONE;
	}
	put_envelope(i);
	switch (enqueue_close(&i->queue)) {
	case ENQUEUE_DONE:
		break;
	case ENQUEUE_TEMPORARY:
		code = EXIT_RETRY;
		break;
	case ENQUEUE_PERMANENT:
		code = EXIT_REJECT;
		break;
	}
	if (code != EXIT_DONE)
		warn("fatal: %s", str_c(&i->queue.text));
	enqueue_free(&i->queue);
	return code;
}

int main(int argc, char **argv)
{
	static struct inject i;
	int64_t now_s = clock_wall_s();

	die_name("qmail-inject");
	parse_options(&i, argc, argv);
	sig_ignore_write_signals();
	i.homefd = home_open();
	if (i.homefd == -1)
		die_errno(EXIT_RETRY, "fatal: unable to open the home");
	config_load(&i.config, i.homefd);
	i.compose.config = &i.config;
	reader_init(&i.reader, STDIN_FILENO);
	out_init(&i.out, STDOUT_FILENO, i.out_space, sizeof(i.out_space), -1);

	read_header(&i);
	find_sender(&i, now_s);
	find_recipients(&i);
	if (!i.print)
		enqueue_open(&i.queue, i.homefd);
	put_header(&i, now_s);
	put_body(&i);
	return finish(&i);
}
