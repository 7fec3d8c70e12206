#include "tools/ucspi/nobody.h"

#include <unistd.h>

#include "lib/home.h"
#include "lib/ids.h"

#define NOBODY 65534

void nobody_find(uid_t *uid, gid_t *gid)
{
	struct ids ids = { 0 };
	int home = home_open();

	if (home == -1 || ids_load(&ids, home) == -1 ||
	    ids_user(&ids, "qmaild", uid, gid) == -1 || *uid == 0) {
		*uid = NOBODY;
		*gid = NOBODY;
	}
	ids_free(&ids);
	if (home != -1)
		close(home);
}
