#include "lib/inherit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/sig.h"

void inherit_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd)
			die_errno(EXIT_RETRY, "open /dev/null");
}

void inherit_reset(void)
{
	struct rlimit none = { 0 };

	inherit_descriptors();
	sig_reset_all();
	sig_ignore_write_signals();
	umask(077);
	if (setrlimit(RLIMIT_CORE, &none) == -1)
		die_errno(EXIT_RETRY, "cannot forbid core dumps");
}

void inherit_nodelay(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1) {
		/* A pipe or a Unix socket, which never waits. */
	}
}
