#include "local/verdict.h"

#include <stdarg.h>
#include <stdio.h>

static void PRINTF_LIKE(2, 0)
	say(struct verdict *v, const char *fmt, va_list args)
{
	char line[1000];

	if (vsnprintf(line, sizeof(line), fmt, args) < 0)
		line[0] = '\0';
	str_append_c(&v->text, line);
	str_append_byte(&v->text, '\n');
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
