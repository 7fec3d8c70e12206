#include "send/pass.h"

#include <assert.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/memory.h"
#include "send/message.h"
#include "send/recipients.h"
#include "send/retry.h"
#include "send/send.h"

/* So many hosts may be left by one pass. */
#define LEFT_MAX 1000
/* Who was left by the last pass waits no longer than this for another. */
#define LAST_RETRY_S 300

static const int64_t skips[CHANNELS] = { RETRY_SKIP_LOCAL, RETRY_SKIP_REMOTE };

/* ---- lists ---- */

static void list_append(struct pass_list *list, struct message *m)
{
	if (list->count == list->cap) {
		list->cap = list->cap * 2 + 16;
		list->messages = memory_resize(list->messages, list->cap,
					       sizeof(*list->messages));
	}
	list->messages[list->count++] = m;
}

static void list_remove(struct pass_list *list, const struct message *m)
{
	size_t at = 0;

	while (at < list->count && list->messages[at] != m)
		at++;
	assert(at < list->count);
	list->count--;
	memmove(list->messages + at, list->messages + at + 1,
		(list->count - at) * sizeof(*list->messages));
}

void pass_to_end(struct pass_list *list, struct message *m)
{
	list_remove(list, m);
	list_append(list, m);
}

struct pass_list *pass_list(struct send *s, int c, bool fresh)
{
	return fresh ? &s->work.fresh[c] : &s->work.old[c];
}

/* Those that are paused take no room, up to a limit. */
bool pass_has_room(struct send *s, int c, bool fresh)
{
	const struct pass_list *list = pass_list(s, c, fresh);
	uint64_t room = s->channels[c].concurrency;

	return list->count - list->paused < room;
}

/* ---- walking ---- */

/* Only remote ones are paused. */
static void set_paused(struct send *s, struct pass *pass, bool is_paused)
{
	struct pass_list *list = pass_list(s, DUE_REMOTE, pass->fresh);

	if (is_paused && !pass->is_paused)
		list->paused++;
	if (!is_paused && pass->is_paused)
		list->paused--;
	pass->is_paused = is_paused;
}

/* A pass is not interested in a host any more. */
static void let_go(struct send *s, struct pass *pass)
{
	set_paused(s, pass, false);
	destinations_drop(&s->destinations, pass->destination);
	pass->destination = NULL;
}

static bool has_left(const struct pass *pass, const struct destination *d)
{
	for (size_t i = 0; d && i < pass->left_count; i++)
		if (pass->left[i] == d->serial)
			return true;
	return false;
}

/* Move a pass to its next recipient. */
void pass_advance(struct send *s, struct message *m, int c)
{
	struct pass *pass = &m->passes[c];

	for (;;) {
		let_go(s, pass);
		pass->before = pass->at;
		pass->has_next = qfile_next(&m->file, &pass->at, &pass->next);
		if (!pass->has_next)
			return;
		if (!recipient_is_for_pass(s, m, c, &pass->next))
			continue;
		if (c == DUE_LOCAL)
			return;
		pass->destination =
			destinations_get(&s->destinations,
					 group_host(str_view(&s->work.target)));
		/* Others of his host wait already: he will come with them. */
		if (!has_left(pass, pass->destination))
			return;
	}
}

enum destination_state pass_state_of_next(const struct send *s,
					  const struct pass *pass)
{
	return destinations_state(&s->destinations, pass->destination,
				  pass->fresh, clock_mono_ms());
}

/* He and others of his host wait, until that calls or the next pass comes. */
static void leave(struct send *s, struct message *m)
{
	struct pass *pass = &m->passes[DUE_REMOTE];
	struct destination *d = pass->destination;
	struct waiter w;

	if (pass->last && pass->retry > s->now + LAST_RETRY_S)
		pass->retry = s->now + LAST_RETRY_S;
	if (!d || pass->left_count == LEFT_MAX ||
	    !waiter_make(&w, &s->schedule, m->no, &pass->before) ||
	    !destinations_wait(&s->destinations, d, pass->fresh, &w))
		return;
	if (pass->left_count == pass->left_cap) {
		pass->left_cap = pass->left_cap * 2 + 4;
		pass->left = memory_resize(pass->left, pass->left_cap,
					   sizeof(*pass->left));
	}
	pass->left[pass->left_count++] = d->serial;
}

/*
 * A pass stays where it is for a message in the log, which would have to
 * become a file, while a host that works, or was never tried, has as many
 * jobs as it may; and where too much is left already. There are as many of these as there may be
 * jobs: else it goes on, and whoever is skipped waits for the next pass.
 */
static bool must_pause(struct send *s, const struct message *m,
		       enum destination_state state)
{
	const struct pass *pass = &m->passes[DUE_REMOTE];
	const struct destination *d = pass->destination;

	if (state == DESTINATION_DEAD)
		return false;
	if (d && pass->left_count < LEFT_MAX &&
	    !(m->in_log.is && state == DESTINATION_FULL &&
	      (d->is_proven || !d->is_tried)))
		return false;
	return pass->is_paused ||
	       pass_list(s, DUE_REMOTE, pass->fresh)->paused <
		       s->channels[DUE_REMOTE].concurrency;
}

/*
 * May it go on with its next recipient? Those whose hosts take no job now
 * are left behind.
 */
bool pass_may_go_on(struct send *s, struct message *m, int c)
{
	struct pass *pass = &m->passes[c];

	while (pass->has_next) {
		enum destination_state state = DESTINATION_OPEN;

		if (c == DUE_REMOTE)
			state = pass_state_of_next(s, pass);
		/* The last pass says so when there is no hope left. */
		if (state == DESTINATION_OPEN ||
		    (state == DESTINATION_DEAD && pass->last)) {
			set_paused(s, pass, false);
			return true;
		}
		if (must_pause(s, m, state)) {
			set_paused(s, pass, true);
			return false;
		}
		leave(s, m);
		pass_advance(s, m, c);
	}
	return false;
}

/* ---- opening and closing ---- */

/* Is this the last attempt? */
static bool is_too_old(const struct send *s, int64_t birth)
{
	int64_t now = birth <= s->jump_until_s ? s->now - s->jump_s : s->now;

	return now > birth + s->config.lifetime_s;
}

/* With nobody yet. */
static void pass_init(struct send *s, struct message *m, int c, bool fresh)
{
	int64_t birth = (int64_t)(m->id / 1000000);
	struct pass *pass = &m->passes[c];

	let_go(s, pass);
	pass_free(pass);
	*pass = (struct pass){
		.fresh = fresh,
		.last = is_too_old(s, birth),
		.retry = retry_next(s->now, birth, skips[c]),
	};
}

/* Put it in its list, if there is anything to do. */
static void pass_begin(struct send *s, struct message *m, int c)
{
	struct pass *pass = &m->passes[c];

	schedule_set(&s->schedule, m->no, (enum due)c,
		     pass->open ? DUE_NEVER : pass->retry);
	if (pass->open)
		list_append(pass_list(s, c, pass->fresh), m);
}

void pass_open(struct send *s, struct message *m, int c)
{
	const struct schedule_entry *entry =
		schedule_entry(&s->schedule, m->no);
	struct pass *pass = &m->passes[c];

	pass_init(s, m, c, entry->flags & 1U << c);
	if (c == DUE_REMOTE)
		schedule_next_round(&s->schedule, m->no);
	pass_advance(s, m, c);
	/*
	 * All of them may be in the other channel's hands, or their hosts may
	 * take no job: then the next attempt has its time.
	 */
	pass->open = pass_may_go_on(s, m, c) || pass->has_next;
	pass_begin(s, m, c);
}

/*
 * A pass for those whom a host has called. The next one for everybody keeps
 * its time, unless there is nobody else.
 */
void pass_open_called(struct send *s, struct message *m, bool fresh,
		      struct view host)
{
	int64_t due = schedule_entry(&s->schedule, m->no)->due[DUE_REMOTE];
	struct pass *pass = &m->passes[DUE_REMOTE];

	pass_init(s, m, DUE_REMOTE, fresh);
	if (recipients_elsewhere(s, m, host))
		pass->retry = due;
	pass->open = true;
	pass_begin(s, m, DUE_REMOTE);
}

void pass_close(struct send *s, struct message *m, int c)
{
	struct pass *pass = &m->passes[c];

	pass->open = false;
	let_go(s, pass);
	list_remove(pass_list(s, c, pass->fresh), m);
}

void pass_free(struct pass *pass)
{
	assert(!pass->open && !pass->destination);
	group_free(&pass->taken);
	free(pass->left);
	pass->left = NULL;
}
