#include "smtpd/data.h"

void data_init(struct data *data)
{
	*data = (struct data){ .state = DATA_LINE_START };
}

bool data_done(const struct data *data)
{
	return data->state == DATA_END;
}

static void put(struct data *data, struct str *to, struct view text)
{
	if (!data->faults)
		str_append(to, text);
}

/* Text up to a CRLF, a CR at the end of the chunk, or a CR that is alone. */
static size_t scan_text(struct data *data, struct view rest, struct str *to)
{
	size_t cr = view_find(rest, '\r');
	struct view text = view_first(rest, cr);

	if (view_has(text, '\n'))
		data->faults |= DATA_BARE_LF;
	if (view_has(text, '\0'))
		data->faults |= DATA_NUL;
	put(data, to, text);
	if (cr == rest.len)
		return cr;
	data->state = DATA_CR;
	return cr + 1;
}

/* The byte behind a CR: the CR was half a line end, or it was a fault. */
static bool ends_line(struct data *data, char byte)
{
	if (byte == '\n')
		return true;
	data->faults |= DATA_BARE_CR;
	data->state = DATA_TEXT;
	return false;
}

size_t data_scan(struct data *data, struct view chunk, struct str *to)
{
	size_t at = 0;

	while (at < chunk.len && data->state != DATA_END) {
		char byte = chunk.p[at];

		switch (data->state) {
		case DATA_LINE_START:
			data->state = byte == '.' ? DATA_DOT : DATA_TEXT;
			at += byte == '.';
			break;
		case DATA_DOT: /* the dot is dropped, whatever follows */
			data->state = byte == '\r' ? DATA_DOT_CR : DATA_TEXT;
			at += byte == '\r';
			break;
		case DATA_DOT_CR:
			if (ends_line(data, byte)) {
				data->state = DATA_END;
				at++;
			}
			break;
		case DATA_TEXT:
			at += scan_text(data, view_from(chunk, at), to);
			break;
		case DATA_CR:
			if (ends_line(data, byte)) {
				put(data, to, VIEW("\n"));
				data->state = DATA_LINE_START;
				at++;
			}
			break;
		case DATA_END:
			break;
		}
	}
	return at;
}
