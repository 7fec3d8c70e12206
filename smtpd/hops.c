#include "smtpd/hops.h"

void hops_init(struct hops *hops)
{
	*hops = (struct hops){ 0 };
}

static bool begins_with_field(struct view line, struct view name)
{
	char next;

	if (!view_starts_nocase(line, name) || line.len == name.len)
		return false;
	next = line.p[name.len];
	return next == ':' || next == ' ' || next == '\t';
}

static void end_line(struct hops *hops)
{
	struct view line = view_make(hops->line, hops->len);

	if (line.len == 0)
		hops->in_body = true;
	if (begins_with_field(line, VIEW("received")) ||
	    begins_with_field(line, VIEW("delivered-to")))
		hops->count++;
	hops->len = 0;
}

static void keep_start(struct hops *hops, struct view piece)
{
	piece = view_first(piece, sizeof(hops->line) - hops->len);
	if (piece.len)
		memcpy(hops->line + hops->len, piece.p, piece.len);
	hops->len += piece.len;
}

void hops_feed(struct hops *hops, struct view text)
{
	while (text.len && !hops->in_body) {
		size_t lf = view_find(text, '\n');

		keep_start(hops, view_first(text, lf));
		if (lf < text.len)
			end_line(hops);
		text = view_from(text, lf + 1);
	}
}
