#include "send/recipients.h"

#include "send/group.h"
#include "send/message.h"
#include "send/send.h"

int recipient_channel(struct send *s, struct view address)
{
	return rewrite_address(&s->rewrite, address, &s->work.plain,
			       &s->work.target) == REWRITE_LOCAL
		       ? DUE_LOCAL
		       : DUE_REMOTE;
}

void recipients_count(struct send *s, const struct message *m,
		      uint64_t counts[CHANNELS])
{
	struct qfile_cursor at = { 0 };
	struct qfile_recipient rcpt;

	for (int c = 0; c < CHANNELS; c++)
		counts[c] = 0;
	while (qfile_next(&m->file, &at, &rcpt))
		if (rcpt.state == QFILE_WAITING)
			counts[recipient_channel(s, rcpt.address)]++;
}

/*
 * Only after locals or virtualdomains have changed can a recipient be in
 * the hands of one channel and be found by a pass of the other.
 */
static bool in_flight_elsewhere(struct send *s, const struct message *m, int c,
				uint64_t recipient)
{
	const struct channel *other = &s->channels[!c];

	if (m->passes[!c].in_flight == 0)
		return false;
	for (uint64_t i = 0; i < other->concurrency; i++) {
		const struct delivery *d = &other->deliveries[i];

		for (size_t n = 0; d->message == m && n < d->count; n++)
			if (d->recipients[n].number == recipient)
				return true;
	}
	return false;
}

bool recipient_is_for_pass(struct send *s, const struct message *m, int c,
			   const struct qfile_recipient *rcpt)
{
	return rcpt->state == QFILE_WAITING &&
	       !group_is_ticked(&m->passes[c].taken, rcpt->number) &&
	       recipient_channel(s, rcpt->address) == c &&
	       !in_flight_elsewhere(s, m, c, rcpt->number);
}

bool recipients_elsewhere(struct send *s, const struct message *m,
			  struct view host)
{
	struct qfile_cursor at = { 0 };
	struct qfile_recipient rcpt;

	while (qfile_next(&m->file, &at, &rcpt))
		if (rcpt.state == QFILE_WAITING &&
		    !group_is_plainly_at(rcpt.address, host) &&
		    recipient_channel(s, rcpt.address) == DUE_REMOTE &&
		    !view_eq_nocase(group_host(str_view(&s->work.target)),
				    host))
			return true;
	return false;
}
