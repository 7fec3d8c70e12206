/*
 * Lines of a descriptor: however the bytes arrive and whatever the limit is,
 * the lines are those that a search for LF finds.
 */
#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/in.h"
#include "lib/out.h"
#include "tests/fuzz/fuzz.h"

static void check_line(struct view *rest, struct str *line, size_t most,
		       enum in_result result)
{
	struct view want = view_cut(rest, '\n');

	if (view_ends(want, VIEW("\r")))
		want.len--;
	if (result == IN_OK)
		assert(view_eq(str_view(line), want) && want.len <= most);
	else
		assert(line->len == 0 && want.len + 1 > most);
}

/* The first byte is the limit, the second the buffer's size. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char space[257];
	struct str line = { 0 };
	struct view rest;
	struct in in;
	enum in_result result;
	size_t most;
	int fd;

	if (size < 2)
		return 0;
	fd = memfd_create("lines", MFD_CLOEXEC);
	most = data[0];
	rest = view_make(data + 2, size - 2);
	assert(fd != -1 && write_all(fd, rest) == 0);
	assert(lseek(fd, 0, SEEK_SET) == 0);
	in_init(&in, fd, space, data[1] + 1U, -1);
	do {
		result = in_line(&in, &line, most);
		if (result == IN_OK ||
		    (result == IN_TOO_LONG && view_has(rest, '\n')))
			check_line(&rest, &line, most, result);
	} while (result == IN_OK || result == IN_TOO_LONG);
	assert(result == IN_EOF && !view_has(rest, '\n'));
	str_free(&line);
	close(fd);
	return 0;
}
