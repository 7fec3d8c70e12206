#include "lib/die.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *program_name = "valija";
static int retry_code = EXIT_RETRY;

void die_name(const char *name)
{
	program_name = name;
}

void die_retry_code(int code)
{
	retry_code = code;
}

static bool is_plain(char c)
{
	return c >= ' ' && c <= '~' && c != '\\';
}

void log_escape(struct str *s, struct view v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (is_plain(v.p[i]))
			str_append_byte(s, v.p[i]);
		else if (v.p[i] == '\\')
			str_append_c(s, "\\\\");
		else
			str_appendf(s, "\\x%02x", (unsigned char)v.p[i]);
	}
}

/*
 * No allocation here: this also reports that memory is out. The message is
 * formatted, then copied byte by byte with escapes until the line is full.
 */
static void PRINTF_LIKE(2, 0) say(int error, const char *fmt, va_list args)
{
	char text[LOG_MAX_BYTES / 2];
	char line[LOG_MAX_BYTES];
	int len;
	size_t n;

	len = vsnprintf(text, sizeof(text), fmt, args);
	if (len < 0)
		len = 0;
	if ((size_t)len >= sizeof(text))
		len = (int)sizeof(text) - 1;
	n = (size_t)snprintf(line, sizeof(line), "%.99s: ", program_name);
	for (int i = 0; i < len && n < sizeof(line) - 200; i++) {
		if ((text[i] >= ' ' && text[i] <= '~'))
			line[n++] = text[i];
		else
			n += (size_t)snprintf(line + n, sizeof(line) - n,
					      "\\x%02x",
					      (unsigned char)text[i]);
	}
	if (error)
		n += (size_t)snprintf(line + n, 150, ": %.99s",
				      strerror(error));
	line[n++] = '\n';
	/* If it fails otherwise, there is nobody left to tell. */
	while (write(STDERR_FILENO, line, n) == -1 && errno == EINTR)
		;
}

void die(int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(0, fmt, args);
	va_end(args);
	_exit(code == EXIT_RETRY ? retry_code : code);
}

void die_errno(int code, const char *fmt, ...)
{
	int error = errno;
	va_list args;

	va_start(args, fmt);
	say(error, fmt, args);
	va_end(args);
	_exit(code == EXIT_RETRY ? retry_code : code);
}

void warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(0, fmt, args);
	va_end(args);
}

void warn_errno(const char *fmt, ...)
{
	int error = errno;
	va_list args;

	va_start(args, fmt);
	say(error, fmt, args);
	va_end(args);
	errno = error;
}
