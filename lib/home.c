#include "lib/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/control.h"

/* The directory above bin/, when the executable is in a bin/. */
static bool above_bin(struct str *path)
{
	char exe[4096];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe));
	struct view v;

	if (len <= 0 || (size_t)len >= sizeof(exe))
		return false;
	v = view_make(exe, (size_t)len);
	v = view_first(v, view_find_last(v, '/'));
	if (!view_ends(v, VIEW("/bin")) || v.len == 4)
		return false;
	str_set(path, view_first(v, v.len - 4));
	/* /usr/bin and /bin are nobody's home. */
	return !view_eq(str_view(path), VIEW("/usr")) &&
	       !view_eq(str_view(path), VIEW("/usr/local"));
}

void home_path(struct str *path)
{
	const char *forced = getenv("QMAILHOME");

	if (forced && *forced == '/' && geteuid() != 0) {
		str_set_c(path, forced);
		while (path->len > 1 && path->p[path->len - 1] == '/')
			str_truncate(path, path->len - 1);
		return;
	}
	if (!above_bin(path))
		str_set_c(path, CONF_QMAIL);
}

void home_program(struct str *path, const char *name)
{
	if (!above_bin(path))
		home_path(path);
	str_append_c(path, "/bin/");
	str_append_c(path, name);
}

int home_open(void)
{
	struct str path = { 0 };
	int fd;

	home_path(&path);
	fd = open(str_c(&path), O_PATH | O_DIRECTORY | O_CLOEXEC);
	str_free(&path);
	return fd;
}

int home_vpopmail(int homefd, struct str *path)
{
	switch (control_line(homefd, "vpopmailhome", path)) {
	case CONTROL_OK:
		if (path->len == 0)
			str_set_c(path, CONF_VPOPMAIL);
		return 0;
	case CONTROL_ABSENT:
		str_set_c(path, CONF_VPOPMAIL);
		return 0;
	case CONTROL_ERROR:
		return -1;
	}
	errno = EINVAL;
	return -1;
}
