/*
 * Line ends. The first byte says where the rest is cut in two: in pieces it
 * is what it is as a whole, and each way is what a simple model says.
 */
#include <assert.h>

#include "tests/fuzz/fuzz.h"
#include "tools/ucspi/crlf.h"

enum kind { ADD, FIX, DELETE };

static void feed(enum kind kind, struct crlf *c, struct str *to, struct view v)
{
	switch (kind) {
	case ADD:
		crlf_add(to, v);
		break;
	case FIX:
		crlf_fix(c, to, v);
		break;
	case DELETE:
		crlf_delete(c, to, v);
		break;
	}
}

static void convert(enum kind kind, struct str *to, struct view a,
		    struct view b)
{
	struct crlf c = { 0 };

	feed(kind, &c, to, a);
	feed(kind, &c, to, b);
	if (kind == DELETE)
		crlf_delete_end(&c, to);
}

static void model(enum kind kind, struct str *to, struct view v)
{
	for (size_t i = 0; i < v.len; i++) {
		bool before_lf = i + 1 < v.len && v.p[i + 1] == '\n';
		bool has_cr = i > 0 && v.p[i - 1] == '\r';

		if (kind == DELETE && v.p[i] == '\r' && before_lf)
			continue;
		if (v.p[i] == '\n' && (kind == ADD || (kind == FIX && !has_cr)))
			str_append_byte(to, '\r');
		str_append_byte(to, v.p[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view all;
	size_t cut;

	if (size == 0)
		return 0;
	all = view_make(data + 1, size - 1);
	cut = data[0] < all.len ? data[0] : all.len;
	for (enum kind kind = ADD; kind <= DELETE; kind++) {
		struct str got = { 0 };
		struct str want = { 0 };

		convert(kind, &got, view_first(all, cut), view_from(all, cut));
		model(kind, &want, all);
		assert(view_eq(str_view(&got), str_view(&want)));
		str_free(&got);
		str_free(&want);
	}
	return 0;
}
