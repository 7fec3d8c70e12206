#include "tools/vpopmail/vdomaindir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/durable.h"
#include "lib/spawn.h"
#include "lib/vpasswd.h"
#include "tools/vpopmail/vfolder.h"
#include "tools/vpopmail/vtool.h"

#define DOMAIN_MODE 0750

/* Do the work as the owner; his code comes back as the exit code. */
static enum va_code as_owner(const struct vdomaindir *d,
			     enum va_code (*work)(const struct vdomaindir *d))
{
	int status;
	int code;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == -1)
		goto lost;
	if (pid == 0) {
		enum va_code result = vtool_become(d->uid, d->gid);

		vexit(result == VA_SUCCESS ? work(d) : result);
	}
	if (spawn_wait(pid, &status) == -1)
		goto lost;
	code = spawn_exit_code(status);
	if (code == -1) {
		warn("the process working in %s was killed", d->dir);
		return VA_COULD_NOT_MAKE_DOMAIN_DIR;
	}
	return code == 0 ? VA_SUCCESS : (enum va_code)(code - 256);
lost:
	warn_errno("cannot start a process to work in %s", d->dir);
	return VA_COULD_NOT_MAKE_DOMAIN_DIR;
}

static int open_dir(int at, const char *path)
{
	return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool vdomaindir_is_marked(const char *dir)
{
	int fd = open_dir(AT_FDCWD, dir);
	bool marked;

	if (fd == -1)
		return false;
	marked = faccessat(fd, VDOMAINDIR_MARK, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	close(fd);
	return marked;
}

static bool is_empty(int fd)
{
	int copy = open_dir(fd, ".");
	DIR *dir = copy == -1 ? NULL : fdopendir(copy);
	struct dirent *entry;
	bool empty = dir != NULL;

	if (!dir) {
		if (copy != -1)
			close(copy);
		return false;
	}
	while (empty && (entry = readdir(dir)))
		empty = !strcmp(entry->d_name, ".") ||
			!strcmp(entry->d_name, "..");
	closedir(dir);
	return empty;
}

/*
 * Make a directory and give it away. Root may do this where others can write:
 * what is opened is root's own and empty, or it is left alone.
 */
static int make_for(int parent, const char *name, uid_t uid, gid_t gid)
{
	struct stat st;
	int result = -1;
	int fd;

	if (mkdirat(parent, name, 0700) == -1 && errno != EEXIST)
		return -1;
	fd = openat(parent, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == 0)
		result = 0;
	if (result == 0 && st.st_uid == 0 && is_empty(fd) &&
	    (fchown(fd, uid, gid) == -1 || fchmod(fd, DOMAIN_MODE) == -1))
		result = -1;
	close(fd);
	return result;
}

/* A link to another disk is fine, if what is there is the owner's. */
static bool owns_domains(const struct vdomaindir *d, int base)
{
	struct stat st;

	return fstatat(base, "domains", &st, 0) == 0 && st.st_uid == d->uid;
}

/*
 * Where the owner of the domain may not make his directory himself, since
 * what lies above belongs to another, root does.
 */
static int make_below(const struct vdomaindir *d, int base)
{
	struct stat st;
	int domains;
	int result;

	if (owns_domains(d, base))
		return 0;
	if (fstat(base, &st) == -1)
		return -1;
	if (st.st_uid == 0) {
		st.st_uid = d->uid;
		st.st_gid = d->gid;
	}
	if (make_for(base, "domains", st.st_uid, st.st_gid) == -1)
		return -1;
	if (owns_domains(d, base))
		return 0;
	domains = openat(base, "domains",
			 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (domains == -1)
		return -1;
	result = make_for(domains, d->domain, d->uid, d->gid);
	close(domains);
	return result;
}

static int make_as_root(const struct vdomaindir *d)
{
	int base = open_dir(AT_FDCWD, d->base);
	int result;
	int error;

	if (base == -1)
		return -1;
	result = make_below(d, base);
	error = errno;
	close(base);
	errno = error;
	return result;
}

/*
 * Open domains/DOMAIN, making what is missing. A directory that holds
 * something and has no mark belongs to somebody else: EEXIST.
 */
static int open_domain(const struct vdomaindir *d)
{
	struct str domains = { 0 };
	int parent;
	int fd = -1;
	int mark = -1;

	str_appendf(&domains, "%s/domains", d->base);
	if (mkdir(str_c(&domains), DOMAIN_MODE) == 0 &&
	    chmod(str_c(&domains), DOMAIN_MODE) == -1)
		warn_errno("cannot chmod %s", str_c(&domains));
	parent = open_dir(AT_FDCWD, str_c(&domains));
	str_free(&domains);
	if (parent == -1)
		return -1;
	if (mkdirat(parent, d->domain, DOMAIN_MODE) == -1 && errno != EEXIST)
		goto out;
	fd = openat(parent, d->domain,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		goto out;
	if (!is_empty(fd) &&
	    faccessat(fd, VDOMAINDIR_MARK, F_OK, AT_SYMLINK_NOFOLLOW) == -1) {
		errno = EEXIST;
		goto fail;
	}
	mark = openat(fd, VDOMAINDIR_MARK,
		      O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (mark == -1 || fchmod(fd, DOMAIN_MODE) == -1 ||
	    durable_sync(fd) == -1 || durable_sync(parent) == -1)
		goto fail;
out:
	if (mark != -1)
		close(mark);
	close(parent);
	return fd;
fail:
	close(fd);
	fd = -1;
	goto out;
}

/* The postmaster; one that a first try has made is made anew. */
static enum va_code make_postmaster(const struct vdomaindir *d, int fd)
{
	struct vpasswd_edit edit;
	enum va_code code = VA_COULD_NOT_UPDATE_FILE;

	if (vpasswd_edit_begin(&edit, fd, true) == -1) {
		warn_errno("cannot read %s/vpasswd", d->dir);
		return code;
	}
	vpasswd_edit_remove(&edit, d->postmaster->name);
	code = vuser_add(&edit, view_of(d->dir), d->postmaster);
	if (code == VA_SUCCESS && vpasswd_edit_commit(&edit) == -1) {
		warn_errno("cannot write %s/vpasswd", d->dir);
		code = VA_COULD_NOT_UPDATE_FILE;
	}
	vpasswd_edit_free(&edit);
	return code;
}

static enum va_code make(const struct vdomaindir *d)
{
	struct str line = { 0 };
	enum va_code code;
	int fd = open_domain(d);

	if (fd == -1) {
		warn_errno("cannot make %s", d->dir);
		return VA_COULD_NOT_MAKE_DOMAIN_DIR;
	}
	code = make_postmaster(d, fd);
	if (code != VA_SUCCESS)
		return code;
	str_appendf(&line, "%s\n", d->command);
	if (durable_replace(fd, ".qmail-default", str_view(&line), 0600) ==
	    -1) {
		warn_errno("cannot write %s/.qmail-default", d->dir);
		code = VA_COULD_NOT_UPDATE_FILE;
	}
	str_free(&line);
	close(fd);
	return code;
}

static enum va_code finish(const struct vdomaindir *d)
{
	int fd = open_dir(AT_FDCWD, d->dir);

	if (fd == -1 ||
	    (unlinkat(fd, VDOMAINDIR_MARK, 0) == -1 && errno != ENOENT) ||
	    durable_sync(fd) == -1) {
		warn_errno("cannot remove %s/%s", d->dir, VDOMAINDIR_MARK);
		return VA_COULD_NOT_UPDATE_FILE;
	}
	return VA_SUCCESS;
}

/* What lies above may be another's: then root takes the empty one away. */
static int remove_below(int parent, const char *name)
{
	if (vfolder_remove(parent, name) == 0)
		return 0;
	return errno == EACCES ? vfolder_empty(parent, name) : -1;
}

static enum va_code remove_all(const struct vdomaindir *d)
{
	struct view path = view_of(d->dir);
	size_t slash = view_find_last(path, '/');
	struct str parent = { 0 };
	enum va_code code = VA_SUCCESS;
	int fd;

	str_set(&parent, view_first(path, slash ? slash : 1));
	fd = open_dir(AT_FDCWD, str_c(&parent));
	str_free(&parent);
	if (fd == -1 && errno == ENOENT)
		return VA_SUCCESS;
	if (fd == -1 || remove_below(fd, d->dir + slash + 1) == -1) {
		warn_errno("cannot remove %s", d->dir);
		code = VA_BAD_D_DIR;
	}
	if (fd != -1)
		close(fd);
	return code;
}

enum va_code vdomaindir_make(const struct vdomaindir *d)
{
	if (d->uid == 0) {
		warn("refusing to make a domain that belongs to root");
		return VA_BAD_UID;
	}
	if (geteuid() == 0 && make_as_root(d) == -1) {
		warn_errno("cannot make %s", d->dir);
		return VA_COULD_NOT_MAKE_DOMAIN_DIR;
	}
	return as_owner(d, make);
}

enum va_code vdomaindir_finish(const struct vdomaindir *d)
{
	return as_owner(d, finish);
}

enum va_code vdomaindir_remove(const struct vdomaindir *d)
{
	enum va_code code = as_owner(d, remove_all);

	if (code != VA_SUCCESS || rmdir(d->dir) == 0 || errno == ENOENT)
		return code;
	warn_errno("cannot remove %s", d->dir);
	return VA_BAD_D_DIR;
}
