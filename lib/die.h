#ifndef LIB_DIE_H
#define LIB_DIE_H

/*
 * Saying what went wrong, on descriptor 2, one line an event.
 *
 *	die_name("qmail-send");
 *	warn_errno("open %s", path);    qmail-send: open x: No such file ...
 *	die(EXIT_REJECT, "usage: ...");
 *
 * The line is written with one write(2), at most LOG_MAX_BYTES long. Bytes
 * that are not printable ASCII appear as \xNN, so that a stranger's text
 * cannot forge a second line.
 */

#include <stdnoreturn.h>

#include "lib/str.h"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_REJECT = 100, /* permanent: misuse, or this will never work */
	EXIT_RETRY = 111,  /* temporary: the system is in trouble, try later */
};

#define LOG_MAX_BYTES 2000

/* Set the name before the colon; borrowed for good. */
void die_name(const char *name);

/*
 * For programs whose callers know other codes: what dies with EXIT_RETRY
 * (no memory, above all) exits with `code` from now on.
 */
void die_retry_code(int code);

noreturn void die(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
noreturn void die_errno(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
void warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void warn_errno(const char *fmt, ...) PRINTF_LIKE(1, 2); /* keeps errno */

/* Append v to s with everything but printable ASCII as \xNN, `\` as \\. */
void log_escape(struct str *s, struct view v);

#endif
