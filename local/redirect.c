#include "local/redirect.h"

#include "lib/die.h"
#include "local/forwarding.h"
#include "local/handed.h"

/* A verdict is lines, a complaint is one. */
static noreturn void give_up(const struct verdict *verdict)
{
	struct view rest = str_view(&verdict->text);
	struct view line = view_cut(&rest, '\n');

	die(verdict->outcome == JOB_FAILED ? EXIT_REJECT : EXIT_RETRY,
	    "fatal: %.*s", (int)line.len, line.p);
}

uint64_t redirect(int message, uint64_t size, const char *sender,
		  const char *const *addresses)
{
	struct job job = { .fd = message, .size = size };
	struct envelope envelope = { 0 };
	struct verdict verdict = { 0 };
	struct str recipients = { 0 };
	uint64_t qp = 0;

	str_set_c(&envelope.dtline, handed_variable("DTLINE"));
	for (; *addresses; addresses++) {
		str_append_c(&recipients, *addresses);
		str_append_byte(&recipients, '\0');
	}
	if (forwarding_send(&verdict, &job, &envelope, view_of(sender),
			    str_view(&recipients), &qp) == -1)
		give_up(&verdict);
	str_free(&recipients);
	str_free(&verdict.text);
	envelope_free(&envelope);
	return qp;
}
