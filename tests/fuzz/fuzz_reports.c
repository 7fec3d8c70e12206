#include "send/bounce.h"
#include "send/reports.h"
#include "tests/fuzz/fuzz.h"

/* The input is a bounce file; three recipients have failed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char envelope[] = "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
				       "\20\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0Xa"
				       "\20\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0Xb"
				       "\20\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0Xc@d";
	struct config config = { 0 };
	struct rewrite rewrite = { 0 };
	struct qfile file = { .fd = -1 };
	struct bounce_route route = { .to = VIEW("x@y") };
	struct str text = { 0 };
	size_t paragraphs = 0;
	struct view rest;

	str_append(&file.envelope, view_make(envelope, sizeof(envelope) - 1));
	bounce_text(&text, &config, &rewrite, &file, view_make(data, size),
		    &route, 0);
	/* Header, introduction, three paragraphs, the line, Return-Path. */
	rest = str_view(&text);
	for (size_t i = 1; i < rest.len; i++)
		paragraphs += rest.p[i] == '\n' && rest.p[i - 1] == '\n';
	if (paragraphs != 6)
		__builtin_trap();
	str_free(&text);
	str_free(&file.envelope);
	return 0;
}
