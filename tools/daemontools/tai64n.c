/*
 * tai64n - put a TAI64N label before each line.
 *
 * exits       0 at the end of input, 111 (silently) if it cannot read or
 *             write
 */
#include <unistd.h>

#include "lib/die.h"
#include "lib/in.h"
#include "lib/out.h"
#include "lib/tai.h"

struct stamper {
	struct out out;
	struct str label;
	bool in_line;
};

/* Failures stick in out; the flush before each wait looks. */
static void stamp(struct stamper *s, struct view bytes)
{
	while (bytes.len) {
		size_t len = view_find(bytes, '\n');

		if (!s->in_line) {
			str_reset(&s->label);
			tai_format(&s->label, tai_now());
			str_append_byte(&s->label, ' ');
			out_put(&s->out, str_view(&s->label));
		}
		s->in_line = len == bytes.len;
		len = s->in_line ? len : len + 1;
		out_put(&s->out, view_first(bytes, len));
		bytes = view_from(bytes, len);
	}
}

static int copy(struct stamper *s, struct in *in)
{
	struct view bytes;

	for (;;) {
		switch (in_chunk(in, &bytes)) {
		case IN_OK:
			break;
		case IN_EOF:
			return EXIT_DONE;
		case IN_TOO_LONG:
		case IN_TIMEOUT:
		case IN_ERROR:
			return EXIT_RETRY;
		}
		stamp(s, bytes);
		in_consume(in, bytes.len);
		if (out_flush(&s->out) == -1)
			return EXIT_RETRY;
	}
}

int main(void)
{
	char in_space[8192];
	char out_space[8192];
	struct stamper s = { 0 };
	struct in in;
	int code;

	die_name("tai64n");
	in_init(&in, STDIN_FILENO, in_space, sizeof(in_space), -1);
	out_init(&s.out, STDOUT_FILENO, out_space, sizeof(out_space), -1);
	code = copy(&s, &in);
	str_free(&s.label);
	return code;
}
