#include "send/log.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/out.h"

static void put_args(struct log *log, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));

static void put_args(struct log *log, const char *fmt, va_list args)
{
	char text[1000];
	int len = vsnprintf(text, sizeof(text), fmt, args);

	if (len >= (int)sizeof(text))
		len = (int)sizeof(text) - 1;
	str_append(&log->line, view_make(text, len > 0 ? (size_t)len : 0));
}

void log_flush(struct log *log)
{
	if (log->lines.len && write_all(log->fd, str_view(&log->lines)) == -1) {
		/* There is nobody left to tell. */
	}
	str_reset(&log->lines);
}

void log_end(struct log *log)
{
	str_append_byte(&log->line, '\n');
	/* One write to a pipe, and no line is torn. */
	if (log->lines.len + log->line.len > PIPE_BUF)
		log_flush(log);
	str_append(&log->lines, str_view(&log->line));
	str_reset(&log->line);
	if (!log->gathers)
		log_flush(log);
}

void log_line(struct log *log, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_args(log, fmt, args);
	va_end(args);
	log_end(log);
}

void log_errno(struct log *log, const char *fmt, ...)
{
	int error = errno;
	va_list args;

	va_start(args, fmt);
	put_args(log, fmt, args);
	va_end(args);
	str_append_c(&log->line, ": ");
	str_append_c(&log->line, strerror(error));
	log_end(log);
	errno = error;
}

void log_put(struct log *log, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_args(log, fmt, args);
	va_end(args);
}

void log_sanitize(struct str *to, struct view text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];

		if (c == '\n')
			c = '/';
		else if (c <= ' ' || c > '~' || c == '%')
			c = '_';
		str_append_byte(to, c);
	}
}

void log_safe(struct log *log, struct view text)
{
	log_sanitize(&log->line, text);
}
