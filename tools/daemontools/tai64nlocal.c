/*
 * tai64nlocal - show TAI64N labels at the start of lines as local time.
 *
 * exits       0 at the end of input, 111 (silently) if it cannot read or
 *             write
 *
 * Lines may be of any length: beyond the label they are passed on as they
 * come. What looks like a label but is none stays as it is.
 */
#include <time.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/in.h"
#include "lib/out.h"
#include "lib/tai.h"

struct translator {
	struct out out;
	char head[TAI_LABEL_BYTES]; /* the start of a line, while it may be */
	size_t head_bytes;          /* a label */
	bool in_head;
};

static void put_label(struct translator *t, const struct tai *tai)
{
	time_t unix_s = tai_to_unix(*tai);
	struct str text = { 0 };
	struct tm local;

	if (!localtime_r(&unix_s, &local)) {
		out_put(&t->out, view_make(t->head, t->head_bytes));
		return;
	}
	str_appendf(&text, "%04ld-%02d-%02d %02d:%02d:%02d.%09lu",
		    local.tm_year + 1900L, local.tm_mon + 1, local.tm_mday,
		    local.tm_hour, local.tm_min, local.tm_sec,
		    (unsigned long)tai->nanos);
	out_put(&t->out, str_view(&text));
	str_free(&text);
}

/* The head is complete, or can be no label any more. */
static void end_head(struct translator *t)
{
	struct view head = view_make(t->head, t->head_bytes);
	struct tai tai;

	if (tai_parse(head, &tai))
		put_label(t, &tai);
	else
		out_put(&t->out, head);
	t->head_bytes = 0;
	t->in_head = false;
}

/* Take up to a label's bytes of the line into the head. */
static struct view take_head(struct translator *t, struct view line)
{
	struct view part = view_first(line, sizeof(t->head) - t->head_bytes);

	memcpy(t->head + t->head_bytes, part.p, part.len);
	t->head_bytes += part.len;
	if (t->head_bytes == sizeof(t->head) || t->head[0] != '@')
		end_head(t);
	return view_from(line, part.len);
}

static void translate(struct translator *t, struct view bytes)
{
	while (bytes.len) {
		size_t len = view_find(bytes, '\n');
		struct view line = view_first(bytes, len);

		bytes = view_from(bytes, len);
		if (t->in_head && line.len)
			line = take_head(t, line);
		out_put(&t->out, line);
		if (bytes.len) {
			if (t->in_head)
				end_head(t);
			out_put(&t->out, VIEW("\n"));
			t->in_head = true;
			bytes = view_from(bytes, 1);
		}
	}
}

int main(void)
{
	char in_space[8192];
	char out_space[8192];
	struct translator t = { .in_head = true };
	struct view bytes;
	struct in in;

	die_name("tai64nlocal");
	in_init(&in, STDIN_FILENO, in_space, sizeof(in_space), -1);
	out_init(&t.out, STDOUT_FILENO, out_space, sizeof(out_space), -1);
	for (;;) {
		switch (in_chunk(&in, &bytes)) {
		case IN_OK:
			translate(&t, bytes);
			in_consume(&in, bytes.len);
			if (out_flush(&t.out) == -1)
				return EXIT_RETRY;
			break;
		case IN_EOF:
			end_head(&t);
			return out_flush(&t.out) == -1 ? EXIT_RETRY : EXIT_DONE;
		case IN_TOO_LONG:
		case IN_TIMEOUT:
		case IN_ERROR:
			return EXIT_RETRY;
		}
	}
}
