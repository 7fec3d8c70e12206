#ifndef DAEMONTOOLS_SERVICE_H
#define DAEMONTOOLS_SERVICE_H

/*
 * A service directory as others see it: what supervise keeps in supervise/,
 * and what svc, svok, svstat and svscan do with it. The names and bytes are
 * those of daemontools 0.76, so that either side may be Debian's.
 *
 *	supervise/lock     flock'ed as long as supervise runs
 *	supervise/ok       FIFO; has a reader as long as supervise runs
 *	supervise/control  FIFO; one letter a command
 *	supervise/death    ours only: how ./run ended last (death.h)
 *	supervise/status   18 bytes, replaced by rename:
 *
 *	0   12  TAI64N, packed: since when
 *	12   4  pid, little-endian; 0 when down
 *	16   1  1 when paused
 *	17   1  'u' wants up, 'd' wants down, 0 neither
 */

#include "lib/str.h"
#include "lib/tai.h"

#define SERVICE_STATUS_BYTES 18

enum service_want {
	SERVICE_WANT_NOTHING = 0,
	SERVICE_WANT_UP = 'u',
	SERVICE_WANT_DOWN = 'd',
};

struct service_status {
	struct tai since;
	uint32_t pid;
	bool paused;
	char want; /* enum service_want, or what another program wrote */
};

void service_pack(char to[SERVICE_STATUS_BYTES],
		  const struct service_status *status);
struct service_status service_unpack(const char from[SERVICE_STATUS_BYTES]);

enum service_result {
	SERVICE_OK,
	SERVICE_NOT_RUNNING, /* nobody reads the FIFO */
	SERVICE_ERROR,       /* errno says why; ENOENT: never supervised */
};

/* Is supervise running in the directory dirfd? */
enum service_result service_running(int dirfd) MUST_USE;
/* Send commands, all or none. */
enum service_result service_control(int dirfd, struct view letters) MUST_USE;
/*
 * Replace a small file by these bytes, by way of another one beside it.
 * -1 with errno; the old file is there then.
 */
int service_replace(const char *path, const char *path_new,
		    struct view bytes) MUST_USE;
/* -1 with errno; EPROTO for a file that is too short. */
int service_status(int dirfd, struct service_status *status) MUST_USE;

#endif
