#include "local/verdict.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/die.h"

static void PRINTF_LIKE(2, 0)
	say(struct verdict *v, const char *fmt, va_list args)
{
	char line[1000];

	if (vsnprintf(line, sizeof(line), fmt, args) < 0)
		line[0] = '\0';
	str_append_c(&v->text, line);
	str_append_byte(&v->text, '\n');
}

void verdict_warn_errno(struct verdict *v, const char *what, const char *path)
{
	int error = errno;
	struct str line = { 0 };

	if (!v->warns_as) {
		warn_errno("%s %s", what, path);
		return;
	}
	str_appendf(&line, "%s %s: %s", what, path, strerror(error));
	str_append_c(&v->text, v->warns_as);
	str_append_c(&v->text, ": ");
	log_escape(&v->text, str_view(&line));
	str_append_byte(&v->text, '\n');
	str_free(&line);
	errno = error;
}

int verdict_defer(struct verdict *v, const char *fmt, ...)
{
	va_list args;

	v->outcome = JOB_DEFERRED;
	va_start(args, fmt);
	say(v, fmt, args);
	va_end(args);
	return -1;
}

int verdict_fail(struct verdict *v, const char *fmt, ...)
{
	va_list args;

	v->outcome = JOB_FAILED;
	va_start(args, fmt);
	say(v, fmt, args);
	va_end(args);
	return -1;
}
