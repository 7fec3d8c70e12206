/*
 * qmail-pop3d - serve one POP3 session on a Maildir.
 *
 * started by  a checkpassword program, once the password is accepted
 * runs as     the owner of the Maildir, in his home; never root
 * fds         0 and 1 the client, 2 the log
 * exits       EXIT_DONE once it has greeted or refused the client itself,
 *             1 as root, EXIT_REJECT for misuse
 */
#include <errno.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/inherit.h"
#include "lib/out.h"
#include "lib/sandbox.h"
#include "popd/maildrop.h"
#include "popd/pop3.h"

#define EXIT_ROOT 1 /* qmail-popup then says that log-in failed */

/* Whoever stands before us would call another exit a failed log-in. */
static noreturn void refuse(const char *path)
{
	struct view text = errno == ENOENT
				   ? VIEW("-ERR this user has no Maildir\r\n")
				   : VIEW("-ERR [SYS/TEMP] unable to open the "
					  "Maildir\r\n");

	warn_errno("unable to open %s", path);
	if (write_all(STDOUT_FILENO, text) == -1) {
		/* The client is gone, too. */
	}
	_exit(EXIT_DONE);
}

/* The Maildir, and nothing else of this user's. */
static int confine(const struct maildrop *drop)
{
	const struct landlock_path maildir = {
		drop->fd, ".", LANDLOCK_READ | LANDLOCK_WRITE | LANDLOCK_MOVE
	};
	const struct sandbox sandbox = {
		.name = "qmail-pop3d",
		.calls = SANDBOX_IO | SANDBOX_FILES_READ | SANDBOX_FILES_WRITE,
		.paths = &maildir,
		.path_count = 1,
		.max_fds = 64,
		.quiet = true,
	};

	return sandbox_enter(&sandbox);
}

int main(int argc, char **argv)
{
	static struct pop3 session;
	struct maildrop drop;

	die_name("qmail-pop3d");
	inherit_reset();
	if (argc != 2)
		die(EXIT_REJECT, "usage: qmail-pop3d maildir");
	if (getuid() == 0 || geteuid() == 0)
		die(EXIT_ROOT, "refusing to run as root");
	inherit_nodelay(STDOUT_FILENO);
	if (maildrop_open(&drop, argv[1]) == -1 || confine(&drop) == -1)
		refuse(argv[1]);
	pop3_init(&session, &drop);
	pop3_serve(&session);
	pop3_free(&session);
	maildrop_close(&drop);
	return EXIT_DONE;
}
