#include "lib/workers.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/memory.h"
#include "lib/packet.h"

/* How long they wait; tests are impatient. */
static int64_t idle_ms(void)
{
#ifdef VALIJA_TEST
	uint64_t ms;

	if (view_u64(view_of(getenv("VALIJA_TEST_IDLE_MS")), &ms) &&
	    ms < WORKERS_IDLE_MS)
		return (int64_t)ms;
#endif
	return WORKERS_IDLE_MS;
}

void workers_init(struct workers *w, size_t room)
{
	w->room = room;
	w->all = memory_zeroed(room, sizeof(*w->all));
	for (size_t i = 0; i < room; i++)
		w->all[i].sock = -1;
}

static void forget(struct worker *worker)
{
	if (worker->sock != -1)
		close(worker->sock);
	str_free(&worker->key);
	*worker = (struct worker){ .sock = -1 };
}

void workers_free(struct workers *w)
{
	for (size_t i = 0; i < w->room; i++)
		forget(&w->all[i]);
	free(w->all);
	*w = (struct workers){ 0 };
}

static bool waits(const struct worker *worker)
{
	return worker->pid && worker->sock != -1;
}

size_t workers_waiting(const struct workers *w)
{
	size_t count = 0;

	for (size_t i = 0; i < w->room; i++)
		count += waits(&w->all[i]);
	return count;
}

size_t workers_alive(const struct workers *w)
{
	size_t count = 0;

	for (size_t i = 0; i < w->room; i++)
		count += w->all[i].pid != 0;
	return count;
}

bool workers_park(struct workers *w, struct worker *worker)
{
	for (size_t i = 0; i < w->room; i++) {
		if (w->all[i].pid)
			continue;
		w->all[i] = *worker;
		w->all[i].until_ms = clock_mono_ms() + idle_ms();
		w->all[i].polled = false;
		*worker = (struct worker){ .sock = -1 };
		return true;
	}
	return false;
}

static void tell_to_end(struct worker *worker)
{
	close(worker->sock);
	worker->sock = -1;
	worker->until_ms = clock_mono_ms() + WORKERS_END_MS;
}

/* The one that worked last: the others get their time to end. */
static struct worker *find_last(struct workers *w, struct view key)
{
	struct worker *best = NULL;

	for (size_t i = 0; i < w->room; i++) {
		struct worker *worker = &w->all[i];

		if (waits(worker) && view_eq(str_view(&worker->key), key) &&
		    (!best || worker->until_ms > best->until_ms))
			best = worker;
	}
	return best;
}

/*
 * It lives, and has not said anything since its result. The last poll of all
 * was a moment ago, and has told.
 */
static bool is_silent(const struct worker *worker)
{
	struct pollfd one = { .fd = worker->sock, .events = POLLIN };

	return worker->polled || poll(&one, 1, 0) == 0;
}

bool workers_use(struct workers *w, struct view key,
		 const struct filemark *file, struct view packet, int fd,
		 struct worker *worker)
{
	struct worker *found;

	while ((found = find_last(w, key))) {
		if (!filemark_same(&found->file, file) || !is_silent(found) ||
		    packet_send(found->sock, packet, fd) != PACKET_OK) {
			tell_to_end(found);
			continue;
		}
		*worker = (struct worker){
			.pid = found->pid,
			.sock = found->sock,
		};
		found->sock = -1;
		forget(found);
		return true;
	}
	return false;
}

void workers_end_one(struct workers *w)
{
	struct worker *first = NULL;

	for (size_t i = 0; i < w->room; i++) {
		struct worker *worker = &w->all[i];

		if (waits(worker) &&
		    (!first || worker->until_ms < first->until_ms))
			first = worker;
	}
	if (first)
		tell_to_end(first);
}

void workers_end_all(struct workers *w)
{
	for (size_t i = 0; i < w->room; i++)
		if (waits(&w->all[i]))
			tell_to_end(&w->all[i]);
}

void workers_prepare(struct workers *w, struct polls *polls, int64_t *deadline)
{
	for (size_t i = 0; i < w->room; i++) {
		struct worker *worker = &w->all[i];

		if (!worker->pid)
			continue;
		worker->poll_no = polls_add(polls, worker->sock, POLLIN);
		worker->polled = true;
		polls_until(deadline, worker->until_ms);
	}
}

/* Nothing is expected from them: who says something must go. */
void workers_act(struct workers *w, const struct polls *polls, int64_t now)
{
	for (size_t i = 0; i < w->room; i++) {
		struct worker *worker = &w->all[i];

		if (!worker->pid)
			continue;
		if (waits(worker)) {
			/* Parked since the poll: nothing is known of it. */
			if (now >= worker->until_ms ||
			    (worker->polled &&
			     polls_ready(polls, worker->poll_no)))
				tell_to_end(worker);
		} else if (now >= worker->until_ms) {
			workers_kill(worker->pid);
			worker->until_ms = POLLS_NEVER;
		}
	}
}

void workers_ended(struct workers *w, pid_t pid)
{
	for (size_t i = 0; i < w->room; i++)
		if (w->all[i].pid == pid)
			forget(&w->all[i]);
}

void workers_kill(pid_t pid)
{
	if (kill(-pid, SIGKILL) == -1 && kill(pid, SIGKILL) == -1)
		warn_errno("cannot end process %ld", (long)pid);
}
