/*
 * A segment of the queue's log: whatever it holds, a reader stays within it,
 * gets on, and finds the record that is put behind the input.
 */
#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/qfile.h"
#include "lib/qlog.h"
#include "tests/fuzz/fuzz.h"

#define GENERATION 3

static void scan(const struct str *bytes, uint64_t last)
{
	int fd = memfd_create("segment", MFD_CLOEXEC);
	struct qlog_scan scan;
	struct qlog_head head = { 0 };
	struct view image;
	bool found = false;

	if (fd == -1 || write(fd, bytes->p, bytes->len) != (ssize_t)bytes->len)
		abort();
	if (qlog_scan_open(&scan, fd) == QLOG_OK)
		while (qlog_scan_next(&scan, &head, &image)) {
			struct qfile q;

			assert(image.len <= head.length);
			assert(image.len == 0 ||
			       (image.p >= scan.bytes.p &&
				image.p + image.len <=
					scan.bytes.p + scan.bytes.len));
			found |= head.offset == last;
			if (qfile_parse(&q, image) == QFILE_OK)
				qfile_close(&q);
		}
	/* Unless a head of the input claims those bytes. */
	assert(last == 0 || found || head.length > 0);
	qlog_scan_close(&scan);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = { 0 };
	uint64_t last;

	str_set(&bytes, view_make(data, size));
	scan(&bytes, 0);
	str_reset(&bytes);
	qlog_format_header(&bytes, GENERATION, 0);
	str_append(&bytes, view_make(data, size));
	while (bytes.len % 8)
		str_append_byte(&bytes, '\0');
	last = bytes.len;
	qlog_format_head(&bytes, GENERATION, last, 1);
	str_append_byte(&bytes, 'x');
	scan(&bytes, last);
	str_free(&bytes);
	return 0;
}
