#include "remote/encode.h"

/* The bytes before the next one that means something. */
static size_t plain_run(const struct encode *e, struct view piece)
{
	size_t n = 0;

	if (e->has_cr || (!e->in_line && piece.p[0] == '.'))
		return 0;
	while (n < piece.len && piece.p[n] != '\n' && piece.p[n] != '\r')
		n++;
	return n;
}

static void note_8bit(struct encode *e, struct view run)
{
	bool *flag = e->in_body ? &e->body8 : &e->header8;

	for (size_t i = 0; i < run.len && !*flag; i++)
		*flag = (unsigned char)run.p[i] & 0x80;
}

static void end_line(struct encode *e, struct str *to)
{
	str_append(to, VIEW("\r\n"));
	if (!e->in_line)
		e->in_body = true;
	e->in_line = false;
	e->has_cr = false;
}

static void put_byte(struct encode *e, char c, struct str *to)
{
	if (c == '\n') {
		end_line(e, to);
		return;
	}
	if (e->has_cr) {
		str_append_byte(to, ' ');
		e->in_line = true;
		e->has_cr = false;
	}
	if (c == '\r') {
		e->has_cr = true;
		return;
	}
	if (c == '.' && !e->in_line) {
		str_append_byte(to, '.');
		e->bytes--; /* this one is not of the message */
	}
	str_append_byte(to, c);
	note_8bit(e, view_make(&c, 1));
	e->in_line = true;
}

void encode_put(struct encode *e, struct view piece, struct str *to)
{
	size_t before = to->len;

	while (piece.len) {
		size_t run = plain_run(e, piece);

		if (run) {
			str_append(to, view_first(piece, run));
			note_8bit(e, view_first(piece, run));
			e->in_line = true;
			piece = view_from(piece, run);
		} else {
			put_byte(e, piece.p[0], to);
			piece = view_from(piece, 1);
		}
	}
	e->bytes += to->len - before;
}

void encode_end(struct encode *e, struct str *to)
{
	size_t before = to->len;

	if (e->has_cr) {
		str_append_byte(to, ' ');
		e->in_line = true;
	}
	if (e->in_line)
		end_line(e, to);
	e->bytes += to->len - before;
	str_append(to, VIEW(".\r\n"));
}
