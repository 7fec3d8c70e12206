#include "tools/ucspi/fronts.h"

#include <unistd.h>

#include "lib/memory.h"

#define FRONT_NEW SIZE_MAX

void fronts_init(struct fronts *fronts, const struct options *o)
{
	*fronts = (struct fronts){ 0 };
	announcer_init(&fronts->announcer, o);
}

int fronts_add(struct fronts *fronts, const struct caller *caller)
{
	int fd = announcer_start(&fronts->announcer, caller);

	if (fd == -1)
		return -1;
	if (fronts->count == fronts->room) {
		fronts->room = fronts->room * 2 + 8;
		fronts->list = memory_resize(fronts->list, fronts->room,
					     sizeof(*fronts->list));
	}
	fronts->list[fronts->count++] = (struct front){
		.caller = *caller,
		.fd = fd,
		.poll_no = FRONT_NEW,
	};
	return 0;
}

void fronts_prepare(struct fronts *fronts, struct polls *polls)
{
	for (size_t i = 0; i < fronts->count; i++)
		fronts->list[i].poll_no =
			polls_add(polls, fronts->list[i].fd, POLLIN);
}

bool fronts_next(struct fronts *fronts, const struct polls *polls,
		 struct caller *caller)
{
	for (size_t i = 0; i < fronts->count;) {
		struct front front = fronts->list[i];

		if (front.poll_no == FRONT_NEW ||
		    !polls_ready(polls, front.poll_no)) {
			i++;
			continue;
		}
		fronts->list[i] = fronts->list[--fronts->count];
		*caller = front.caller;
		if (announcer_finish(front.fd, caller))
			return true;
		close(caller->fd);
	}
	return false;
}
