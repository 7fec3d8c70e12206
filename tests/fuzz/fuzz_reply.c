/*
 * Replies of an SMTP server, in pieces whose length the first byte says:
 * bounded, plain, and the same as when they come at once.
 */
#include <assert.h>

#include "remote/reply.h"
#include "tests/fuzz/fuzz.h"

/* Everything that is there; the texts and codes are appended to seen. */
static void read_all(struct view all, size_t piece, struct str *seen)
{
	struct reply reply = { 0 };
	struct view value;

	while (all.len) {
		struct view part = view_first(all, piece);
		size_t had = part.len;
		enum reply_state state = reply_feed(&reply, &part);

		all = view_from(all, had - part.len);
		assert(reply.text.len <= REPLY_TEXT_MAX + 1);
		if (state == REPLY_BAD) {
			str_append(seen, VIEW("bad"));
			break;
		}
		if (state == REPLY_MORE)
			continue;
		assert(reply.code >= 200 && reply.code < 600);
		str_append_u64(seen, reply.code);
		str_append(seen, str_view(&reply.text));
		if (reply_keyword(&reply, VIEW("SIZE"), &value))
			str_append(seen, value);
		reply_reset(&reply);
	}
	reply_free(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str one = { 0 };
	struct str two = { 0 };

	if (size == 0)
		return 0;
	read_all(view_make(data + 1, size - 1), (size_t)data[0] + 1, &one);
	read_all(view_make(data + 1, size - 1), size, &two);
	assert(view_eq(str_view(&one), str_view(&two)));
	for (size_t i = 0; i < one.len; i++)
		assert((unsigned char)one.p[i] >= ' ' || one.p[i] == '\n' ||
		       one.p[i] == '\t');
	str_free(&one);
	str_free(&two);
	return 0;
}
