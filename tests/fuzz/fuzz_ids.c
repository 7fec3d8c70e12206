/* users/ids: an answer is a number that stands there, or none. */
#include <assert.h>

#include "lib/ids.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "root", "alias", "qmailq", "a" };
	struct ids ids = { 0 };
	uid_t uid = 0;
	gid_t gid = 0;

	str_append(&ids.text, view_make(data, size));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (ids_user(&ids, names[i], &uid, &gid) == 0)
			assert(uid != (uid_t)-1 && gid != (gid_t)-1);
		if (ids_group(&ids, names[i], &gid) == 0)
			assert(gid != (gid_t)-1);
	}
	ids_free(&ids);
	return 0;
}
