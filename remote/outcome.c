#include "remote/outcome.h"

#include <stdarg.h>
#include <stdlib.h>

#include "lib/die.h"

void outcome_add(struct outcome *o, uint64_t number, struct view address)
{
	/* Room doubles: there is none left when the count is a power of 2. */
	if ((o->count & (o->count - 1)) == 0) {
		size_t room = o->count ? o->count * 2 : 1;

		o->recipients = reallocarray(o->recipients, room,
					     sizeof(*o->recipients));
		if (!o->recipients)
			die(EXIT_RETRY, "out of memory");
	}
	o->recipients[o->count++] = (struct outcome_recipient){
		.number = number,
		.address = address,
	};
}

void outcome_free(struct outcome *o)
{
	for (size_t i = 0; i < o->count; i++)
		str_free(&o->recipients[i].text);
	free(o->recipients);
	str_free(&o->text);
	*o = (struct outcome){ 0 };
}

void outcome_set(struct outcome *o, enum job_outcome letter, const char *fmt,
		 ...)
{
	char text[1000];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = '\0';
	va_end(args);
	o->letter = letter;
	str_set_c(&o->text, text);
}

void outcome_print(const struct outcome *o, struct str *to)
{
	for (size_t i = 0; i < o->count; i++) {
		const struct outcome_recipient *rcpt = &o->recipients[i];

		if (rcpt->state == OUTCOME_UNKNOWN)
			continue;
		str_append_byte(to, (char)rcpt->state);
		str_append(to, str_view(&rcpt->text));
		str_append_byte(to, '\0');
	}
	str_append_byte(to, (char)o->letter);
	str_append(to, str_view(&o->text));
	str_append_byte(to, '\0');
}

/* How bad it is, as qmail-rspawn compares. */
static int rank(enum job_outcome letter)
{
	switch (letter) {
	case JOB_DELIVERED:
		return 1;
	case JOB_DEFERRED:
		return 0;
	case JOB_FAILED:
		return -1;
	}
	return 0;
}

/* One recipient's outcome; his own words come first. */
static enum job_outcome combine(const struct outcome *o,
				const struct outcome_recipient *rcpt,
				struct str *text)
{
	enum job_outcome letter = o->letter;

	switch (rcpt->state) {
	case OUTCOME_UNKNOWN:
	case OUTCOME_TAKEN:
		break;
	case OUTCOME_REFUSED:
		letter = JOB_FAILED;
		break;
	case OUTCOME_LATER:
		letter = JOB_DEFERRED;
		break;
	}
	str_set(text, str_view(&rcpt->text));
	if (rank(o->letter) <= rank(letter))
		str_append(text, str_view(&o->text));
	return letter;
}

void outcome_result(const struct outcome *o, uint64_t number,
		    struct str *packet)
{
	size_t share = job_text_share(o->count);
	struct str text = { 0 };

	job_result_begin(packet, number);
	for (size_t i = 0; i < o->count; i++) {
		enum job_outcome letter = combine(o, &o->recipients[i], &text);

		job_result_add(packet, o->recipients[i].number, letter,
			       view_first(str_view(&text), share));
	}
	if (o->hop_failed)
		job_result_hop_failed(packet);
	str_free(&text);
}
