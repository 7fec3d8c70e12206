#include "tools/inject/reader.h"

#include "lib/header.h"

void reader_init(struct reader *r, int fd)
{
	str_reset(&r->line);
	r->crlf = false;
	r->held_cr = false;
	r->mid_line = false;
	r->ended = false;
	in_init(&r->in, fd, r->space, sizeof(r->space), -1);
}

/* The next line with its LF, made of what `r` knows of line ends. */
static enum reader_result next_line(struct reader *r, size_t max_bytes,
				    bool first)
{
	bool cr;

	switch (in_line_raw(&r->in, &r->line, max_bytes)) {
	case IN_OK:
		break;
	case IN_EOF:
		r->ended = true;
		if (r->line.len == 0)
			return READER_END;
		break;
	case IN_TOO_LONG:
		return READER_TOO_LONG;
	case IN_TIMEOUT:
	case IN_ERROR:
		return READER_ERROR;
	}
	cr = view_ends(str_view(&r->line), VIEW("\r"));
	if (first)
		r->crlf = cr;
	if (cr && r->crlf)
		str_truncate(&r->line, r->line.len - 1);
	str_append_byte(&r->line, '\n');
	return READER_OK;
}

static bool is_mbox_line(struct view line)
{
	return view_starts(line, VIEW("From ")) ||
	       view_starts(line, VIEW(">From "));
}

/* Add the line to the header, or say that it is none of it. */
static bool take_header_line(struct view line, struct str *header)
{
	struct header_field field;
	struct view rest = line;

	if (line.p[0] == ' ' || line.p[0] == '\t') {
		if (header->len == 0)
			return false;
	} else if (is_mbox_line(line)) {
		str_append_c(header, "MBOX-Line: ");
	} else if (!header_next(&rest, &field)) {
		return false;
	}
	str_append(header, line);
	return true;
}

enum reader_result reader_header(struct reader *r, struct str *header)
{
	for (bool first = true;; first = false) {
		enum reader_result result;

		if (header->len > READER_HEADER_MAX)
			return READER_TOO_LONG;
		result = next_line(r, READER_HEADER_MAX - header->len, first);
		if (result == READER_END)
			return READER_OK;
		if (result != READER_OK)
			return result;
		if (view_eq(str_view(&r->line), VIEW("\n"))) {
			str_reset(&r->line);
			return READER_OK;
		}
		if (!take_header_line(str_view(&r->line), header))
			return READER_OK;
		str_reset(&r->line);
		if (r->ended)
			return READER_OK;
	}
}

/* Copy bytes, CRLF as LF; a CR at the end waits for what follows it. */
static void copy_bytes(struct reader *r, struct view from, struct str *to)
{
	if (r->held_cr && from.p[0] != '\n')
		str_append_byte(to, '\r');
	r->held_cr = false;
	while (from.len) {
		size_t cr = r->crlf ? view_find(from, '\r') : from.len;

		str_append(to, view_first(from, cr));
		if (cr == from.len)
			break;
		from = view_from(from, cr + 1);
		if (from.len == 0)
			r->held_cr = true;
		else if (from.p[0] != '\n')
			str_append_byte(to, '\r');
	}
}

/* The end of input: give back what was held, and the missing LF. */
static void finish(struct reader *r, struct str *piece)
{
	r->ended = true;
	if (r->held_cr)
		str_append_byte(piece, '\r');
	if (r->held_cr || r->mid_line)
		str_append_byte(piece, '\n');
	r->held_cr = false;
	r->mid_line = false;
}

/* At least one byte, or READER_END. */
static enum reader_result next_piece(struct reader *r, struct str *piece)
{
	struct view chunk;

	while (piece->len == 0 && !r->ended) {
		switch (in_chunk(&r->in, &chunk)) {
		case IN_OK:
			copy_bytes(r, chunk, piece);
			in_consume(&r->in, chunk.len);
			break;
		case IN_EOF:
			finish(r, piece);
			break;
		case IN_TOO_LONG:
		case IN_TIMEOUT:
		case IN_ERROR:
			return READER_ERROR;
		}
	}
	return piece->len ? READER_OK : READER_END;
}

enum reader_result reader_body(struct reader *r, struct str *piece)
{
	enum reader_result result;

	str_reset(piece);
	if (r->line.len) {
		str_append(piece, str_view(&r->line));
		str_reset(&r->line);
		return READER_OK;
	}
	result = next_piece(r, piece);
	if (result == READER_OK)
		r->mid_line = piece->p[piece->len - 1] != '\n' && !r->ended;
	return result;
}

void reader_free(struct reader *r)
{
	str_free(&r->line);
}
