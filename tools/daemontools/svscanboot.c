/*
 * svscanboot - start svscan for /service, its complaints kept by
 * readproctitle.
 *
 * started by  init, a systemd unit, or as process 1
 * exits       it becomes svscan, so that SIGTERM reaches that; 100 for
 *             misuse, 111 if it cannot begin
 *
 * First services that an earlier svscan has left are told to go: svc -dx.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/die.h"
#include "tools/daemontools/run.h"
#include "tools/daemontools/service.h"

#define DIRECTORY "/service"
#define SEARCH_PATH                                                            \
	"/command:/usr/local/bin:/usr/local/sbin:/bin:/sbin:/usr/bin:"         \
	"/usr/sbin:/usr/X11R6/bin"
#define TITLE_DOTS 400

static void redirect(int from, int to)
{
	if (from == -1 || dup2(from, to) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to set up descriptors");
}

static void tell_to_go(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return;
	/* Nobody there: as it should be. */
	if (service_control(fd, VIEW("dx")) == SERVICE_ERROR) {
		close(fd);
		return;
	}
	close(fd);
}

static void end_leftovers(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	struct str log = { 0 };

	if (!dir)
		return; /* svscan will say so */
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		str_reset(&log);
		str_appendf(&log, "%s/log", entry->d_name);
		tell_to_go(dirfd(dir), entry->d_name);
		tell_to_go(dirfd(dir), str_c(&log));
	}
	closedir(dir);
	str_free(&log);
}

static noreturn void become_readproctitle(int input)
{
	char dots[TITLE_DOTS + 1];
	char *argv[] = { (char[]){ "readproctitle" }, (char[]){ "service" },
			 (char[]){ "errors:" }, dots, NULL };

	memset(dots, '.', TITLE_DOTS);
	dots[TITLE_DOTS] = '\0';
	redirect(input, STDIN_FILENO);
	run_child(argv);
}

static noreturn void become_svscan(int output, const char *directory)
{
	struct str path = { 0 };
	char *argv[] = { (char[]){ "svscan" }, NULL, NULL };

	str_set_c(&path, directory);
	argv[1] = (char *)(uintptr_t)str_c(&path);
	redirect(output, STDOUT_FILENO);
	redirect(output, STDERR_FILENO);
	run_child(argv);
}

int main(int argc, char **argv)
{
	const char *directory = argc > 1 ? argv[1] : DIRECTORY;
	int null;
	int fds[2];
	pid_t pid;

	die_name("svscanboot");
	if (argc > 2)
		die(EXIT_REJECT, "usage: svscanboot [ directory ]");
	run_fill_descriptors();
	if (clearenv() != 0 || setenv("PATH", SEARCH_PATH, 1) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to set PATH");
	if (pipe2(fds, O_CLOEXEC) == -1)
		die_errno(EXIT_RETRY, "fatal: unable to create pipe");
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	redirect(null, STDIN_FILENO);
	redirect(null, STDOUT_FILENO);
	end_leftovers(directory);
	pid = fork();
	if (pid == -1)
		die_errno(EXIT_RETRY, "fatal: unable to fork");
	if (pid == 0)
		become_readproctitle(fds[0]);
	become_svscan(fds[1], directory);
}
