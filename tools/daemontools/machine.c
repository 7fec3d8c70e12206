#include "tools/daemontools/machine.h"

#include <assert.h>

/* clang-format off */
#define TO(state) { .next = MACHINE_##state, .stop = false }
#define STOP(state) { .next = MACHINE_##state, .stop = true }
static const struct machine_step table[MACHINE_STATES][MACHINE_EVENTS] = {
/*                     svc -u        svc -d         svc -o         svc -x        started     died */
[MACHINE_DOWN] =     { TO(DUE),      TO(DOWN),      TO(DUE_ONCE),  TO(GONE),     TO(DOWN),   TO(DOWN) },
[MACHINE_DUE] =      { TO(DUE),      TO(DOWN),      TO(DUE_ONCE),  TO(GONE),     TO(UP),     TO(DUE) },
[MACHINE_DUE_ONCE] = { TO(DUE),      TO(DOWN),      TO(DUE_ONCE),  TO(GONE),     TO(LAST),   TO(DUE_ONCE) },
[MACHINE_UP] =       { TO(UP),       STOP(LAST),    TO(LAST),      TO(LEAVING),  TO(UP),     TO(DUE) },
[MACHINE_LAST] =     { TO(UP),       STOP(LAST),    TO(LAST),      TO(LEAVING),  TO(LAST),   TO(DOWN) },
[MACHINE_LEAVING] =  { TO(LEAVING),  STOP(LEAVING), TO(LEAVING),   TO(LEAVING),  TO(LEAVING), TO(GONE) },
[MACHINE_GONE] =     { TO(GONE),     TO(GONE),      TO(GONE),      TO(GONE),     TO(GONE),   TO(GONE) },
};
/* clang-format on */

struct machine_step machine_step(enum machine_state state,
				 enum machine_event event)
{
	assert(state < MACHINE_STATES && event < MACHINE_EVENTS);
	return table[state][event];
}
