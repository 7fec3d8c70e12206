#ifndef TESTS_UNIT_ENQUEUEHOME_H
#define TESTS_UNIT_ENQUEUEHOME_H

/*
 * A home for a test of lib/enqueue.h, in which whoever takes the message
 * keeps it in the file `got`. Behind cmocka.h.
 */

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/enqueue.h"
#include "lib/out.h"
#include "lib/sig.h"

static char home_path_text[64];
static int home = -1;

static inline int make_home(void **state)
{
	(void)state;
	sig_ignore_write_signals();
	unsetenv("QMAILQUEUE");
	snprintf(home_path_text, sizeof(home_path_text),
		 "/tmp/test_enqueue.XXXXXX");
	if (!mkdtemp(home_path_text))
		return -1;
	home = open(home_path_text, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return mkdirat(home, "queue", 0755) ||
			       mkdirat(home, "queue/socket", 0755)
		       ? -1
		       : 0;
}

static inline int remove_one(const char *path, const struct stat *st, int kind,
			     struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static inline int remove_home(void **state)
{
	(void)state;
	close(home);
	unsetenv("QMAILQUEUE");
	return nftw(home_path_text, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void keep(int fd, struct view v)
{
	if (write_all(fd, v) == -1)
		_exit(2);
}

static inline void read_got(struct str *content)
{
	char piece[65536];
	int fd = openat(home, "got", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_int_not_equal(fd, -1);
	str_reset(content);
	while ((n = read(fd, piece, sizeof(piece))) > 0)
		str_append(content, view_make(piece, (size_t)n));
	close(fd);
}

#endif
