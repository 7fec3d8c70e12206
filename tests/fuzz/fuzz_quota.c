/* Quotas, and the file maildirsize that others write, too. */
#include <assert.h>

#include "lib/maildirsize.h"
#include "lib/vquota.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view text = view_make(data, size);
	struct view rest = text;
	struct view first = view_cut(&rest, '\n');
	struct str normal = { 0 };
	struct maildirsize usage = { 0 };
	struct vquota quota = { 0 };
	struct vquota again;
	size_t lines = 0;

	if (vquota_parse(first, &quota) == 0) {
		vquota_format(&normal, &quota);
		assert(vquota_parse(str_view(&normal), &again) == 0);
		assert(again.bytes == quota.bytes &&
		       again.messages == quota.messages);
	}
	if (maildirsize_parse(text, &quota, &usage, &lines) == 0)
		assert(lines <= size);
	str_free(&normal);
	return 0;
}
