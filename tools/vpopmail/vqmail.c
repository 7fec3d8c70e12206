#include "tools/vpopmail/vqmail.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/control.h"
#include "lib/die.h"
#include "lib/lock.h"
#include "lib/spawn.h"
#include "tools/vpopmail/vlines.h"

#define ASSIGN "users/assign"
#define SEND_SERVICE "/service/qmail-send"

/* ---- one file of lines ---- */

static int begin(struct vlines *lines, struct vtool *tool, const char *path)
{
	if (vlines_begin(lines, tool->homefd, path) == 0)
		return 0;
	warn_errno("cannot read or lock %s/%s", str_c(&tool->home), path);
	return -1;
}

static int look(struct vlines *lines, struct vtool *tool, const char *path)
{
	if (vlines_read(lines, tool->homefd, path) == 0)
		return 0;
	warn_errno("cannot read %s/%s", str_c(&tool->home), path);
	return -1;
}

static int end(struct vlines *lines, struct vtool *tool, const char *path)
{
	if (vlines_end(lines) == 0)
		return 0;
	warn_errno("cannot write %s/%s", str_c(&tool->home), path);
	return -1;
}

static int add(struct vtool *tool, const char *path, struct view line)
{
	struct vlines lines;

	if (begin(&lines, tool, path) == -1)
		return -1;
	vlines_add(&lines, line);
	return end(&lines, tool, path);
}

/* A file that is absent stays so. */
static int drop(struct vtool *tool, const char *path, struct view line)
{
	struct vlines lines;

	if (begin(&lines, tool, path) == -1)
		return -1;
	vlines_remove(&lines, line, false);
	return end(&lines, tool, path);
}

static int run(struct vtool *tool, const char *program)
{
	struct str path = { 0 };
	const char *argv[] = { NULL, NULL };
	struct spawn spawn = { .argv = argv };
	int status = 0;
	int result = -1;
	pid_t pid;

	str_appendf(&path, "%s/bin/%s", str_c(&tool->home), program);
	argv[0] = str_c(&path);
	spawn_fd(&spawn, STDERR_FILENO, STDERR_FILENO);
	pid = spawn_start(&spawn);
	if (pid == -1 || spawn_wait(pid, &status) == -1)
		warn_errno("cannot run %s", argv[0]);
	else if (spawn_exit_code(status) != 0)
		warn("%s failed", argv[0]);
	else
		result = 0;
	str_free(&path);
	return result;
}

/* ---- users/assign ---- */

int vqmail_lock(struct vtool *tool)
{
	int fd = lock_open(tool->homefd, "users/.vdomains.lock", 0600);

	if (fd == -1)
		warn_errno("cannot lock %s/users/.vdomains.lock",
			   str_c(&tool->home));
	return fd;
}

/* `+domain-:real:uid:gid:dir:-::` */
static bool parse_line(struct view line, struct vqmail_line *parsed)
{
	struct view prefix = view_cut(&line, ':');
	struct view real = view_cut(&line, ':');
	struct view uid = view_cut(&line, ':');
	struct view gid = view_cut(&line, ':');
	struct view dir = view_cut(&line, ':');
	uint64_t ids[2];

	if (!view_starts(prefix, VIEW("+")) || !view_ends(prefix, VIEW("-")) ||
	    prefix.len < 3 || !view_u64(uid, &ids[0]) ||
	    !view_u64(gid, &ids[1]) || ids[0] >= UINT32_MAX ||
	    ids[1] >= UINT32_MAX || !view_starts(dir, VIEW("/")) ||
	    !view_starts(line, VIEW("-:")))
		return false;
	str_set(&parsed->domain,
		view_first(view_from(prefix, 1), prefix.len - 2));
	str_set(&parsed->real, real);
	str_set(&parsed->dir, dir);
	parsed->uid = (uid_t)ids[0];
	parsed->gid = (gid_t)ids[1];
	return true;
}

int vqmail_assigned(struct vtool *tool, struct view domain,
		    struct vqmail_line *found)
{
	struct vlines lines;
	struct view rest;
	struct view line;
	int result = 0;

	if (look(&lines, tool, ASSIGN) == -1)
		return -1;
	rest = str_view(&lines.text);
	while (result == 0 && vlines_next(&rest, &line))
		if (parse_line(line, found) &&
		    view_eq_nocase(str_view(&found->domain), domain))
			result = 1;
	vlines_abort(&lines);
	return result;
}

int vqmail_domains(struct vtool *tool, struct view real, struct str *names)
{
	struct vlines lines;
	struct view rest;
	struct view line;
	struct vqmail_line parsed = { 0 };

	if (look(&lines, tool, ASSIGN) == -1)
		return -1;
	rest = str_view(&lines.text);
	while (vlines_next(&rest, &line)) {
		if (!parse_line(line, &parsed) ||
		    (real.len && !view_eq_nocase(str_view(&parsed.real), real)))
			continue;
		str_append(names, str_view(&parsed.domain));
		str_append_byte(names, '\0');
	}
	vqmail_line_free(&parsed);
	vlines_abort(&lines);
	return 0;
}

void vqmail_line_free(struct vqmail_line *line)
{
	str_free(&line->domain);
	str_free(&line->real);
	str_free(&line->dir);
}

/* users/assign must end in a line with a single dot. */
static int check_end(struct vtool *tool, const struct vlines *lines)
{
	if (lines->text.len == 0 || vlines_has(lines, VIEW(".")))
		return 0;
	warn("%s/%s does not end in a line with a dot: mend it first",
	     str_c(&tool->home), ASSIGN);
	return -1;
}

static void prefix_of(struct str *prefix, struct view domain)
{
	str_append_byte(prefix, '+');
	str_append(prefix, domain);
	str_append(prefix, VIEW("-:"));
}

/* Take out the domain's lines; put in `line` unless it is NULL. */
static int change_assign(struct vtool *tool, struct view domain,
			 const struct vqmail_line *line)
{
	struct vlines lines;
	struct str text = { 0 };
	int result;

	if (begin(&lines, tool, ASSIGN) == -1)
		return -1;
	if (check_end(tool, &lines) == -1) {
		vlines_abort(&lines);
		return -1;
	}
	prefix_of(&text, domain);
	vlines_remove(&lines, str_view(&text), true);
	if (lines.text.len == 0)
		vlines_add(&lines, VIEW("."));
	if (line) {
		str_append(&text, str_view(&line->real));
		str_appendf(&text, ":%lu:%lu:", (unsigned long)line->uid,
			    (unsigned long)line->gid);
		str_append(&text, str_view(&line->dir));
		str_append(&text, VIEW(":-::"));
		vlines_add_sorted(&lines, str_view(&text));
	}
	result = end(&lines, tool, ASSIGN);
	str_free(&text);
	return result;
}

int vqmail_assign(struct vtool *tool, const struct vqmail_line *line)
{
	if (change_assign(tool, str_view(&line->domain), line) == -1)
		return -1;
	return run(tool, "qmail-newu");
}

int vqmail_unassign(struct vtool *tool, struct view domain)
{
	if (change_assign(tool, domain, NULL) == -1)
		return -1;
	return run(tool, "qmail-newu");
}

/* ---- virtualdomains, locals ---- */

static void route_of(struct str *route, struct view domain)
{
	str_append(route, domain);
	str_append_byte(route, ':');
	str_append(route, domain);
}

int vqmail_taken(struct vtool *tool, struct view domain)
{
	struct vlines lines;
	struct view rest;
	struct view line;
	int result = 0;

	if (look(&lines, tool, "control/virtualdomains") == -1)
		return -1;
	rest = str_view(&lines.text);
	while (vlines_next(&rest, &line)) {
		struct view key = view_cut(&line, ':');

		if (!view_eq_nocase(key, domain) ||
		    view_eq_nocase(line, domain))
			continue;
		warn("control/virtualdomains has this domain already, for %.*s",
		     (int)line.len, line.p ? line.p : "");
		result = 1;
	}
	vlines_abort(&lines);
	return result;
}

int vqmail_route(struct vtool *tool, struct view domain)
{
	struct str route = { 0 };
	int result;

	route_of(&route, domain);
	result = add(tool, "control/virtualdomains", str_view(&route));
	str_free(&route);
	if (result == -1)
		return -1;
	return drop(tool, "control/locals", domain);
}

int vqmail_unroute(struct vtool *tool, struct view domain)
{
	struct str route = { 0 };
	int result;

	route_of(&route, domain);
	result = drop(tool, "control/virtualdomains", str_view(&route));
	str_free(&route);
	return result;
}

/* ---- rcpthosts ---- */

/* Is it a file of morercpthosts that would be needed? 1, 0 or -1. */
static int needs_more(struct vtool *tool, struct view domain)
{
	struct vlines lines;
	int result;

	if (look(&lines, tool, "control/rcpthosts") == -1)
		return -1;
	result = !vlines_has(&lines, domain) &&
		 vlines_count(&lines) >= VQMAIL_RCPTHOSTS_LINES;
	vlines_abort(&lines);
	return result;
}

int vqmail_accept(struct vtool *tool, struct view domain, bool build)
{
	int more = needs_more(tool, domain);

	if (more == -1)
		return -1;
	if (!more)
		return add(tool, "control/rcpthosts", domain);
	if (add(tool, "control/morercpthosts", domain) == -1)
		return -1;
	return build ? run(tool, "qmail-newmrh") : 0;
}

int vqmail_unaccept(struct vtool *tool, struct view domain, bool build)
{
	struct vlines lines;
	bool in_more;

	if (drop(tool, "control/rcpthosts", domain) == -1 ||
	    begin(&lines, tool, "control/morercpthosts") == -1)
		return -1;
	in_more = vlines_has(&lines, domain);
	vlines_remove(&lines, domain, false);
	if (end(&lines, tool, "control/morercpthosts") == -1)
		return -1;
	return in_more && build ? run(tool, "qmail-newmrh") : 0;
}

/* ---- qmail-send ---- */

void vqmail_tell_send(struct vtool *tool)
{
	struct str path = { 0 };
	int fd = -1;

	switch (control_line(tool->homefd, "sendservice", &path)) {
	case CONTROL_OK:
		break;
	case CONTROL_ABSENT:
		str_set_c(&path, SEND_SERVICE);
		break;
	case CONTROL_ERROR:
		warn_errno("qmail-send not told: control/sendservice");
		goto out;
	}
	str_append_c(&path, "/supervise/control");
	/* ENXIO when no supervise holds the other end. */
	fd = open(str_c(&path), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1 || write(fd, "h", 1) != 1)
		warn_errno("qmail-send not told: %s", str_c(&path));
out:
	if (fd != -1)
		close(fd);
	str_free(&path);
}
