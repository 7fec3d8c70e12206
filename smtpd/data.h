#ifndef SMTPD_DATA_H
#define SMTPD_DATA_H

/*
 * What follows DATA: lines that end in CRLF, a dot doubled where it begins a
 * line, and CRLF.CRLF behind it all (RFC 5321 section 4.5.2). Only that ends
 * a message: no other spelling of a line end counts, at either side of the
 * dot, or one server's text would be the next one's commands.
 *
 *	struct data data;
 *
 *	data_init(&data);
 *	while (!data_done(&data)) {
 *		in_chunk(&in, &chunk);
 *		in_consume(&in, data_scan(&data, chunk, &text));
 *		...text is what came, lines ending in LF
 *	}
 *	if (data.faults) ...refuse it
 *
 * A pure function of the bytes: how they are cut into chunks changes nothing.
 */

#include "lib/str.h"

enum data_state {
	DATA_LINE_START,
	DATA_DOT,    /* a dot began the line */
	DATA_DOT_CR, /* a dot, then CR */
	DATA_TEXT,
	DATA_CR, /* CR somewhere behind text */
	DATA_END,
};

enum data_fault { /* bits */
		  DATA_BARE_LF = 1,
		  DATA_BARE_CR = 2,
		  DATA_NUL = 4,
};

struct data {
	enum data_state state;
	unsigned faults;
};

void data_init(struct data *data);

/*
 * Take bytes from chunk, append the text they stand for to *to. Returns how
 * many were taken: all of them, or those up to the end of the message. After
 * a fault nothing more is appended; the message is to be refused.
 */
size_t data_scan(struct data *data, struct view chunk, struct str *to) MUST_USE;

bool data_done(const struct data *data);

#endif
