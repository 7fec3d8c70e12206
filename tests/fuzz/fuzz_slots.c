/*
 * control/deliveryids as qmail-queued reads it: whatever it lists, there are
 * never more slots than there are, and all come back.
 */
#include <assert.h>

#include "queue/slots.h"
#include "tests/fuzz/fuzz.h"

#define TOTAL 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ids ids = { 0 };
	struct slots slots = { 0 };
	enum slots_kind kinds[TOTAL];
	uid_t uids[TOTAL];
	size_t used = 0;

	str_append_c(&ids.text, "qmails 8 3\nqmaild 2 2\nalias 1 2\n");
	slots_init(&slots, TOTAL, &ids);
	slots_delivery_ids(&slots, view_make(data, size));
	for (size_t i = 0; i < size && i < 4 * (size_t)TOTAL; i++) {
		enum slots_kind kind;
		uid_t uid = data[i] % 16;

		if (!slots_take(&slots, uid, &kind))
			continue;
		assert(used < TOTAL);
		kinds[used] = kind;
		uids[used++] = uid;
	}
	while (used) {
		used--;
		slots_give(&slots, uids[used], kinds[used]);
	}
	for (size_t i = 0; i < SLOTS_KINDS; i++)
		assert(slots.used[i] == 0);
	slots_free(&slots);
	ids_free(&ids);
	return 0;
}
