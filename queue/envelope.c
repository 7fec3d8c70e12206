#include "queue/envelope.h"

#include "lib/qfile.h"

static char take_byte(struct view *input)
{
	char byte = input->p[0];

	*input = view_from(*input, 1);
	return byte;
}

/* The letter between addresses: ENVELOPE_MORE says to read on. */
static enum envelope_step take_letter(struct envelope *e, char letter)
{
	if (e->phase == ENVELOPE_AT_F) {
		e->phase = ENVELOPE_IN_SENDER;
		return letter == 'F' ? ENVELOPE_MORE : ENVELOPE_BAD;
	}
	if (letter == '\0')
		return e->recipient_seen ? ENVELOPE_END : ENVELOPE_BAD;
	e->phase = ENVELOPE_IN_RECIPIENT;
	return letter == 'T' ? ENVELOPE_MORE : ENVELOPE_BAD;
}

/* Address bytes up to the NUL, which ends the address. */
static enum envelope_step take_address(struct envelope *e, struct view *input)
{
	size_t end = view_find(*input, '\0');
	struct view part = view_first(*input, end);
	bool sender = e->phase == ENVELOPE_IN_SENDER;

	if (part.len > QFILE_ADDRESS_MAX - e->address.len)
		return ENVELOPE_TOO_LONG;
	str_append(&e->address, part);
	if (end == input->len) {
		*input = view_from(*input, end);
		return ENVELOPE_MORE;
	}
	*input = view_from(*input, end + 1);
	e->phase = ENVELOPE_AT_T;
	e->given = true;
	e->recipient_seen = !sender;
	return sender ? ENVELOPE_SENDER : ENVELOPE_RECIPIENT;
}

enum envelope_step envelope_next(struct envelope *e, struct view *input)
{
	enum envelope_step step = ENVELOPE_MORE;

	if (e->given)
		str_reset(&e->address);
	e->given = false;
	while (step == ENVELOPE_MORE && input->len) {
		if (e->phase == ENVELOPE_AT_F || e->phase == ENVELOPE_AT_T)
			step = take_letter(e, take_byte(input));
		else
			step = take_address(e, input);
	}
	return step;
}

void envelope_free(struct envelope *e)
{
	str_free(&e->address);
	*e = (struct envelope){ 0 };
}
