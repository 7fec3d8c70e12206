#include "remote/reply.h"

#define CODE_DIGITS 3

void reply_reset(struct reply *reply)
{
	str_reset(&reply->text);
	reply->code = 0;
	reply->at = 0;
	reply->is_last = false;
	reply->bytes = 0;
}

void reply_free(struct reply *reply)
{
	str_free(&reply->text);
	reply_reset(reply);
}

/* One digit of the code; false when it is none. */
static bool take_digit(struct reply *reply, char c)
{
	if (reply->at == 0)
		reply->code = 0;
	if (c < '0' || c > '9')
		return false;
	if (reply->at == 0 && (c < '2' || c > '5'))
		return false;
	reply->code = reply->code * 10 + (unsigned)(c - '0');
	return true;
}

static void keep(struct reply *reply, char c)
{
	unsigned char u = (unsigned char)c;

	if (c == '\r' || reply->text.len >= REPLY_TEXT_MAX)
		return;
	if ((u < ' ' && c != '\n' && c != '\t') || u == 127)
		c = '?';
	str_append_byte(&reply->text, c);
}

static enum reply_state take_byte(struct reply *reply, char c)
{
	if (++reply->bytes > REPLY_MAX_BYTES)
		return REPLY_BAD;
	if (reply->at < CODE_DIGITS && !take_digit(reply, c))
		return REPLY_BAD;
	if (reply->at == CODE_DIGITS)
		reply->is_last = c != '-';
	keep(reply, c);
	reply->at++;
	if (c != '\n')
		return REPLY_MORE;
	reply->at = 0;
	return reply->is_last ? REPLY_DONE : REPLY_MORE;
}

enum reply_state reply_feed(struct reply *reply, struct view *bytes)
{
	enum reply_state state = REPLY_MORE;

	while (state == REPLY_MORE && bytes->len) {
		state = take_byte(reply, bytes->p[0]);
		*bytes = view_from(*bytes, 1);
	}
	if (state != REPLY_DONE)
		return state;
	/* What was cut must end in a line, too. */
	if (!view_ends(str_view(&reply->text), VIEW("\n")))
		str_append_byte(&reply->text, '\n');
	return REPLY_DONE;
}

bool reply_keyword(const struct reply *reply, struct view keyword,
		   struct view *parameters)
{
	struct view rest = str_view(&reply->text);

	view_cut(&rest, '\n');
	while (rest.p) {
		struct view line =
			view_from(view_cut(&rest, '\n'), CODE_DIGITS + 1);
		struct view word = view_first(line, view_find(line, ' '));

		/* Old servers wrote `AUTH=LOGIN`. */
		word = view_first(word, view_find(word, '='));
		if (!view_eq_nocase(word, keyword))
			continue;
		*parameters = view_trim(view_from(line, word.len));
		return true;
	}
	return false;
}
