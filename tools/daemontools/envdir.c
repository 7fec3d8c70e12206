/*
 * envdir - run a program with the environment that a directory describes.
 *
 * exits       111 for misuse too, as ever, and if the directory cannot be
 *             read or the program cannot be run; else as the program
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/die.h"
#include "tools/daemontools/run.h"

#define FILE_MAX_BYTES ((size_t)1 << 20) /* exec takes no longer string */

/* The first line without blanks at its end, NULs as newlines. */
static void cut_value(struct str *text)
{
	size_t len = view_find(str_view(text), '\n');

	str_truncate(text, len);
	str_truncate(text, view_trim_end(str_view(text)).len);
	for (size_t i = 0; i < text->len; i++)
		if (text->p[i] == '\0')
			text->p[i] = '\n';
}

static void set_variable(const char *name, struct str *text)
{
	struct str pair = { 0 };

	if (text->len == 0) {
		if (!strchr(name, '='))
			unsetenv(name);
		return;
	}
	cut_value(text);
	str_appendf(&pair, "%s=", name);
	str_append(&pair, str_view(text));
	/* The environment owns the string from here on. */
	if (putenv((char *)(uintptr_t)str_c(&pair)) != 0)
		die_errno(EXIT_RETRY, "fatal: unable to set %s", name);
}

static void read_variable(int dirfd, const char *dir, const char *name)
{
	struct str text = { 0 };

	switch (control_read(dirfd, name, &text, FILE_MAX_BYTES)) {
	case CONTROL_OK:
		set_variable(name, &text);
		break;
	case CONTROL_ABSENT: /* removed since the directory was read */
		break;
	case CONTROL_ERROR:
		die_errno(EXIT_RETRY, "fatal: unable to read %s/%s", dir, name);
	}
	str_free(&text);
}

static void read_directory(const char *path)
{
	DIR *dir = opendir(path);

	if (!dir)
		die_errno(EXIT_RETRY, "fatal: unable to read directory %s",
			  path);
	for (;;) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			break;
		if (entry->d_name[0] != '.')
			read_variable(dirfd(dir), path, entry->d_name);
	}
	if (errno)
		die_errno(EXIT_RETRY, "fatal: unable to read directory %s",
			  path);
	closedir(dir);
}

int main(int argc, char **argv)
{
	die_name("envdir");
	if (argc < 3)
		die(EXIT_RETRY, "usage: envdir dir child");
	read_directory(argv[1]);
	run_child(argv + 2);
}
