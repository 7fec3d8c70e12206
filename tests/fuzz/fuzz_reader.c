/*
 * A message that somebody hands to qmail-inject: header and body come out
 * with whole lines, and no byte of the body is lost or made up.
 */
#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/header.h"
#include "lib/out.h"
#include "tests/fuzz/fuzz.h"
#include "tools/inject/reader.h"

static void check_header(struct view header)
{
	assert(header.len == 0 || view_ends(header, VIEW("\n")));
	assert(header.len == 0 || !memmem(header.p, header.len, "\n\n", 2));
}

static size_t read_body(struct reader *r)
{
	struct str piece = { 0 };
	size_t total = 0;
	bool complete = true;

	while (reader_body(r, &piece) == READER_OK) {
		total += piece.len;
		if (piece.len)
			complete = view_ends(str_view(&piece), VIEW("\n"));
	}
	assert(complete);
	str_free(&piece);
	return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reader r;
	struct str header = { 0 };
	int fd = memfd_create("message", MFD_CLOEXEC);

	assert(fd != -1);
	assert(write_all(fd, view_make(data, size)) == 0);
	assert(lseek(fd, 0, SEEK_SET) == 0);
	reader_init(&r, fd);
	if (reader_header(&r, &header) != READER_ERROR) {
		check_header(str_view(&header));
		assert(read_body(&r) <= size + 1);
	}
	reader_free(&r);
	str_free(&header);
	close(fd);
	return 0;
}
