#include "popd/wire.h"

void wire_init(struct wire *wire, uint64_t body_lines)
{
	*wire = (struct wire){ .body_lines = body_lines };
}

static void put(struct wire *wire, struct view v, struct str *to)
{
	wire->octets += v.len;
	if (to)
		str_append(to, v);
}

static void put_text(struct wire *wire, struct view text, struct str *to)
{
	if (text.len == 0)
		return;
	/* Doubling is not part of the message's size. */
	if (to && wire->line_len == 0 && text.p[0] == '.')
		str_append_byte(to, '.');
	put(wire, text, to);
	wire->line_len += text.len;
	wire->last = text.p[text.len - 1];
}

static void end_line(struct wire *wire, struct str *to)
{
	bool has_cr = wire->line_len > 0 && wire->last == '\r';

	put(wire, has_cr ? VIEW("\n") : VIEW("\r\n"), to);
	if (wire->in_body)
		wire->body_lines -= wire->body_lines != WIRE_ALL;
	else
		wire->in_body = wire->line_len == (has_cr ? 1 : 0);
	wire->line_len = 0;
	wire->done = wire->in_body && wire->body_lines == 0;
}

void wire_feed(struct wire *wire, struct view chunk, struct str *to)
{
	while (chunk.len && !wire->done) {
		size_t lf = view_find(chunk, '\n');

		put_text(wire, view_first(chunk, lf), to);
		if (lf < chunk.len)
			end_line(wire, to);
		chunk = view_from(chunk, lf + 1);
	}
}

void wire_end(struct wire *wire, struct str *to)
{
	if (wire->line_len == 0)
		return;
	/* A CR that ends the file is text, not half a line end. */
	wire->last = 0;
	end_line(wire, to);
}
