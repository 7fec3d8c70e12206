#include "tools/vpopmail/vprompt.h"

#include <errno.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/out.h"
#include "lib/password.h"

/* The line may be longer than a password: the caller says so, not we. */
#define LINE_MAX_BYTES 256

/* The terminal must not stay mute when somebody types ^C. */
static struct termios saved;
static const int deadly[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

static void restore_and_die(int number)
{
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
	signal(number, SIG_DFL);
	raise(number);
}

static bool hide(void)
{
	struct termios quiet;

	if (tcgetattr(STDIN_FILENO, &saved) == -1)
		return false;
	for (size_t i = 0; i < COUNT_OF(deadly); i++)
		signal(deadly[i], restore_and_die);
	quiet = saved;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	return tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) == 0;
}

static void show(void)
{
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
	for (size_t i = 0; i < COUNT_OF(deadly); i++)
		signal(deadly[i], SIG_DFL);
}

/* Byte by byte: what follows the line belongs to whoever reads next. */
static int read_line(struct str *line)
{
	char byte;

	str_wipe(line);
	for (;;) {
		ssize_t got = read(STDIN_FILENO, &byte, 1);

		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1) {
			warn_errno("cannot read the password");
			return -1;
		}
		if (got == 0) {
			warn("the input ended before the password");
			return -1;
		}
		if (byte == '\n')
			return 0;
		if (line->len >= LINE_MAX_BYTES) {
			warn("the password is too long");
			return -1;
		}
		str_append_byte(line, byte);
	}
}

static int ask(const char *prompt, struct str *line)
{
	bool hidden = isatty(STDIN_FILENO) && hide();
	int say = hidden ? STDIN_FILENO : STDERR_FILENO;
	int result = write_all(say, view_of(prompt));

	/* A terminal opened only for reading cannot show the prompt. */
	if (result == -1)
		result = write_all(STDERR_FILENO, view_of(prompt));
	if (result == -1)
		warn_errno("cannot ask for the password");
	else
		result = read_line(line);
	if (hidden) {
		show();
		(void)!write(say, "\n", 1);
	}
	return result;
}

int vprompt_password(const char *who, struct str *password)
{
	struct str prompt = { 0 };
	struct str again = { 0 };
	int result;

	str_appendf(&prompt, "Please enter password for %s: ", who);
	for (;;) {
		result = ask(str_c(&prompt), password);
		if (result == -1)
			break;
		result = ask("enter password again: ", &again);
		if (result == -1 ||
		    password_same(str_view(password), str_view(&again)))
			break;
		warn("Passwords do not match, try again");
	}
	str_free(&prompt);
	str_wipe(&again);
	return result;
}
